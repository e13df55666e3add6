package cli

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

func TestStaleClusterIsNotHealthy(t *testing.T) {
	fresh, old := 1.8, 39.0
	for name, c := range map[string]struct {
		state  streamkeeper.HealthState
		source streamkeeper.Source
		enough bool
	}{
		"never read":                         {streamkeeper.HealthUnknown, streamkeeper.Source{Error: "refused"}, false},
		"read until the end":                 {streamkeeper.Healthy, streamkeeper.Source{FreshSeconds: &fresh}, true},
		"one round failed":                   {streamkeeper.Healthy, streamkeeper.Source{FreshSeconds: &fresh, Error: "deadline"}, true},
		"healthy when it was last read":      {streamkeeper.HealthUnknown, streamkeeper.Source{FreshSeconds: &old, Stale: true, Error: "deadline"}, false},
		"what is wrong is told all the same": {streamkeeper.Critical, streamkeeper.Source{FreshSeconds: &old, Stale: true, Error: "deadline"}, true},
	} {
		err := seenEnough(streamkeeper.Report{Health: streamkeeper.Health{State: c.state}}, []streamkeeper.Source{c.source})
		if (err == nil) != c.enough {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// slowCluster takes some time for a look.
type slowCluster time.Duration

func (slowCluster) Name() string { return "slow" }
func (slowCluster) Kind() string { return "kafka" }

func (s slowCluster) Collect(ctx context.Context, _ time.Time, _ collectors.Sink) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Duration(s)):
		return nil
	}
}

// warmCluster takes time for its first look only.
type warmCluster struct {
	slowCluster
	first time.Duration
}

func (w *warmCluster) Collect(ctx context.Context, now time.Time, sink collectors.Sink) error {
	if w.slowCluster == 0 {
		w.slowCluster = slowCluster(100 * time.Millisecond)
		return slowCluster(w.first).Collect(ctx, now, sink)
	}
	return w.slowCluster.Collect(ctx, now, sink)
}

// A tick after a look sees what that stored, and knows that nothing else happened before it.
func TestTicksLookBackToTheLook(t *testing.T) {
	began := time.Now()
	for range 1000 {
		began = began.Add(1_234_567 * time.Nanosecond)
		now := began.Add(1_111_111_111 * time.Nanosecond)
		if sees := now.Add(-sinceLook(now, began)); sees.After(began) || sees.UnixMilli() != began.UnixMilli() {
			t.Fatalf("a look at %s is seen as of %s", began, sees)
		}
	}
}

func TestLongestGap(t *testing.T) {
	second := func(n int) time.Time { return time.Unix(int64(n), 0) }
	for want, times := range map[time.Duration][]time.Time{
		0: {second(5)}, 4 * time.Second: {second(0), second(2), second(6), second(8)},
	} {
		if got := longestGap(times); got != want {
			t.Errorf("%v: %s, want %s", times, got, want)
		}
	}
}

// Also where the cluster is slow most looks end before the next is due, and only where looks take long there are few.
func TestFirstLookSetsThePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for took, want := range map[time.Duration]time.Duration{
			100 * time.Millisecond: observeInterval, 2400 * time.Millisecond: 3600 * time.Millisecond, time.Minute: 6 * time.Second,
		} {
			if got := firstLooks(t.Context(), slowCluster(took), nil, time.Minute); got != want {
				t.Errorf("a look of %s: then each %s, want %s", took, got, want)
			}
		}
		for _, first := range []time.Duration{2500 * time.Millisecond, 4 * time.Second, time.Minute} {
			if got := firstLooks(t.Context(), &warmCluster{first: first}, nil, time.Minute); got != observeInterval {
				t.Errorf("a cluster whose first look alone takes long, %s: then each %s", first, got)
			}
		}
		if got := firstLooks(t.Context(), slowCluster(time.Minute), nil, 10*time.Second); got != observeInterval {
			t.Errorf("in ten seconds each %s", got)
		}
	})
}
