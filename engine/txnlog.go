package engine

import (
	"fmt"
	"slices"
	"sync"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/index"
	"github.com/streamkeeper-io/streamkeeper/engine/txn"
)

// TransactionsTopic is Kafka's internal topic of the transaction coordinator's state.
const (
	TransactionsTopic      = "__transaction_state"
	transactionsPartitions = 50
)

// transactionTable is the coordinator: the machines of all transactional ids, and what __transaction_state says as of
// the last durable record, for the checkpoint.
type transactionTable struct {
	mu   sync.RWMutex
	byID map[string]*transaction

	savedMu sync.Mutex
	saved   map[string][]byte // durable values
	dirty   map[string]struct{}
}

// transaction is one transactional id. order is held over a step and the appends it asks for, so that the log has the
// steps in their order; mu guards the machine and is never held over an append. Lock order: order, Partition.mu, mu.
type transaction struct {
	order   sync.Mutex
	mu      sync.Mutex
	machine *txn.Transaction
	gone    bool // forgotten: look the id up again
}

func (t *transactionTable) load(d *index.DB) error {
	t.byID, t.saved, t.dirty = map[string]*transaction{}, map[string][]byte{}, map[string]struct{}{}
	return d.Transactions(func(id string, v []byte) { t.saved[id] = v })
}

// replay applies a batch of __transaction_state.
func (t *transactionTable) replay(p *Partition, h batch.Header) error {
	if h.IsControl() {
		return nil
	}
	err := batch.Records(h, 0, func(r batch.Record) bool {
		if id, ok := decodeTransactionKey(r.Key); ok {
			t.note(id, slices.Clone(r.Value))
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("replaying %s: %w", p.name(), err)
	}
	return nil
}

// note keeps a durable value; nil forgets the id.
func (t *transactionTable) note(id string, v []byte) {
	t.savedMu.Lock()
	defer t.savedMu.Unlock()
	t.dirty[id] = struct{}{}
	if v == nil {
		delete(t.saved, id)
		return
	}
	t.saved[id] = v
}

// save writes what changed to the index.
func (t *transactionTable) save(c *index.Change) {
	t.savedMu.Lock()
	defer t.savedMu.Unlock()
	for id := range t.dirty {
		c.SetTransaction(id, t.saved[id])
	}
	clear(t.dirty)
}

// restoreTransactions makes the machines from what is durable, and finishes what was decided before the crash.
func (e *Engine) restoreTransactions() error {
	t := &e.transactions
	for id, v := range t.saved {
		s, err := decodeTransactionValue(id, v)
		if err != nil {
			return err
		}
		t.byID[id] = &transaction{machine: txn.Restore(s)}
	}
	for _, x := range t.byID {
		if x.machine.Prepared() {
			e.write(x.machine.Finish(e.o.Clock.Now()), nil)
		}
	}
	return nil
}

// write appends a machine's steps in their order and calls done when the last is durable, or with the first error: then
// the log has failed, and the restart goes on from what it holds. transaction.order is held, or nobody else is there.
func (e *Engine) write(steps []txn.Step, done func(error)) {
	if done == nil {
		done = func(error) {}
	}
	if len(steps) == 0 {
		e.barrier(done) // what was decided before may not be durable yet
		return
	}
	w := &stepWaiter{done: done, left: 1}
	for _, s := range steps {
		if s.Save != nil {
			w.add(1)
			e.saveTransaction(s.Save.ID, transactionValueBytes(*s.Save), w.settle)
		} else {
			e.writeMarkers(s.Markers, w)
		}
	}
	w.settle(nil)
}

func (e *Engine) writeMarkers(m *txn.Markers, w *stepWaiter) {
	for _, at := range m.Partitions {
		p, err := e.Partition(at.Topic, at.Index)
		if err != nil {
			continue // the topic was deleted: nobody reads it
		}
		w.add(1)
		p.AppendMarker(TransactionMarker{
			ProducerID: m.Producer.ID, Epoch: m.Producer.Epoch, Coordinator: e.epoch, Commit: m.Commit, OnlyOpen: true,
		}, func(a Appended) { w.settle(ignoreGone(a.Err)) })
	}
}

// barrier calls done when everything that was appended before is durable.
func (e *Engine) barrier(done func(error)) {
	r, err := e.reserve(0, item{done: func(a Appended) { done(a.Err) }})
	if err != nil {
		done(err)
		return
	}
	r.Done()
	e.log.Commit(false)
}

// stepWaiter counts the appends of some steps.
type stepWaiter struct {
	mu   sync.Mutex
	left int
	err  error
	done func(error)
}

func (w *stepWaiter) add(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left += n
}

func (w *stepWaiter) settle(err error) {
	w.mu.Lock()
	w.left--
	if w.err == nil {
		w.err = err
	}
	last := w.left == 0
	err = w.err
	w.mu.Unlock()
	if last {
		w.done(err)
	}
}

// saveTransaction appends a transactional id's value to __transaction_state; nil forgets the id.
func (e *Engine) saveTransaction(id string, value []byte, done func(error)) {
	p, err := e.internalPartition(TransactionsTopic, transactionsPartitions, id)
	if err != nil {
		done(err)
		return
	}
	b := batch.Append(nil, batch.NoProducer, []batch.Record{{Timestamp: e.now(), Key: transactionKeyBytes(id), Value: value}})
	p.append(b, appending{acks: -1, internal: true}, func(a Appended) {
		if a.Err == nil {
			e.transactions.note(id, value)
		}
		done(a.Err)
	})
}
