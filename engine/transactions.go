package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/txn"
)

const (
	defaultMaxTxnTimeout = 15 * time.Minute   // Kafka's transaction.max.timeout.ms
	defaultTxnExpiry     = 7 * 24 * time.Hour // Kafka's transactional.id.expiration.ms
	txnTick              = time.Second        // timeouts are looked for this often
)

// The methods below do one step of a transactional id and call done once, when everything the step wrote is durable, or
// at once when it wrote nothing. Answers to one id come in the order of its steps. done must not call them back.

// InitTransaction gives a transactional id to a client and fences who had it before; expected is txn.NoProducer for a
// client that starts. A transaction that is open is aborted.
func (e *Engine) InitTransaction(id string, timeout time.Duration, expected txn.Producer, done func(txn.Producer, txn.Code)) {
	limit := e.brokerDuration("transaction.max.timeout.ms", defaultMaxTxnTimeout)
	switch {
	case id == "":
		done(txn.NoProducer, txn.InvalidRequest)
		return
	case timeout <= 0 || timeout > limit:
		done(txn.NoProducer, txn.InvalidTransactionTimeout)
		return
	}
	var who txn.Producer
	e.stepOn(id, true, func(t *txn.Transaction, now time.Time, fresh int64) (steps []txn.Step, code txn.Code) {
		before := t.Snapshot()
		steps, who, code = t.Init(now, timeout, expected, fresh)
		if code == txn.None && before.State == txn.Ongoing {
			e.counts.txnFenced.Add(1)
			e.txnEvent(EventTransactionFenced, before, now, fmt.Sprintf("another client took transactional id %s over; its open transaction is aborted", id))
		}
		return steps, code
	}, func(code txn.Code) {
		if code != txn.None {
			who = txn.NoProducer
		}
		done(who, code)
	})
}

// AddToTransaction registers partitions with the producer's transaction, beginning one when none is open.
func (e *Engine) AddToTransaction(id string, who txn.Producer, parts []txn.Partition, done func(txn.Code)) {
	e.stepOn(id, false, func(t *txn.Transaction, now time.Time, _ int64) ([]txn.Step, txn.Code) { return t.Add(now, who, parts) }, done)
}

// AddGroupToTransaction registers the partition that holds a group's offsets.
func (e *Engine) AddGroupToTransaction(id string, who txn.Producer, group string, done func(txn.Code)) {
	p, err := e.groupPartition(group)
	if err != nil {
		done(txn.CoordinatorNotAvailable)
		return
	}
	e.AddToTransaction(id, who, []txn.Partition{{Topic: OffsetsTopic, Index: p.index}}, done)
}

// JoinTransaction is AddToTransaction for a client that does not ask for it but writes at once: it does not wait for the
// disk, because what is written next lies behind in the log.
func (e *Engine) JoinTransaction(id string, who txn.Producer, at txn.Partition) txn.Code {
	if code := e.VerifyTransaction(id, who, at); code != txn.InvalidTxnState {
		return code
	}
	var refused atomic.Int32
	e.AddToTransaction(id, who, []txn.Partition{at}, func(code txn.Code) { refused.Store(int32(code)) })
	return txn.Code(refused.Load())
}

// JoinTransactionGroup is JoinTransaction for the partition that holds a group's offsets.
func (e *Engine) JoinTransactionGroup(id string, who txn.Producer, group string) txn.Code {
	p, err := e.groupPartition(group)
	if err != nil {
		return txn.CoordinatorNotAvailable
	}
	return e.JoinTransaction(id, who, txn.Partition{Topic: OffsetsTopic, Index: p.index})
}

// EndTransaction commits or aborts the producer's transaction; the producer to go on with is in the answer. bump is
// KIP-890's: see txn.Transaction.End.
func (e *Engine) EndTransaction(id string, who txn.Producer, commit, bump bool, done func(txn.Producer, txn.Code)) {
	var next txn.Producer
	e.stepOn(id, false, func(t *txn.Transaction, now time.Time, fresh int64) (steps []txn.Step, code txn.Code) {
		steps, next, code = t.End(now, who, commit, bump, fresh)
		if len(steps) > 1 { // not an abort of nothing
			e.counts.ended(commit)
		}
		return steps, code
	}, func(code txn.Code) {
		if code != txn.None {
			next = txn.NoProducer
		}
		done(next, code)
	})
}

