package diagnose

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose/history"
)

// day plays ticks of five seconds on a cluster whose first day it is.
type day struct {
	t    *testing.T
	tick *Tick
	mem  Memory
	now  time.Time
	last streamkeeper.Report
}

func firstDay(t *testing.T, l *lab) *day {
	d := &day{t: t, tick: l.tick(t), now: clock}
	d.tick.Config.Shadow = 24 * time.Hour
	return d
}

// play goes on for a while and returns what changed.
func (d *day) play(span time.Duration) []streamkeeper.Incident {
	d.t.Helper()
	var all []streamkeeper.Incident
	for end := d.now.Add(span); d.now.Before(end); d.now = d.now.Add(5 * time.Second) {
		r, changed, next, err := d.tick.Run(context.Background(), "c", d.now, d.mem)
		if err != nil {
			d.t.Fatal(err)
		}
		d.last, d.mem = r, next
		all = append(all, changed...)
	}
	return all
}

// loud are the changes that receivers would hear of.
func loudOnes(all []streamkeeper.Incident) []streamkeeper.Incident {
	var out []streamkeeper.Incident
	for _, i := range all {
		if !i.Standing {
			out = append(out, i)
		}
	}
	return out
}

// late makes a group late and rebalance, without any event.
func (l *lab) late(group string, lag float64) {
	l.set("group_lag_seconds", group, lag)
	l.set("group_rebalances", group, 8)
	l.set("group_record_seconds", group, .03125)
}

func TestWhatStandsIsListedAndNotTold(t *testing.T) {
	l := newLab()
	l.late("orders", 40)
	d := firstDay(t, l)
	changed := d.play(20 * time.Minute)
	if len(changed) == 0 || len(loudOnes(changed)) > 0 {
		t.Fatalf("incidents %+v; want one that stands", changed)
	}
	f := d.last.Findings
	if len(f) == 0 || !f[0].Standing || d.last.FirstDay == nil || d.last.FirstDay.Standing != 2 || !d.last.Symptoms[0].Standing {
		t.Fatalf("findings %+v, first day %+v", f, d.last.FirstDay)
	}
	if until := d.last.FirstDay.Until; !until.Equal(clock.Add(24 * time.Hour)) {
		t.Errorf("the first day ends at %s", until)
	}

	t.Run("another group's trouble is told", func(t *testing.T) {
		d := *d
		l.overrun("billing", d.now)
		changed := loudOnes(d.play(2 * time.Minute))
		if len(changed) == 0 || changed[0].Root.Entity != group("billing") {
			t.Errorf("incidents %+v", changed)
		}
		l.set("group_lag_seconds", "billing", 1)
		l.set("group_rebalances", "billing", 0)
	})
	t.Run("it is told when it becomes worse", func(t *testing.T) {
		d := *d
		l.late("orders", 90) // beyond the service level
		changed := loudOnes(d.play(time.Minute))
		if len(changed) != 1 || changed[0].Severity != streamkeeper.SeverityCritical || changed[0].Root.Entity != group("orders") {
			t.Errorf("incidents %+v", changed)
		}
		l.late("orders", 40)
	})
	t.Run("it is told when it comes back", func(t *testing.T) {
		d := *d
		l.late("orders", 1)
		l.set("group_rebalances", "orders", 0)
		d.play(10 * time.Minute)
		l.late("orders", 40)
		if changed := loudOnes(d.play(2 * time.Minute)); len(changed) == 0 {
			t.Error("nothing was told")
		}
	})
	t.Run("when the day is over it is no longer special", func(t *testing.T) {
		d := *d
		d.now = clock.Add(24*time.Hour + time.Minute)
		if changed := d.play(time.Minute); len(changed) > 0 {
			t.Errorf("the end of the day is no news of its own: %+v", changed)
		}
		if i := d.mem.Stories.Open[0].Incident; i.Standing || d.last.FirstDay != nil {
			t.Errorf("it still stands: %+v", i)
		}
	})
}

// What begins in the first minutes is told when it is known to begin.
func TestWhatBeginsEarlyIsTold(t *testing.T) {
	l := newLab()
	d := firstDay(t, l)
	d.play(6 * time.Minute) // longer than the windows of the symptoms
	l.overrun("orders", d.now)
	if changed := loudOnes(d.play(time.Minute)); len(changed) == 0 {
		t.Error("a fault after six calm minutes was not told")
	}
}

