package diagnose

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose/advise"
	"github.com/streamkeeper-io/streamkeeper/diagnose/history"
)

func TestHealthyClusterIsQuiet(t *testing.T) {
	l := newLab()
	r, changed, _ := run(t, l.tick(t), Memory{}, clock, 20)
	if len(r.Findings) != 0 || len(changed) != 0 || r.Health.State != streamkeeper.Healthy || *r.Health.Score != 100 {
		t.Errorf("findings %v, incidents %v, health %+v", r.Findings, changed, r.Health)
	}
	if r.Headline != "nothing is wrong" {
		t.Errorf("headline %q", r.Headline)
	}
}

func TestPollOverrun(t *testing.T) {
	l := newLab()
	_, _, mem := run(t, l.tick(t), Memory{}, clock, 5)
	at := clock.Add(25 * time.Second)
	l.overrun("orders", at)
	r, changed, _ := run(t, l.tick(t), mem, at.Add(5*time.Second), 4)
	if len(r.Findings) == 0 {
		t.Fatalf("no finding; not judged: %+v", r.NotJudged)
	}
	f := r.Findings[0]
	if f.Cause != "poll_overrun" || f.Entity != group("orders") || f.Verdict != streamkeeper.VerdictRootCause || f.Confidence < .9 {
		t.Fatalf("%s on %s %s %.3f, want the root cause poll_overrun on orders", f.Cause, f.Entity, f.Verdict, f.Confidence)
	}
	if f.ID != "poll_overrun@group/orders@c" || f.Summary != "One member (orders-2@10.0.4.17) takes too long." {
		t.Errorf("id %q, summary %q", f.ID, f.Summary)
	}
	if len(f.Locus) != 1 || f.Locus[0] != (streamkeeper.Locus{Kind: "member", Name: "orders-2@10.0.4.17"}) {
		t.Errorf("locus %v", f.Locus)
	}
	if len(f.Advice) != 1 || f.Advice[0].Do != "max.poll.records = 96" {
		t.Errorf("advice %+v, want the computed 96", f.Advice)
	}
	if f.Scale == nil || f.Scale.Do != "no" {
		t.Errorf("scale %+v", f.Scale)
	}
	why := map[string]streamkeeper.Bearing{}
	for _, e := range f.Evidence {
		why[e.ID] = e.Bearing
		finite(t, e.ID, e.Weight)
	}
	if why["left_on_poll_timeout"] != streamkeeper.Supports || why["records_slow"] != streamkeeper.Supports {
		t.Errorf("evidence %+v", f.Evidence)
	}
	rival := ""
	for _, a := range f.Alternatives {
		if a.Cause == "network" {
			rival = a.WhyNot
		}
	}
	if !strings.Contains(rival, `left with "poll timeout"`) {
		t.Errorf("why not network: %q", rival)
	}
	if !f.Since.Equal(at) && f.Since.Before(at.Add(-time.Second)) {
		t.Errorf("since %s, want about %s", f.Since, at)
	}
	if len(changed) != 1 || changed[0].Headline != "orders is 4 m 12 s late and rebalanced 8 times" || changed[0].ID != f.Incident {
		t.Errorf("incidents %+v", changed)
	}
	if len(changed) == 1 && len(changed[0].Advice) != 1 {
		t.Errorf("the incident has no advice: %+v", changed[0])
	}
	if len(r.Recommendations) != 0 && r.Recommendations[0].Kind == streamkeeper.ScaleConsumers {
		t.Errorf("recommends scaling out of a poll overrun: %+v", r.Recommendations)
	}
}

// The event is decisive: it is told at the first tick that sees it.
func TestDecisiveFactIsToldAtOnce(t *testing.T) {
	l := newLab()
	_, _, mem := run(t, l.tick(t), Memory{}, clock, 5)
	at := clock.Add(25 * time.Second)
	l.overrun("orders", at)
	if r, _, _ := run(t, l.tick(t), mem, at.Add(5*time.Second), 1); len(r.Findings) != 1 {
		t.Errorf("findings %+v, not judged %+v", r.Findings, r.NotJudged)
	}
}

