package tier

import (
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// Topics come and go for ever; the journal must not remember each of them.
func TestTrimsOfDeletedTopicsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 5, 40, 300)
		o := l.options()
		l.start(o)
		for range 12 {
			l.log.seal(l.load.Segment(20_000, time.Now()))
		}
		l.until("offloaded", time.Hour, l.drained)
		for stream := range uint32(30) {
			if err := l.tier.Trim(t.Context(), stream, 3); err != nil { // DeleteRecords first
				t.Fatal(err)
			}
			if err := l.tier.Trim(t.Context(), stream, math.MaxInt64); err != nil {
				t.Fatal(err)
			}
			l.log.drop(stream)
			delete(l.load.Batches, stream)
		}
		time.Sleep(25 * time.Hour) // what is left of deleted topics is rewritten after a day
		l.until("objects are deleted", time.Hour, func() bool { return l.tier.Stats().Orphans == 0 })
		time.Sleep(3 * forgetEvery)
		trims := func() (n int) {
			for rec := range l.log.replay(true) {
				if rec[0] == recordTrim {
					n++
				}
			}
			return n
		}
		if n := trims(); n > 0 {
			t.Errorf("the journal still holds %d trims", n)
		}
		l.stop()
		l.log.restart(true)
		o.Replay = l.log.replay(true)
		l.start(o) // and nothing of them comes back
		defer l.stop()
		for stream := range uint32(30) {
			if _, ok, err := l.tier.Extent(stream); ok || err != nil {
				t.Errorf("stream %d of a deleted topic is back (%v)", stream, err)
			}
		}
		l.checkAll(5000)
	})
}

// A trim stays as long as an object that is live holds runs of its stream: a replay would bring them back.
func TestTrimsAreKeptWhileNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 6, 4, 300)
		o := l.options()
		o.RewriteEvery = 1000 * time.Hour
		l.start(o)
		l.log.seal(l.load.Segment(20_000, time.Now()))
		l.until("offloaded", time.Hour, l.drained)
		if err := l.tier.Trim(t.Context(), 2, math.MaxInt64); err != nil {
			t.Fatal(err)
		}
		l.log.drop(2)
		time.Sleep(10 * forgetEvery)
		l.stop()
		l.log.restart(true)
		o.Replay = l.log.replay(true)
		l.start(o)
		defer l.stop()
		if _, ok, _ := l.tier.Extent(2); ok {
			t.Error("a deleted topic is back")
		}
	})
}
