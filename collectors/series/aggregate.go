package series

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

// aggregation is an expression of the shape that nearly all of the catalog's queries have, max by (group) (metric{…}) or
// max by (group) (timestamp(metric{…})): it is computed from the newest samples without the engine, which makes several copies
// of each series. Two that differ in no more than that read them once.
type aggregation struct {
	op       parser.ItemType
	by       []string // sorted
	stamps   bool     // of when samples were taken, in seconds, instead of their values
	selector *parser.VectorSelector
}

func aggregationOf(expr parser.Expr) (a aggregation, ok bool) {
	agg, ok := bare(expr).(*parser.AggregateExpr)
	if !ok || agg.Without || agg.Param != nil || slices.Contains(agg.Grouping, model.MetricNameLabel) {
		return a, false
	}
	switch a.op = agg.Op; a.op {
	case parser.MAX, parser.MIN, parser.COUNT:
	default:
		return a, false
	}
	inner := bare(agg.Expr)
	if call, ok := inner.(*parser.Call); ok && call.Func.Name == "timestamp" && len(call.Args) == 1 {
		a.stamps, inner = true, bare(call.Args[0])
	}
	a.selector = bareSelector(inner)
	a.by = slices.Sorted(slices.Values(agg.Grouping))
	return a, a.selector != nil && a.selector.OriginalOffset == 0
}

// bare is an expression without parentheses around it.
func bare(expr parser.Expr) parser.Expr {
	for {
		paren, ok := expr.(*parser.ParenExpr)
		if !ok {
			return expr
		}
		expr = paren.Expr
	}
}

func (s *Store) aggregate(ctx context.Context, at time.Time, a aggregation, r *reading) ([]streamkeeper.Point, error) {
	all, err := s.newest(ctx, at, a.selector, r)
	if err != nil {
		return nil, err
	}
	var points []streamkeeper.Point
	groups := make(map[uint64]int, len(all))
	var buf []byte
	for _, x := range all {
		v := x.v
		if a.stamps {
			v = float64(x.t) / 1000
		}
		var hash uint64
		hash, buf = x.labels.HashForLabels(buf, a.by...)
		i, seen := groups[hash]
		if !seen {
			i = len(points)
			groups[hash] = i
			points = append(points, streamkeeper.Point{Labels: r.grouped(a.by, hash, x.labels), Value: a.first(v), Age: -1})
			continue
		}
		points[i].Value = a.join(points[i].Value, v)
	}
	return points, nil
}

func (a *aggregation) first(v float64) float64 {
	if a.op == parser.COUNT {
		return 1
	}
	return v
}

// join adds a value to those before it; what is not a number gives way to any.
func (a *aggregation) join(all, v float64) float64 {
	switch {
	case a.op == parser.COUNT:
		return all + 1
	case math.IsNaN(all), a.op == parser.MAX && all < v, a.op == parser.MIN && all > v:
		return v
	}
	return all
}

// latestSample is the newest sample of a series that lives.
type latestSample struct {
	labels labels.Labels
	sample
}

// newest reads the newest sample of each series within the lookback, once for all queries of a Read.
func (s *Store) newest(ctx context.Context, at time.Time, selector *parser.VectorSelector, r *reading) ([]latestSample, error) {
	key := selector.String()
	if known, ok := r.newest[key]; ok {
		return known, nil
	}
	var out []latestSample
	end := at.UnixMilli()
	err := s.eachSeries(ctx, end-Lookback.Milliseconds()+1, end, selector.LabelMatchers, func(l labels.Labels, samples []sample) {
		if last := samples[len(samples)-1]; !collectors.IsStale(last.v) {
			out = append(out, latestSample{l, last})
		}
	})
	if err != nil {
		return nil, err
	}
	r.newest[key] = out
	return out, nil
}

// reading is what the queries of one Read share: what they find of ten thousand groups are the same ten thousand label sets,
// and often the same samples.
type reading struct {
	sets   map[uint64]labelSet
	groups map[string]map[uint64]map[string]string // by the names of labels, then the hash of their values
	newest map[string][]latestSample               // by selector
}

func newReading() *reading {
	return &reading{
		sets: map[uint64]labelSet{}, groups: map[string]map[uint64]map[string]string{}, newest: map[string][]latestSample{},
	}
}

type labelSet struct {
	labels labels.Labels
	plain  map[string]string
}

// plain is a label set without the metric's name.
func (r *reading) plain(l labels.Labels) map[string]string {
	l = l.DropReserved(func(name string) bool { return name == model.MetricNameLabel })
	hash := l.Hash()
	known, ok := r.sets[hash]
	if ok && labels.Equal(known.labels, l) {
		return known.plain
	}
	plain := l.Map()
	if !ok {
		r.sets[hash] = labelSet{l, plain}
	}
	return plain
}

// grouped is the part of a label set that names are given for.
func (r *reading) grouped(names []string, hash uint64, l labels.Labels) map[string]string {
	key := strings.Join(names, ",")
	if r.groups[key] == nil {
		r.groups[key] = map[uint64]map[string]string{}
	}
	known, ok := r.groups[key][hash]
	if ok && !slices.ContainsFunc(names, func(name string) bool { return known[name] != l.Get(name) }) {
		return known
	}
	plain := make(map[string]string, len(names))
	for _, name := range names {
		if value := l.Get(name); value != "" {
			plain[name] = value
		}
	}
	r.groups[key][hash] = plain
	return plain
}
