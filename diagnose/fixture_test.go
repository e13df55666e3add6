package diagnose

import (
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/rules"
)

// catalog is a small catalog: a poll overrun and its root, a rival, a benign deploy, and a store that
// everybody shares.
func catalog(t testing.TB) *rules.Catalog {
	t.Helper()
	files := fstest.MapFS{}
	for name, body := range map[string]string{
		"signals/group.yaml": `
entity: group
signals:
  lag_seconds: {unit: seconds, help: How late., queries: {kafka: {metric: group_lag_seconds}}}
  rebalances: {unit: rebalances, help: Rebalances., queries: {kafka: {metric: group_rebalances}}}
  record_seconds: {unit: seconds, help: Work per record., queries: {kafka: {metric: group_record_seconds}}}
  poll_interval_seconds: {unit: seconds, help: The limit., queries: {kafka: {metric: group_poll_interval}}}
`,
		"signals/store.yaml": `
entity: store
signals:
  backlog_bytes: {unit: bytes, help: Not offloaded., queries: {kafka: {metric: store_backlog_bytes}}}
  failed_share: {unit: ratio, help: Failed calls., queries: {kafka: {metric: store_failed_share}}}
  probe_failures: {unit: probes, help: Failed probes in a row., queries: {kafka: {metric: store_probe_failures}}}
`,
		"symptoms/lag_growth.yaml": `
id: lag_growth
entity: group
title: The group falls behind
leak: 0.02
delay: 0s..5m
when: lag_seconds > 30
severity: warning
impact: {kind: lag, text: '{{group}} is {{duration(lag_seconds)}} late'}
say: '{{group}} falls behind'
say_not: '{{group}} is in time'
examples:
  - {name: late, given: {lag_seconds: "40"}, then: fires at 0s}
  - {name: in time, given: {lag_seconds: "1"}, then: quiet}
  - {name: no data, then: unknown}
`,
		"symptoms/rebalance_rate_high.yaml": `
id: rebalance_rate_high
entity: group
title: The group rebalances again and again
leak: 0.01
delay: 0s..30m
when: rebalances >= 3
severity: warning
say: '{{group}} rebalanced {{rebalances}} times'
examples:
  - {name: often, given: {rebalances: "5"}, then: fires at 0s}
  - {name: calm, given: {rebalances: "0"}, then: quiet}
  - {name: no data, then: unknown}
`,
		"symptoms/offload_backlog_growth.yaml": `
id: offload_backlog_growth
entity: store
title: Data waits to be offloaded
leak: 0.01
delay: 0s..5m
when: backlog_bytes > 1000
severity: warning
say: '{{store}} is behind'
examples:
  - {name: behind, given: {backlog_bytes: "2000"}, then: fires at 0s}
  - {name: calm, given: {backlog_bytes: "0"}, then: quiet}
  - {name: no data, then: unknown}
`,
		"evidence/left_on_poll_timeout.yaml": `
id: left_on_poll_timeout
entity: group
title: A member left because it polled too late
leak: 0.001
delay: 0s..10s
trigger: true
decisive: true
when: events("member_left", reason == 'poll timeout') >= 1
say: '{{locus}} left with "poll timeout"'
say_not: no member left on its poll timeout
needs: the broker's event ring
loci: {kind: member, from: member_left, attr: member}
examples:
  - {name: one, events: ["10s member_left member=m reason='poll timeout'"], then: fires at 10s}
  - {name: closed, events: ["10s member_left member=m reason=closed"], then: quiet}
  - {name: no ring, then: unknown}
`,
		"evidence/records_slow.yaml": `
id: records_slow
entity: group
title: Each record takes long
leak: 0.006
delay: 0s..2m
when: record_seconds > 0.02
say: a record takes {{record_seconds}} s
say_not: records take as long as ever
examples:
  - {name: slow, given: {record_seconds: "0.03"}, then: fires at 0s}
  - {name: fast, given: {record_seconds: "0.01"}, then: quiet}
  - {name: no data, then: unknown}
`,
		"evidence/path_dead.yaml": `
id: path_dead
entity: group
title: The network path was dead
leak: 0.002
delay: 0s..1m
when: events("member_expired", unanswered >= 2) >= 1
say: probes were not answered
say_not: the network path is alive
examples:
  - {name: dead, events: ["10s member_expired member=m unanswered=3"], then: fires at 10s}
  - {name: alive, events: ["10s member_expired member=m unanswered=0"], then: quiet}
  - {name: no ring, then: unknown}
`,
		"evidence/replaced_in_turn.yaml": `
id: replaced_in_turn
entity: group
title: Members were replaced one after another
leak: 0.008
delay: 0s..5m
when: events("member_joined", rejoin == false) >= 3
say: members were replaced in turn
say_not: no member was replaced
examples:
  - {name: all, events: ["1s member_joined rejoin=false", "2s member_joined rejoin=false", "3s member_joined rejoin=false"], then: fires at 3s}
  - {name: none, events: [], then: quiet}
  - {name: no ring, then: unknown}
`,
		"evidence/store_fails.yaml": `
id: store_fails
entity: store
title: Calls to the store fail
leak: 0.001
delay: 0s..30s
when: failed_share > 0.5
say: '{{store}} fails'
say_not: calls to {{store}} succeed
examples:
  - {name: fails, given: {failed_share: "0.9"}, then: fires at 0s}
  - {name: works, given: {failed_share: "0"}, then: quiet}
  - {name: no data, then: unknown}
`,
		"evidence/store_probe_fails.yaml": `
id: store_probe_fails
entity: store
title: The idle probe fails
leak: 0.001
delay: 0s..30s
when: probe_failures >= 3
say: the probe fails
say_not: the probe succeeds
examples:
  - {name: fails, given: {probe_failures: "4"}, then: fires at 0s}
  - {name: works, given: {probe_failures: "0"}, then: quiet}
  - {name: no data, then: unknown}
`,
		"causes/poll_overrun.yaml": `
id: poll_overrun
title: A member takes longer over a batch than it may
summary: 'One member ({{locus}}) takes too long.'
category: client-consumer
entity: group
locus: member
prior: common
severity: warning
effects:
  lag_growth: usually
  rebalance_rate_high: usually
evidence:
  left_on_poll_timeout: always
  records_slow: usually
scale: forbid
scale_why: more members rebalance more
advice:
  - {do: 'max.poll.records = {{floor(0.5 * poll_interval_seconds / record_seconds)}}', needs: [poll_interval_seconds, record_seconds], formula: 'floor(0.5 × interval ÷ seconds per record)', find: "the consumer's configuration", why: a batch takes too long, risk: low, verify: {clears: rebalance_rate_high, within: 8m}}
`,
		"causes/network.yaml": `
id: network
title: The network loses members
summary: The path is dead.
category: network
entity: group
prior: usual
severity: warning
effects:
  lag_growth: usually
  rebalance_rate_high: sometimes
evidence:
  path_dead: always
`,
		"causes/rolling_deploy.yaml": `
id: rolling_deploy
title: A rolling deploy
summary: Members are replaced in turn.
category: benign
entity: group
prior: common
benign: true
effects:
  rebalance_rate_high: usually
  lag_growth: sometimes
evidence:
  replaced_in_turn: by_definition
until: {holds_while: [replaced_in_turn]}
contradicted_by: [left_on_poll_timeout]
`,
		"causes/store_down.yaml": `
id: store_down
title: The object store does not answer
summary: It fails.
category: storage
entity: store
prior: uncommon
severity: critical
effects:
  offload_backlog_growth: always
  lag_growth: sometimes
evidence:
  store_fails: by_definition
  store_probe_fails: always
`,
	} {
		files[name] = &fstest.MapFile{Data: []byte(strings.TrimPrefix(body, "\n"))}
	}
	c, err := rules.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// lab is a cluster that a test sets up by hand. It is Signals, World and EventLog.
type lab struct {
	mu     sync.Mutex
	values map[string]map[string]float64 // metric, entity name
	groups []string
	stores []string
	events []streamkeeper.Event
	ring   bool // the events' source is alive
	facts  []streamkeeper.Fact
	fail   error
	reads  int
}

var clock = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func newLab() *lab {
	l := &lab{values: map[string]map[string]float64{}, groups: []string{"billing", "orders"}, stores: []string{"bucket"}, ring: true}
	for _, g := range l.groups {
		l.set("group_lag_seconds", g, 1)
		l.set("group_rebalances", g, 0)
		l.set("group_record_seconds", g, .01)
		l.set("group_poll_interval", g, 6)
		l.set("streamkeeper_group_watched_seconds", g, 7200)
		l.set("streamkeeper_group_lag_seconds", g, 1)
	}
	l.set("store_backlog_bytes", "bucket", 0)
	l.set("store_failed_share", "bucket", 0)
	l.set("store_probe_failures", "bucket", 0)
	l.set("streamkeeper_cluster_brokers", "c", 1)
	return l
}

func (l *lab) set(metric, name string, v float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.values[metric] == nil {
		l.values[metric] = map[string]float64{}
	}
	l.values[metric][name] = v
}

func (l *lab) Read(ctx context.Context, at time.Time, qs []streamkeeper.Query) (streamkeeper.Answers, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads++
	if l.fail != nil {
		return nil, l.fail
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out := streamkeeper.Answers{}
	for _, q := range qs {
		a := streamkeeper.Answer{}
		for metric, names := range l.values {
			if !selects(q.Expr, metric) {
				continue
			}
			for name, v := range names {
				if strings.Contains(q.Expr, "timestamp(") {
					v = float64(at.Unix())
				}
				label := "group"
				if strings.HasPrefix(metric, "store_") {
					label = "store"
				}
				a.Points = append(a.Points, streamkeeper.Point{Labels: map[string]string{"cluster": "c", label: name}, Value: v})
			}
		}
		out[q.ID] = a
	}
	return out, nil
}

// selects says whether an expression reads exactly this metric.
func selects(expr, metric string) bool {
	i := strings.Index(expr, metric+"{")
	return i >= 0 && (i == 0 || !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz_:", rune(expr[i-1])))
}

func (l *lab) list(kind streamkeeper.EntityKind) []string {
	switch kind {
	case streamkeeper.KindGroup:
		return l.groups
	case streamkeeper.KindStore:
		return l.stores
	}
	return nil
}

func (l *lab) Entities(cluster string, kind streamkeeper.EntityKind) []streamkeeper.Entity {
	var out []streamkeeper.Entity
	for _, name := range l.list(kind) {
		out = append(out, streamkeeper.Entity{Kind: kind, Name: name, Cluster: cluster})
	}
	return out
}

// Related: everything shares the store.
func (l *lab) Related(e streamkeeper.Entity, kind streamkeeper.EntityKind) []streamkeeper.Entity {
	if (e.Kind == streamkeeper.KindGroup && kind == streamkeeper.KindStore) || (e.Kind == streamkeeper.KindStore && kind == streamkeeper.KindGroup) {
		return l.Entities(e.Cluster, kind)
	}
	return nil
}

func (l *lab) Fact(e streamkeeper.Entity, atom string) streamkeeper.State {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.facts {
		if f.Name == atom && f.Entity == e {
			return f.State
		}
	}
	return streamkeeper.Unknown
}

func (l *lab) SetFacts(_ string, facts []streamkeeper.Fact) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.facts = facts
}

func (l *lab) Cluster(name string) streamkeeper.ClusterInfo {
	return streamkeeper.ClusterInfo{Name: name, ID: "id", Kind: "embedded"}
}

func (l *lab) Inventory(name string) streamkeeper.Inventory {
	return streamkeeper.Inventory{Cluster: l.Cluster(name)}
}

func (l *lab) Events(_ string, kinds []string, from, to time.Time) []streamkeeper.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []streamkeeper.Event
	for _, e := range l.events {
		if slices.Contains(kinds, e.Kind) && !e.At.Before(from) && !e.At.After(to) {
			out = append(out, e)
		}
	}
	return out
}

func (l *lab) Covered(string, []string, time.Time, time.Time) bool { return l.ring }

func (l *lab) event(at time.Time, kind, group string, attrs map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, streamkeeper.Event{
		At: at, Kind: kind, Source: "ring", Attrs: attrs, Seq: uint64(len(l.events) + 1),
		Entity: streamkeeper.Entity{Kind: streamkeeper.KindGroup, Name: group, Cluster: "c"},
	})
}

