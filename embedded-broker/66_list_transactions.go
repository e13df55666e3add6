package broker

// ListTransactions, key 66, versions 0–2. Deviations: the pattern of version 2 is Go's syntax, which is RE2's, as in Kafka.

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/txn"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func listTransactionsAPI() api { return api{key: 66, min: 0, max: 2, handle: handleListTransactions} }

func handleListTransactions(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.ListTransactionsRequest)
	resp := kmsg.NewPtrListTransactionsResponse()
	resp.TransactionStates = []kmsg.ListTransactionsResponseTransactionState{}
	pattern, err := transactionPattern(req)
	if err != nil {
		resp.ErrorCode = kerr.InvalidRegularExpression.Code
		reply(resp)
		return
	}
	var states []txn.State
	for _, name := range req.StateFilters {
		s, ok := txn.ParseState(name)
		if !ok {
			resp.UnknownStateFilters = append(resp.UnknownStateFilters, name)
			continue
		}
		states = append(states, s)
	}
	now, longer := b.now(), time.Duration(-1)
	if r.version >= 1 && req.DurationFilterMillis >= 0 {
		longer = time.Duration(req.DurationFilterMillis) * time.Millisecond
	}
	b.engine.Transactions(func(s txn.Snapshot) {
		switch {
		case len(req.StateFilters) > 0 && !slices.Contains(states, s.State):
		case len(req.ProducerIDFilters) > 0 && !slices.Contains(req.ProducerIDFilters, s.Producer.ID):
		case longer >= 0 && (s.Started.IsZero() || now.Sub(s.Started) <= longer):
		case pattern != nil && !pattern.MatchString(s.ID):
		default:
			out := kmsg.NewListTransactionsResponseTransactionState()
			out.TransactionalID, out.ProducerID, out.TransactionState = s.ID, s.Producer.ID, s.State.String()
			resp.TransactionStates = append(resp.TransactionStates, out)
		}
	})
	slices.SortFunc(resp.TransactionStates, func(a, b kmsg.ListTransactionsResponseTransactionState) int {
		return strings.Compare(a.TransactionalID, b.TransactionalID)
	})
	reply(resp)
}

// transactionPattern is the whole-name match that version 2 may ask for; nil for none.
func transactionPattern(req *kmsg.ListTransactionsRequest) (*regexp.Regexp, error) {
	if req.Version < 2 || text(req.TransactionalIDPattern) == "" {
		return nil, nil
	}
	return regexp.Compile("^(?:" + *req.TransactionalIDPattern + ")$")
}
