package diagnose

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose/capacity"
	"github.com/streamkeeper-io/streamkeeper/diagnose/incident"
)

// SizingConfig are the targets of sizing and where its manifests are to be applied.
type SizingConfig struct {
	Settings capacity.Settings
	Place    capacity.Place
}

// SizingMemory keeps the last recommendations between the ticks that compute them.
type SizingMemory struct {
	At              time.Time                     `json:"at"`
	Late            map[string]time.Time          `json:"late,omitempty"` // by group: when it was last not calm
	Recommendations []streamkeeper.Recommendation `json:"recommendations,omitempty"`
}

// sizingQueries ask for whole clusters: a handful of series per group, every SizeEvery.
func sizingQueries(cluster string) []streamkeeper.Query {
	q := func(id, expr string) streamkeeper.Query {
		expr = strings.ReplaceAll(expr, "$c", fmt.Sprintf("cluster=%q", cluster))
		return streamkeeper.Query{ID: id, Kind: streamkeeper.QueryInstant, Expr: expr}
	}
	return []streamkeeper.Query{
		q("produce", `sum by (group) (rate(streamkeeper_group_produced_total{$c}[2m]))`),
		q("consume", `sum by (group) (rate(streamkeeper_group_committed_total{$c}[2m]))`),
		q("backlog", `max by (group) (streamkeeper_group_lag_messages{$c})`),
		q("lag", `max by (group) (streamkeeper_group_lag_seconds{$c})`),
		q("members", `max by (group) (streamkeeper_group_members{$c})`),
		q("partitions", `max by (group) (streamkeeper_group_busy_partitions{$c})`),
		q("record", `max by (group) (quantile_over_time(0.75, streamkeeper_broker_group_record_seconds{$c}[5m]))`),
		q("hot", `max by (topic) (rate(streamkeeper_topic_partition_end_offset{$c}[2m]))`),
		q("in_flight", `max by (store) (streamkeeper_broker_uploads_in_flight{$c})`),
		q("allowed", `max by (store) (streamkeeper_broker_uploads_allowed{$c})`),
		q("pending", `max by (store) (streamkeeper_broker_offload_pending_bytes{$c})`),
		q("ingress", `sum (rate(streamkeeper_broker_topic_bytes_in_total{$c}[2m]))`),
		q("upload_seconds", `histogram_quantile(0.95, sum by (store, le) (rate(streamkeeper_broker_store_call_seconds_bucket{$c,op="put",outcome="ok"}[5m])))`),
		q("upload_bytes", `sum by (store) (rate(streamkeeper_broker_offloaded_bytes_total{$c}[5m]))`+
			` / sum by (store) (rate(streamkeeper_broker_store_call_seconds_count{$c,op="put",outcome="ok"}[5m]))`),
		q("upload_errors", `sum by (store) (rate(streamkeeper_broker_store_calls_total{$c,op="put",class!="ok"}[2m]))`+
			` / sum by (store) (rate(streamkeeper_broker_store_calls_total{$c,op="put"}[2m]))`),
	}
}

// table is the answers by query and entity name.
type table map[string]map[string]float64

func (p *pass) table(answers streamkeeper.Answers) table {
	t := table{}
	for id, a := range answers {
		t[id] = map[string]float64{}
		if a.Err != nil {
			continue
		}
		for _, point := range a.Points {
			if point.Value != point.Value {
				continue
			}
			name := ""
			for _, label := range []string{"group", "topic", "store"} {
				if v := point.Labels[label]; v != "" {
					name = v
					break
				}
			}
			t[id][name] = point.Value
		}
	}
	return t
}

func (t table) get(id, name string) *float64 {
	if v, ok := t[id][name]; ok {
		return &v
	}
	return nil
}

