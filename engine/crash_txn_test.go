package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/enginetest"
	"github.com/streamkeeper-io/streamkeeper/engine/txn"
)

// transactor is a transactional client of the crash test. It outlives the engines, as a client outlives a broker's crash:
// it repeats what it got no answer to, or starts anew and thereby aborts.
type transactor struct {
	id     string
	bump   bool // speaks transaction.version 2
	who    txn.Producer
	n      int // its open transaction, 0 = none
	parts  []txn.Partition
	keys   []string // of parts, for the checker
	joined bool     // the transaction commits an offset
	ending int      // 1 = the commit, 2 = the abort of n was asked for, outcome unknown

	mu  sync.Mutex
	seq map[string]int32
	bad bool // something failed: start anew
}

func (x *transactor) group() string { return "group-" + x.id }

func (x *transactor) spoil() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.bad = true
}

func (x *transactor) spoiled() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.bad
}

const txnKey = "txn/"

// txnBatch makes a batch whose records name their transaction.
func (c *crash) txnBatch(n int, p batch.Producer) []byte {
	b := c.batch(p, fmt.Sprintf("%s%d/", txnKey, n))
	batch.Header(b).Mark(batch.Transactional)
	return b
}

// transact does one thing in one transactional client's name.
func (c *crash) transact() {
	if len(c.transactors) < 3 {
		id := fmt.Sprintf("x%d", len(c.transactors))
		c.transactors = append(c.transactors, &transactor{id: id, bump: len(c.transactors)%2 == 1, bad: true})
	}
	x := c.transactors[c.rng.IntN(len(c.transactors))]
	switch n := c.rng.IntN(20); {
	case x.spoiled():
		c.txnStart(x)
	case x.ending > 0:
		c.txnEnd(x, x.ending == 1)
	case x.n == 0:
		c.txnBegin(x)
	case n < 12:
		c.txnSend(x)
	case n < 15:
		c.txnCommitOffset(x)
	case n == 15:
		c.txnStart(x)
	default:
		c.pending.Wait() // a client ends a transaction when its records are acknowledged
		if !x.spoiled() {
			c.txnEnd(x, c.rng.IntN(3) > 0)
		}
	}
}

// txnCode waits for a coordinator's answer. After the crash it means nothing.
func (c *crash) txnCode(x *transactor, doing string, step func(done func(txn.Code))) bool {
	done := make(chan txn.Code, 1)
	step(func(code txn.Code) { done <- code })
	code := <-done
	if c.fs.Dead() {
		x.spoil()
		return false
	}
	if code != txn.None {
		c.fail(fmt.Sprintf("%s of %s", doing, x.id), code)
		x.spoil()
		return false
	}
	return true
}

func (c *crash) txnStart(x *transactor) {
	c.pending.Wait()
	ok := c.txnCode(x, "init", func(done func(txn.Code)) {
		c.e.InitTransaction(x.id, 15*time.Minute, txn.NoProducer, func(who txn.Producer, code txn.Code) {
			x.who = who
			done(code)
		})
	})
	if ok {
		x.n, x.ending, x.joined, x.seq, x.bad = 0, 0, false, map[string]int32{}, false
	}
}

func (c *crash) txnBegin(x *transactor) {
	x.parts, x.keys, x.joined = nil, nil, false
	for range 1 + c.rng.IntN(3) {
		if t, ok := c.pick(); ok {
			at := txn.Partition{Topic: t.Name, Index: c.rng.Int32N(t.Partitions)}
			x.parts, x.keys = append(x.parts, at), append(x.keys, partKey(t, at.Index))
		}
	}
	if len(x.parts) == 0 {
		return
	}
	c.serial++
	n := c.serial
	if c.txnCode(x, "add", func(done func(txn.Code)) { c.e.AddToTransaction(x.id, x.who, x.parts, done) }) {
		x.n = n
	}
}

func (c *crash) txnSend(x *transactor) {
	i := c.rng.IntN(len(x.parts))
	at, key, n, fs := x.parts[i], x.keys[i], x.n, c.fs
	p, err := c.e.Partition(at.Topic, at.Index)
	if t, ok := c.e.Topic(at.Topic); err != nil || !ok || partKey(t, at.Index) != key {
		return // deleted
	}
	x.mu.Lock()
	b := c.txnBatch(n, batch.Producer{ID: x.who.ID, Epoch: x.who.Epoch, Sequence: x.seq[key]})
	x.seq[key] += batch.Header(b).RecordCount()
	x.mu.Unlock()
	id, who, e := x.id, x.who, c.e
	admit := func() error {
		if code := e.VerifyTransaction(id, who, at); code != txn.None {
			return code
		}
		return nil
	}
	c.pending.Add(1)
	p.AppendTransactional(b, -1, admit, func(a engine.Appended) {
		defer c.pending.Done()
		if fs.Dead() {
			x.spoil()
			return
		}
		if a.Err != nil {
			x.spoil()
			c.fail("transactional append of "+id, a.Err)
			return
		}
		c.check.Acked(key, a.BaseOffset, batch.Header(b))
		c.txns.Wrote(n, key, a.BaseOffset)
	})
}

func (c *crash) txnCommitOffset(x *transactor) {
	if x.joined {
		return
	}
	if !c.txnCode(x, "add group", func(done func(txn.Code)) { c.e.AddGroupToTransaction(x.id, x.who, x.group(), done) }) {
		return
	}
	x.joined = true
	c.serial++
	n, offset, fs := x.n, int64(c.serial), c.fs
	k := engine.OffsetKey{Topic: "t1"}
	c.pending.Add(1)
	c.e.CommitTransactionOffsets(x.id, x.who, x.group(), map[engine.OffsetKey]engine.CommittedOffset{
		k: {Offset: offset, LeaderEpoch: -1, CommittedAt: time.UnixMilli(offset)},
	}, func(err error) {
		defer c.pending.Done()
		if fs.Dead() || err != nil {
			x.spoil()
			if !fs.Dead() {
				c.fail("offset of "+x.id, err)
			}
			return
		}
		c.txns.Offset(n, x.group(), offset)
	})
}