// VerifyTransaction reports whether the producer registered the partition with its open transaction.
func (e *Engine) VerifyTransaction(id string, who txn.Producer, at txn.Partition) txn.Code {
	x := e.transactions.find(id)
	if x == nil {
		return txn.InvalidProducerIDMapping
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.gone {
		return txn.InvalidProducerIDMapping
	}
	return x.machine.Verify(who, at)
}

// Transaction is a copy of one transactional id's state.
func (e *Engine) Transaction(id string) (txn.Snapshot, bool) {
	x := e.transactions.find(id)
	if x == nil {
		return txn.Snapshot{}, false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.machine.Snapshot(), !x.gone && x.machine.Snapshot().Producer.Epoch >= 0
}

// Transactions calls fn with a copy of each transactional id's state, in no order.
func (e *Engine) Transactions(fn func(txn.Snapshot)) {
	for _, x := range e.transactions.list() {
		x.mu.Lock()
		s, gone := x.machine.Snapshot(), x.gone
		x.mu.Unlock()
		if !gone && s.Producer.Epoch >= 0 {
			fn(s)
		}
	}
}

func (t *transactionTable) find(id string) *transaction {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byID[id]
}

func (t *transactionTable) list() []*transaction {
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make([]*transaction, 0, len(t.byID))
	for _, x := range t.byID {
		out = append(out, x)
	}
	return out
}

// obtain returns the transactional id, made with a fresh producer id when there is none.
func (e *Engine) obtain(id string) (*transaction, error) {
	t := &e.transactions
	if x := t.find(id); x != nil {
		return x, nil
	}
	pid, err := e.AllocateProducerID(context.Background())
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if x := t.byID[id]; x != nil {
		return x, nil
	}
	x := &transaction{machine: txn.New(id, pid, e.o.Clock.Now())}
	t.byID[id] = x
	return x, nil
}

// stepOn runs one step of a transactional id and writes what it asks for.
func (e *Engine) stepOn(id string, create bool, step func(t *txn.Transaction, now time.Time, fresh int64) ([]txn.Step, txn.Code), done func(txn.Code)) {
	if err := e.enter(); err != nil {
		done(txn.CoordinatorNotAvailable)
		return
	}
	defer e.leave()
	for {
		x := e.transactions.find(id)
		if x == nil && !create {
			done(txn.InvalidProducerIDMapping)
			return
		}
		if x == nil {
			var err error
			if x, err = e.obtain(id); err != nil {
				done(txn.CoordinatorNotAvailable)
				return
			}
		}
		if e.stepOf(x, step, done) {
			return
		}
	}
}

// stepOf is stepOn for a found id; false when it was forgotten meanwhile.
func (e *Engine) stepOf(x *transaction, step func(t *txn.Transaction, now time.Time, fresh int64) ([]txn.Step, txn.Code), done func(txn.Code)) bool {
	x.order.Lock()
	defer x.order.Unlock()
	fresh := int64(-1)
	x.mu.Lock()
	gone, exhausted := x.gone, x.machine.Exhausted()
	x.mu.Unlock()
	if gone {
		return false
	}
	if exhausted {
		var err error
		if fresh, err = e.AllocateProducerID(context.Background()); err != nil {
			done(txn.CoordinatorNotAvailable)
			return true
		}
	}
	x.mu.Lock()
	steps, code := step(x.machine, e.o.Clock.Now(), fresh)
	x.mu.Unlock()
	if code != txn.None {
		done(code)
		return true
	}
	e.write(steps, func(err error) {
		if err != nil {
			done(txn.CoordinatorNotAvailable)
			return
		}
		done(txn.None)
	})
	return true
}

// tendTransactions aborts what has been open for longer than its client asked for, and forgets ids nobody uses.
func (e *Engine) tendTransactions(ctx context.Context) {
	for e.wait(ctx, txnTick, nil) {
		expiry := e.brokerDuration("transactional.id.expiration.ms", defaultTxnExpiry)
		for _, x := range e.transactions.list() {
			e.tend(x, expiry)
		}
	}
}

func (e *Engine) tend(x *transaction, expiry time.Duration) {
	now := e.o.Clock.Now()
	x.mu.Lock()
	due := x.machine.Expired(now) || x.machine.Idle(now, expiry)
	x.mu.Unlock()
	if !due || e.enter() != nil {
		return
	}
	defer e.leave()
	x.order.Lock()
	defer x.order.Unlock()
	x.mu.Lock()
	s := x.machine.Snapshot()
	var steps []txn.Step
	switch {
	case x.gone:
	case x.machine.Expired(now):
		steps = x.machine.Fence(now)
	case x.machine.Idle(now, expiry):
		x.gone = true
	}
	gone := x.gone
	x.mu.Unlock()
	switch {
	case len(steps) > 0:
		e.write(steps, nil)
		e.counts.txnTimedOut.Add(1)
		e.txnEvent(EventTransactionTimedOut, s, now, fmt.Sprintf("the transaction of %s was open for longer than its %v and is aborted", s.ID, s.Timeout))
	case gone:
		e.saveTransaction(s.ID, nil, func(error) {}) // a failure brings it back at the restart, to be forgotten again
		e.transactions.mu.Lock()
		if e.transactions.byID[s.ID] == x {
			delete(e.transactions.byID, s.ID)
		}
		e.transactions.mu.Unlock()
	}
}

func (e *Engine) txnEvent(kind string, s txn.Snapshot, now time.Time, text string) {
	attrs := map[string]any{
		"transactional_id": s.ID, "producer_id": s.Producer.ID, "epoch": int(s.Producer.Epoch), "partitions": len(s.Partitions),
		"open_seconds": now.Sub(s.Started).Seconds(), "timeout_seconds": s.Timeout.Seconds(),
	}
	if len(s.Partitions) > 0 {
		attrs["first_topic"] = s.Partitions[0].Topic
	}
	e.event(kind, text, attrs)
}

// brokerDuration reads a cluster-level config in milliseconds.
func (e *Engine) brokerDuration(name string, def time.Duration) time.Duration {
	if v, ok := e.meta.Snapshot().Broker[name]; ok {
		if d, err := time.ParseDuration(v + "ms"); err == nil {
			return d
		}
	}
	return def
}

// ignoreGone drops the error of a partition that was deleted.
func ignoreGone(err error) error {
	if errors.Is(err, ErrUnknownPartition) || errors.Is(err, ErrUnknownTopic) {
		return nil
	}
	return err
}
