package tier

import (
	"bytes"
	"context"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/tiertest"
)

// Many short runs become few long ones, and everything reads back from them.
func TestShortRunsAreMerged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1, 20, 300)
		o := l.options()
		l.start(o)
		defer l.stop()
		for range 64 {
			l.log.seal(l.load.Segment(20_000, time.Now()))
			time.Sleep(time.Second) // objects are ordered by the time they were made
		}
		l.until("offloaded", time.Hour, l.drained)
		l.until("merged", time.Hour, func() bool { return l.tier.Stats().Objects <= 2*fanIn })
		for stream := range uint32(20) {
			if e, _, _ := l.tier.Extent(stream); e.Rows > 2*fanIn {
				t.Errorf("stream %d has %d runs", stream, e.Rows)
			}
		}
		l.checkAll(5000)
		if s := l.tier.Stats(); s.RewriteBytes > 4*s.ObjectBytes {
			t.Errorf("%d bytes were written to keep %d", s.RewriteBytes, s.ObjectBytes)
		}
		time.Sleep(time.Hour)
		l.checkStore()
	})
}

// Topics come and go: the bucket stays within 1.3 times what is live, and nothing
// of a deleted topic is left a day later.
func TestBucketShrinksAfterTopicChurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2, 12, 300)
		o := l.options()
		o.ProbeEvery, o.RewriteEvery = time.Hour, time.Minute
		l.start(o)
		defer l.stop()
		for round := range uint32(6) {
			for range 10 {
				l.log.seal(l.load.Segment(20_000, time.Now()))
			}
			l.until("offloaded", time.Hour, l.drained)
			l.log.drop(2 * round)
			if err := l.tier.Trim(t.Context(), 2*round, math.MaxInt64); err != nil {
				t.Fatal(err)
			}
			delete(l.load.Batches, 2*round)
			time.Sleep(time.Hour)
			stored := 0
			for _, name := range l.store.Names("objects/") {
				stored += len(l.store.Object(name))
			}
			if s := l.tier.Stats(); float64(stored) > 1.3*float64(s.LiveBytes) {
				t.Errorf("round %d: the bucket holds %d bytes, live are %d", round, stored, s.LiveBytes)
			}
		}
		time.Sleep(25 * time.Hour)
		l.tier.state.mu.Lock()
		for id, k := range l.tier.state.objects {
			if k.live < k.data && k.deadline.Before(time.Now()) && !k.deadline.IsZero() {
				t.Errorf("object %x still holds %d dead bytes of a deleted topic", id, k.data-k.live)
			}
		}
		l.tier.state.mu.Unlock()
		for stream, batches := range l.load.Batches {
			var want []byte
			for _, b := range batches {
				if _, ok, _ := l.tier.Lookup(stream, b.Base); ok {
					want = append(want, b.Bytes...)
				}
			}
			if len(want) > 0 && !bytes.Equal(l.readFrom(stream, batches[0].Base, 5000), want) {
				t.Errorf("stream %d differs", stream)
			}
		}
	})
}

// A damaged source is reported and left alone: its bytes are never given a new
// checksum. The others are merged.
func TestDamagedObjectIsNotRewritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3, 4, 300)
		for range 2 * fanIn {
			l.log.seal(l.load.Segment(10_000, time.Now()))
		}
		o := l.options()
		l.store.Inject = func(c tiertest.Call) tiertest.Fault { // before rewriting begins
			if c.Op == "put" && strings.HasPrefix(c.Name, "objects/") {
				return tiertest.Fault{Delay: time.Millisecond}
			}
			return tiertest.Fault{}
		}
		l.start(o)
		defer l.stop()
		l.until("offloaded", 4*time.Second, l.drained)
		bad := l.store.Names("objects/")[3]
		b := bytes.Clone(l.store.Object(bad))
		b[len(b)/3] ^= 16
		l.store.Replace(bad, b)
		l.until("noticed", time.Minute, func() bool { return len(l.seen.of(EventObjectCorrupt)) > 0 })
		l.until("the others merged", 10*time.Minute, func() bool { return l.tier.Stats().Rewrites > 0 })
		time.Sleep(20 * time.Minute)
		if !bytes.Equal(l.store.Object(bad), b) {
			t.Error("the damaged object is gone")
		}
		if n := len(l.seen.of(EventObjectCorrupt)); n > 3 {
			t.Errorf("%d events about one damaged object", n)
		}
	})
}

// While the store fails or uploads are late nothing is rewritten.
func TestRewritingWaitsForTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 4, 4, 300)
		for range 2 * fanIn {
			l.log.seal(l.load.Segment(10_000, time.Now()))
		}
		var failing atomic.Bool
		failing.Store(true)
		l.store.Inject = func(c tiertest.Call) tiertest.Fault {
			if failing.Load() && (c.Op == "probe" || c.Op == "head" || c.Op == "get") {
				return tiertest.Fault{Err: tiertest.ErrInternal}
			}
			return tiertest.Fault{}
		}
		o := l.options()
		l.start(o)
		defer l.stop()
		time.Sleep(10 * time.Minute)
		if s := l.tier.Stats(); s.Rewrites > 0 {
			t.Fatalf("%d rewrites while reads fail", s.Rewrites)
		}
		failing.Store(false)
		l.until("merged", 10*time.Minute, func() bool { return l.tier.Stats().Rewrites > 0 })
		l.checkAll(5000)
	})
}

// A reader is not disturbed when its run moves to another object.
func TestReadsFollowRewrittenRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 5, 3, 300)
		l.store.Inject = func(c tiertest.Call) tiertest.Fault {
			return tiertest.Fault{Delay: time.Duration(c.N%7) * 100 * time.Millisecond}
		}
		l.start(l.options())
		defer l.stop()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				l.log.seal(l.load.Segment(6000, time.Now()))
				time.Sleep(2 * time.Second)
			}
		}()
		time.Sleep(3 * time.Minute)
		cancel()
		<-done
		for range 30 {
			l.checkAll(2000)
			time.Sleep(time.Second)
		}
		if l.tier.Stats().Rewrites == 0 {
			t.Fatal("nothing was rewritten meanwhile")
		}
	})
}
