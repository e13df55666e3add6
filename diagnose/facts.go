package diagnose

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/rules"
)

// History is enough when an entity was watched for so long before its trouble began.
const (
	historyIntervals = 24
	historyAtLeast   = 2 * time.Minute
)

// staleIntervals is the age, in intervals, from which a sample is no longer known.
const staleIntervals = 2.5

// factQueries asks for the context atoms that sources publish as series. Later ones win: the broker
// itself knows better than what can be seen from outside.
func factQueries(cluster string) []streamkeeper.Query {
	q := func(id, metric string) streamkeeper.Query {
		return streamkeeper.Query{ID: id, Kind: streamkeeper.QueryInstant, Expr: fmt.Sprintf("%s{cluster=%q}", metric, cluster)}
	}
	return []streamkeeper.Query{
		q("fact.cluster", "streamkeeper_cluster_fact"),
		q("fact.group", "streamkeeper_group_fact"),
		q("fact.broker", "streamkeeper_broker_group_fact"),
		q("watched.group", "streamkeeper_group_watched_seconds"),
		q("watched.cluster", "streamkeeper_cluster_watched_seconds"),
		q("source_kafka", "streamkeeper_cluster_brokers"),
		q("source_streamkeeper", "streamkeeper_broker_up"),
		q("source_probe", "streamkeeper_probe_records_total"),
		q("source_spans", "streamkeeper_group_processing_records_total"),
		q("source_node", "streamkeeper_machines"),
		q("source_kube", "streamkeeper_pods"),
	}
}

// readFacts reads the atoms of this moment and hands them to the world.
func (p *pass) readFacts(ctx context.Context) error {
	answers, err := p.Signals.Read(ctx, p.scope.Now, factQueries(p.cluster))
	if err != nil {
		return err
	}
	f := factSet{p: p, by: map[factKey]streamkeeper.State{}}
	f.told(answers["fact.cluster"])
	f.told(answers["fact.group"])
	f.told(answers["fact.broker"])
	f.sources(answers)
	f.history(answers)
	p.World.SetFacts(p.cluster, f.list())
	return nil
}

type factKey struct {
	entity streamkeeper.Entity
	name   string
}

type factSet struct {
	p  *pass
	by map[factKey]streamkeeper.State
}

func (f *factSet) clusterEntity() streamkeeper.Entity {
	return streamkeeper.Entity{Kind: streamkeeper.KindCluster, Name: f.p.cluster, Cluster: f.p.cluster}
}

// told takes facts that sources publish: 1 is true, 0 false, a stale or missing one unknown.
func (f *factSet) told(a streamkeeper.Answer) {
	for _, point := range f.fresh(a) {
		e := f.clusterEntity()
		if group := point.Labels["group"]; group != "" {
			e = streamkeeper.Entity{Kind: streamkeeper.KindGroup, Name: group, Cluster: f.p.cluster}
		}
		state := streamkeeper.Absent
		if point.Value > 0 {
			state = streamkeeper.Present
		}
		f.by[factKey{e, point.Labels["fact"]}] = state
	}
}

func (f *factSet) fresh(a streamkeeper.Answer) []streamkeeper.Point {
	if a.Err != nil {
		return nil
	}
	limit := time.Duration(staleIntervals * float64(f.p.Config.Interval))
	var out []streamkeeper.Point
	for _, point := range a.Points {
		if point.Age <= limit { // negative: not known, which instant queries of live series are not
			out = append(out, point)
		}
	}
	return out
}

// sources says which dialects are alive.
func (f *factSet) sources(answers streamkeeper.Answers) {
	for _, name := range []string{"source_kafka", "source_streamkeeper", "source_probe", "source_spans", "source_node", "source_kube"} {
		state := streamkeeper.Absent
		if slices.ContainsFunc(f.fresh(answers[name]), func(p streamkeeper.Point) bool { return p.Value > 0 }) {
			state = streamkeeper.Present
		}
		if answers[name].Err != nil {
			state = streamkeeper.Unknown
		}
		f.by[factKey{f.clusterEntity(), name}] = state
	}
}

// history says whether an entity was watched long enough before its trouble began for baselines to mean
// something.
func (f *factSet) history(answers streamkeeper.Answers) {
	f.p.watched = map[streamkeeper.Entity]time.Duration{}
	enough := max(historyAtLeast, historyIntervals*f.p.Config.Interval)
	trouble := f.trouble()
	judge := func(e streamkeeper.Entity, watched float64, about ...streamkeeper.Entity) {
		before := time.Duration(watched * float64(time.Second))
		f.p.watched[e] = before
		since := time.Duration(0)
		for _, a := range append(about, e) {
			if at, ok := trouble[a.Key()]; ok {
				since = max(since, f.p.scope.Now.Sub(at))
			}
		}
		state := streamkeeper.Absent
		if before-since >= enough {
			state = streamkeeper.Present
		}
		f.by[factKey{e, "history"}] = state
	}
	for _, point := range f.fresh(answers["watched.group"]) {
		e := streamkeeper.Entity{Kind: streamkeeper.KindGroup, Name: point.Labels["group"], Cluster: f.p.cluster}
		judge(e, point.Value, f.p.World.Related(e, streamkeeper.KindTopic)...)
	}
	for _, point := range f.fresh(answers["watched.cluster"]) {
		judge(f.clusterEntity(), point.Value)
		for _, topic := range f.p.World.Entities(f.p.cluster, streamkeeper.KindTopic) {
			judge(topic, point.Value)
		}
	}
}

// trouble is the onset of the earliest symptom that was present at the last tick, by entity key.
func (f *factSet) trouble() map[string]time.Time {
	out := map[string]time.Time{}
	for key, onset := range f.p.mem.Onsets {
		node, entity, _ := strings.Cut(key, "|")
		if n, known := f.p.Catalog.Node(node); !known || !n.Symptom {
			continue
		}
		if at, ok := out[entity]; !ok || onset.At.Before(at) {
			out[entity] = onset.At
		}
	}
	return out
}

func (f *factSet) list() []streamkeeper.Fact {
	out := make([]streamkeeper.Fact, 0, len(f.by))
	for k, state := range f.by {
		out = append(out, streamkeeper.Fact{Entity: k.entity, Name: k.name, State: state})
	}
	slices.SortFunc(out, func(a, b streamkeeper.Fact) int {
		return cmp.Or(streamkeeper.CompareEntities(a.Entity, b.Entity), strings.Compare(a.Name, b.Name))
	})
	return out
}

// bound lists the entities of a kind that go with an entity, as the rules bind nodes to causes.
func bound(w rules.World, e streamkeeper.Entity, kind streamkeeper.EntityKind) []streamkeeper.Entity {
	switch kind {
	case e.Kind:
		return []streamkeeper.Entity{e}
	case streamkeeper.KindCluster:
		return []streamkeeper.Entity{{Kind: streamkeeper.KindCluster, Name: e.Cluster, Cluster: e.Cluster}}
	}
	if e.Kind == streamkeeper.KindCluster {
		return w.Entities(e.Cluster, kind)
	}
	return w.Related(e, kind)
}
