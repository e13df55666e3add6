package engine_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/enginetest"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/tiertest"
	"github.com/streamkeeper-io/streamkeeper/engine/txn"
)

func compacting(fs *enginetest.FS, store engine.Objects) engine.Options {
	o := restorable(fs, store)
	o.Tier.CompactEvery = 10 * time.Millisecond
	o.Tier.LocalBytes, o.Tier.HardLocalBytes = 1, 64<<20 // nothing stays in the log: it is never compacted
	return o
}

// keyed makes a batch of records k=v; an empty v is a tombstone.
func keyed(p batch.Producer, ts int64, kv ...string) []byte {
	var rs []batch.Record
	for i := 0; i < len(kv); i += 2 {
		r := batch.Record{Timestamp: ts, Key: []byte(kv[i]), Headers: []batch.Field{{Key: "h", Value: []byte("x")}}}
		if kv[i+1] != "" {
			r.Value = []byte(kv[i+1])
		}
		rs = append(rs, r)
	}
	return batch.Append(nil, p, rs)
}

// coldRecords reads all of a partition as offset: k=v, only what no transaction aborted.
func coldRecords(t testing.TB, p *engine.Partition) (out []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for at := p.LogStart(); at < p.LastStable(); {
		ready := make(chan struct{})
		r, err := p.ReadCommitted(ctx, at, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if r.Pending {
			p.Watch(at, func() { close(ready) })
			<-ready
			continue
		}
		raw := join(r.Bytes)
		if r.NextOffset <= at {
			t.Fatalf("stuck at %d", at)
		}
		at = r.NextOffset
		gone := map[int64]bool{}
		for _, a := range r.Aborted {
			gone[a.Producer] = true // enough for one producer that only aborts
		}
		r.Release()
		for len(raw) > 0 {
			h, rest, ok := batch.Next(raw)
			if !ok || h.ComputeCRC() != h.CRC() {
				t.Fatal("a damaged batch")
			}
			raw = rest
			if h.IsControl() || h.IsTransactional() && gone[h.ProducerID()] {
				continue
			}
			if err := batch.Records(h, 0, func(r batch.Record) bool {
				out = append(out, fmt.Sprintf("%d: %s=%s", r.Offset, r.Key, r.Value))
				return true
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

func TestCompaction_KeepsTheLastOfEachKey(t *testing.T) {
	ctx, objects, fs := context.Background(), tiertest.NewStore(), enginetest.NewFS()
	o := compacting(fs, enginetest.NewStore(objects, fs))
	e := open(t, o)
	configs := map[string]string{"cleanup.policy": "compact", "delete.retention.ms": "0", "min.cleanable.dirty.ratio": "0.01"}
	if _, err := e.CreateTopic(ctx, "state", 1, configs); err != nil {
		t.Fatal(err)
	}
	p, now := partition(t, e, "state", 0), time.Now().UnixMilli()
	want := map[string]string{}
	for i := range 40 { // each in a segment of its own, more or less
		k := fmt.Sprintf("k%d", i%7)
		v := fmt.Sprintf("v%d", i)
		a := produce(t, p, keyed(batch.NoProducer, now, k, v, "fixed", v))
		want[k] = fmt.Sprintf("%d: %s=%s", a.BaseOffset, k, v)
		want["fixed"] = fmt.Sprintf("%d: fixed=%s", a.BaseOffset+1, v)
		if i%5 == 0 {
			tiered(t, e, "state")
		}
	}
	produce(t, p, keyed(batch.NoProducer, now, "k3", ""))
	last := produce(t, p, keyed(batch.NoProducer, now, "end", "e"))
	want["end"] = fmt.Sprintf("%d: end=e", last.BaseOffset)
	delete(want, "k3")
	tiered(t, e, "state")
	compacted := func(p *engine.Partition) bool {
		got := map[string]bool{}
		for _, r := range coldRecords(t, p) {
			got[r] = true
		}
		for _, r := range want {
			if !got[r] {
				t.Fatalf("%s is gone; there are %v", r, got)
			}
		}
		return len(got) == len(want)
	}
	// A tombstone goes in a pass after the one that marked it, which more records bring about.
	for i := 0; !compacted(p); i++ {
		if i > 40 {
			t.Fatalf("not compacted: %v", coldRecords(t, p))
		}
		if i%10 == 9 {
			v := fmt.Sprintf("e%d", i)
			a := produce(t, p, keyed(batch.NoProducer, now, "end", v))
			want["end"] = fmt.Sprintf("%d: end=%s", a.BaseOffset, v)
			tiered(t, e, "state")
		}
		time.Sleep(5 * time.Millisecond)
	}
	eventually(t, "the passes to be counted", func() bool { s := e.Stats(); return s.Compactions >= 2 && s.UncompactedBytes >= 0 })
	before := coldRecords(t, p)
	told(t, e)
	closeEngine(t, e)
	e = open(t, o)
	if d := cmp.Diff(before, coldRecords(t, partition(t, e, "state", 0))); d != "" {
		t.Errorf("after a restart: %s", d)
	}
	told(t, e)
	closeEngine(t, e)
	fresh := enginetest.NewFS()
	o = compacting(fresh, enginetest.NewStore(objects, fresh))
	if _, err := engine.Restore(ctx, o, engine.RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	e = open(t, o)
	defer closeEngine(t, e)
	if d := cmp.Diff(before, coldRecords(t, partition(t, e, "state", 0))); d != "" {
		t.Errorf("after a restore: %s", d)
	}
}

// Nothing of an open transaction is touched, and what was aborted supersedes nothing.
func TestCompaction_RespectsTransactions(t *testing.T) {
	ctx, objects, fs := context.Background(), tiertest.NewStore(), enginetest.NewFS()
	e := open(t, compacting(fs, enginetest.NewStore(objects, fs)))
	defer func() { closeEngine(t, e) }()
	if _, err := e.CreateTopic(ctx, "state", 1, map[string]string{"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01"}); err != nil {
		t.Fatal(err)
	}
	p, at, now := partition(t, e, "state", 0), txn.Partition{Topic: "state", Index: 0}, time.Now().UnixMilli()
	produce(t, p, keyed(batch.NoProducer, now, "a", "old", "b", "old"))
	c := newTxnClient(t, e, "writer")
	send := func(kv ...string) {
		t.Helper()
		c.must(c.add(at))
		b := keyed(batch.Producer{ID: c.who.ID, Epoch: c.who.Epoch, Sequence: c.seq[at]}, now, kv...)
		batch.Header(b).Mark(batch.Transactional)
		done := make(chan engine.Appended, 1)
		p.AppendTransactional(b, -1, func() error { return nil }, func(a engine.Appended) { done <- a })
		if a := <-done; a.Err != nil {
			t.Fatal(a.Err)
		}
		c.seq[at] += int32(len(kv) / 2)
	}
	send("a", "aborted")
	c.must(c.end(false))
	eventually(t, "the abort is decided", func() bool { return p.LastStable() == p.HighWatermark() })
	produce(t, p, keyed(batch.NoProducer, now, "b", "new"))
	tiered(t, e, "state")
	eventually(t, "b is compacted", func() bool { return len(coldRecords(t, p)) == 2 })
	if d := cmp.Diff([]string{"0: a=old", "4: b=new"}, coldRecords(t, p)); d != "" {
		t.Fatal(d)
	}
	send("a", "open")
	produce(t, p, keyed(batch.NoProducer, now, "b", "newer"))
	tiered(t, e, "state")
	before := e.Stats().Rewrites
	time.Sleep(100 * time.Millisecond) // several rounds that must change nothing
	if got := coldRecords(t, p); len(got) < 2 || got[0] != "0: a=old" || got[1] != "4: b=new" {
		t.Errorf("an open transaction changed what was below: %v (%d rewrites)", got, e.Stats().Rewrites-before)
	}
}
