package engine_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/txn"
)

// txnClient is a transactional client that does everything right.
type txnClient struct {
	t   testing.TB
	e   *engine.Engine
	id  string
	who txn.Producer
	seq map[txn.Partition]int32
}

func newTxnClient(t testing.TB, e *engine.Engine, id string) *txnClient {
	t.Helper()
	c := &txnClient{t: t, e: e, id: id, seq: map[txn.Partition]int32{}}
	who, code := initTxn(e, id, time.Minute, txn.NoProducer)
	if code != txn.None {
		t.Fatalf("init %s: %v", id, code)
	}
	c.who = who
	return c
}

func initTxn(e *engine.Engine, id string, timeout time.Duration, expected txn.Producer) (txn.Producer, txn.Code) {
	type answer struct {
		who  txn.Producer
		code txn.Code
	}
	done := make(chan answer, 1)
	e.InitTransaction(id, timeout, expected, func(who txn.Producer, code txn.Code) { done <- answer{who, code} })
	a := <-done
	return a.who, a.code
}

func (c *txnClient) add(parts ...txn.Partition) txn.Code {
	done := make(chan txn.Code, 1)
	c.e.AddToTransaction(c.id, c.who, parts, func(code txn.Code) { done <- code })
	return <-done
}

// send appends n records to a partition that was added.
func (c *txnClient) send(at txn.Partition, first, n int) engine.Appended {
	c.t.Helper()
	b := records(batch.Producer{ID: c.who.ID, Epoch: c.who.Epoch, Sequence: c.seq[at]}, 1, first, n)
	batch.Header(b).Mark(batch.Transactional)
	done := make(chan engine.Appended, 1)
	partition(c.t, c.e, at.Topic, at.Index).AppendTransactional(b, -1, func() error {
		if code := c.e.VerifyTransaction(c.id, c.who, at); code != txn.None {
			return code
		}
		return nil
	}, func(a engine.Appended) { done <- a })
	a := <-done
	if a.Err == nil {
		c.seq[at] += int32(n)
	}
	return a
}

func (c *txnClient) end(commit bool) txn.Code {
	type answer struct {
		who  txn.Producer
		code txn.Code
	}
	done := make(chan answer, 1)
	c.e.EndTransaction(c.id, c.who, commit, false, func(who txn.Producer, code txn.Code) { done <- answer{who, code} })
	a := <-done
	return a.code
}

func (c *txnClient) commitOffset(group string, k engine.OffsetKey, offset int64) error {
	done := make(chan error, 1)
	c.e.CommitTransactionOffsets(c.id, c.who, group, map[engine.OffsetKey]engine.CommittedOffset{
		k: {Offset: offset, LeaderEpoch: -1, CommittedAt: time.UnixMilli(1)},
	}, func(err error) { done <- err })
	return <-done
}

func (c *txnClient) must(code txn.Code) {
	c.t.Helper()
	if code != txn.None {
		c.t.Fatal(code)
	}
}

// committed reads what a read_committed consumer is shown from offset on, skipping as Kafka's clients do.
func committed(t testing.TB, p *engine.Partition, offset int64) []string {
	t.Helper()
	var out []string
	skip := map[int64]bool{}
	for offset < p.LastStable() {
		r, err := p.ReadCommitted(context.Background(), offset, 1) // a batch at a time: the hardest way
		if err != nil {
			t.Fatalf("reading at %d: %v", offset, err)
		}
		if r.Pending {
			ready := make(chan struct{})
			p.WatchStable(offset, func() { close(ready) })
			<-ready
			continue
		}
		raw := join(r.Bytes)
		aborted := r.Aborted
		next := r.NextOffset
		r.Release()
		for len(raw) > 0 {
			h, rest, _ := batch.Next(raw)
			raw = rest
			for _, a := range aborted {
				if a.First <= h.LastOffset() && a.Last >= h.BaseOffset() {
					skip[a.Producer] = true
				}
			}
			if h.IsControl() {
				delete(skip, h.ProducerID())
				continue
			}
			if h.IsTransactional() && skip[h.ProducerID()] {
				continue
			}
			_ = batch.Records(h, 0, func(r batch.Record) bool {
				if r.Offset >= offset {
					out = append(out, string(r.Value))
				}
				return true
			})
		}
		clear(skip)
		if next <= offset {
			t.Fatalf("reading at %d got nowhere", offset)
		}
		offset = next
	}
	return out
}

