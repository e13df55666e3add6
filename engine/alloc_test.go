package engine_test

import (
	"context"
	"math"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/streamkeeper-io/streamkeeper/engine"
)

// TestHotPath_AllocatesNothingByBatch: an append that is written at once leaves nothing to the garbage collector but what a
// segment's index grows by; a read at the tail the same few slices, however many batches it brings.
func TestHotPath_AllocatesNothingByBatch(t *testing.T) {
	e := open(t, engine.Options{Dir: t.TempDir(), Store: memStore(t)})
	defer closeEngine(t, e)
	if _, err := e.CreateTopic(context.Background(), "hot", 1, nil); err != nil {
		t.Fatal(err)
	}
	p := partition(t, e, "hot", 0)
	b := benchBatch(16 << 10)
	var appended int64
	var answered atomic.Int64
	done := func(a engine.Appended) {
		answered.Add(1)
		if a.Err != nil {
			t.Error(a.Err)
		}
	}
	if n := allocs(func() {
		appended++
		p.AppendLater(b, -1, done)
		e.Commit(true)
		for answered.Load() < appended { // it met a write of the engine's own, and is left to the log's goroutine
			runtime.Gosched()
		}
	}); n != 0 {
		t.Errorf("an append allocates %v times", n)
	}
	at := p.HighWatermark() - 200
	read := func(batches int) float64 {
		return allocs(func() {
			r, err := p.Read(context.Background(), at, batches*len(b))
			if err != nil || len(r.Bytes) != batches {
				t.Fatal(len(r.Bytes), err)
			}
			r.Release()
		})
	}
	if one, eight := read(1), read(8); one > 4 || eight > one+1 {
		t.Errorf("a read of one batch allocates %v times, of eight %v times", one, eight)
	}
}

// allocs is how often f allocates. The runtime counts for the whole process: what the engine does beside it, as opening the
// tier, only adds, so the least of some tries is f's own.
func allocs(f func()) float64 {
	least := math.Inf(1)
	for range 5 {
		least = min(least, testing.AllocsPerRun(100, f))
	}
	return least
}
