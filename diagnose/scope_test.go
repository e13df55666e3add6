package diagnose

import (
	"slices"
	"testing"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose/infer"
	"github.com/streamkeeper-io/streamkeeper/rules"
)

func TestScopeNames(t *testing.T) {
	of := func(kind streamkeeper.EntityKind, name string) streamkeeper.Entity {
		return streamkeeper.Entity{Kind: kind, Name: name, Cluster: "prod-eu"}
	}
	for _, c := range []struct {
		name  string
		scope Scope
		e     streamkeeper.Entity
		want  bool
	}{
		{"a group by its glob", Scope{Groups: "etl-*"}, of(streamkeeper.KindGroup, "etl-nightly"), true},
		{"the glob is the whole name", Scope{Groups: "etl-*"}, of(streamkeeper.KindGroup, "my-etl-nightly"), false},
		{"* crosses slashes", Scope{Groups: "team/*"}, of(streamkeeper.KindGroup, "team/a/b"), true},
		{"groups are no topics", Scope{Groups: "*"}, of(streamkeeper.KindTopic, "orders"), false},
		{"a topic", Scope{Groups: "x", Topics: "orders.?"}, of(streamkeeper.KindTopic, "orders.1"), true},
		{"a topic's partition", Scope{Topics: "orders-eu"}, of(streamkeeper.KindPartition, "orders-eu-3"), true},
		{"another cluster", Scope{Cluster: "test", Groups: "*"}, of(streamkeeper.KindGroup, "orders"), false},
		{"clusters by a glob", Scope{Cluster: "prod-*", Groups: "*"}, of(streamkeeper.KindGroup, "orders"), true},
		{"named entities leave brokers out", Scope{Groups: "*", Topics: "*"}, of(streamkeeper.KindBroker, "1"), false},
		{"a whole cluster has its brokers", Scope{Cluster: "prod-eu"}, of(streamkeeper.KindBroker, "1"), true},
		{"no glob matches nothing", Scope{Groups: "[a"}, of(streamkeeper.KindGroup, "a"), false},
	} {
		if got := c.scope.Names(c.e); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestCriticalityMovesOneStep(t *testing.T) {
	for _, c := range []struct {
		c    Criticality
		want []streamkeeper.Severity // of info, warning, critical
	}{
		{"", []streamkeeper.Severity{"info", "warning", "critical"}},
		{CriticalityNormal, []streamkeeper.Severity{"info", "warning", "critical"}},
		{CriticalityHigh, []streamkeeper.Severity{"warning", "critical", "critical"}},
		{CriticalityLow, []streamkeeper.Severity{"info", "info", "warning"}},
	} {
		var got []streamkeeper.Severity
		for _, s := range []streamkeeper.Severity{"info", "warning", "critical"} {
			got = append(got, c.c.Move(s))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: %v, want %v", c.c, got, c.want)
		}
	}
}

// Lost records are lost to everybody; what is benign wakes nobody, whoever it is about.
func TestCriticalityHasBounds(t *testing.T) {
	m := &model{p: &pass{Tick: &Tick{Catalog: catalog(t)}}}
	named := &infer.Finding{Cause: "x", Verdict: streamkeeper.VerdictRootCause}
	benign := &infer.Finding{Cause: "x", Verdict: streamkeeper.VerdictBenign}
	lost := rules.Cause{Severity: streamkeeper.SeverityCritical, Loss: true}
	for _, c := range []struct {
		name string
		rule rules.Cause
		f    *infer.Finding
		c    Criticality
		want streamkeeper.Severity
	}{
		{"loss stays critical where little is", lost, named, CriticalityLow, streamkeeper.SeverityCritical},
		{"an outage does not", rules.Cause{Severity: streamkeeper.SeverityCritical}, named, CriticalityLow, streamkeeper.SeverityWarning},
		{"what matters is louder", rules.Cause{}, named, CriticalityHigh, streamkeeper.SeverityCritical},
		{"benign stays quiet", rules.Cause{}, benign, CriticalityHigh, streamkeeper.SeverityInfo},
	} {
		if got := m.severity(&c.rule, c.f, c.c); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// broken runs an overrun of orders under some scopes.
func broken(t *testing.T, scopes ...Scope) (streamkeeper.Report, []streamkeeper.Incident) {
	t.Helper()
	l := newLab()
	tick := l.tick(t)
	tick.Config.Scopes = scopes
	_, _, mem := run(t, tick, Memory{}, clock, 5)
	l.overrun("orders", clock.Add(25*time.Second))
	r, changed, _ := run(t, tick, mem, clock.Add(30*time.Second), 6)
	return r, changed
}

func TestScopesReachTheReport(t *testing.T) {
	r, changed := broken(t)
	if len(changed) == 0 || changed[0].Severity != streamkeeper.SeverityCritical || changed[0].Owner != "" || r.Ignored != 0 {
		t.Fatalf("without scopes: %+v", changed)
	}

	t.Run("the first match counts, with its owner", func(t *testing.T) {
		r, changed := broken(t, Scope{Groups: "ord*", Owner: "payments"}, Scope{Groups: "*", Owner: "nobody", Ignore: true})
		if len(changed) == 0 || changed[0].Owner != "payments" || changed[0].Root.Owner != "payments" || !slices.Equal(changed[0].Owners, []string{"payments"}) {
			t.Errorf("incidents %+v", changed)
		}
		if len(r.Findings) == 0 || r.Findings[0].Owner != "payments" || r.Ignored != 1 {
			t.Errorf("%d ignored, want billing; findings %+v", r.Ignored, r.Findings)
		}
	})
	t.Run("ignored: no finding, no incident, healthy, and counted", func(t *testing.T) {
		r, changed := broken(t, Scope{Groups: "orders", Ignore: true})
		if len(r.Findings)+len(changed)+len(r.Symptoms) > 0 || r.Health.State != streamkeeper.Healthy || r.Ignored != 1 {
			t.Errorf("findings %v, symptoms %v, incidents %v, health %+v, %d ignored", r.Findings, r.Symptoms, changed, r.Health, r.Ignored)
		}
	})
	t.Run("a level of its own: late, but not too late", func(t *testing.T) {
		r, changed := broken(t, Scope{Groups: "orders", SLOLag: time.Hour})
		if len(changed) > 0 || len(r.Findings) == 0 {
			t.Errorf("incidents %+v, findings %+v; want the finding and nobody woken", changed, r.Findings)
		}
	})
	t.Run("and beyond it", func(t *testing.T) {
		_, changed := broken(t, Scope{Groups: "orders", SLOLag: 4 * time.Minute})
		if len(changed) == 0 || changed[0].Severity != streamkeeper.SeverityCritical {
			t.Errorf("incidents %+v, want a critical one", changed)
		}
	})
	t.Run("low criticality is one step quieter", func(t *testing.T) {
		r, changed := broken(t, Scope{Groups: "orders", Criticality: CriticalityLow})
		if len(changed) == 0 || changed[0].Severity != streamkeeper.SeverityWarning || r.Findings[0].Severity != streamkeeper.SeverityInfo {
			t.Errorf("incidents %+v", changed)
		}
	})
}

// What is ignored is no suspect, but may still show what others suffer from.
func TestIgnoredGroupDoesNotHideTheStore(t *testing.T) {
	l := newLab()
	tick := l.tick(t)
	tick.Config.Scopes = []Scope{{Groups: "orders", Ignore: true}, {Groups: "billing", Owner: "billing-team"}}
	_, _, mem := run(t, tick, Memory{}, clock, 5)
	l.set("store_backlog_bytes", "bucket", 5000)
	l.set("store_failed_share", "bucket", .9)
	l.set("store_probe_failures", "bucket", 4)
	for _, g := range []string{"orders", "billing"} {
		l.set("group_lag_seconds", g, 100)
	}
	r, changed, _ := run(t, tick, mem, clock.Add(25*time.Second), 8)
	if len(r.Findings) == 0 || r.Findings[0].Cause != "store_down" {
		t.Fatalf("findings %+v", r.Findings)
	}
	if len(changed) == 0 || changed[len(changed)-1].Owner != "billing-team" {
		t.Errorf("incidents %+v, want one that is the only owner's who is hurt", changed)
	}
}