func values(ranges ...[2]int) (out []string) {
	for _, r := range ranges {
		for i := r[0]; i < r[1]; i++ {
			out = append(out, fmt.Sprintf("record-%d", i))
		}
	}
	return out
}

var t0p = txn.Partition{Topic: "t", Index: 0}

func TestTransaction_CommittedIsSeenAbortedIsNot(t *testing.T) {
	fs, store := vfs.NewMem(), memStore(t)
	e, p := single(t, options(fs, store), nil)
	a, b := newTxnClient(t, e, "a"), newTxnClient(t, e, "b")
	check := func(what string, stable int64, want []string) {
		t.Helper()
		if got := p.LastStable(); got != stable {
			t.Errorf("%s: last stable offset %d, want %d", what, got, stable)
		}
		if diff := cmp.Diff(want, committed(t, p, 0)); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	a.must(a.add(t0p))
	b.must(b.add(t0p))
	a.send(t0p, 0, 2)                                  // 0 1
	b.send(t0p, 10, 2)                                 // 2 3
	produce(t, p, records(batch.NoProducer, 1, 20, 1)) // 4
	a.send(t0p, 2, 1)                                  // 5
	check("both open", 0, nil)
	a.must(a.end(true)) // 6
	check("one committed", 2, values([2]int{0, 2}))
	a.must(a.add(t0p))
	a.send(t0p, 3, 1)    // 7
	b.must(b.end(false)) // 8
	want := values([2]int{0, 2}, [2]int{20, 21}, [2]int{2, 3})
	check("the other aborted", 7, want)

	closeEngine(t, e)
	e, p = single(t, options(fs, store), nil)
	check("after a restart", 7, want)
	a.e = e
	a.must(a.end(true)) // 9
	check("ended after the restart", 10, append(want, values([2]int{3, 4})...))
	if got := p.HighWatermark(); got != 10 {
		t.Errorf("high watermark %d: a marker is missing or there twice", got)
	}
	closeEngine(t, e)
}

func TestTransaction_AbortedStaysHiddenInTheStore(t *testing.T) {
	fs, store := vfs.NewMem(), memStore(t)
	o := options(fs, store)
	o.Tier.OffloadAfter, o.CacheBytes, o.Tier.LocalBytes = time.Millisecond, 1, 128<<10
	e, p := single(t, o, nil)
	c := newTxnClient(t, e, "c")
	var want []string
	for i := range 40 {
		c.must(c.add(t0p))
		if a := c.send(t0p, 100*i, 30); a.Err != nil {
			t.Fatal(a.Err)
		}
		c.must(c.end(i%3 > 0))
		if i%3 > 0 {
			want = append(want, values([2]int{100 * i, 100*i + 30})...)
		}
	}
	eventually(t, "everything to be cold", func() bool {
		produce(t, p, records(batch.NoProducer, 1, 0, 1)) // a segment is sealed when it is written to
		return p.LocalStart() > 1200
	})
	got := committed(t, p, 0)
	if diff := cmp.Diff(want, got[:min(len(want), len(got))]); diff != "" {
		t.Error(diff)
	}
	// What lies below the log start is forgotten, what lies above is not.
	if _, err := p.DeleteRecords(context.Background(), 600); err != nil {
		t.Fatal(err)
	}
	closeEngine(t, e)
	e, p = single(t, o, nil)
	tail := committed(t, p, 620)
	all := committed(t, p, 600)
	if len(all) <= len(tail) || all[len(all)-len(tail)] != tail[0] {
		t.Errorf("%d records from 600 on, %d from 620 on", len(all), len(tail))
	}
	for _, v := range all {
		var n int
		if _, err := fmt.Sscanf(v, "record-%d", &n); err == nil && n > 100 && n/100%3 == 0 {
			t.Errorf("%s was aborted", v)
		}
	}
	closeEngine(t, e)
}

func TestTransaction_LateRecordsOpenNothing(t *testing.T) {
	e, p := single(t, options(vfs.NewMem(), memStore(t)), nil)
	defer closeEngine(t, e)
	c := newTxnClient(t, e, "c")
	if a := c.send(t0p, 0, 1); !errors.Is(a.Err, txn.InvalidTxnState) {
		t.Errorf("a partition that was not added: %+v", a)
	}
	c.must(c.add(t0p))
	if a := c.send(t0p, 0, 1); a.Err != nil {
		t.Fatal(a.Err)
	}
	plain := records(batch.Producer{ID: c.who.ID, Epoch: c.who.Epoch, Sequence: 1}, 1, 0, 1)
	if a := produce(t, p, plain); !errors.Is(a.Err, engine.ErrInvalidTxnState) {
		t.Errorf("records outside of the open transaction: %+v", a)
	}
	c.must(c.end(true))
	if a := c.send(t0p, 1, 1); !errors.Is(a.Err, txn.InvalidTxnState) {
		t.Errorf("after the end: %+v", a)
	}
	old := *c
	newTxnClient(t, e, "c")
	if a := old.send(t0p, 1, 1); !errors.Is(a.Err, txn.ProducerFenced) {
		t.Errorf("a fenced client: %+v", a)
	}
	if open := e.OpenTransactions(); len(open) != 0 {
		t.Errorf("open: %+v", open)
	}
}

func TestTransaction_FencingAbortsWhatIsOpen(t *testing.T) {
	log := &eventLog{}
	o := options(vfs.NewMem(), memStore(t))
	o.Observer = log
	e, p := single(t, o, nil)
	defer closeEngine(t, e)
	old := newTxnClient(t, e, "c")
	old.must(old.add(t0p))
	old.send(t0p, 0, 3)
	if open := e.OpenTransactions(); len(open) != 1 || open[0].First != 0 || open[0].Held != 3 {
		t.Errorf("open: %+v", open)
	}
	c := newTxnClient(t, e, "c")
	if c.who.ID != old.who.ID || c.who.Epoch <= old.who.Epoch {
		t.Errorf("%v after %v", c.who, old.who)
	}
	if got := committed(t, p, 0); len(got) != 0 || p.LastStable() != 4 {
		t.Errorf("read %v, last stable offset %d", got, p.LastStable())
	}
	if code := old.end(true); code != txn.ProducerFenced {
		t.Errorf("the old client commits: %v", code)
	}
	if !log.has(engine.EventTransactionFenced) {
		t.Error("nobody was told")
	}
}

func TestTransaction_OffsetsCountWhenItCommits(t *testing.T) {
	fs, store := vfs.NewMem(), memStore(t)
	e, _ := single(t, options(fs, store), nil)
	c := newTxnClient(t, e, "c")
	k, other := engine.OffsetKey{Topic: "t"}, engine.OffsetKey{Topic: "t", Partition: 1}
	join := func() {
		t.Helper()
		done := make(chan txn.Code, 1)
		c.e.AddGroupToTransaction(c.id, c.who, "g", func(code txn.Code) { done <- code })
		c.must(<-done)
	}
	check := func(what string, want int64, pending int) {
		t.Helper()
		got := int64(-1)
		if o, ok := e.CommittedOffsets("g")[k]; ok {
			got = o.Offset
		}
		if n := len(e.PendingOffsets("g")); got != want || n != pending {
			t.Errorf("%s: offset %d, %d pending; want %d, %d", what, got, n, want, pending)
		}
	}
	if err := c.commitOffset("g", k, 5); !errors.Is(err, txn.InvalidTxnState) {
		t.Errorf("a group that was not added: %v", err)
	}
	join()
	if err := c.commitOffset("g", k, 5); err != nil {
		t.Fatal(err)
	}
	check("open", -1, 1)
	closeEngine(t, e)
	e, _ = single(t, options(fs, store), nil)
	c.e = e
	check("open after a restart", -1, 1)
	c.must(c.end(true))
	check("committed", 5, 0)
	join()
	if err := c.commitOffset("g", k, 9); err != nil {
		t.Fatal(err)
	}
	c.must(c.end(false))
	check("aborted", 5, 0)
	// A commit that came later than the transaction's outlives it.
	join()
	if err := errors.Join(c.commitOffset("g", k, 10), c.commitOffset("g", other, 11)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	e.CommitOffsets("g", map[engine.OffsetKey]engine.CommittedOffset{k: {Offset: 20}}, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	check("a later commit", 20, 1)
	c.must(c.end(true))
	check("its transaction is over", 20, 0)
	if o := e.CommittedOffsets("g")[other]; o.Offset != 11 {
		t.Errorf("the other partition: %+v", o)
	}
	closeEngine(t, e)
}

func TestTransaction_AnAdminEndsAHangingOne(t *testing.T) {
	e, p := single(t, options(vfs.NewMem(), memStore(t)), nil)
	defer closeEngine(t, e)
	// What an old broker or a lost coordinator leaves: records of a transaction nobody knows.
	b := records(batch.Producer{ID: 77, Epoch: 3, Sequence: 0}, 1, 0, 2)
	batch.Header(b).Mark(batch.Transactional)
	if a := produce(t, p, b); a.Err != nil {
		t.Fatal(a.Err)
	}
	ps, err := p.Producers()
	want := []engine.ProducerState{{ID: 77, Epoch: 3, LastSequence: 1, CoordinatorEpoch: -1, TxnStart: 0}}
	if err != nil || len(ps) != 1 {
		t.Fatal(ps, err)
	}
	ps[0].LastTimestamp = 0
	if diff := cmp.Diff(want, ps); diff != "" {
		t.Error(diff)
	}
	mark := func(m engine.TransactionMarker) engine.Appended {
		done := make(chan engine.Appended, 1)
		p.AppendMarker(m, func(a engine.Appended) { done <- a })
		return <-done
	}
	if a := mark(engine.TransactionMarker{ProducerID: 77, Epoch: 2}); !errors.Is(a.Err, engine.ErrInvalidProducerEpoch) {
		t.Errorf("an old epoch: %+v", a)
	}
	if a := mark(engine.TransactionMarker{ProducerID: 77, Epoch: 3, Coordinator: 4}); a.Err != nil || a.BaseOffset != 2 {
		t.Errorf("abort: %+v", a)
	}
	if a := mark(engine.TransactionMarker{ProducerID: 77, Epoch: 3, Coordinator: 3}); !errors.Is(a.Err, engine.ErrCoordinatorFenced) {
		t.Errorf("an older coordinator: %+v", a)
	}
	if a := mark(engine.TransactionMarker{ProducerID: 77, Epoch: 3, Coordinator: 4, OnlyOpen: true}); a.Err != nil || a.BaseOffset != -1 {
		t.Errorf("nothing is open: %+v", a)
	}
	if p.LastStable() != 3 || len(committed(t, p, 0)) != 0 {
		t.Errorf("last stable offset %d", p.LastStable())
	}
}

func TestTransaction_WatchStableWaitsForTheEnd(t *testing.T) {
	e, p := single(t, options(vfs.NewMem(), memStore(t)), nil)
	defer closeEngine(t, e)
	c := newTxnClient(t, e, "c")
	c.must(c.add(t0p))
	c.send(t0p, 0, 1)
	fired, stable := make(chan struct{}), make(chan struct{})
	p.Watch(0, func() { close(fired) })
	p.WatchStable(0, func() { close(stable) })
	<-fired
	select {
	case <-stable:
		t.Error("it fired while the transaction was open")
	default:
	}
	c.must(c.end(true))
	<-stable
}

// leapClock is the machine's clock, except that it can be put forward and that its timers are in a hurry.
type leapClock struct{ ahead atomic.Int64 }

func (c *leapClock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *leapClock) NewTimer(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(min(d, 10*time.Millisecond))
	return t.C, func() { t.Stop() }
}

func TestTransaction_TimesOut(t *testing.T) {
	log, clock := &eventLog{}, &leapClock{}
	o := options(vfs.NewMem(), memStore(t))
	o.Observer, o.Clock = log, clock
	e, p := single(t, o, nil)
	defer closeEngine(t, e)
	c := &txnClient{t: t, e: e, id: "c", seq: map[txn.Partition]int32{}}
	var code txn.Code
	if _, code = initTxn(e, "c", time.Hour, txn.NoProducer); code != txn.InvalidTransactionTimeout {
		t.Errorf("an hour: %v", code)
	}
	if c.who, code = initTxn(e, "c", 10*time.Minute, txn.NoProducer); code != txn.None {
		t.Fatal(code)
	}
	c.must(c.add(t0p))
	c.send(t0p, 0, 1)
	clock.ahead.Store(int64(11 * time.Minute))
	eventually(t, "the abort", func() bool { return p.LastStable() > 1 })
	if a := c.send(t0p, 1, 1); a.Err == nil {
		t.Error("it writes on")
	}
	if code := c.end(true); code != txn.ProducerFenced {
		t.Errorf("it commits: %v", code)
	}
	if !log.has(engine.EventTransactionTimedOut) {
		t.Error("nobody was told")
	}
	if s, ok := e.Transaction("c"); !ok || s.State != txn.CompleteAbort {
		t.Errorf("%v, %+v", ok, s)
	}
	clock.ahead.Store(int64(8 * 24 * time.Hour))
	eventually(t, "the id to be forgotten", func() bool { _, ok := e.Transaction("c"); return !ok })
	if again, code := initTxn(e, "c", time.Minute, c.who); code != txn.None || again.ID == c.who.ID {
		t.Errorf("it comes back as %v, %v", again, code)
	}
}
