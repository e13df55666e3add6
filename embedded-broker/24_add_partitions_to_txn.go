package broker

// AddPartitionsToTxn, key 24, versions 0–3. Deviations: versions from 4 on are for brokers among themselves; a client that
// is offered them breaks (KAFKA-15757).

import (
	"github.com/streamkeeper-io/streamkeeper/engine/txn"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func addPartitionsToTxnAPI() api {
	return api{key: 24, min: 0, max: 3, handle: handleAddPartitionsToTxn}
}

func handleAddPartitionsToTxn(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.AddPartitionsToTxnRequest)
	var parts []txn.Partition
	missing := map[txn.Partition]bool{}
	for _, t := range req.Topics {
		topic, ok := b.engine.Topic(t.Topic)
		for _, i := range t.Partitions {
			at := txn.Partition{Topic: t.Topic, Index: i}
			parts = append(parts, at)
			if !ok || i < 0 || i >= topic.Partitions {
				missing[at] = true
			}
		}
	}
	answer := func(code int16) {
		resp := kmsg.NewPtrAddPartitionsToTxnResponse()
		for _, t := range req.Topics {
			out := kmsg.NewAddPartitionsToTxnResponseTopic()
			out.Topic = t.Topic
			for _, i := range t.Partitions {
				p := kmsg.NewAddPartitionsToTxnResponseTopicPartition()
				p.Partition, p.ErrorCode = i, code
				if missing[txn.Partition{Topic: t.Topic, Index: i}] {
					p.ErrorCode = codeUnknownTopic
				}
				out.Partitions = append(out.Partitions, p)
			}
			resp.Topics = append(resp.Topics, out)
		}
		reply(resp)
	}
	if len(missing) > 0 { // all or nothing
		answer(codeNotAttempted)
		return
	}
	who := txn.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch}
	b.engine.AddToTransaction(req.TransactionalID, who, parts, func(code txn.Code) { answer(fencedCode(code, r.version >= 2)) })
}
