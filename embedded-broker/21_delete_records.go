package broker

// DeleteRecords, key 21, versions 0–2. Deviations: none.

import "github.com/twmb/franz-go/pkg/kmsg"

func deleteRecordsAPI() api { return api{key: 21, min: 0, max: 2, handle: handleDeleteRecords} }

func handleDeleteRecords(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.DeleteRecordsRequest)
	resp := kmsg.NewPtrDeleteRecordsResponse()
	for _, t := range req.Topics {
		topic := kmsg.NewDeleteRecordsResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			out := kmsg.NewDeleteRecordsResponseTopicPartition()
			out.Partition = p.Partition
			low, err := b.deleteRecords(t.Topic, p.Partition, p.Offset)
			out.LowWatermark, out.ErrorCode = low, codeOf(err)
			topic.Partitions = append(topic.Partitions, out)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	reply(resp)
}

// deleteRecords deletes what lies before an offset; -1 stands for the high watermark.
func (b *Broker) deleteRecords(topic string, partition int32, before int64) (low int64, err error) {
	if t, ok := b.engine.Topic(topic); ok && t.Internal {
		return -1, fail(codePolicyViolation, "records of %s are not deleted", topic)
	}
	p, err := b.engine.Partition(topic, partition)
	if err != nil {
		return -1, err
	}
	if before == -1 {
		before = p.HighWatermark()
	}
	if before < 0 || before > p.HighWatermark() {
		return -1, fail(codeOffsetOutOfRange, "offset %d is past the high watermark", before)
	}
	if low, err = p.DeleteRecords(b.ctx, before); err != nil {
		return -1, err
	}
	return low, nil
}
