package broker

// InitProducerID, key 22, versions 0–5. Deviations: a transactional id is refused with
// TRANSACTIONAL_ID_AUTHORIZATION_FAILED, which clients do not retry: there are no transactions.

import "github.com/twmb/franz-go/pkg/kmsg"

func initProducerIDAPI() api { return api{key: 22, min: 0, max: 5, handle: handleInitProducerID} }

func handleInitProducerID(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.InitProducerIDRequest)
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if req.TransactionalID != nil {
		resp.ErrorCode = codeTxnIDUnsupported
		reply(resp)
		return
	}
	id, err := b.engine.AllocateProducerID(b.ctx)
	if err != nil {
		resp.ErrorCode = codeOf(err)
		reply(resp)
		return
	}
	resp.ProducerID, resp.ProducerEpoch = id, 0
	reply(resp)
}
