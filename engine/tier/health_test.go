package tier

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/objectstore"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/tiertest"
)

// weather is a fault that can be switched while a tier runs.
type weather struct {
	mu    sync.Mutex
	fault func(tiertest.Call) tiertest.Fault
}

func (w *weather) set(f func(tiertest.Call) tiertest.Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = f
}

func (w *weather) inject(c tiertest.Call) tiertest.Fault {
	w.mu.Lock()
	f := w.fault
	w.mu.Unlock()
	if f == nil {
		return tiertest.Fault{Delay: 10 * time.Millisecond}
	}
	return f(c)
}

// Without any traffic a dead store is noticed, named by class, and its recovery
// too, within seconds.
func TestIdleProbeTellsHowTheStoreIs(t *testing.T) {
	for name, c := range map[string]struct {
		fault tiertest.Fault
		class Class
	}{
		"refused":    {tiertest.Fault{Err: tiertest.ErrRefused}, objectstore.ClassDown},
		"black hole": {tiertest.Fault{Hang: true}, objectstore.ClassDown},
		"denied":     {tiertest.Fault{Err: tiertest.ErrDenied}, objectstore.ClassDenied},
		"throttled":  {tiertest.Fault{Err: tiertest.ErrSlowDown}, objectstore.ClassThrottled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, w := newLab(t, 1, 1, 100), &weather{}
				l.store.Inject = w.inject
				l.start(l.options())
				defer l.stop()
				time.Sleep(20 * time.Second)
				if h := l.tier.Stats().Health[callsRead]; h.Failing || time.Since(h.LastOK) > 6*time.Second {
					t.Fatalf("idle health is stale: %+v", h)
				}
				w.set(func(tiertest.Call) tiertest.Fault { return c.fault })
				took := l.until("noticed", 15*time.Second, func() bool { return len(l.seen.of(EventStoreFailing)) == 1 })
				if class := l.seen.of(EventStoreFailing)[0].Attrs["class"]; class != string(c.class) {
					t.Errorf("failing as %v, want %s", class, c.class)
				}
				w.set(nil)
				back := l.until("recovered", 6*time.Second, func() bool { return len(l.seen.of(EventStoreRecovered)) == 1 })
				t.Logf("noticed after %v, recovered after %v", took, back)
			})
		})
	}
}

// A store that denies writes but serves reads keeps failing for writes, whatever
// the probe says, and the backlog goes out when it lets us again.
func TestDeniedWritesAreNotHealedByReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newLab(t, 1, 2, 500), &weather{}
		l.store.Inject = w.inject
		l.start(l.options())
		defer l.stop()
		time.Sleep(2 * time.Second)
		w.set(func(c tiertest.Call) tiertest.Fault {
			if c.Op == "put" {
				return tiertest.Fault{Err: tiertest.ErrDenied}
			}
			return tiertest.Fault{}
		})
		for range 5 {
			l.log.seal(l.load.Segment(10_000, time.Now()))
		}
		time.Sleep(2 * time.Minute)
		s := l.tier.Stats()
		if h := s.Health[callsWrite]; !h.Failing || h.Class != objectstore.ClassDenied || s.Health[callsRead].Failing {
			t.Fatalf("health: %+v", s.Health)
		}
		if s.Frozen < 115*time.Second || s.OldestPending < 115*time.Second || s.PendingSegments != 5 || s.OldestUpload < 115*time.Second {
			t.Fatalf("gauges do not show the stall: %+v", s)
		}
		if n := len(l.seen.of(EventStoreFailing)); n != 1 {
			t.Fatalf("%d failing events, want 1", n)
		}
		w.set(nil)
		took := l.until("drained", 30*time.Second, l.drained)
		l.checkAll(10_000)
		if s := l.tier.Stats(); s.Frozen != 0 || s.PendingBytes != 0 {
			t.Fatalf("after %v: %+v", took, s)
		}
	})
}