// overrun makes a poll overrun of the group visible.
func (l *lab) overrun(group string, at time.Time) {
	l.set("group_lag_seconds", group, 252)
	l.set("streamkeeper_group_lag_seconds", group, 252)
	l.set("group_rebalances", group, 8)
	l.set("group_record_seconds", group, .03125)
	l.event(at, "member_left", group, map[string]any{"member": "orders-2@10.0.4.17", "reason": "poll timeout"})
}

func (l *lab) tick(t testing.TB) *Tick {
	return &Tick{Catalog: catalog(t), Signals: l, World: l, Events: l}
}

// run plays ticks of five seconds from now on and returns the last report with all that changed.
func run(t testing.TB, tick *Tick, mem Memory, from time.Time, ticks int) (streamkeeper.Report, []streamkeeper.Incident, Memory) {
	t.Helper()
	var report streamkeeper.Report
	var all []streamkeeper.Incident
	for i := range ticks {
		r, changed, next, err := tick.Run(context.Background(), "c", from.Add(time.Duration(i)*5*time.Second), mem)
		if err != nil {
			t.Fatal(err)
		}
		report, mem = r, next
		all = append(all, changed...)
	}
	return report, all, mem
}

func group(name string) streamkeeper.Entity {
	return streamkeeper.Entity{Kind: streamkeeper.KindGroup, Name: name, Cluster: "c"}
}

func finite(t *testing.T, name string, x float64) {
	t.Helper()
	if math.IsNaN(x) || math.IsInf(x, 0) {
		t.Errorf("%s is %v", name, x)
	}
}
