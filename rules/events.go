package rules

import (
	"slices"
	"strconv"
	"strings"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// eventIndex asks the event log once per kinds and window, and sorts the answer by entity.
type eventIndex struct {
	log   EventLog
	scope Scope
	sets  map[eventKey]*eventSet
}

type eventKey struct {
	kinds  string
	within time.Duration
}

// eventSet is one answer of the log.
type eventSet struct {
	covered  bool
	all      []*streamkeeper.Event
	byEntity map[streamkeeper.Entity][]*streamkeeper.Event
}

// entityEvents is what an entity sees of a set.
type entityEvents struct {
	events  []*streamkeeper.Event
	covered bool
}

func newEventIndex(log EventLog, s Scope) *eventIndex {
	return &eventIndex{log: log, scope: s, sets: map[eventKey]*eventSet{}}
}

// of gives the events of kinds within a window that belong to the entity, in time order.
func (x *eventIndex) of(kinds []string, within time.Duration, e streamkeeper.Entity) entityEvents {
	key := eventKey{strings.Join(kinds, "|"), within}
	set := x.sets[key]
	if set == nil {
		set = x.ask(kinds, within)
		x.sets[key] = set
	}
	if e.Kind == streamkeeper.KindCluster {
		return entityEvents{set.all, set.covered}
	}
	return entityEvents{set.byEntity[e], set.covered}
}

func (x *eventIndex) ask(kinds []string, within time.Duration) *eventSet {
	set := &eventSet{byEntity: map[streamkeeper.Entity][]*streamkeeper.Event{}}
	if x.log == nil {
		return set
	}
	from, to := x.scope.Now.Add(-within), x.scope.Now
	set.covered = x.log.Covered(x.scope.Cluster, kinds, from, to)
	events := x.log.Events(x.scope.Cluster, kinds, from, to)
	for i := range events {
		set.all = append(set.all, &events[i])
	}
	slices.SortStableFunc(set.all, func(a, b *streamkeeper.Event) int { return a.At.Compare(b.At) })
	for _, e := range set.all {
		for _, owner := range owners(e, x.scope.Cluster) {
			set.byEntity[owner] = append(set.byEntity[owner], e)
		}
	}
	return set
}

// owners are the entities an event belongs to: its own, and those that its attributes name.
func owners(e *streamkeeper.Event, cluster string) []streamkeeper.Entity {
	out := []streamkeeper.Entity{e.Entity}
	add := func(kind streamkeeper.EntityKind, name string) {
		owner := streamkeeper.Entity{Kind: kind, Name: name, Cluster: cluster}
		if name != "" && !slices.Contains(out, owner) {
			out = append(out, owner)
		}
	}
	for _, kind := range []streamkeeper.EntityKind{
		streamkeeper.KindGroup, streamkeeper.KindTopic, streamkeeper.KindBroker, streamkeeper.KindStore, streamkeeper.KindClient, streamkeeper.KindDisk,
	} {
		if s, ok := attrText(e, string(kind)); ok {
			add(kind, s)
		}
	}
	if s, ok := attrText(e, "client_id"); ok {
		add(streamkeeper.KindClient, s)
	}
	topic, hasTopic := attrText(e, "topic")
	if p, ok := e.Attrs["partition"].(float64); ok && hasTopic {
		add(streamkeeper.KindPartition, topic+"-"+strconv.Itoa(int(p)))
	}
	return out
}
