package tier

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/tiertest"
)

// Upkeep reads a stream without the pool, which is for readers.
func TestScanLeavesThePoolAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newLab(t, 3, 3, 300), &weather{}
		l.store.Inject = w.inject
		o := l.options()
		o.RewriteEvery = time.Hour
		l.start(o)
		defer l.stop()
		const objects = scanRows + 10 // more than one step
		for range objects {
			l.log.seal(l.load.Segment(2000, time.Now()))
		}
		l.until("offloaded", time.Hour, l.drained)
		const stream = 1
		all := l.load.Batches[stream]
		first, last := 3, len(all)-4
		var want, got []int64
		for _, b := range all[first : last+1] {
			want = append(want, b.Base)
		}
		note := func(h batch.Header) error { got = append(got, h.BaseOffset()); return nil }
		before := l.tier.Stats().Pool
		// From within a batch, and up to within another.
		if err := l.tier.Scan(t.Context(), stream, all[first+1].Base-1, all[last].Base+1, note); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("scanned %d batches, want %d: %v", len(got), len(want), got)
		}
		if after := l.tier.Stats().Pool; after != before {
			t.Errorf("the pool was used: %+v, before %+v", after, before)
		}
		stop := errors.New("enough")
		if err := l.tier.Scan(t.Context(), stream, 0, all[last].Base, func(batch.Header) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("scan returned %v, want what its function returned", err)
		}
		w.set(func(c tiertest.Call) tiertest.Fault { return tiertest.Fault{Err: errors.New("refused")} })
		l.log.seal(l.load.Segment(2000, time.Now()))
		l.until("failing", time.Minute, func() bool { bad, _ := l.tier.health.failing(callsWrite); return bad })
		if err := l.tier.Scan(t.Context(), stream, 0, all[last].Base, note); !errors.Is(err, ErrBusy) {
			t.Errorf("with a store that fails scan returned %v, want ErrBusy", err)
		}
	})
}
