package broker

// DescribeTopicPartitions, key 75, version 0. Deviations: none; there are never eligible leaders besides the leader.

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func describeTopicPartitionsAPI() api {
	return api{key: 75, min: 0, max: 0, handle: handleDescribeTopicPartitions}
}

const maxDescribedPartitions = 2000 // Kafka's max.request.partition.size.limit

func handleDescribeTopicPartitions(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.DescribeTopicPartitionsRequest)
	resp := kmsg.NewPtrDescribeTopicPartitionsResponse()
	resp.Topics = []kmsg.DescribeTopicPartitionsResponseTopic{}
	var names []string
	for _, t := range req.Topics {
		names = append(names, t.Topic)
	}
	if len(req.Topics) == 0 {
		for _, t := range b.engine.Topics() {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	left, from := min(max(req.ResponsePartitionLimit, 1), maxDescribedPartitions), int32(0)
	if req.Cursor != nil {
		at, found := slices.BinarySearch(names, req.Cursor.Topic)
		names = names[at:]
		if found {
			from = max(req.Cursor.Partition, 0)
		}
	}
	for _, name := range names {
		if left == 0 {
			resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: name, Partition: from}
			break
		}
		out, next := b.describePartitions(name, from, left)
		resp.Topics = append(resp.Topics, out)
		left -= int32(len(out.Partitions))
		if from = 0; next > 0 {
			resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: name, Partition: next}
			break
		}
	}
	reply(resp)
}

// describePartitions lists up to limit partitions; next is the first left out, 0 when none was.
func (b *Broker) describePartitions(name string, from, limit int32) (out kmsg.DescribeTopicPartitionsResponseTopic, next int32) {
	out = kmsg.NewDescribeTopicPartitionsResponseTopic()
	out.Topic, out.AuthorizedOperations = &name, topicOperations
	t, ok := b.engine.Topic(name)
	if !ok {
		out.ErrorCode = codeUnknownTopic
		return out, 0
	}
	out.TopicID, out.IsInternal = t.ID, t.Internal
	me, none, epoch := []int32{b.o.NodeID}, []int32{}, b.leaderEpoch(t)
	for i := from; i < t.Partitions; i++ {
		if int32(len(out.Partitions)) == limit {
			return out, i
		}
		p := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
		p.Partition, p.LeaderID, p.LeaderEpoch, p.Replicas, p.ISR = i, b.o.NodeID, epoch, me, me
		p.EligibleLeaderReplicas, p.LastKnownELR, p.OfflineReplicas = none, none, none
		out.Partitions = append(out.Partitions, p)
	}
	return out, 0
}
