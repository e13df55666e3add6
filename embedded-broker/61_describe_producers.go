package broker

// DescribeProducers, key 61, version 0. Deviations: none.

import "github.com/twmb/franz-go/pkg/kmsg"

func describeProducersAPI() api { return api{key: 61, min: 0, max: 0, handle: handleDescribeProducers} }

func handleDescribeProducers(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.DescribeProducersRequest)
	resp := kmsg.NewPtrDescribeProducersResponse()
	for _, t := range req.Topics {
		topic := kmsg.NewDescribeProducersResponseTopic()
		topic.Topic = t.Topic
		for _, i := range t.Partitions {
			topic.Partitions = append(topic.Partitions, b.describeProducers(t.Topic, i))
		}
		resp.Topics = append(resp.Topics, topic)
	}
	reply(resp)
}

func (b *Broker) describeProducers(topic string, index int32) kmsg.DescribeProducersResponseTopicPartition {
	out := kmsg.NewDescribeProducersResponseTopicPartition()
	out.Partition = index
	p, err := b.engine.Partition(topic, index)
	if err != nil {
		out.ErrorCode = codeOf(err)
		return out
	}
	producers, err := p.Producers()
	if err != nil {
		out.ErrorCode = codeOf(err)
		return out
	}
	for _, s := range producers {
		a := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		a.ProducerID, a.ProducerEpoch, a.LastSequence, a.LastTimestamp = s.ID, int32(s.Epoch), s.LastSequence, s.LastTimestamp
		a.CoordinatorEpoch, a.CurrentTxnStartOffset = s.CoordinatorEpoch, s.TxnStart
		out.ActiveProducers = append(out.ActiveProducers, a)
	}
	return out
}
