package tier

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/tiertest"
)

// The disk of this log bears three uploads; with more, each commit takes 25 times as long.
const bearable = 3

func (l *lab) commitBeside(ctx context.Context) {
	every := time.NewTicker(100 * time.Millisecond)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		each := 2 * time.Millisecond
		if l.tier.Stats().UploadsInFlight > bearable {
			each = 50 * time.Millisecond
		}
		l.log.commit(20, each)
	}
}

// drain lets a backlog of 300 segments go, and returns the share of the looks at which more uploads than bearable ran.
func drain(t *testing.T, urgent int64) (over float64) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newLab(t, 1, 2, 500), &weather{}
		l.store.Inject = w.inject
		w.set(func(tiertest.Call) tiertest.Fault { return tiertest.Fault{Delay: 2 * time.Second} })
		o := l.options()
		o.MaxUploads, o.UrgentBytes = 16, urgent
		for range 300 {
			l.log.seal(l.load.Segment(2000, time.Now()))
		}
		l.start(o)
		defer l.stop()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go l.commitBeside(ctx)
		looks, busy := 0.0, 0.0
		l.until("drained", 30*time.Minute, func() bool {
			looks++
			if l.tier.Stats().UploadsInFlight > bearable {
				busy++
			}
			return l.drained()
		})
		over = busy / looks
	})
	return over
}

func TestUploadsYieldToTheLog(t *testing.T) {
	polite, urgent := drain(t, 0), drain(t, 1)
	t.Logf("more uploads ran than the disk bears %.0f %% of the time, %.0f %% with the log nearly full", 100*polite, 100*urgent)
	if polite > 0.3 {
		t.Errorf("%.0f %% of the time more uploads ran than the log's disk bears", 100*polite)
	}
	if urgent < 2*polite { // the end of a backlog needs few
		t.Errorf("with the log nearly full uploads yielded: more than %d ran in %.0f %% of the time only", bearable, 100*urgent)
	}
}

func TestStrain(t *testing.T) {
	var s strain
	now, commits, took := time.Unix(1000, 0), int64(0), time.Duration(0)
	look := func(n int64, each time.Duration, few bool) bool {
		now, commits, took = now.Add(time.Second), commits+n, took+time.Duration(n)*each
		return s.look(commits, took, few, now)
	}
	if look(10, 5*time.Millisecond, false) {
		t.Error("strained at the first look, which has nothing to compare with")
	}
	look(10, 3*time.Millisecond, true)
	look(10, 3*time.Millisecond, true)
	for _, c := range []struct {
		n    int64
		each time.Duration
		few  bool
		want bool
	}{
		{10, 3 * time.Millisecond, false, false},
		{10, 10 * time.Millisecond, false, false}, // noticed by nobody
		{10, 12 * time.Millisecond, false, true},
		{0, 0, false, false},                     // nothing was committed
		{10, 20 * time.Millisecond, true, false}, // nothing could be less
	} {
		if got := look(c.n, c.each, c.few); got != c.want {
			t.Errorf("%d commits of %s, few %v: strained %v, want %v", c.n, c.each, c.few, got, c.want)
		}
	}
	if s.calm != 3*time.Millisecond {
		t.Errorf("calm is %s after one slow look that followed many uploads, want 3 ms", s.calm)
	}
	for range 120 {
		look(10, 20*time.Millisecond, true)
	}
	if s.calm < 15*time.Millisecond || s.calm > 20*time.Millisecond {
		t.Errorf("calm is %s two minutes after the disk became slower, want almost 20 ms", s.calm)
	}
}
