package diagnose

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose/history"
)

// story is an incident as the loop is given it.
func story(id string, state streamkeeper.IncidentState) streamkeeper.Incident {
	return streamkeeper.Incident{
		ID: id, State: state, Cluster: "c", Severity: streamkeeper.SeverityCritical, Headline: id + " is late", Owner: "team " + id[:1],
		Root: streamkeeper.Finding{Cause: "poll_overrun", Entity: group(id)},
	}
}

func TestBudget(t *testing.T) {
	var b budget
	for n := range 3 {
		if told := b.admit(story("a", streamkeeper.IncidentOpen), clock.Add(time.Duration(n)*time.Hour), 2); told != (n < 2) {
			t.Errorf("number %d: told %v", n+1, told)
		}
	}
	lost := story("lost", streamkeeper.IncidentOpen)
	lost.Consequences = []streamkeeper.Finding{{Cause: "offset_out_of_range_reset", Loss: true}}
	if !b.admit(lost, clock.Add(3*time.Hour), 2) {
		t.Error("lost records were held back")
	}
	lost.Severity = streamkeeper.SeverityWarning
	if b.admit(lost, clock.Add(3*time.Hour), 2) {
		t.Error("what is not critical has a budget")
	}
	for after, want := range map[time.Duration]bool{23 * time.Hour: false, 24*time.Hour + time.Minute: false, 25*time.Hour + time.Minute: true} {
		copied := budget{Told: slices.Clone(b.Told)}
		if copied.admit(story("b", streamkeeper.IncidentOpen), clock.Add(after), 2) != want {
			t.Errorf("after %s: want %v; the budget comes back one by one, 24 h after each telling", after, want)
		}
	}
	if !b.admit(story("b", streamkeeper.IncidentOpen), clock.Add(27*time.Hour), 2) {
		t.Error("there is room again, and it was not used")
	}
	for range 100 {
		if !b.admit(story("c", streamkeeper.IncidentOpen), clock, 0) {
			t.Fatal("0 is no limit")
		}
	}
}

func TestRollupListsEachOnce(t *testing.T) {
	var b budget
	if _, ok := b.rollup("c", clock, time.Hour); ok {
		t.Error("a roll-up of nothing")
	}
	for _, id := range []string{"a1", "a2", "b1"} {
		b.hold(story(id, streamkeeper.IncidentOpen))
	}
	r, ok := b.rollup("c", clock, time.Hour)
	if !ok || r.Count != 3 || len(r.Held) != 2 || r.Held[0].Count != 2 || r.Held[0].Owner != "team a" || r.Severity != streamkeeper.SeverityCritical {
		t.Fatalf("%v %+v", ok, r)
	}
	b.over(story("a1", streamkeeper.IncidentResolved)) // listed: done with
	b.hold(story("a2", streamkeeper.IncidentUpdated))  // listed: no news
	b.hold(story("b2", streamkeeper.IncidentOpen))
	b.over(story("b2", streamkeeper.IncidentResolved)) // came and went: still to be listed
	if _, ok := b.rollup("c", clock.Add(59*time.Minute), time.Hour); ok {
		t.Error("two roll-ups within the hour")
	}
	r, ok = b.rollup("c", clock.Add(time.Hour), time.Hour)
	if !ok || r.Count != 1 || r.Held[0].Incidents[0].ID != "b2" || r.Held[0].Incidents[0].State != streamkeeper.IncidentResolved {
		t.Errorf("%v %+v", ok, r)
	}
	if len(b.Held) != 2 {
		t.Errorf("still kept: %v; want the open ones, which receivers have not heard of", b.Held)
	}
}

func TestHeldIsBounded(t *testing.T) {
	var b budget
	for i := range maxHeld + 7 {
		b.hold(story(fmt.Sprintf("g%d", i), streamkeeper.IncidentOpen))
	}
	if r, ok := b.rollup("c", clock, time.Hour); !ok || r.Count != maxHeld+7 || len(b.Held) != maxHeld {
		t.Errorf("%v, %d incidents, %d kept", ok, r.Count, len(b.Held))
	}
}

// crowd is a lab with many groups.
func crowd(n int) *lab {
	l := newLab()
	l.groups = nil
	for i := range n {
		g := fmt.Sprintf("g%02d", i)
		l.groups = append(l.groups, g)
		l.set("group_lag_seconds", g, 1)
		l.set("group_rebalances", g, 0)
		l.set("group_record_seconds", g, .01)
		l.set("group_poll_interval", g, 6)
		l.set("streamkeeper_group_watched_seconds", g, 7200)
	}
	return l
}

