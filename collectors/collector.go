package collectors

import (
	"context"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// Collector watches one source of one cluster.
//
// Collect does one round and returns when it is done or ctx ends; now is the round's time and stamps
// every sample of it. Rounds of one collector never overlap, rounds of different collectors do. What was
// measured before an error is still handed to the sink: the error says what is missing. Collectors keep
// what they need between rounds and survive any number of failed ones.
type Collector interface {
	// Name is unique in a cluster and stable: it appears in reports.
	Name() string
	// Kind is the sort of source: kafka, scrape, events.
	Kind() string
	// Collect does one round.
	Collect(ctx context.Context, now time.Time, s Sink) error
}

// Limited is a collector that knows what it cannot tell although it works: for want of a permission, or of somebody who
// would tell it. Untold is called at any time, also while a round runs.
type Limited interface {
	Untold() []streamkeeper.NotJudged
}

// Dated is a collector that reads what others measured before: its rounds may go well and its data be old all the same.
type Dated interface {
	Collector
	// Newest is the time of the newest data that was read; zero before there is any. It is called while rounds run.
	Newest() time.Time
}

// Sink takes what collectors saw. It is safe for concurrent use, does not keep the slices it is given,
// and returns an error when it could not store what it got (a full disk), never for odd content.
type Sink interface {
	Samples(ctx context.Context, s []streamkeeper.Sample) error
	Events(ctx context.Context, ev []streamkeeper.Event, w streamkeeper.Watermark) error
	Inventory(ctx context.Context, inv streamkeeper.Inventory) error
}
