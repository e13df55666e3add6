package collectors

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamkeeper-io/streamkeeper"
)

// fake is a collector whose rounds are scripted.
type fake struct {
	name  string
	round func(ctx context.Context, n int) error

	mu    sync.Mutex
	times []time.Time
}

func (f *fake) Name() string { return f.name }
func (f *fake) Kind() string { return "fake" }
func (f *fake) Collect(ctx context.Context, now time.Time, _ Sink) error {
	f.mu.Lock()
	f.times = append(f.times, now)
	n := len(f.times)
	f.mu.Unlock()
	if f.round == nil {
		return nil
	}
	return f.round(ctx, n)
}

// seconds lists when the rounds were, since start.
func (f *fake) seconds(start time.Time) []float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []float64
	for _, t := range f.times {
		out = append(out, t.Sub(start).Seconds())
	}
	return out
}

type memorySink struct {
	mu      sync.Mutex
	samples []streamkeeper.Sample
	err     error
}

func (s *memorySink) Samples(_ context.Context, samples []streamkeeper.Sample) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.samples = append(s.samples, samples...)
	return s.err
}

func (s *memorySink) Events(context.Context, []streamkeeper.Event, streamkeeper.Watermark) error {
	return nil
}
func (s *memorySink) Inventory(context.Context, streamkeeper.Inventory) error { return nil }

// last is the newest value of a metric of one collector.
func (s *memorySink) last(metric, collector string) (v float64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.samples {
		if x.Metric == metric && x.Labels["collector"] == collector && x.Labels["cluster"] == "c" {
			v, ok = x.Value, true
		}
	}
	return v, ok
}

func noJitter(time.Duration) time.Duration { return 0 }

// runFor runs the scheduler for d of the bubble's time.
func runFor(t *testing.T, s *Scheduler, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := s.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestSchedulerKeepsItsGrid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		steady := &fake{name: "steady", round: func(context.Context, int) error { time.Sleep(time.Second); return nil }}
		slow := &fake{name: "slow", round: func(ctx context.Context, n int) error {
			if n == 2 { // ignores its deadline for two and a half intervals
				time.Sleep(12500 * time.Millisecond)
			}
			return nil
		}}
		s := NewScheduler(Options{Sink: &memorySink{}, Jitter: noJitter})
		s.Add(steady, 5*time.Second, "c")
		s.Add(slow, 5*time.Second, "c")
		runFor(t, s, 31*time.Second)
		if d := cmp.Diff([]float64{0, 5, 10, 15, 20, 25, 30}, steady.seconds(start)); d != "" {
			t.Errorf("a collector was held up by another: %s", d)
		}
		if d := cmp.Diff([]float64{0, 5, 20, 25, 30}, slow.seconds(start)); d != "" {
			t.Errorf("an overrun skips grid points and comes back to the grid: %s", d)
		}
	})
}

func TestSchedulerHasPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for patience, cut := range map[time.Duration]int{0: 1, time.Second: 1, 5 * time.Second: 0} {
			start, ended := time.Now(), 0
			var told []float64
			slow := &fake{name: "slow", round: func(ctx context.Context, n int) error {
				if n != 2 {
					return nil
				}
				select {
				case <-ctx.Done():
					ended++
				case <-time.After(3 * time.Second):
				}
				return ctx.Err()
			}}
			s := NewScheduler(Options{
				Sink: &memorySink{}, Jitter: noJitter, Patience: patience,
				After: func(began time.Time) { told = append(told, began.Sub(start).Seconds()) },
			})
			s.Add(slow, 2*time.Second, "c")
			runFor(t, s, 9*time.Second)
			want := []float64{0, 2, 6, 8}
			if cut > 0 {
				want = []float64{0, 2, 4, 6, 8}
			}
			if d := cmp.Diff(want, slow.seconds(start)); ended != cut || d != "" {
				t.Errorf("patience of %s: %d rounds were cut, want %d: %s", patience, ended, cut, d)
			}
			if d := cmp.Diff(want, told); d != "" {
				t.Errorf("patience of %s: told of rounds: %s", patience, d)
			}
		}
	})
}

