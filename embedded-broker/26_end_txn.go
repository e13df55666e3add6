package broker

// EndTxn, key 26, versions 0–5. Deviations: the answer comes when the markers are durable, so that a client's next
// transaction need not wait for them.

import (
	"github.com/streamkeeper-io/streamkeeper/engine/txn"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// bumpsSince is the EndTxn version from which clients go on with a new epoch (transaction.version 2, KIP-890).
const bumpsSince = 5

func endTxnAPI() api { return api{key: 26, min: 0, max: bumpsSince, handle: handleEndTxn} }

func handleEndTxn(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.EndTxnRequest)
	who := txn.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch}
	b.engine.EndTransaction(req.TransactionalID, who, req.Commit, r.version >= bumpsSince, func(next txn.Producer, code txn.Code) {
		resp := kmsg.NewPtrEndTxnResponse()
		resp.ProducerID, resp.ProducerEpoch, resp.ErrorCode = next.ID, next.Epoch, fencedCode(code, r.version >= 2)
		reply(resp)
	})
}
