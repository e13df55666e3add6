package broker

// AddOffsetsToTxn, key 25, versions 0–4. Deviations: none.

import (
	"github.com/streamkeeper-io/streamkeeper/engine/txn"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func addOffsetsToTxnAPI() api { return api{key: 25, min: 0, max: 4, handle: handleAddOffsetsToTxn} }

func handleAddOffsetsToTxn(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.AddOffsetsToTxnRequest)
	resp := kmsg.NewPtrAddOffsetsToTxnResponse()
	if req.Group == "" {
		resp.ErrorCode = kerr.InvalidGroupID.Code
		reply(resp)
		return
	}
	who := txn.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch}
	b.engine.AddGroupToTransaction(req.TransactionalID, who, req.Group, func(code txn.Code) {
		resp.ErrorCode = fencedCode(code, r.version >= 2)
		reply(resp)
	})
}