// txnEnd ends the transaction, or asks again after a crash left the outcome open.
func (c *crash) txnEnd(x *transactor, commit bool) {
	x.ending = 2
	if commit {
		x.ending = 1
		c.txns.Committing(x.n)
	}
	var next txn.Producer
	done := make(chan txn.Code, 1)
	c.e.EndTransaction(x.id, x.who, commit, x.bump, func(who txn.Producer, code txn.Code) {
		next = who
		done <- code
	})
	code := <-done
	if c.fs.Dead() || code != txn.None && c.fs.Sick() {
		return // ask again
	}
	if code != txn.None {
		c.check.Failf("end of transaction %d of %s: %v", x.n, x.id, code)
		x.spoil()
		return
	}
	if commit {
		c.txns.Committed(x.n)
		c.tally.count("work", "transactions committed", 1)
	}
	if next != x.who {
		x.seq = map[string]int32{}
	}
	x.who, x.n, x.ending = next, 0, 0
}

// verifyTransactions reads everything as a reader of committed records does and compares it with the promises. Then some
// clients start anew, and what they leave open must not hold anybody back.
func (c *crash) verifyTransactions() {
	c.settleTransactions()
	c.verifyView()
	if c.rng.IntN(2) == 0 {
		return
	}
	for _, x := range c.transactors {
		if x.ending == 0 {
			c.txnStart(x)
		}
	}
	c.verifyNothingHangs()
	c.verifyView()
}

func (c *crash) verifyView() {
	view := enginetest.View{
		Shown: map[string]map[int64]int{}, Starts: map[string]int64{}, Stable: map[string]int64{}, Groups: map[string]int64{},
	}
	for _, t := range c.e.Topics() {
		for i := range t.Partitions {
			if p, err := c.e.Partition(t.Name, i); err == nil && !t.Internal {
				key := partKey(t, i)
				view.Starts[key], view.Stable[key] = p.LogStart(), p.LastStable()
				view.Shown[key] = c.readCommitted(p, key)
			}
		}
	}
	if c.over() {
		return // the fuse burnt down meanwhile
	}
	for _, x := range c.transactors {
		view.Groups[x.group()] = -1
		if o, ok := c.e.CommittedOffsets(x.group())[engine.OffsetKey{Topic: "t1"}]; ok {
			view.Groups[x.group()] = o.Offset
		}
	}
	c.txns.Verify(view)
}

// settleTransactions waits until what recovery finished is durable: everything else is behind it in the log.
func (c *crash) settleTransactions() {
	done := make(chan error, 1)
	c.serial++
	c.e.SaveGroup("settle", strconv.AppendInt(nil, int64(c.serial), 10), func(err error) { done <- err })
	if err := <-done; err != nil {
		c.fail("settling", err)
	}
}

func (c *crash) verifyNothingHangs() {
	open := map[int64]bool{}
	for _, x := range c.transactors {
		open[x.who.ID] = x.ending > 0
	}
	for _, o := range c.e.OpenTransactions() {
		if !open[o.ProducerID] && !c.over() {
			c.check.Failf("%s/%d: the transaction of producer %d at %d hangs", o.Topic, o.Partition, o.ProducerID, o.First)
		}
	}
}

// readCommitted reads a partition as Kafka's clients do, and returns the transactions shown by base offset.
func (c *crash) readCommitted(p *engine.Partition, key string) map[int64]int {
	shown := map[int64]int{}
	offset, stable := p.LogStart(), p.LastStable()
	for offset < stable {
		ready := make(chan struct{})
		r, err := p.ReadCommitted(context.Background(), offset, 16<<10)
		if err != nil {
			c.fail("reading committed "+key, err)
			return shown
		}
		if r.Pending {
			p.WatchStable(offset, func() { close(ready) })
			<-ready
			continue
		}
		c.showCommitted(key, &r, shown)
		next := r.NextOffset
		r.Release()
		if next <= offset {
			c.check.Failf("reading committed %s at %d got nowhere (stable below %d)", key, offset, stable)
			return shown
		}
		offset = next
	}
	return shown
}

func (c *crash) showCommitted(key string, r *engine.Read, shown map[int64]int) {
	for raw := join(r.Bytes); len(raw) > 0; {
		h, rest, ok := batch.Next(raw)
		if !ok {
			c.check.Failf("%s: a read of committed records ends inside a batch", key)
			return
		}
		raw = rest
		if h.IsControl() || !h.IsTransactional() || aborted(r.Aborted, h) {
			continue
		}
		n := 0
		_ = batch.Records(h, 0, func(r batch.Record) bool {
			word, _, _ := bytes.Cut(bytes.TrimPrefix(r.Key, []byte(txnKey)), []byte("/"))
			n, _ = strconv.Atoi(string(word))
			return false
		})
		shown[h.BaseOffset()] = n
		c.txns.Seen(n, key, h.BaseOffset())
	}
}

func aborted(list []engine.AbortedTransaction, h batch.Header) bool {
	for _, a := range list {
		if a.Producer == h.ProducerID() && a.First <= h.BaseOffset() && h.BaseOffset() < a.Last {
			return true
		}
	}
	return false
}
