package rules

import (
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// Scope is what one evaluation is about. Now is the moment that is judged: callers step back one
// interval, so that what is asked for has arrived. Interval is the scrape interval.
type Scope struct {
	Cluster  string
	Now      time.Time
	Interval time.Duration
}

// World says what exists and how it hangs together. It must not change during a call.
type World interface {
	// Entities lists the entities of a kind, in any order.
	Entities(cluster string, k streamkeeper.EntityKind) []streamkeeper.Entity
	// Related lists the entities of a kind that belong together with e: a group's topics, a topic's groups.
	Related(e streamkeeper.Entity, k streamkeeper.EntityKind) []streamkeeper.Entity
	// Fact is the state of a context atom on an entity; Unknown when nobody has said.
	Fact(e streamkeeper.Entity, atom string) streamkeeper.State
}

// EventLog holds dated facts.
type EventLog interface {
	// Events lists events of the kinds with from <= At <= to.
	Events(cluster string, kinds []string, from, to time.Time) []streamkeeper.Event
	// Covered says whether the sources of the kinds have told everything of the window: only then does a
	// missing event mean that nothing happened.
	Covered(cluster string, kinds []string, from, to time.Time) bool
}

// Inputs is the data of one evaluation. Events may be nil: then no event is known to be absent.
type Inputs struct {
	Answers streamkeeper.Answers
	Events  EventLog
	World   World
}

// Suspect is an entity to examine closely, or a healthy control to compare with.
type Suspect struct {
	Entity  streamkeeper.Entity
	Causes  []string // by id; empty for controls
	Nodes   []NodeOn // evidence to evaluate
	Control bool

	related []streamkeeper.Entity // entities whose signals its nodes read
}

// NodeOn is a node to evaluate on an entity.
type NodeOn struct {
	Node   string
	Entity streamkeeper.Entity
}
