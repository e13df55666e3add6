package broker

// InitProducerID, key 22, versions 0–5. Deviations: a transaction that is open is aborted before the answer, where Kafka
// answers CONCURRENT_TRANSACTIONS until it is.

import (
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/txn"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func initProducerIDAPI() api { return api{key: 22, min: 0, max: 5, handle: handleInitProducerID} }

func handleInitProducerID(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.InitProducerIDRequest)
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if req.TransactionalID == nil {
		id, err := b.engine.AllocateProducerID(b.ctx)
		if resp.ErrorCode = codeOf(err); err == nil {
			resp.ProducerID, resp.ProducerEpoch = id, 0
		}
		reply(resp)
		return
	}
	expected := txn.NoProducer
	if r.version >= 3 {
		expected = txn.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch}
	}
	if (expected.ID < 0) != (expected.Epoch < 0) {
		resp.ErrorCode = codeInvalidRequest
		reply(resp)
		return
	}
	timeout := time.Duration(req.TransactionTimeoutMillis) * time.Millisecond
	b.engine.InitTransaction(*req.TransactionalID, timeout, expected, func(who txn.Producer, code txn.Code) {
		resp.ProducerID, resp.ProducerEpoch, resp.ErrorCode = who.ID, who.Epoch, fencedCode(code, r.version >= 4)
		reply(resp)
	})
}

// fencedCode is a coordinator's code on the wire. Clients of old versions know only one name for having been fenced.
func fencedCode(code txn.Code, known bool) int16 {
	if code == txn.ProducerFenced && !known {
		code = txn.InvalidProducerEpoch
	}
	return int16(code)
}
