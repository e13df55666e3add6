package series

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/streamkeeper-io/streamkeeper"
)

// count is the exact, reset-aware difference of counters over (at-window, at], summed by q.By.
//
// It starts from the last sample before the window, so a step across the window's edge is counted once and
// in the window where it was seen. A counter that was born inside the window counts from zero when its
// source had been watched before the birth, and from its first value when the watching itself began there:
// what a counter had gathered before we looked did not happen in the window.
func (s *Store) count(ctx context.Context, at time.Time, matchers []*labels.Matcher, q streamkeeper.Query) ([]streamkeeper.Point, error) {
	if q.Window <= 0 {
		return nil, fmt.Errorf("counting %q: no window given", q.Expr)
	}
	start, end := at.Add(-q.Window).UnixMilli(), at.UnixMilli()
	type sum struct {
		point  streamkeeper.Point
		newest int64
	}
	sums := map[string]*sum{}
	watch := &watched{store: s, from: start - Lookback.Milliseconds(), to: end}
	var failed error
	err := s.eachSeries(ctx, start-Lookback.Milliseconds()+1, end, matchers, func(l labels.Labels, samples []sample) {
		d, newest, ok := difference(samples, start, func(birth int64) bool {
			before, err := watch.before(ctx, l, birth)
			if err != nil {
				failed = err
			}
			return before
		})
		if !ok {
			return
		}
		key, by := project(l, q.By)
		total := sums[key]
		if total == nil {
			total = &sum{point: streamkeeper.Point{Labels: by}}
			sums[key] = total
		}
		total.point.Value += d
		total.newest = max(total.newest, newest)
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	keys := make([]string, 0, len(sums))
	for key := range sums {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	points := make([]streamkeeper.Point, 0, len(keys))
	for _, key := range keys {
		sums[key].point.Age = age(at, sums[key].newest)
		points = append(points, sums[key].point)
	}
	return points, nil
}

// difference sums the forward steps of one counter after start (in milliseconds). ok is false when no real
// sample lies in the window. born is asked whether a counter without a sample before the window began at zero.
func difference(samples []sample, start int64, born func(birth int64) bool) (d float64, newest int64, ok bool) {
	var previous float64
	have := false
	for _, x := range samples {
		if math.IsNaN(x.v) {
			continue
		}
		if x.t <= start {
			previous, have = x.v, true
			continue
		}
		switch {
		case !have:
			if born(x.t) {
				d += x.v
			}
		case x.v >= previous:
			d += x.v - previous
		default: // the counter was reset: all it shows has happened since
			d += x.v
		}
		previous, have, newest, ok = x.v, true, x.t, true
	}
	return d, newest, ok
}

// project keeps the labels in by, and makes a sort key of them.
func project(l labels.Labels, by []string) (string, map[string]string) {
	var key strings.Builder
	out := make(map[string]string, len(by))
	for _, name := range by {
		value := l.Get(name)
		key.WriteString(value)
		key.WriteByte(0)
		if value != "" {
			out[name] = value
		}
	}
	return key.String(), out
}

// watched knows when a series' source was read successfully: `up` for what was scraped, the collector's
// own health for the rest. It reads each source once.
type watched struct {
	store    *Store
	from, to int64
	times    map[string][]int64
}

// before reports whether the source of series l was read within the lookback before t.
func (w *watched) before(ctx context.Context, l labels.Labels, t int64) (bool, error) {
	metric, instance := "up", l.Get("instance")
	if instance == "" {
		metric = "streamkeeper_collector_up"
	}
	key := metric + "\x00" + l.Get("cluster") + "\x00" + instance
	times, ok := w.times[key]
	if !ok {
		matchers := []*labels.Matcher{
			labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, metric),
			labels.MustNewMatcher(labels.MatchEqual, "cluster", l.Get("cluster")),
			labels.MustNewMatcher(labels.MatchEqual, "instance", instance),
		}
		err := w.store.eachSeries(ctx, w.from, w.to, matchers, func(_ labels.Labels, samples []sample) {
			for _, x := range samples {
				if x.v == 1 {
					times = append(times, x.t)
				}
			}
		})
		if err != nil {
			return false, err
		}
		if w.times == nil {
			w.times = map[string][]int64{}
		}
		w.times[key] = times
	}
	return slices.ContainsFunc(times, func(x int64) bool { return x < t && x >= t-Lookback.Milliseconds() }), nil
}
