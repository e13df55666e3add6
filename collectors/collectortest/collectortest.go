// Package collectortest is what every collector promises, as a test. A collector's own tests run it over
// the collector and a source that can be broken, hung and mended.
//
// It checks the contract of collectors.Collector only, never what a particular source means.
package collectortest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

// Subject is a collector with the source it watches.
type Subject struct {
	Collector collectors.Collector
	Cluster   string
	// Source puts the source into a state; every state can follow every other.
	Source func(State)
	// Mark says that the collector hands over a watermark with each good round.
	Mark bool
	// Counts says that the collector's totals count what it does itself: they stand while its source fails.
	Counts bool
}

// State is how a source behaves.
type State int

// The states of a source.
const (
	Works State = iota
	Fails       // answers with errors or refuses connections
	Hangs       // takes requests and never answers
)

var countedName = regexp.MustCompile(`_(total|bucket|sum|count)$`)

var metricName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// Run checks the contract. makeSubject is called once per check.
func Run(t *testing.T, makeSubject func(t *testing.T) Subject) {
	for name, check := range map[string]func(*testing.T, Subject){
		"names itself":              namesItself,
		"stamps and labels":         stampsAndLabels,
		"fails and recovers":        failsAndRecovers,
		"ends with its context":     endsWithItsContext,
		"keeps what it handed over": keepsWhatItHandedOver,
		"tells of a full store":     tellsOfAFullStore,
		"moves its watermark":       movesItsWatermark,
	} {
		t.Run(name, func(t *testing.T) { check(t, makeSubject(t)) })
	}
}

// sink keeps everything it is given.
type sink struct {
	mu        sync.Mutex
	err       error
	samples   []streamkeeper.Sample
	events    []streamkeeper.Event
	marks     []streamkeeper.Watermark
	inventory []streamkeeper.Inventory
}

func (s *sink) Samples(_ context.Context, x []streamkeeper.Sample) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.samples = append(s.samples, x...)
	return s.err
}

func (s *sink) Events(_ context.Context, ev []streamkeeper.Event, w streamkeeper.Watermark) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events, s.marks = append(s.events, ev...), append(s.marks, w)
	return s.err
}

func (s *sink) Inventory(_ context.Context, inv streamkeeper.Inventory) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inventory = append(s.inventory, inv)
	return s.err
}

var epoch = time.Now().Truncate(time.Second).UTC()

// round runs one round as of seconds after the epoch, with five seconds' time.
func round(t *testing.T, s Subject, out *sink, seconds int) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return s.Collector.Collect(ctx, epoch.Add(time.Duration(seconds)*time.Second), out)
}

func mustRound(t *testing.T, s Subject, out *sink, seconds int) {
	t.Helper()
	if err := round(t, s, out, seconds); err != nil {
		t.Fatal(err)
	}
}

func namesItself(t *testing.T, s Subject) {
	name, kind := s.Collector.Name(), s.Collector.Kind()
	if name == "" || kind == "" {
		t.Errorf("name %q, kind %q", name, kind)
	}
	mustRound(t, s, &sink{}, 0)
	if s.Collector.Name() != name || s.Collector.Kind() != kind {
		t.Error("the name changed with a round")
	}
}

func stampsAndLabels(t *testing.T, s Subject) {
	var out sink
	mustRound(t, s, &out, 0)
	mustRound(t, s, &out, 5)
	if len(out.samples)+len(out.marks)+len(out.inventory) == 0 {
		t.Fatal("a source that works gave nothing")
	}
	seen := map[string]bool{}
	for _, x := range out.samples {
		if x.Labels["cluster"] != s.Cluster || !metricName.MatchString(x.Metric) {
			t.Errorf("%+v: want a metric's name and the cluster", x)
		}
		if second := x.At.Sub(epoch); second != 0 && second != 5*time.Second {
			t.Errorf("%+v: not of a round's time", x)
		}
		if id := fmt.Sprint(x.Metric, x.Labels, x.At); seen[id] {
			t.Errorf("%s twice in one round", id)
		} else {
			seen[id] = true
		}
	}
	for _, e := range out.events {
		if e.Entity.Cluster != s.Cluster || e.Kind == "" || e.At.IsZero() || e.Source == "" {
			t.Errorf("%+v", e)
		}
		for name, v := range e.Attrs {
			switch v.(type) {
			case string, float64, bool:
			default:
				t.Errorf("%s: attribute %s is a %T", e.Kind, name, v)
			}
		}
	}
	for _, inv := range out.inventory {
		if inv.Cluster.Name != s.Cluster || inv.Source == "" || inv.At.IsZero() {
			t.Errorf("%+v", inv)
		}
	}
}