// A group that came after watching began cannot have stood.
func TestNewcomersDoNotStand(t *testing.T) {
	l := newLab()
	l.set("streamkeeper_cluster_watched_seconds", "c", 120)
	l.set("streamkeeper_group_watched_seconds", "orders", 20)
	l.overrun("orders", clock)
	if changed := loudOnes(firstDay(t, l).play(time.Minute)); len(changed) == 0 {
		t.Error("the trouble of a new group was not told")
	}
}

func TestWithoutAFirstDayNothingStands(t *testing.T) {
	l := newLab()
	l.late("orders", 90)
	d := firstDay(t, l)
	d.tick.Config.Shadow = 0
	if changed := d.play(2 * time.Minute); len(changed) == 0 || changed[0].Standing || d.last.FirstDay != nil {
		t.Errorf("incidents %+v", changed)
	}
}

// The loop tells nobody during the first day, and in one message what is left of it at its end.
func TestLoopRollsUpTheFirstDay(t *testing.T) {
	tick := newLab().tick(t)
	synctest.Test(t, func(t *testing.T) {
		lab, press := newLab(), &press{}
		lab.late("orders", 40)
		tick := *tick
		tick.Signals, tick.World, tick.Events = lab, lab, lab
		l := NewLoop(LoopOptions{
			Tick: &tick, Clusters: func() []string { return []string{"c"} }, Publisher: press,
			Shadow: func(string) time.Duration { return time.Hour },
		})
		stop := runLoop(t, l)
		defer stop()
		time.Sleep(59 * time.Minute)
		open, _ := l.Incidents(t.Context(), "c", streamkeeper.IncidentOpen, 0)
		if _, rollups := press.printed(); len(open) != 1 || open[0].Untold != streamkeeper.UntoldStanding || len(press.states()) > 0 || len(rollups) > 0 {
			t.Fatalf("open %+v, told %v, roll-ups %v", open, press.states(), rollups)
		}
		time.Sleep(2 * time.Minute)
		if _, rollups := press.printed(); len(press.states()) > 0 || len(rollups) != 1 || rollups[0].Reason != streamkeeper.UntoldStanding || rollups[0].Count != 1 {
			t.Fatalf("told %v, roll-ups %+v", press.states(), rollups)
		}
		lab.set("group_lag_seconds", "orders", 1)
		lab.set("group_rebalances", "orders", 0)
		time.Sleep(10 * time.Minute)
		if got := press.states(); len(got) != 1 || got[0] != streamkeeper.IncidentResolved {
			t.Errorf("told %v; want the end of what was rolled up", got)
		}
	})
}

// A restart goes on with the first day; who comes back after longer than it begins anew.
func TestFirstDayOutlivesARestart(t *testing.T) {
	store, err := history.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	start := func() (*Loop, *watched) {
		l := NewLoop(LoopOptions{Tick: newLab().tick(t), Clusters: func() []string { return nil }, Publisher: &press{}, History: store})
		l.adopt("c")
		l.restore(t.Context(), "c", 24*time.Hour)
		return l, l.clusters["c"]
	}
	now := time.Now()
	l, w := start()
	w.memory.Shadow = Shadow{Since: now.Add(-time.Hour).UTC(), Standing: map[string]time.Time{"lag_growth|group/orders@c": now.UTC()}}
	i := story("g0", streamkeeper.IncidentOpen)
	i.Standing = true
	if _, ok := l.admit("c", w, i, false, now); ok {
		t.Error("what stands was told")
	}
	if err := store.SaveIncident(t.Context(), i, []byte(`{"incident":{"id":"g0","standing":true}}`)); err != nil {
		t.Fatal(err)
	}
	l.remember(t.Context(), "c", w, now)

	l, w = start()
	if !w.memory.Shadow.Since.Equal(now.Add(-time.Hour)) || len(w.memory.Shadow.Standing) != 1 {
		t.Errorf("after a restart: %+v", w.memory.Shadow)
	}
	i.State = streamkeeper.IncidentUpdated
	if _, ok := l.admit("c", w, i, false, now); ok {
		t.Error("a restart made what stands news")
	}
	if err := store.SaveMemo(t.Context(), "c", []byte(`{"shadow":{"since":"2020-01-01T00:00:00Z"}}`), now.Add(-25*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, w = start(); !w.memory.Shadow.Since.IsZero() {
		t.Errorf("after a day away: %+v", w.memory.Shadow)
	}
}