func TestSharedCauseFoldsGroups(t *testing.T) {
	l := newLab()
	_, _, mem := run(t, l.tick(t), Memory{}, clock, 5)
	at := clock.Add(25 * time.Second)
	l.set("store_backlog_bytes", "bucket", 5000)
	l.set("store_failed_share", "bucket", .9)
	l.set("store_probe_failures", "bucket", 5)
	r, changed, mem := run(t, l.tick(t), mem, at, 5)
	if len(r.Findings) != 1 || r.Findings[0].Cause != "store_down" {
		t.Fatalf("findings %+v; not judged %+v", r.Findings, r.NotJudged)
	}
	if len(changed) != 1 || changed[0].Impact != nil {
		t.Fatalf("incidents %+v, want one that hurts nobody yet", changed)
	}
	l.set("group_lag_seconds", "orders", 90)
	l.set("group_lag_seconds", "billing", 120)
	r, changed, _ = run(t, l.tick(t), mem, at.Add(25*time.Second), 5)
	if len(r.Findings) != 1 || len(r.Unexplained) != 0 {
		t.Errorf("findings %+v, unexplained %v: the store explains both groups", r.Findings, r.Unexplained)
	}
	if len(changed) != 1 || changed[0].Impact == nil || changed[0].State != streamkeeper.IncidentUpdated {
		t.Errorf("incidents %+v, want the same one, now with impact", changed)
	}
}

func TestBenignDeployIsQuiet(t *testing.T) {
	l := newLab()
	_, _, mem := run(t, l.tick(t), Memory{}, clock, 5)
	at := clock.Add(25 * time.Second)
	for i := range 4 {
		l.event(at.Add(time.Duration(i)*time.Second), "member_joined", "orders", map[string]any{"rejoin": false})
	}
	l.set("group_rebalances", "orders", 4)
	l.set("group_lag_seconds", "orders", 45)
	r, changed, _ := run(t, l.tick(t), mem, at.Add(10*time.Second), 10)
	if len(changed) != 0 {
		t.Errorf("incidents %+v", changed)
	}
	if len(r.Findings) != 1 || r.Findings[0].Verdict != streamkeeper.VerdictBenign || r.Headline != "group orders: explained by a rolling deploy" {
		t.Errorf("findings %+v, headline %q", r.Findings, r.Headline)
	}
}

// Beside a fault that explains what contradicts it, a benign cause with a high prior would stay by noisy-OR alone.
func TestContradictedBenignIsNoAnswer(t *testing.T) {
	l := newLab()
	_, _, mem := run(t, l.tick(t), Memory{}, clock, 5)
	at := clock.Add(25 * time.Second)
	for i := range 4 {
		l.event(at.Add(time.Duration(i)*time.Second), "member_joined", "orders", map[string]any{"rejoin": false})
	}
	l.event(at, "member_left", "orders", map[string]any{"member": "orders-1", "reason": "poll timeout"})
	l.set("group_rebalances", "orders", 4)
	l.set("group_lag_seconds", "orders", 45)
	r, _, _ := run(t, l.tick(t), mem, at.Add(10*time.Second), 10)
	for _, f := range r.Findings {
		if f.Cause == "rolling_deploy" {
			t.Errorf("told %s %.2f beside what it cannot be", f.Cause, f.Confidence)
		}
	}
}

func TestUnknownIsNotJudged(t *testing.T) {
	l := newLab()
	l.values = map[string]map[string]float64{}
	l.ring = false
	r, changed, _ := run(t, l.tick(t), Memory{}, clock, 10)
	if len(r.Findings) != 0 || len(changed) != 0 || r.Health.State != streamkeeper.HealthUnknown || r.Health.Score != nil {
		t.Errorf("findings %v, incidents %v, health %+v", r.Findings, changed, r.Health)
	}
	if len(r.NotJudged) != 3 {
		t.Errorf("not judged %+v, want the three symptoms", r.NotJudged)
	}
}

// The same input gives the same bytes, and the memory survives JSON.
func TestTickIsDeterministic(t *testing.T) {
	play := func(throughJSON bool) string {
		l := newLab()
		var mem Memory
		var out strings.Builder
		for i := range 12 {
			now := clock.Add(time.Duration(i) * 5 * time.Second)
			if i == 5 {
				l.overrun("orders", now.Add(-2*time.Second))
				l.overrun("billing", now.Add(-time.Second))
			}
			r, changed, next, err := l.tick(t).Run(context.Background(), "c", now, mem)
			if err != nil {
				t.Fatal(err)
			}
			mem = next
			if throughJSON {
				body, _ := json.Marshal(mem)
				mem = Memory{}
				if err := json.Unmarshal(body, &mem); err != nil {
					t.Fatal(err)
				}
			}
			body, err := json.Marshal(map[string]any{"report": r, "changed": changed})
			if err != nil {
				t.Fatal(err)
			}
			out.Write(body)
			out.WriteByte('\n')
		}
		return out.String()
	}
	want := play(false)
	for range 5 {
		if got := play(false); got != want {
			t.Fatal("the same input gave other bytes")
		}
	}
	if got := play(true); got != want {
		t.Error("a memory that went through JSON gives other bytes")
	}
}