// What a round saw that was cut by the end says nothing.
func TestSchedulerTellsOfNoCutRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var told []float64
		slow := &fake{name: "slow", round: func(ctx context.Context, _ int) error {
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
			return ctx.Err()
		}}
		s := NewScheduler(Options{
			Sink: &memorySink{}, Jitter: noJitter, After: func(began time.Time) { told = append(told, began.Sub(start).Seconds()) },
		})
		s.Add(slow, 2*time.Second, "c")
		runFor(t, s, 4500*time.Millisecond)
		if d := cmp.Diff([]float64{0, 2}, told); d != "" {
			t.Error(d)
		}
	})
}

// Many sources do not begin in the same instant, and nobody waits for a first answer because of it.
func TestSchedulerSpreadsTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		half := func(n time.Duration) time.Duration { return n / 2 }
		for sources, delay := range map[int]float64{1: 0, 3: .02, 500: .5} {
			start := time.Now()
			var all []*fake
			s := NewScheduler(Options{Sink: &memorySink{}, Jitter: half})
			for range sources {
				c := &fake{name: "c"}
				all = append(all, c)
				s.Add(c, time.Minute, "c")
			}
			runFor(t, s, 61*time.Second)
			if d := cmp.Diff([]float64{delay, 60 + delay}, all[0].seconds(start)); d != "" {
				t.Errorf("%d sources: %s", sources, d)
			}
		}
	})
}

func TestSchedulerEndsRoundsAndIsolatesFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		sink := &memorySink{}
		hanging := &fake{name: "hanging", round: func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }}
		broken := &fake{name: "broken", round: func(context.Context, int) error { panic("odd answer") }}
		recovering := &fake{name: "recovering", round: func(_ context.Context, n int) error {
			if n == 1 {
				return errors.New("not yet")
			}
			return nil
		}}
		var log strings.Builder
		s := NewScheduler(Options{Sink: sink, Jitter: noJitter, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		for _, c := range []*fake{hanging, broken, recovering} {
			s.Add(c, 5*time.Second, "c")
		}
		s.Add(&fake{name: "elsewhere"}, 5*time.Second, "d")
		if got := s.SourcesOf("c")[0]; got.FreshSeconds != nil || got.Error != "" {
			t.Errorf("before the first round: %+v, want unknown", got)
		}
		runFor(t, s, 18*time.Second)
		if n := len(hanging.seconds(start)); n != 4 {
			t.Errorf("%d rounds, want 4: each must end at its deadline", n)
		}
		got := s.SourcesOf("c")
		if got[0].Name != "broken" || !strings.Contains(got[0].Error, "panic: odd answer") || got[0].FreshSeconds != nil {
			t.Errorf("%+v", got[0])
		}
		if got[1].Name != "hanging" || !strings.Contains(got[1].Error, "deadline") {
			t.Errorf("%+v", got[1])
		}
		if got[2].Error != "" || got[2].FreshSeconds == nil || *got[2].FreshSeconds != 3 || got[2].Kind != "fake" {
			t.Errorf("%+v, want fresh for 3 s", got[2])
		}
		if got[0].Stale || got[2].Stale {
			t.Errorf("stale after 18 s, before three rounds and twenty seconds are over: %+v", got)
		}
		time.Sleep(3 * time.Second)
		if again := s.SourcesOf("c"); !again[0].Stale || !again[1].Stale || again[2].Stale {
			t.Errorf("after 21 s: %+v, want those stale that were never read whole", again)
		}
		if n := len(s.Sources()); n != 4 {
			t.Errorf("%d sources over all clusters, want 4", n)
		}
		for _, want := range []struct {
			metric, collector string
			v                 float64
		}{
			{"streamkeeper_collector_up", "broken", 0},
			{"streamkeeper_collector_up", "recovering", 1},
			{"streamkeeper_collector_errors_total", "recovering", 1},
			{"streamkeeper_collector_errors_total", "broken", 4},
			{"streamkeeper_collector_round_seconds", "hanging", 5},
		} {
			if v, ok := sink.last(want.metric, want.collector); !ok || v != want.v {
				t.Errorf("%s{%s} = %v %v, want %v", want.metric, want.collector, v, ok, want.v)
			}
		}
		if n := strings.Count(log.String(), "a source fails"); n != 3 {
			t.Errorf("%d failures told, want one per source that broke:\n%s", n, log.String())
		}
		if n := strings.Count(log.String(), "a source is back"); n != 1 {
			t.Errorf("%d recoveries told, want 1", n)
		}
	})
}

func TestSchedulerTellsOfAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewScheduler(Options{Sink: &memorySink{err: errors.New("no space left")}, Jitter: noJitter})
		s.Add(&fake{name: "a"}, 5*time.Second, "c")
		runFor(t, s, time.Second)
		if got := s.Sources()[0].Error; !strings.Contains(got, "no space left") {
			t.Errorf("error %q", got)
		}
	})
}

func TestSchedulerRunsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewScheduler(Options{Sink: &memorySink{}})
		runFor(t, s, time.Second)
		if err := s.Run(t.Context()); err == nil {
			t.Error("a second Run")
		}
		late := &fake{name: "late"}
		s.Add(late, time.Second, "c")
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(late.times) > 0 {
			t.Error("a collector that was added after the end has rounds")
		}
	})
}

// TestSchedulerTakesMoreWhileItRuns: clusters are found one by one.
func TestSchedulerTakesMoreWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewScheduler(Options{Sink: &memorySink{}, Jitter: func(time.Duration) time.Duration { return 0 }})
		more := &fake{name: "more"}
		time.AfterFunc(10*time.Second, func() { s.Add(more, 5*time.Second, "c") })
		start := time.Now()
		runFor(t, s, 21*time.Second)
		if diff := cmp.Diff([]float64{10, 15, 20}, more.seconds(start)); diff != "" {
			t.Error(diff)
		}
	})
}

// dated is a collector whose data is a minute old.
type dated struct{ fake }

func (*dated) Newest() time.Time { return time.Now().Add(-time.Minute) }

func TestSchedulerTellsTheAgeOfTheData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewScheduler(Options{Sink: &memorySink{}})
		s.Add(&dated{}, time.Second, "c")
		runFor(t, s, 10*time.Second)
		if got := s.SourcesOf("c")[0].FreshSeconds; got == nil || *got != 60 {
			t.Errorf("fresh %v, want 60", got)
		}
	})
}

func TestStaleness(t *testing.T) {
	var st Staleness
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	sample := func(metric, group string, s int) streamkeeper.Sample {
		return streamkeeper.Sample{Metric: metric, Labels: map[string]string{"group": group}, At: at(s), Value: 1}
	}
	if got := st.Mark(at(0), []streamkeeper.Sample{sample("a", "x", 0), sample("a", "y", 0), sample("b", "x", 0)}); len(got) != 3 {
		t.Errorf("the first round has nothing to end: %v", got)
	}
	got := st.Mark(at(5), []streamkeeper.Sample{sample("b", "x", 5)})
	if len(got) != 3 {
		t.Fatalf("%v, want two markers", got)
	}
	for i, group := range []string{"x", "y"} {
		m := got[i+1]
		if m.Metric != "a" || m.Labels["group"] != group || !IsStale(m.Value) || !m.At.Equal(at(5)) {
			t.Errorf("marker %d = %+v", i, m)
		}
	}
	if got := st.Mark(at(10), []streamkeeper.Sample{sample("b", "x", 10)}); len(got) != 1 {
		t.Errorf("an ended series is ended twice: %v", got)
	}
}
