package streamkeeper

import "time"

// Reading is a signal's value on an entity at a tick.
type Reading struct {
	Signal  string
	Entity  Entity
	Value   Value
	Dialect string        // which metric names answered
	Window  time.Duration // the effective window: max(asked, 4 x interval)
}

// Source is one place that data comes from, with its freshness.
type Source struct {
	Name         string   `json:"name"`
	Kind         string   `json:"kind"` // kafka, scrape, events, loki, otlp, probe, deploys, declared
	FreshSeconds *float64 `json:"fresh_seconds"`
	Error        string   `json:"error,omitempty"`
	// Untold is what the source cannot tell although it works, and what would let it.
	Untold []NotJudged `json:"untold,omitempty"`
}
