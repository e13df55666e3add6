package inventory

import (
	"strconv"
	"strings"

	"github.com/streamkeeper-io/streamkeeper"
)

// SetFacts replaces the facts that were read from series for a cluster (those of inventories stay). Facts
// set here win over inventories': they are as fresh as the tick. Not applicable is kept as such.
func (w *World) SetFacts(name string, facts []streamkeeper.Fact) {
	byEntity := map[streamkeeper.Entity]map[string]streamkeeper.State{}
	for _, f := range facts {
		if byEntity[f.Entity] == nil {
			byEntity[f.Entity] = map[string]streamkeeper.State{}
		}
		byEntity[f.Entity][f.Name] = f.State
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cluster(name).facts = byEntity
}

// Fact says what is known of an atom on an entity: what was set, else what inventories tell, else the
// same of the entity's cluster. Unknown when nobody has said.
func (w *World) Fact(e streamkeeper.Entity, atom string) streamkeeper.State {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.clusters[e.Cluster]
	if c == nil {
		return streamkeeper.Unknown
	}
	c.refresh(w.maxAge)
	if state := c.fact(e, atom); state != streamkeeper.Unknown {
		return state
	}
	return c.fact(streamkeeper.Entity{Kind: streamkeeper.KindCluster, Name: e.Cluster, Cluster: e.Cluster}, atom)
}

func (c *cluster) fact(e streamkeeper.Entity, atom string) streamkeeper.State {
	if state, ok := c.facts[e][atom]; ok {
		return state
	}
	switch e.Kind {
	case streamkeeper.KindCluster:
		return asState(c.merged.Facts, atom)
	case streamkeeper.KindGroup:
		return asState(c.groups[e.Name].Facts, atom)
	}
	return streamkeeper.Unknown
}

func asState(facts map[string]bool, atom string) streamkeeper.State {
	held, ok := facts[atom]
	switch {
	case !ok:
		return streamkeeper.Unknown
	case held:
		return streamkeeper.Present
	default:
		return streamkeeper.Absent
	}
}

// learnable are the labels that name an entity in the product's own series.
var learnable = []struct {
	label string
	kind  streamkeeper.EntityKind
}{
	{"group", streamkeeper.KindGroup},
	{"topic", streamkeeper.KindTopic},
	{"client", streamkeeper.KindClient},
	{"store", streamkeeper.KindStore},
	{"broker", streamkeeper.KindBroker},
}

// Learn adds the entities that a broker's own series name and no inventory lists: clients that are only
// throttled, object stores, a group not yet described. Catch-all names ("other") are no entities.
func (w *World) Learn(samples []streamkeeper.Sample) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range samples {
		name := s.Labels["cluster"]
		if name == "" || s.Value != s.Value || !strings.HasPrefix(s.Metric, "streamkeeper_broker_") {
			continue
		}
		c := w.cluster(name)
		c.tick(s.At)
		for _, l := range learnable {
			value := s.Labels[l.label]
			if value == "" || value == "other" {
				continue
			}
			if _, err := strconv.Atoi(value); l.kind == streamkeeper.KindBroker && err != nil {
				continue
			}
			e := streamkeeper.Entity{Kind: l.kind, Name: value, Cluster: name}
			if _, known := c.learned[e]; !known {
				delete(c.listed, l.kind)
			}
			c.learned[e] = s.At
		}
	}
}
