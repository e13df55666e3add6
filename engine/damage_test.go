package engine_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/enginetest"
	"github.com/streamkeeper-io/streamkeeper/engine/tier"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/object"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/tiertest"
)

// place is a partition and the base offset of a batch.
type place struct {
	part string
	base int64
}

// readable returns the batches that can be read, and how many reads failed. Any error but a damaged object is raised.
func readable(t *testing.T, e *engine.Engine, topic string) (found map[place][]byte, failed int) {
	t.Helper()
	found = map[place][]byte{}
	of, _ := e.Topic(topic)
	for i := range of.Partitions {
		p := partition(t, e, topic, i)
		for offset := p.LogStart(); offset < p.HighWatermark(); {
			r, err := await(p, offset)
			if err != nil {
				if !errors.Is(err, engine.ErrStorage) {
					t.Fatalf("reading %d: %v", offset, err)
				}
				failed++
				offset++
				continue
			}
			for raw := join(r.Bytes); len(raw) > 0; {
				h, rest, ok := batch.Next(raw)
				if !ok {
					t.Fatalf("read %d returned a partial batch", offset)
				}
				found[place{partKey(of, i), h.BaseOffset()}] = bytes.Clone(h)
				raw = rest
			}
			offset = r.NextOffset
			r.Release()
		}
	}
	return found, failed
}

// await is Read that waits for cold data.
func await(p *engine.Partition, offset int64) (engine.Read, error) {
	for {
		ready := make(chan struct{})
		r, err := p.Read(context.Background(), offset, 4<<10)
		if err != nil || !r.Pending {
			return r, err
		}
		p.Watch(offset, func() { close(ready) })
		<-ready
	}
}

// stored fills a bucket with the records of a topic and leaves none of them in the local log.
func stored(t *testing.T, o engine.Options) map[place][]byte {
	t.Helper()
	e := open(t, o)
	if _, err := e.CreateTopic(context.Background(), "orders", 3, map[string]string{"retention.ms": "-1"}); err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		if a := produce(t, partition(t, e, "orders", int32(i%3)), records(batch.NoProducer, int64(i), i, 1+i%20)); a.Err != nil {
			t.Fatal(a.Err)
		}
	}
	tiered(t, e, "orders")
	for i := range int32(3) {
		p := partition(t, e, "orders", i)
		eventually(t, "nothing is local", func() bool { return p.LocalStart() == p.HighWatermark() })
	}
	told(t, e)
	want, failed := readable(t, e, "orders")
	if failed > 0 || len(want) != 300 {
		t.Fatalf("%d of 300 batches before any damage, %d reads failed", len(want), failed)
	}
	closeEngine(t, e)
	return want
}

// flip changes a few neighbouring bytes of one region of an object.
func flip(rng *rand.Rand, b []byte, from, to int64) []byte {
	b = bytes.Clone(b)
	at := from + rng.Int64N(to-from)
	for i := range min(1+rng.Int64N(8), to-at) {
		b[at+i] ^= byte(1 + rng.IntN(255))
	}
	return b
}

// TestDamagedObject_IsNeverServed damages stored objects anywhere. What is read is right, or an error that an event tells of;
// verify notices what no read looks at.
func TestDamagedObject_IsNeverServed(t *testing.T) {
	ctx, objects, fs := context.Background(), tiertest.NewStore(), enginetest.NewFS()
	o := restorable(fs, enginetest.NewStore(objects, fs))
	o.Tier.LocalBytes, o.Tier.HardLocalBytes, o.Tier.SliceBytes, o.Tier.RewriteEvery = 1, 64<<20, 4<<10, time.Hour
	want := stored(t, o)
	names := objects.Names("objects/")
	if len(names) == 0 {
		t.Fatal("no objects")
	}
	for seed := range uint64(90) {
		rng := rand.New(rand.NewPCG(seed, 11))
		name := names[rng.IntN(len(names))]
		whole := objects.Object(name)
		f, err := object.ReadFooter(bytes.NewReader(whole), int64(len(whole)))
		if err != nil {
			t.Fatal(err)
		}
		data := object.HeaderSize + f.Data
		region := [][2]int64{{0, object.HeaderSize}, {object.HeaderSize, data}, {data, int64(len(whole))}}[seed%3]
		objects.Replace(name, flip(rng, whole, region[0], region[1]))

		seen := &eventLog{}
		o.Observer = seen
		e := open(t, o)
		got, failed := readable(t, e, "orders")
		closeEngine(t, e)
		for at, b := range got {
			if !bytes.Equal(b, want[at]) {
				t.Fatalf("seed %d: %s served wrong bytes at %v", seed, name, at)
			}
		}
		inData := seed%3 == 1
		if lost := len(want) - len(got); inData != (failed > 0) || inData != (lost > 0) || inData != seen.has(tier.EventObjectCorrupt) {
			t.Errorf("seed %d: bytes %d to %d of %s: %d batches lost, %d reads failed, events %v", seed, region[0], region[1], name, lost, failed, seen.kinds)
		}
		x, err := engine.OpenOffline(o)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := x.Verify(ctx, nil); err != nil || v.ProblemCount == 0 {
			t.Errorf("seed %d: verify saw nothing in bytes %d to %d of %s, %v", seed, region[0], region[1], name, err)
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		objects.Replace(name, whole)
	}
}
