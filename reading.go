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
	Kind         string   `json:"kind"`          // kafka, scrape, events, loki, otlp, probe, deploys, declared, hosts
	FreshSeconds *float64 `json:"fresh_seconds"` // since it was last read whole; null when it never was
	Stale        bool     `json:"stale,omitempty"`
	Error        string   `json:"error,omitempty"`
	Listens      bool     `json:"listens,omitempty"` // takes what others send: that nothing came proves nothing
	// Untold is what the source cannot tell although it works, and what would let it.
	Untold []NotJudged `json:"untold,omitempty"`
}
