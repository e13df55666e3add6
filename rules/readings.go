package rules

import (
	"cmp"
	"slices"
	"strings"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// Readings lists what the answers say of every signal that was asked for: which value on which entity,
// over which window, in which dialect. With suspects it reads the answers to EvidenceQueries, without
// those to SymptomQueries. Entities are those that have a value or are in the inventory, sorted by
// signal, window and entity; observations are made from the same values.
func (c *Catalog) Readings(s Scope, sus []Suspect, in Inputs) []streamkeeper.Reading {
	p := c.symptomPlan(s)
	if sus != nil {
		p = c.evidencePlan(s, sus)
	}
	r := newResolver(p, in.Answers)
	var out []streamkeeper.Reading
	for n := range p.plans {
		all := r.resolve(n)
		window := effective(n.window, s.Interval)
		for _, e := range p.entitiesOf(n, all, in.World) {
			v, ok := all.values[e.Name]
			if !ok {
				v = all.other
			}
			out = append(out, streamkeeper.Reading{Signal: n.signal.Name, Entity: e, Value: v, Dialect: all.dialect, Window: window})
		}
	}
	slices.SortFunc(out, func(a, b streamkeeper.Reading) int {
		return cmp.Or(strings.Compare(a.Signal, b.Signal), cmp.Compare(a.Window, b.Window), streamkeeper.CompareEntities(a.Entity, b.Entity))
	})
	return out
}

// entitiesOf lists whom a reading is about: those that were asked for, or all there are.
func (p *planner) entitiesOf(n need, all resolved, w World) []streamkeeper.Entity {
	kind, cluster := n.signal.Entity, p.scope.Cluster
	if kind == streamkeeper.KindCluster {
		return []streamkeeper.Entity{clusterEntity(cluster)}
	}
	var list []streamkeeper.Entity
	asked, limited := p.limit[kind]
	if kind == streamkeeper.KindPartition {
		limited = false // the limit names topics
	}
	for name := range all.values {
		list = append(list, streamkeeper.Entity{Kind: kind, Name: name, Cluster: cluster})
	}
	if limited {
		for _, name := range asked {
			list = append(list, streamkeeper.Entity{Kind: kind, Name: name, Cluster: cluster})
		}
	} else {
		list = append(list, w.Entities(cluster, kind)...)
	}
	slices.SortFunc(list, streamkeeper.CompareEntities)
	return slices.Compact(list)
}