// size computes capacity every SizeEvery, and keeps the recommendations until then. What the diagnosis
// told in this tick gates them.
func (p *pass) size(ctx context.Context) error {
	if p.now.Sub(p.mem.Sizing.At) < p.Config.SizeEvery && !p.mem.Sizing.At.IsZero() {
		return nil
	}
	answers, err := p.Signals.Read(ctx, p.scope.Now, sizingQueries(p.cluster))
	if err != nil {
		return err
	}
	t := p.table(answers)
	mem := SizingMemory{At: p.now, Late: map[string]time.Time{}}
	groups := slices.Clone(p.World.Entities(p.cluster, streamkeeper.KindGroup))
	slices.SortFunc(groups, streamkeeper.CompareEntities)
	for _, e := range groups {
		if p.ignored(e) {
			continue
		}
		g := p.group(e, t, &mem)
		r, ok := capacity.Consumers(g, p.Config.Sizing.Settings)
		if !ok {
			continue
		}
		r.Manifests = capacity.Manifests(g, r, p.Config.Sizing.Settings, p.Config.Sizing.Place)
		mem.Recommendations = append(mem.Recommendations, r)
	}
	for _, e := range p.stores(t) {
		s := capacity.Store{
			Entity: e, InFlight: t.get("in_flight", e.Name), Allowed: t.get("allowed", e.Name), BacklogBytes: t.get("pending", e.Name),
			IngressBytes: t.get("ingress", ""), UploadSeconds: t.get("upload_seconds", e.Name), UploadBytes: t.get("upload_bytes", e.Name),
			ErrorShare: t.get("upload_errors", e.Name), Causes: p.causesOn(e),
		}
		if r, ok := capacity.Uploads(s, p.Config.Sizing.Settings); ok {
			mem.Recommendations = append(mem.Recommendations, r)
		}
	}
	mem.Recommendations = append(mem.Recommendations, p.costs()...)
	p.next.Sizing = mem
	return nil
}

func (p *pass) stores(t table) []streamkeeper.Entity {
	var out []streamkeeper.Entity
	for _, name := range sortedKeys(t["allowed"]) {
		out = append(out, streamkeeper.Entity{Kind: streamkeeper.KindStore, Name: name, Cluster: p.cluster})
	}
	return out
}

func (p *pass) group(e streamkeeper.Entity, t table, mem *SizingMemory) capacity.Group {
	g := capacity.Group{
		Entity: e, Produce: t.get("produce", e.Name), Consume: t.get("consume", e.Name), Backlog: t.get("backlog", e.Name),
		LagSeconds: t.get("lag", e.Name), RecordSeconds: t.get("record", e.Name),
	}
	topics := p.World.Related(e, streamkeeper.KindTopic)
	g.Causes = p.causesOn(append(slices.Clone(topics), e)...)
	if n := t.get("members", e.Name); n != nil {
		g.Members = int(*n)
	}
	if n := t.get("partitions", e.Name); n != nil {
		g.Partitions = int(*n)
	}
	for _, topic := range topics {
		g.Topics = append(g.Topics, topic.Name)
		if rate := t.get("hot", topic.Name); rate != nil && (g.HotPartition == nil || *rate > *g.HotPartition) {
			g.HotPartition = rate
		}
	}
	slices.Sort(g.Topics)
	target := p.Config.Sizing.Settings.LagTarget
	if target <= 0 {
		target = 30 * time.Second
	}
	last, watched := p.mem.Sizing.Late[e.Name]
	if !watched || len(g.Causes) > 0 || g.LagSeconds == nil || *g.LagSeconds >= target.Seconds() {
		last = p.now
	}
	mem.Late[e.Name] = last
	g.CalmFor = p.now.Sub(last)
	return g
}

// causesOn lists what is told about some entities, or about what they depend on while that is open as an
// incident that reaches them.
func (p *pass) causesOn(entities ...streamkeeper.Entity) []capacity.Cause {
	var out []capacity.Cause
	is := func(e streamkeeper.Entity) bool { return slices.Contains(entities, e) }
	for _, f := range p.told.Told {
		about := is(f.Entity) || slices.ContainsFunc(p.next.Stories.Open, func(r incident.Record) bool {
			return r.Incident.Root.ID == f.ID && slices.ContainsFunc(r.Entities, is)
		})
		if !about || f.Verdict == streamkeeper.VerdictBenign {
			continue
		}
		c := capacity.Cause{ID: f.Cause, Title: f.Title, Confidence: f.Confidence}
		if f.Scale != nil {
			c.Scale, c.Why = f.Scale.Do, f.Scale.Why
		}
		out = append(out, c)
	}
	return out
}
