package collectors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// Options configure a Scheduler. Only Sink is required.
type Options struct {
	Sink   Sink
	Logger *slog.Logger     // told when a source breaks and when it is back, not each round; nil is silent
	Now    func() time.Time // the rounds' times; nil is time.Now
	// Jitter returns a delay in [0, n): it spreads the first rounds, so that many clusters are not asked
	// in the same instant. Nil is random.
	Jitter func(n time.Duration) time.Duration
	// Patience is how long a round may take although the next is due; less than that is until then.
	Patience time.Duration
	// After is told after each round when that began, though not of one that was cut because the scheduler ends; nil is
	// nobody. It must not block.
	After func(began time.Time)
}

// The first rounds are spread over startDelay for each source but one, and no longer than maxStartDelay: people wait for a
// first answer.
const (
	startDelay    = 20 * time.Millisecond
	maxStartDelay = time.Second
)

// Scheduler runs each collector on its own grid of times. A slow, hanging or panicking collector costs
// only itself: nothing is shared between them but the sink. A round that overruns makes its collector
// skip grid points, it never makes rounds overlap or bunch up.
type Scheduler struct {
	o       Options
	mu      sync.Mutex
	sources []*source
	start   func(*source) // nil before Run
}

// NewScheduler makes a scheduler without collectors.
func NewScheduler(o Options) *Scheduler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Jitter == nil {
		o.Jitter = func(n time.Duration) time.Duration { return rand.N(n) }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Scheduler{o: o}
}

// Add registers a collector; while the scheduler runs its rounds begin at once. Each of its rounds ends after every, or
// the scheduler's patience, at the latest. It panics when every is not positive, which is a wiring mistake.
func (s *Scheduler) Add(c Collector, every time.Duration, cluster string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if every <= 0 {
		panic(fmt.Sprintf("collectors: %s has no interval", c.Name()))
	}
	src := &source{collector: c, every: every, cluster: cluster}
	s.sources = append(s.sources, src)
	if s.start != nil {
		s.start(src)
	}
}

// Run collects until ctx ends and all rounds have returned. It returns nil then: a failing source is no
// reason to stop, its error is in Sources.
func (s *Scheduler) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	s.mu.Lock()
	if s.start != nil {
		s.mu.Unlock()
		return errors.New("running the collectors: they run already")
	}
	s.start = func(src *source) { wg.Go(func() { s.loop(ctx, src) }) }
	for _, src := range s.sources {
		s.start(src)
	}
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	s.start = func(*source) {} // what is added now has come too late
	s.mu.Unlock()
	wg.Wait()
	return nil
}

// loop runs one collector's rounds on the grid start, start+every, ...
func (s *Scheduler) loop(ctx context.Context, src *source) {
	next := s.o.Now()
	if most := min(src.every, s.spread()); most > 0 {
		next = next.Add(s.o.Jitter(most))
	}
	timer := time.NewTimer(next.Sub(s.o.Now()))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		s.round(ctx, src)
		now := s.o.Now()
		next = next.Add(src.every)
		if behind := now.Sub(next); behind > 0 {
			next = next.Add((behind/src.every + 1) * src.every)
		}
		timer.Reset(next.Sub(now))
	}
}

func (s *Scheduler) spread() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(maxStartDelay, time.Duration(len(s.sources)-1)*startDelay)
}

func (s *Scheduler) round(ctx context.Context, src *source) {
	now := s.o.Now()
	if s.o.After != nil {
		defer func() {
			if ctx.Err() == nil {
				s.o.After(now)
			}
		}()
	}
	rctx, cancel := context.WithTimeout(ctx, max(src.every, s.o.Patience))
	err := collect(rctx, now, src.collector, s.o.Sink)
	cancel()
	if ctx.Err() != nil {
		return // stopping: what a cut round says is about us, not about the source
	}
	took := s.o.Now().Sub(now)
	changed := src.done(now, took, err)
	if changed && err != nil {
		s.o.Logger.Warn("a source fails", "cluster", src.cluster, "source", src.collector.Name(), "error", err)
	} else if changed {
		s.o.Logger.Info("a source is back", "cluster", src.cluster, "source", src.collector.Name())
	}
	if serr := s.o.Sink.Samples(ctx, src.samples(now)); serr != nil {
		src.done(now, took, fmt.Errorf("storing what the source says of itself: %w", serr))
	}
}

// collect turns a panic into an error: one bad answer of one cluster must not end the others.
func collect(ctx context.Context, now time.Time, c Collector, sink Sink) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("collecting %s: panic: %v", c.Name(), r)
		}
	}()
	return c.Collect(ctx, now, sink)
}

// Sources tells, for every collector, how old its last good round is (of a [Dated] one: its data) and its last error,
// ordered by name. FreshSeconds is nil before the first.
func (s *Scheduler) Sources() []streamkeeper.Source { return s.sourcesOf("", true) }

// Page is the state of the sources, for /metrics.
func (s *Scheduler) Page() *Page {
	s.mu.Lock()
	sources := slices.Clone(s.sources)
	s.mu.Unlock()
	p, now := NewPage(), s.o.Now()
	for _, src := range sources {
		for _, x := range src.samples(now) {
			p.Add(x, sourceHelp[x.Metric])
		}
	}
	return p
}

// SourcesOf is Sources for one cluster.
func (s *Scheduler) SourcesOf(cluster string) []streamkeeper.Source {
	return s.sourcesOf(cluster, false)
}

func (s *Scheduler) sourcesOf(cluster string, all bool) []streamkeeper.Source {
	s.mu.Lock()
	sources := slices.Clone(s.sources)
	s.mu.Unlock()
	now := s.o.Now()
	var out []streamkeeper.Source
	for _, src := range sources {
		if all || src.cluster == cluster {
			out = append(out, src.state(now))
		}
	}
	slices.SortStableFunc(out, func(a, b streamkeeper.Source) int { return strings.Compare(a.Name, b.Name) })
	return out
}
