package diagnose

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose/history"
)

// press is a Publisher that remembers.
type press struct {
	mu      sync.Mutex
	told    []streamkeeper.Incident
	rollups []streamkeeper.Rollup
}

func (p *press) Rollup(_ context.Context, r streamkeeper.Rollup) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rollups = append(p.rollups, r)
	return nil
}

func (p *press) Publish(_ context.Context, _ streamkeeper.Report, incidents []streamkeeper.Incident) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = append(p.told, incidents...)
	return nil
}

// printed is what was published so far.
func (p *press) printed() (told []streamkeeper.Incident, rollups []streamkeeper.Rollup) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.told), slices.Clone(p.rollups)
}

func (p *press) states() []streamkeeper.IncidentState {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []streamkeeper.IncidentState
	for _, i := range p.told {
		out = append(out, i.State)
	}
	return out
}

// runLoop runs a loop within a synctest bubble; stop ends it and waits.
func runLoop(t *testing.T, l *Loop) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.Run(ctx)
	}()
	return func() { cancel(); <-done }
}

func TestLoopTellsAnIncidentsLife(t *testing.T) {
	tick := newLab().tick(t)
	synctest.Test(t, func(t *testing.T) {
		lab, press := newLab(), &press{}
		tick := *tick
		tick.Signals, tick.World, tick.Events = lab, lab, lab
		l := NewLoop(LoopOptions{Tick: &tick, Clusters: func() []string { return []string{"c"} }, Publisher: press})
		ticks, cancel := l.Subscribe()
		defer cancel()
		stop := runLoop(t, l)
		time.Sleep(time.Minute)
		if len(press.states()) != 0 || len(l.Reports()) != 1 {
			t.Fatalf("told %v, %d reports", press.states(), len(l.Reports()))
		}
		select {
		case <-ticks:
		default:
			t.Error("a subscriber was not told of ticks")
		}
		lab.overrun("orders", time.Now())
		time.Sleep(time.Minute)
		open, err := l.Incidents(t.Context(), "c", streamkeeper.IncidentOpen, 10)
		if err != nil || len(open) != 1 || open[0].Root.Cause != "poll_overrun" {
			t.Fatalf("open incidents %+v, %v", open, err)
		}
		if n := testutil.CollectAndCount(l, "streamkeeper_finding_confidence_ratio"); n != 1 {
			t.Errorf("%d series of findings, want 1", n)
		}
		if problems, err := testutil.CollectAndLint(l); err != nil || len(problems) > 0 {
			t.Errorf("metrics: %v %v", problems, err)
		}
		lab.set("group_lag_seconds", "orders", 1)
		lab.set("group_rebalances", "orders", 0)
		time.Sleep(15 * time.Minute)
		stop()
		states := press.states()
		if len(states) < 2 || states[0] != streamkeeper.IncidentOpen || states[len(states)-1] != streamkeeper.IncidentResolved {
			t.Errorf("told %v, want open … resolved", states)
		}
		if i, ok, err := l.Incident(t.Context(), open[0].ID); err != nil || !ok || i.State != streamkeeper.IncidentResolved {
			t.Errorf("by id: %v %v %v", i.State, ok, err)
		}
	})
}

// A failing source makes the loop blind, not dead: nothing is resolved meanwhile.
func TestLoopSurvivesFailures(t *testing.T) {
	tick := newLab().tick(t)
	synctest.Test(t, func(t *testing.T) {
		lab, press := newLab(), &press{}
		tick := *tick
		tick.Signals, tick.World, tick.Events = lab, lab, lab
		l := NewLoop(LoopOptions{Tick: &tick, Clusters: func() []string { return []string{"c"} }, Publisher: press})
		stop := runLoop(t, l)
		defer stop()
		time.Sleep(time.Minute)
		lab.overrun("orders", time.Now())
		time.Sleep(time.Minute)
		lab.mu.Lock()
		lab.fail = errors.New("connection refused")
		lab.mu.Unlock()
		time.Sleep(30 * time.Minute)
		if got := press.states(); len(got) != 1 {
			t.Errorf("told %v while blind, want the opening only", got)
		}
		lab.mu.Lock()
		lab.fail = nil
		lab.mu.Unlock()
		lab.event(time.Now(), "member_left", "orders", map[string]any{"member": "m", "reason": "poll timeout"})
		time.Sleep(time.Minute)
		if open, _ := l.Incidents(t.Context(), "", streamkeeper.IncidentOpen, 0); len(open) != 1 {
			t.Errorf("%d open incidents after it sees again, want the same one", len(open))
		}
	})
}

// An open incident keeps its id over a restart, and is not told as new.
func TestLoopGoesOnAfterARestart(t *testing.T) {
	store, err := history.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	lab := newLab()
	// a fault that has been there from the start, so that both runs see it without any history
	lab.overrun("orders", time.Now().Add(-20*time.Second))
	var ids []string
	for range 2 {
		press := &press{}
		tick := lab.tick(t)
		tick.Config.Interval = 20 * time.Millisecond
		l := NewLoop(LoopOptions{Tick: tick, Clusters: func() []string { return []string{"c"} }, Publisher: press, History: store})
		ticks, cancel := l.Subscribe()
		stop := runLoop(t, l)
		deadline := time.After(5 * time.Second)
		for len(ids) == 0 || len(l.Reports()) == 0 {
			select {
			case <-ticks:
			case <-deadline:
				t.Fatal("no incident opened")
			}
			if open, _ := l.Incidents(t.Context(), "c", streamkeeper.IncidentOpen, 0); len(open) > 0 {
				ids = append(ids, open[0].ID)
			}
		}
		<-ticks
		stop()
		cancel()
		list, err := l.Incidents(t.Context(), "", "", 0)
		if err != nil || len(list) != 1 || list[0].ID != ids[0] {
			t.Fatalf("incidents %+v, %v; want only %s", list, err, ids[0])
		}
	}
}

// A silenced incident is kept, but not told.
func TestLoopHonoursSilences(t *testing.T) {
	tick := newLab().tick(t)
	synctest.Test(t, func(t *testing.T) {
		lab, press := newLab(), &press{}
		tick := *tick
		tick.Signals, tick.World, tick.Events = lab, lab, lab
		tick.Ledger = ledger{{ID: "s", Kind: history.Silence, Entity: "group/*@c"}}
		l := NewLoop(LoopOptions{Tick: &tick, Clusters: func() []string { return []string{"c"} }, Publisher: press})
		stop := runLoop(t, l)
		time.Sleep(time.Minute)
		lab.overrun("orders", time.Now())
		time.Sleep(time.Minute)
		stop()
		if open, _ := l.Incidents(t.Context(), "", streamkeeper.IncidentOpen, 0); len(open) != 1 || len(press.states()) != 0 {
			t.Errorf("%d open incidents, told %v; want one that is not told", len(open), press.states())
		}
	})
}
