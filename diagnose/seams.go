package diagnose

import (
	"context"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose/history"
	"github.com/streamkeeper-io/streamkeeper/rules"
)

// Signals answers questions to the measurements. One failed query is told in its answer; Read fails as a
// whole only when nothing could be asked.
type Signals interface {
	Read(ctx context.Context, at time.Time, qs []streamkeeper.Query) (streamkeeper.Answers, error)
}

// World is what exists, and the facts that decide which edges apply. SetFacts replaces the facts of a
// cluster; ticks of different clusters may run at the same time.
type World interface {
	rules.World
	Cluster(name string) streamkeeper.ClusterInfo
	Inventory(cluster string) streamkeeper.Inventory
	SetFacts(cluster string, facts []streamkeeper.Fact)
}

// Entry is what a person decided about a finding or an incident; the next tick reads it.
type Entry = history.Entry

// Ledger holds the entries of a cluster that are in force. It must not block for long: it is read in
// every tick.
type Ledger interface {
	Entries(ctx context.Context, cluster string, now time.Time) ([]Entry, error)
}

// Publisher tells a report and the incidents that changed in it. It must not block on a receiver.
type Publisher interface {
	Publish(ctx context.Context, r streamkeeper.Report, incidents []streamkeeper.Incident) error
	// Rollup tells of incidents that are not told one by one.
	Rollup(ctx context.Context, r streamkeeper.Rollup) error
}
