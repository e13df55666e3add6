package broker

// DescribeLogDirs, key 35, versions 0–4. Deviations: a partition's size is what the local log holds of it; the size of
// the volume is told as unknown (-1).

import (
	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func describeLogDirsAPI() api { return api{key: 35, min: 0, max: 4, handle: handleDescribeLogDirs} }

func handleDescribeLogDirs(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.DescribeLogDirsRequest)
	resp := kmsg.NewPtrDescribeLogDirsResponse()
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir, dir.TotalBytes, dir.UsableBytes = "log", -1, -1
	if d := b.telemetry.o.Dir; d != "" {
		dir.Dir = d
	}
	if b.engine.Stats().LogFailed {
		dir.ErrorCode = codeStorage
	}
	if req.Topics == nil {
		for _, t := range b.engine.Topics() {
			dir.Topics = append(dir.Topics, b.logDirTopic(t, nil))
		}
	}
	for _, ask := range req.Topics {
		if t, ok := b.engine.Topic(ask.Topic); ok {
			dir.Topics = append(dir.Topics, b.logDirTopic(t, ask.Partitions))
		}
	}
	resp.Dirs = append(resp.Dirs, dir)
	reply(resp)
}

// logDirTopic lists partitions of a topic, all of them when none are named.
func (b *Broker) logDirTopic(t engine.Topic, only []int32) kmsg.DescribeLogDirsResponseDirTopic {
	out := kmsg.NewDescribeLogDirsResponseDirTopic()
	out.Topic = t.Name
	if only == nil {
		for i := range t.Partitions {
			only = append(only, i)
		}
	}
	for _, i := range only {
		part, err := b.engine.Partition(t.Name, i)
		if err != nil {
			continue // a partition that is nowhere is in no directory
		}
		p := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		p.Partition = i
		p.Size, _ = part.Size()
		out.Partitions = append(out.Partitions, p)
	}
	return out
}
