package broker

import (
	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/txn"
)

const (
	produceAbortableSince = 11 // the client knows TRANSACTION_ABORTABLE
	produceJoinsSince     = 12 // writing adds the partition to the transaction (transaction.version 2, KIP-890)
)

// appendTransactional enqueues a batch of a transaction. Its first one in a partition needs an open transaction that
// knows the partition: a late one would open a transaction that nobody ends.
func (p *producePart) appendTransactional(part *engine.Partition, topic engine.Topic, h batch.Header) {
	c := p.call
	id, who := c.transactionalID, txn.Producer{ID: h.ProducerID(), Epoch: h.ProducerEpoch()}
	if id == "" || who.ID < 0 {
		p.fail(codeTxnIDMissing, "a transactional batch without a transactional id or a producer id")
		return
	}
	at := txn.Partition{Topic: topic.Name, Index: p.index}
	e, known := c.b.engine, c.version >= produceAbortableSince
	if c.version >= produceJoinsSince {
		if code := e.JoinTransaction(id, who, at); code != txn.None {
			p.fail(txnWriteCode(code, known), code.String())
			return
		}
	}
	p.count = h.RecordCount()
	c.waiting.Add(1)
	part.AppendTransactional(p.records, c.acks, func() error {
		if code := e.VerifyTransaction(id, who, at); code != txn.None {
			return fail(txnWriteCode(code, known), "%v: partition %d of %s is in no open transaction of %s", code, p.index, topic.Name, id)
		}
		return nil
	}, p.done)
}

// txnWriteCode is what a producer is told when the coordinator does not let it write; abortable says that it knows
// TRANSACTION_ABORTABLE.
func txnWriteCode(code txn.Code, abortable bool) int16 {
	switch code {
	case txn.ProducerFenced:
		return codeInvalidProducerEpoch
	case txn.ConcurrentTransactions, txn.CoordinatorNotAvailable:
		return codeNotEnoughReplicas // every client tries that again
	case txn.InvalidTxnState:
		if abortable {
			return codeTxnAbortable
		}
	}
	return int16(code)
}