func TestGapMakesBlind(t *testing.T) {
	l := newLab()
	_, _, mem := run(t, l.tick(t), Memory{}, clock, 5)
	later := clock.Add(10 * time.Minute)
	l.overrun("orders", later.Add(-6*time.Second))
	r, changed, mem := run(t, l.tick(t), mem, later, 1)
	if len(changed) != 0 || len(r.NotJudged) == 0 || !strings.Contains(r.NotJudged[0].What, "gap") {
		t.Errorf("after a gap: incidents %v, not judged %+v", changed, r.NotJudged)
	}
	if _, changed, _ = run(t, l.tick(t), mem, later.Add(5*time.Second), 5); len(changed) != 1 {
		t.Errorf("incidents %+v, want one when it sees again", changed)
	}
}

func TestFailedReadKeepsMemory(t *testing.T) {
	l := newLab()
	_, _, mem := run(t, l.tick(t), Memory{}, clock, 3)
	l.fail = errors.New("connection refused")
	_, _, after, err := l.tick(t).Run(context.Background(), "c", clock.Add(15*time.Second), mem)
	if err == nil || !strings.Contains(err.Error(), "connection refused") || !after.LastTick.Equal(mem.LastTick) {
		t.Errorf("error %v, last tick %s", err, after.LastTick)
	}
}

// ledger is a list of entries.
type ledger []Entry

func (l ledger) Entries(context.Context, string, time.Time) ([]Entry, error) { return l, nil }

// A remedy that did not work lowers its cause; a person's "wrong" lowers it more.
func TestLedger(t *testing.T) {
	confidence := func(entries ledger) (float64, Memory) {
		l := newLab()
		tick := l.tick(t)
		tick.Ledger = entries
		_, _, mem := run(t, tick, Memory{}, clock, 5)
		at := clock.Add(25 * time.Second)
		l.overrun("orders", at)
		l.ring = false // without the decisive event there is room to move
		l.events = nil
		r, _, mem := run(t, tick, mem, at.Add(5*time.Second), 30)
		for _, f := range r.Findings {
			if f.Cause == "poll_overrun" {
				return f.Confidence, mem
			}
		}
		return 0, mem
	}
	before, _ := confidence(nil)
	taken := Entry{
		ID: "t", Kind: history.Taken, Cause: "poll_overrun", Entity: "group/orders@c", At: clock, Clears: "rebalance_rate_high", Within: time.Minute,
	}
	failed, mem := confidence(ledger{taken})
	if mem.Trials["t"].Outcome != advise.Failed || failed >= before {
		t.Errorf("trial %+v, confidence %.3f after a failed remedy, %.3f before", mem.Trials["t"], failed, before)
	}
	wrong, _ := confidence(ledger{{ID: "w", Kind: history.Feedback, Wrong: true, Cause: "poll_overrun", Entity: "group/orders@c"}})
	if wrong >= failed && wrong != 0 {
		t.Errorf("confidence %.3f after feedback, %.3f after a failed remedy", wrong, failed)
	}
}

func TestSilenced(t *testing.T) {
	i := streamkeeper.Incident{ID: "I", Root: streamkeeper.Finding{Cause: "slow", Entity: group("team/orders")}}
	for _, c := range []struct {
		e    Entry
		want bool
	}{
		{Entry{Entity: "group/*@c"}, true},
		{Entry{Entity: "group/team/*@c"}, true},
		{Entry{Entity: "group/other@c"}, false},
		{Entry{Entity: "group/*@d"}, false},
		{Entry{Entity: "topic/*@c"}, false},
		{Entry{Cause: "slow"}, true},
		{Entry{Entity: "group/*@c", Cause: "fast"}, false},
		{Entry{Incident: "I"}, true},
		{Entry{Incident: "J"}, false},
		{Entry{Entity: "group/*@c", Until: clock.Add(-time.Second)}, false},
		{Entry{Entity: "group/[@c"}, false},
	} {
		c.e.Kind = history.Silence
		if got := Silenced(i, []Entry{c.e}, clock); got != c.want {
			t.Errorf("%+v silences: %v, want %v", c.e, got, c.want)
		}
	}
}
