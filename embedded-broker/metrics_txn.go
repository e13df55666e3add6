package broker

import (
	"cmp"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/txn"
)

const (
	maxTxnSeries = 20               // transactional ids with a series of their own, the longest open ones
	txnNotable   = 10 * time.Second // a transaction that is open for less gets none: most are over in milliseconds
)

// topicTxns are the undecided transactions of one topic.
type topicTxns struct {
	open   int
	oldest time.Duration
	held   int64
	parts  map[int32]struct{} // counted in held
}

// undecided sums up open transactions by topic.
func undecided(open []engine.OpenTransaction, now time.Time) map[string]*topicTxns {
	out := map[string]*topicTxns{}
	for _, o := range open {
		t := out[o.Topic]
		if t == nil {
			t = &topicTxns{parts: map[int32]struct{}{}}
			out[o.Topic] = t
		}
		t.open++
		t.oldest = max(t.oldest, now.Sub(o.Since))
		if _, counted := t.parts[o.Partition]; !counted {
			t.parts[o.Partition] = struct{}{}
			t.held += o.Held
		}
	}
	return out
}

// add sums up topics that share a series.
func (x *topicTxns) add(o *topicTxns) {
	x.open += o.open
	x.oldest = max(x.oldest, o.oldest)
	x.held += o.held
}

// collect tells of one topic; nil stands for one without open transactions.
func (x *topicTxns) collect(s sink, d *descs, topic string) {
	if x == nil {
		x = &topicTxns{}
	}
	s.gauge(d.topicTxnsOpen, float64(x.open), topic)
	s.gauge(d.topicTxnOldest, x.oldest.Seconds(), topic)
	s.gauge(d.topicTxnHeld, float64(x.held), topic)
}

// labelOf makes a label's value of a name that may hold any byte.
func labelOf(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	return strconv.Quote(name)
}

// collectTransactions tells of the coordinator.
func (t *Telemetry) collectTransactions(s sink, b *Broker, now time.Time) {
	open, long := 0, []txn.Snapshot(nil)
	b.engine.Transactions(func(x txn.Snapshot) {
		if x.State != txn.Ongoing {
			return
		}
		open++
		if now.Sub(x.Started) >= txnNotable {
			long = append(long, x)
		}
	})
	s.gauge(t.descs.txnsOpen, float64(open))
	slices.SortFunc(long, func(a, b txn.Snapshot) int { return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID)) })
	for _, x := range long[:min(len(long), maxTxnSeries)] {
		s.gauge(t.descs.txnOldest, now.Sub(x.Started).Seconds(), labelOf(x.ID))
	}
	st := b.engine.Stats()
	for _, o := range []struct {
		outcome string
		n       int64
	}{{"committed", st.TxnCommitted}, {"aborted", st.TxnAborted}, {"timed_out", st.TxnTimedOut}, {"fenced", st.TxnFenced}} {
		s.counter(t.descs.txnsEnded, float64(o.n), o.outcome)
	}
}