// failsAndRecovers also checks that what can no longer be measured is not repeated as if it had been.
func failsAndRecovers(t *testing.T, s Subject) {
	var good, bad, again sink
	mustRound(t, s, &good, 0)
	s.Source(Fails)
	if err := round(t, s, &bad, 5); err == nil {
		t.Error("a source that fails is no error")
	}
	before := map[string]float64{}
	for _, x := range good.samples {
		before[fmt.Sprint(x.Metric, x.Labels)] = x.Value
	}
	for _, x := range bad.samples {
		if strings.HasSuffix(x.Metric, "_fact") {
			continue // what applies to a cluster does not end with its being out of reach
		}
		if s.Counts && countedName.MatchString(x.Metric) {
			continue
		}
		if v, ok := before[fmt.Sprint(x.Metric, x.Labels)]; ok && v != 0 && v == x.Value {
			t.Errorf("%s is repeated from before the failure: %v", x.Metric, x.Value)
		}
	}
	s.Source(Works)
	var err error
	for i := range 5 { // connections may need a round to be found dead
		again = sink{}
		if err = round(t, s, &again, 10+5*i); err == nil {
			break
		}
	}
	if err != nil {
		t.Errorf("a mended source still fails: %v", err)
	}
	if len(again.samples) < len(good.samples) {
		t.Errorf("%d samples after the failure, %d before", len(again.samples), len(good.samples))
	}
}

func endsWithItsContext(t *testing.T, s Subject) {
	mustRound(t, s, &sink{}, 0)
	s.Source(Hangs)
	defer s.Source(Works)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := s.Collector.Collect(ctx, epoch.Add(5*time.Second), &sink{}); err == nil {
		t.Error("a source that hangs is no error")
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("a round of 0.3 s took %s", took)
	}
}

// keepsWhatItHandedOver: sinks may hold on to labels and attributes, so a later round must not write them.
func keepsWhatItHandedOver(t *testing.T, s Subject) {
	var first sink
	mustRound(t, s, &first, 0)
	labels := make([]map[string]string, len(first.samples))
	for i, x := range first.samples {
		labels[i] = maps.Clone(x.Labels)
	}
	mustRound(t, s, &sink{}, 5)
	s.Source(Fails)
	_ = round(t, s, &sink{}, 10) // fails: what matters is what it does to the past
	for i, x := range first.samples {
		if !maps.Equal(labels[i], x.Labels) {
			t.Errorf("labels of %s became %v", x.Metric, x.Labels)
		}
	}
}

func tellsOfAFullStore(t *testing.T, s Subject) {
	full := errors.New("no space left on device")
	if err := round(t, s, &sink{err: full}, 0); !errors.Is(err, full) {
		t.Errorf("error %v, want the store's", err)
	}
	mustRound(t, s, &sink{}, 5)
}

func movesItsWatermark(t *testing.T, s Subject) {
	if !s.Mark {
		t.Skip("tells no events")
	}
	var good, bad sink
	mustRound(t, s, &good, 0)
	mustRound(t, s, &good, 5)
	for _, w := range good.marks {
		if w.Cluster != s.Cluster || w.Source == "" || w.Through.IsZero() || w.Heartbeat.IsZero() || w.From.After(w.Through) {
			t.Errorf("%+v", w)
		}
	}
	if n := len(good.marks); n < 2 || good.marks[n-1].Through.Before(good.marks[0].Through) {
		t.Errorf("%d watermarks: %+v", n, good.marks)
	}
	s.Source(Fails)
	_ = round(t, s, &bad, 10)
	last := good.marks[len(good.marks)-1]
	for _, w := range bad.marks {
		if w.Through.After(last.Through) || w.Heartbeat.After(last.Heartbeat) {
			t.Errorf("%+v was told by a source that fails, after %+v", w, last)
		}
	}
}
