package broker

// DescribeTransactions, key 65, version 0. Deviations: none.

import (
	"github.com/streamkeeper-io/streamkeeper/engine/txn"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func describeTransactionsAPI() api {
	return api{key: 65, min: 0, max: 0, handle: handleDescribeTransactions}
}

func handleDescribeTransactions(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.DescribeTransactionsRequest)
	resp := kmsg.NewPtrDescribeTransactionsResponse()
	for _, id := range req.TransactionalIDs {
		resp.TransactionStates = append(resp.TransactionStates, b.describeTransaction(id))
	}
	reply(resp)
}

func (b *Broker) describeTransaction(id string) kmsg.DescribeTransactionsResponseTransactionState {
	out := kmsg.NewDescribeTransactionsResponseTransactionState()
	out.TransactionalID, out.ProducerID, out.ProducerEpoch, out.StartTimestamp = id, -1, -1, -1
	s, ok := b.engine.Transaction(id)
	switch {
	case id == "":
		out.ErrorCode = codeInvalidRequest
		return out
	case !ok:
		out.ErrorCode = int16(txn.TransactionalIDNotFound)
		return out
	}
	out.State, out.TimeoutMillis = s.State.String(), int32(s.Timeout.Milliseconds())
	out.ProducerID, out.ProducerEpoch = s.Producer.ID, s.Producer.Epoch
	if !s.Started.IsZero() {
		out.StartTimestamp = s.Started.UnixMilli()
	}
	for _, p := range s.Partitions { // sorted
		if n := len(out.Topics); n == 0 || out.Topics[n-1].Topic != p.Topic {
			t := kmsg.NewDescribeTransactionsResponseTransactionStateTopic()
			t.Topic = p.Topic
			out.Topics = append(out.Topics, t)
		}
		t := &out.Topics[len(out.Topics)-1]
		t.Partitions = append(t.Partitions, p.Index)
	}
	return out
}
