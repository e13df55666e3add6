package collectors

import (
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// source is one collector with what is known of its rounds.
type source struct {
	collector Collector
	every     time.Duration
	cluster   string

	mu     sync.Mutex
	first  time.Time // the first round
	good   time.Time // the last round without an error
	err    error     // of the last round
	took   time.Duration
	rounds int
	errors int
}

// done records a round and reports whether the source has just broken or just recovered.
func (s *source) done(now time.Time, took time.Duration, err error) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed = (s.err == nil) != (err == nil)
	if s.first.IsZero() {
		s.first = now
	}
	s.rounds++
	s.took, s.err = took, err
	if err != nil {
		s.errors++
	} else {
		s.good = now
	}
	return changed
}

// A source is stale once it was not read whole for so many rounds, and so long; one round may fail, or take its time.
const (
	staleRounds  = 3
	staleAtLeast = 20 * time.Second
)

func (s *source) state(now time.Time) streamkeeper.Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := streamkeeper.Source{Name: s.collector.Name(), Kind: s.collector.Kind()}
	newest, since, limit := s.good, s.first, max(staleRounds*s.every, staleAtLeast)
	if d, ok := s.collector.(Dated); ok {
		newest = d.Newest()
		limit += 2 * s.every // it is that old when all is well
	}
	if !newest.IsZero() {
		fresh := max(0, now.Sub(newest).Seconds())
		out.FreshSeconds = &fresh
		since = newest
	}
	out.Stale = !since.IsZero() && now.Sub(since) > limit
	if s.err != nil {
		out.Error = s.err.Error()
	}
	if l, ok := s.collector.(Limited); ok {
		out.Untold = l.Untold()
	}
	return out
}

// samples is what the collector tells about itself after each round; nothing before the first.
func (s *source) samples(now time.Time) []streamkeeper.Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rounds == 0 {
		return nil
	}
	labels := map[string]string{"cluster": s.cluster, "collector": s.collector.Name()}
	up := 1.0
	if s.err != nil {
		up = 0
	}
	return []streamkeeper.Sample{
		{Metric: "streamkeeper_collector_up", Labels: labels, At: now, Value: up},
		{Metric: "streamkeeper_collector_round_seconds", Labels: labels, At: now, Value: s.took.Seconds()},
		{Metric: "streamkeeper_collector_errors_total", Labels: labels, At: now, Value: float64(s.errors)},
	}
}

// sourceHelp says what a source's samples mean.
var sourceHelp = map[string]string{
	"streamkeeper_collector_up":            "Whether the source's last round was without an error.",
	"streamkeeper_collector_round_seconds": "How long it took.",
	"streamkeeper_collector_errors_total":  "Rounds with an error.",
}
