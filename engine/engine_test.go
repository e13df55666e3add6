package engine_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/tier"
)

func memStore(t testing.TB) engine.Objects {
	t.Helper()
	s, err := tier.OpenStore("file://"+t.TempDir(), func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func options(fs vfs.FS, store engine.Objects) engine.Options {
	return engine.Options{
		Dir: "data", FS: fs, Store: store, CacheBytes: 1 << 20,
		Log:  engine.LogOptions{SegmentBytes: 64 << 10},
		Tier: engine.TierOptions{OffloadAfter: time.Hour, LocalBytes: 1 << 20, SliceBytes: 16 << 10, PoolBytes: 1 << 20},
	}
}

func open(t testing.TB, o engine.Options) *engine.Engine {
	t.Helper()
	e, err := engine.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func closeEngine(t testing.TB, e *engine.Engine) {
	t.Helper()
	if err := e.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func partition(t testing.TB, e *engine.Engine, topic string, index int32) *engine.Partition {
	t.Helper()
	p, err := e.Partition(topic, index)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// records makes a batch of n records whose values say which they are.
func records(p batch.Producer, ts int64, first, n int) []byte {
	var rs []batch.Record
	for i := range n {
		rs = append(rs, batch.Record{Timestamp: ts + int64(i), Value: fmt.Appendf(nil, "record-%d", first+i)})
	}
	return batch.Append(nil, p, rs)
}

func produce(t testing.TB, p *engine.Partition, b []byte) engine.Appended {
	t.Helper()
	done := make(chan engine.Appended, 1)
	p.Append(b, -1, func(a engine.Appended) { done <- a })
	return <-done
}

// consume reads everything from offset on, waiting for cold data, and returns the values.
func consume(t testing.TB, p *engine.Partition, offset int64) []string {
	t.Helper()
	var out []string
	for offset < p.HighWatermark() {
		ready := make(chan struct{})
		r, err := p.Read(context.Background(), offset, 64<<10)
		if err != nil {
			t.Fatalf("read %d: %v", offset, err)
		}
		if r.Pending {
			p.Watch(offset, func() { close(ready) })
			select {
			case <-ready:
			case <-time.After(10 * time.Second):
				t.Fatalf("cold read of %d never became ready", offset)
			}
			continue
		}
		var raw []byte
		for _, b := range r.Bytes {
			raw = append(raw, b...)
		}
		next := r.NextOffset
		r.Release()
		for len(raw) > 0 {
			h, rest, ok := batch.Next(raw)
			if !ok {
				t.Fatalf("read %d returned a partial batch", offset)
			}
			if err := batch.Check(h, batch.CheckOptions{}); err != nil {
				t.Fatal(err)
			}
			_ = batch.Records(h, 0, func(r batch.Record) bool {
				if r.Offset >= offset {
					out = append(out, string(r.Value))
				}
				return true
			})
			raw = rest
		}
		if next <= offset {
			t.Fatalf("read at %d got nowhere", offset)
		}
		offset = next
	}
	return out
}

func TestEngine_ProducedIsConsumedAlsoAfterRestart(t *testing.T) {
	ctx := context.Background()
	fs, store := vfs.NewMem(), memStore(t)
	e := open(t, options(fs, store))
	if _, err := e.CreateTopic(ctx, "orders", 3, nil); err != nil {
		t.Fatal(err)
	}
	n := 0
	for range 500 {
		p := partition(t, e, "orders", int32(n%3))
		if a := produce(t, p, records(batch.NoProducer, 1000, n, 3)); a.Err != nil || a.BaseOffset != int64(n/3*3) {
			t.Fatalf("append %d: %+v", n, a)
		}
		n++
	}
	check := func(e *engine.Engine) {
		t.Helper()
		for i := range int32(3) {
			got := consume(t, partition(t, e, "orders", i), 0)
			if want := int(partition(t, e, "orders", i).HighWatermark()); len(got) != want || want < 450 {
				t.Fatalf("partition %d: %d records, want %d", i, len(got), want)
			}
		}
	}
	check(e)
	closeEngine(t, e)
	e = open(t, options(fs, store))
	check(e)
	if _, err := e.Partition("orders", 3); !errors.Is(err, engine.ErrUnknownPartition) {
		t.Fatalf("partition 3: %v", err)
	}
	closeEngine(t, e)
}

func TestEngine_OffloadsAndReadsCold(t *testing.T) {
	ctx := context.Background()
	fs, store := vfs.NewMem(), memStore(t)
	o := options(fs, store)
	o.Tier.OffloadAfter = time.Millisecond
	o.Tier.LocalBytes = 128 << 10
	o.Tier.HardLocalBytes = 64 << 20
	e := open(t, o)
	if _, err := e.CreateTopic(ctx, "orders", 1, nil); err != nil {
		t.Fatal(err)
	}
	p := partition(t, e, "orders", 0)
	for i := range 4000 {
		if a := produce(t, p, records(batch.NoProducer, 1000, i*3, 3)); a.Err != nil {
			t.Fatal(a.Err)
		}
	}
	deadline := time.Now().Add(10 * time.Second)
	for p.LocalStart() == 0 {
		if time.Now().After(deadline) {
			t.Fatalf("nothing left the ring: %+v", e.Stats())
		}
		time.Sleep(5 * time.Millisecond)
	}
	got := consume(t, p, 0)
	if len(got) != 12000 {
		t.Fatalf("%d records", len(got))
	}
	for i, v := range got {
		if v != fmt.Sprintf("record-%d", i) {
			t.Fatalf("record %d is %s", i, v)
		}
	}
	closeEngine(t, e)
	e = open(t, o)
	if got := consume(t, partition(t, e, "orders", 0), 0); len(got) != 12000 {
		t.Fatalf("%d records after restart", len(got))
	}
	closeEngine(t, e)
}