// A black hole ends puts long before their size-based deadline, and every
// attempt is seen.
func TestStalledPutsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newLab(t, 1, 2, 500), &weather{}
		l.store.Inject = w.inject
		l.start(l.options())
		defer l.stop()
		time.Sleep(time.Second)
		w.set(func(tiertest.Call) tiertest.Fault { return tiertest.Fault{Hang: true} })
		l.log.seal(l.load.Segment(100_000, time.Now()))
		l.until("three attempts", time.Minute, func() bool { return l.seen.count("put", objectstore.ClassDown) >= 3 })
		l.seen.mu.Lock()
		for _, c := range l.seen.calls {
			if c.Op == "put" && c.Class == objectstore.ClassDown && (c.Duration > 7*time.Second || c.Answered || !errors.Is(c.Err, errStalled)) {
				t.Errorf("put: %+v", c)
			}
		}
		l.seen.mu.Unlock()
		w.set(nil)
		l.until("drained", 30*time.Second, l.drained)
	})
}

// A call into a store that ignores its context is left behind at the deadline,
// and only a bounded number of them pile up.
func TestHungCallsAreAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		o := Options{Objects: hung{release}, Journal: newLocalLog(), Source: newLocalLog()}
		if err := o.complete(); err != nil {
			t.Fatal(err)
		}
		c := newCalls(&o, newHealth(func(Event) {}))
		for range maxAbandoned {
			if err := c.delete(t.Context(), "x"); !errors.Is(err, errStalled) {
				t.Fatal(err)
			}
		}
		began := time.Now()
		if err := c.delete(t.Context(), "x"); !errors.Is(err, errStalled) || time.Since(began) != 0 {
			t.Fatalf("one too many: %v after %v", err, time.Since(began))
		}
		close(release)
		synctest.Wait()
		if err := c.delete(t.Context(), "x"); err != nil {
			t.Fatalf("after they returned: %v", err)
		}
	})
}

type hung struct{ release chan struct{} }

func (h hung) Delete(context.Context, string) error { <-h.release; return nil }

func (hung) Head(context.Context, string) (int64, error) { return 0, nil }

func (hung) Get(context.Context, string, int64, int64) (io.ReadCloser, error) { return nil, nil }

func (hung) Put(context.Context, string, io.ReadSeeker, int64, PutOptions) error { return nil }

// Under a store that serves a few calls and throttles the rest, everything is
// uploaded and the concurrency stays near what the store bears.
func TestThrottlingHalvesUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newLab(t, 1, 2, 500), &weather{}
		l.store.Inject = w.inject
		o := l.options()
		o.MaxUploads = 16
		l.start(o)
		defer l.stop()
		time.Sleep(time.Second)
		w.set(func(c tiertest.Call) tiertest.Fault { return tiertest.Fault{Delay: 2 * time.Second} })
		for range 150 {
			l.log.seal(l.load.Segment(2000, time.Now()))
		}
		l.until("grown", 3*time.Minute, func() bool { return l.tier.Stats().UploadsAllowed >= 6 })
		most := l.tier.Stats().UploadsAllowed
		r, mu := rand.New(rand.NewPCG(1, 1)), sync.Mutex{}
		w.set(func(c tiertest.Call) tiertest.Fault {
			mu.Lock()
			defer mu.Unlock()
			if r.IntN(2) == 0 {
				return tiertest.Fault{Err: tiertest.ErrSlowDown}
			}
			return tiertest.Fault{Delay: 2 * time.Second}
		})
		l.until("halved", time.Minute, func() bool { return l.tier.Stats().UploadsAllowed <= most/2 })
		l.until("drained", 30*time.Minute, l.drained)
		if l.seen.count("put", objectstore.ClassThrottled) == 0 {
			t.Fatal("throttled puts were not observed")
		}
	})
}

func TestLimitFollowsLittlesLaw(t *testing.T) {
	now := time.Unix(1000, 0)
	l := newLimit(32, now)
	for range 60 { // two segments a second, three seconds each: six in flight
		l.arrive(2, now)
		now = now.Add(time.Second)
		l.success(3*time.Second, 0, now)
		l.success(3*time.Second, 0, now)
	}
	if l.allowed < 6 || l.allowed > 8 {
		t.Errorf("allowed %d for 2/s × 3 s, want about 6", l.allowed)
	}
	l.throttled(now)
	l.throttled(now) // the same burst
	if l.allowed > 4 || l.allowed < 3 {
		t.Errorf("allowed %d after throttling, want half", l.allowed)
	}
	for range 100 {
		l.success(60*time.Second, 1000, now)
	}
	if l.allowed != 32 {
		t.Errorf("allowed %d with a large backlog, want the cap 32", l.allowed)
	}
}
