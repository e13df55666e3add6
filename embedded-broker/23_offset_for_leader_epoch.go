package broker

// OffsetForLeaderEpoch, key 23, versions 0–4. Deviations: none.

import "github.com/twmb/franz-go/pkg/kmsg"

func offsetForLeaderEpochAPI() api {
	return api{key: 23, min: 0, max: 4, handle: handleOffsetForLeaderEpoch}
}

func handleOffsetForLeaderEpoch(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.OffsetForLeaderEpochRequest)
	resp := kmsg.NewPtrOffsetForLeaderEpochResponse()
	for _, t := range req.Topics {
		topic := kmsg.NewOffsetForLeaderEpochResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			topic.Partitions = append(topic.Partitions, b.epochEnd(r.version, t.Topic, p))
		}
		resp.Topics = append(resp.Topics, topic)
	}
	reply(resp)
}

func (b *Broker) epochEnd(version int16, topic string, ask kmsg.OffsetForLeaderEpochRequestTopicPartition) kmsg.OffsetForLeaderEpochResponseTopicPartition {
	out := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
	out.Partition, out.LeaderEpoch, out.EndOffset = ask.Partition, -1, -1
	part, err := b.engine.Partition(topic, ask.Partition)
	if err != nil {
		out.ErrorCode = codeOf(err)
		return out
	}
	current := ask.CurrentLeaderEpoch
	if version < 2 {
		current = -1
	}
	if out.ErrorCode = checkEpoch(part, current); out.ErrorCode == 0 {
		out.LeaderEpoch, out.EndOffset = part.EpochEnd(ask.LeaderEpoch)
	}
	return out
}
