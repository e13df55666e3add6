package broker

// ListOffsets, key 2, versions 0–11. Deviations: version 0 answers the first offset and the end, not one offset for
// each segment.

import (
	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func listOffsetsAPI() api { return api{key: 2, min: 0, max: 11, handle: handleListOffsets} }

// The timestamps with a meaning of their own, and the version that brought them.
const (
	tsLatest       = -1
	tsEarliest     = -2
	tsMax          = -3 // 7
	tsLocal        = -4 // 8
	tsTiered       = -5 // 9
	tsPending      = -6 // 11: the first offset that is not in the store yet (KIP-1023)
	noOffset       = -1
	tsMaxSince     = 7
	tsLocalSince   = 8
	tsTieredSince  = 9
	tsPendingSince = 11

	readCommitted = 1 // isolation level
)

func handleListOffsets(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.ListOffsetsRequest)
	resp := kmsg.NewPtrListOffsetsResponse()
	seen := map[coldKey]int{}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			seen[coldKey{t.Topic, p.Partition}]++
		}
	}
	for _, t := range req.Topics {
		topic := kmsg.NewListOffsetsResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			if seen[coldKey{t.Topic, p.Partition}] > 1 {
				out := emptyOffset(p.Partition)
				out.ErrorCode = codeInvalidRequest
				topic.Partitions = append(topic.Partitions, out)
				continue
			}
			topic.Partitions = append(topic.Partitions, b.listOffset(r.version, t.Topic, p, req.IsolationLevel == readCommitted))
		}
		resp.Topics = append(resp.Topics, topic)
	}
	reply(resp)
}

func emptyOffset(partition int32) kmsg.ListOffsetsResponseTopicPartition {
	out := kmsg.NewListOffsetsResponseTopicPartition()
	out.Partition, out.Offset, out.Timestamp, out.LeaderEpoch = partition, noOffset, -1, -1
	return out
}

func (b *Broker) listOffset(version int16, topic string, ask kmsg.ListOffsetsRequestTopicPartition, committed bool) kmsg.ListOffsetsResponseTopicPartition {
	out := emptyOffset(ask.Partition)
	part, err := b.engine.Partition(topic, ask.Partition)
	if err != nil {
		out.ErrorCode = codeOf(err)
		return out
	}
	epoch := ask.CurrentLeaderEpoch
	if version < 4 {
		epoch = -1
	}
	if out.ErrorCode = checkEpoch(part, epoch); out.ErrorCode != 0 {
		return out
	}
	offset, ts, leader, err := b.findOffset(version, part, ask.Timestamp, committed)
	if err != nil {
		out.ErrorCode = codeOf(err)
		return out
	}
	if version == 0 {
		out.OldStyleOffsets = oldOffsets(part, ask, offset)
		return out
	}
	out.Offset, out.Timestamp, out.LeaderEpoch = offset, ts, leader
	return out
}

// findOffset answers one timestamp; offset is -1 when no record has it. A reader of committed records is shown nothing
// from the last stable offset on.
func (b *Broker) findOffset(version int16, part *engine.Partition, at int64, committed bool) (offset, ts int64, epoch int32, err error) {
	if committed {
		stable := part.LastStable()
		if at == tsLatest {
			return stable, -1, part.LeaderEpoch(), nil
		}
		offset, ts, epoch, err = b.findOffset(version, part, at, false)
		if (at >= 0 || at == tsMax) && offset >= stable {
			return noOffset, -1, -1, err
		}
		return offset, ts, epoch, err
	}
	known := part.LeaderEpoch()
	switch {
	case at == tsLatest:
		return part.HighWatermark(), -1, known, nil
	case at == tsEarliest:
		return part.LogStart(), -1, known, nil
	case at == tsMax && version >= tsMaxSince:
		offset, ts, err = part.MaxTimestamp(b.ctx)
		if err != nil || offset < 0 {
			return noOffset, -1, -1, err
		}
		return offset, ts, known, nil
	case at == tsLocal && version >= tsLocalSince:
		return part.LocalStart(), -1, known, nil
	case at == tsTiered && version >= tsTieredSince:
		if end := part.TieredEnd(); end > part.LogStart() {
			return end - 1, -1, known, nil
		}
		return noOffset, -1, -1, nil
	case at == tsPending && version >= tsPendingSince:
		return max(part.TieredEnd(), part.LogStart()), -1, known, nil
	case at < 0:
		return noOffset, -1, -1, errVersion
	}
	return part.OffsetForTime(b.ctx, at)
}

// oldOffsets is version 0's answer: offsets in descending order.
func oldOffsets(part *engine.Partition, ask kmsg.ListOffsetsRequestTopicPartition, offset int64) []int64 {
	list := []int64{}
	if offset >= 0 {
		list = append(list, offset)
	}
	if start := part.LogStart(); ask.Timestamp == tsLatest && start != offset {
		list = append(list, start)
	}
	return list[:min(len(list), max(int(ask.MaxNumOffsets), 0))]
}
