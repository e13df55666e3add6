package tier

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/tiertest"
)

// Random segments become objects; whoever reads them, from wherever and in
// whatever portions, gets the bytes that were produced.
func TestReadsReturnWhatWasProduced(t *testing.T) {
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 2))
			l := newLab(t, seed, 1+r.IntN(12), []int{50, 1000, 9000}[r.IntN(3)])
			l.start(l.options())
			defer l.stop()
			for range 1 + r.IntN(6) {
				l.log.seal(l.load.Segment(1+r.IntN(150_000), time.Now()))
			}
			l.until("all offloaded", time.Minute, l.drained)
			l.checkAll(1 + r.IntN(40_000))
			l.checkStore()
			for stream, batches := range l.load.Batches {
				l.readMiddle(r, stream, batches)
				l.readByTime(r, stream, batches)
			}
			if used := l.tier.Stats().Pool.UsedBytes; used > 64<<10 {
				t.Fatalf("pool holds %d bytes, the limit is %d", used, 64<<10)
			}
		})
	}
}

// readMiddle starts at a random offset within a random batch.
func (l *lab) readMiddle(r *rand.Rand, stream uint32, batches []tiertest.Batch) {
	l.t.Helper()
	i := r.IntN(len(batches))
	b := batches[i]
	offset := b.Base + r.Int64N(b.Next-b.Base)
	got := l.readFrom(stream, offset, 1)
	if !bytes.HasPrefix(got, b.Bytes) {
		l.t.Fatalf("stream %d: reading at %d does not start with batch %d to %d", stream, offset, b.Base, b.Next)
	}
}

func (l *lab) readByTime(r *rand.Rand, stream uint32, batches []tiertest.Batch) {
	l.t.Helper()
	ts := batches[r.IntN(len(batches))].MaxTimestamp - int64(r.IntN(30))
	from := batches[r.IntN(len(batches))].Base
	var want []byte
	for _, b := range batches {
		if b.Next > from && b.MaxTimestamp >= ts {
			want = b.Bytes
			break
		}
	}
	got, ok, err := l.tier.BatchForTime(l.t.Context(), stream, from, ts)
	if err != nil || ok != (want != nil) || !bytes.Equal(got, want) {
		l.t.Fatalf("stream %d: batch for time %d from %d: ok %v, %v, %d bytes; want %d", stream, ts, from, ok, err, len(got), len(want))
	}
}

func TestOffsetsOutsideTheTier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1, 1, 500)
		l.start(l.options())
		defer l.stop()
		l.log.seal(l.load.Segment(5000, time.Now()))
		l.until("offloaded", time.Minute, l.drained)
		e, _, _ := l.tier.Extent(0)
		for _, q := range []ReadRequest{{Stream: 0, Offset: e.End}, {Stream: 99}} {
			if _, err := l.tier.Read(q, nil); !errors.Is(err, ErrNotTiered) {
				t.Errorf("%+v: got %v, want ErrNotTiered", q, err)
			}
		}
		if _, ok, err := l.tier.BatchForTime(t.Context(), 0, 0, 1<<60); ok || err != nil {
			t.Errorf("a time in the future: %v, %v", ok, err)
		}
	})
}

// Many readers of many streams share a pool that holds a fraction of what they
// read, and a batch larger than the whole pool; all of them finish.
func TestReadersShareASmallPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3, 8, 14_000)
		o := l.options()
		o.PoolBytes = 8 << 10 // less than one batch
		l.store.Inject = func(c tiertest.Call) tiertest.Fault {
			return tiertest.Fault{Delay: 5 * time.Millisecond}
		}
		l.start(o)
		defer l.stop()
		for range 3 {
			l.log.seal(l.load.Segment(200_000, time.Now()))
		}
		l.until("offloaded", time.Minute, l.drained)
		var g sync.WaitGroup
		for range 4 {
			g.Go(func() { l.checkAll(30_000) })
		}
		g.Wait()
	})
}

func TestTrimDestroysEmptyObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 4, 3, 500)
		o := l.options()
		l.start(o)
		for range 4 {
			l.log.seal(l.load.Segment(20_000, time.Now()))
		}
		l.until("offloaded", time.Minute, l.drained)
		for stream := range uint32(3) { // all of stream 0 and 1, half of stream 2
			before := int64(1 << 62)
			if stream == 2 {
				batches := l.load.Batches[2]
				before = batches[len(batches)/2].Base
			}
			if err := l.tier.Trim(t.Context(), stream, before); err != nil {
				t.Fatal(err)
			}
		}
		if _, ok, _ := l.tier.Extent(0); ok {
			t.Error("stream 0 still has rows")
		}
		objects := l.tier.Stats().Objects
		if objects == 4 || objects == 0 {
			t.Fatalf("%d objects are live, want some of 4", objects)
		}
		// Not yet deleted: a PUT of theirs could still be on its way.
		if n := len(l.store.Names("objects/")); n != 4 {
			t.Fatalf("%d objects in the store before their time, want 4", n)
		}
		if _, err := l.tier.Read(ReadRequest{Stream: 1}, nil); !errors.Is(err, ErrNotTiered) {
			t.Errorf("reading a trimmed stream: %v", err)
		}
		l.stop()
		for _, compact := range []bool{false, true} {
			o.Replay = l.log.replay(compact)
			l.start(o)
			if s := l.tier.Stats(); s.Objects != objects {
				t.Fatalf("after a restart %d objects are live, want %d", s.Objects, objects)
			}
			l.until("collected", time.Hour, func() bool { return l.tier.Stats().Orphans == 0 })
			l.checkStore()
			objects = l.tier.Stats().Objects // what is left of them was rewritten
			l.stop()
		}
	})
}