// A storm is told up to the budget, then in one message; the page has it all.
func TestLoopKeepsToTheBudget(t *testing.T) {
	tick := crowd(8).tick(t)
	synctest.Test(t, func(t *testing.T) {
		lab, press := crowd(8), &press{}
		tick := *tick
		tick.Signals, tick.World, tick.Events, tick.Config.URL = lab, lab, lab, "http://sk:8080"
		tick.Config.Scopes = []Scope{{Groups: "*", Owner: "payments"}}
		l := NewLoop(LoopOptions{Tick: &tick, Clusters: func() []string { return []string{"c"} }, Publisher: press, Budget: 3, RollupEvery: 10 * time.Minute})
		stop := runLoop(t, l)
		defer stop()
		time.Sleep(time.Minute)
		for _, g := range lab.groups {
			lab.overrun(g, time.Now())
		}
		time.Sleep(time.Minute)
		open, _ := l.Incidents(t.Context(), "c", streamkeeper.IncidentOpen, 0)
		untold := 0
		for _, i := range open {
			if i.Untold == streamkeeper.UntoldBudget {
				untold++
			}
		}
		published, rollups := press.printed()
		told := map[string]bool{}
		for _, i := range published {
			told[i.ID] = true
		}
		if len(open) != 8 || len(told) != 3 || untold != 5 {
			t.Fatalf("%d open, %d told, %d held back; want 8, 3, 5", len(open), len(told), untold)
		}
		if len(rollups) != 1 {
			t.Fatalf("%d roll-ups, want 1", len(rollups))
		}
		r := rollups[0]
		if r.Count != 5 || len(r.Held) != 1 || r.Held[0].Cause != "poll_overrun" || r.Held[0].Owner != "payments" || r.URL != "http://sk:8080/#/incidents" {
			t.Errorf("roll-up %+v", r)
		}
		if want := "5 incidents of c held back, the budget of 3 a day is used up: 5 × poll_overrun (payments)"; r.Headline != want {
			t.Errorf("headline %q, want %q", r.Headline, want)
		}
		if n := testutil.ToFloat64(l.metrics.untold.WithLabelValues("c", "budget")); n != 5 {
			t.Errorf("%v counted, want 5", n)
		}
		for _, g := range lab.groups {
			lab.set("group_lag_seconds", g, 1)
			lab.set("group_rebalances", g, 0)
		}
		time.Sleep(30 * time.Minute)
		published, rollups = press.printed()
		for _, i := range published {
			if !told[i.ID] {
				t.Errorf("%s (%s) was told of an incident that was held back", i.ID, i.State)
			}
		}
		if len(rollups) != 1 {
			t.Errorf("%d roll-ups, want the one: nothing new was held back", len(rollups))
		}
	})
}

// A restart does not give the budget back, and does not tell what was held back.
func TestBudgetOutlivesARestart(t *testing.T) {
	store, err := history.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	start := func() (*Loop, *watched) {
		l := NewLoop(LoopOptions{Tick: newLab().tick(t), Clusters: func() []string { return nil }, Publisher: &press{}, History: store, Budget: 2})
		l.adopt("c")
		l.restore(t.Context(), "c", 0)
		return l, l.clusters["c"]
	}
	l, w := start()
	for i, want := range []bool{true, true, false} {
		if _, ok := l.admit("c", w, story(fmt.Sprintf("g%d", i), streamkeeper.IncidentOpen), false, clock); ok != want {
			t.Errorf("incident %d told: %v", i, ok)
		}
		if err := store.SaveIncident(t.Context(), story(fmt.Sprintf("g%d", i), streamkeeper.IncidentOpen), []byte(fmt.Sprintf(`{"incident":{"id":"g%d"}}`, i))); err != nil {
			t.Fatal(err)
		}
	}
	l.remember(t.Context(), "c", w, clock)

	l, w = start()
	later := clock.Add(time.Hour)
	if _, ok := l.admit("c", w, story("new", streamkeeper.IncidentOpen), false, later); ok {
		t.Error("the budget was given back")
	}
	if _, ok := l.admit("c", w, story("g0", streamkeeper.IncidentUpdated), false, later); !ok {
		t.Error("an incident that was told is not told on")
	}
	if _, ok := l.admit("c", w, story("g2", streamkeeper.IncidentResolved), false, later); ok {
		t.Error("the end of an incident was told whose beginning was not")
	}
	if i, ok := l.admit("c", w, story("new", streamkeeper.IncidentUpdated), false, clock.Add(25*time.Hour)); !ok || i.State != streamkeeper.IncidentOpen {
		t.Errorf("told %v as %s; want it to open for who has not heard of it", ok, i.State)
	}
}
