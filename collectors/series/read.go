package series

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/streamkeeper-io/streamkeeper"
)

// Read answers queries as of at. A query that fails has its error in its own answer and costs no other
// query; Read itself fails only when ctx ended or the store cannot be read at all. Points come in label order.
//
// Bare selectors are read from the samples themselves, so that each point carries its age, and so are maxima, minima and
// counts of one by labels; every other expression is evaluated by Prometheus' engine. All but the first have a negative age. Points share their labels: they are for reading.
func (s *Store) Read(ctx context.Context, at time.Time, queries []streamkeeper.Query) (streamkeeper.Answers, error) {
	answers, shared := make(streamkeeper.Answers, len(queries)), newReading()
	for _, q := range queries {
		if err := ctx.Err(); err != nil {
			return answers, fmt.Errorf("reading series: %w", err)
		}
		points, err := s.answer(ctx, at, q, shared)
		if err != nil {
			points = nil
		}
		answers[q.ID] = streamkeeper.Answer{Points: points, Err: err}
	}
	return answers, nil
}

func (s *Store) answer(ctx context.Context, at time.Time, q streamkeeper.Query, shared *reading) ([]streamkeeper.Point, error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.QueryTimeout)
	defer cancel()
	expr, err := s.parser.ParseExpr(q.Expr)
	if err != nil {
		return nil, fmt.Errorf("reading the query %q: %w", q.Expr, err)
	}
	selector := bareSelector(expr)
	switch {
	case q.Kind == streamkeeper.QueryCount && selector == nil:
		return nil, fmt.Errorf("counting %q: a count takes a bare selector", q.Expr)
	case q.Kind == streamkeeper.QueryCount:
		return s.count(ctx, at.Add(-selector.OriginalOffset), selector.LabelMatchers, q)
	case selector != nil && selector.OriginalOffset == 0:
		return s.latest(ctx, at, selector, shared)
	}
	if a, ok := aggregationOf(expr); ok {
		return s.aggregate(ctx, at, a, shared)
	}
	return s.evaluate(ctx, at, q.Expr, shared)
}

// bareSelector returns the selector that expr is, or nil when it is more than that.
func bareSelector(expr parser.Expr) *parser.VectorSelector {
	for {
		switch e := expr.(type) {
		case *parser.ParenExpr:
			expr = e.Expr
		case *parser.StepInvariantExpr:
			expr = e.Expr
		case *parser.VectorSelector:
			if e.Timestamp != nil || e.StartOrEnd != 0 {
				return nil
			}
			return e
		default:
			return nil
		}
	}
}

// latest is the newest sample of each series within the lookback; a series that ended is absent.
func (s *Store) latest(ctx context.Context, at time.Time, selector *parser.VectorSelector, shared *reading) ([]streamkeeper.Point, error) {
	all, err := s.newest(ctx, at, selector, shared)
	if err != nil {
		return nil, err
	}
	var points []streamkeeper.Point
	for _, x := range all {
		points = append(points, streamkeeper.Point{Labels: shared.plain(x.labels), Value: x.v, Age: age(at, x.t)})
	}
	return points, nil
}

func (s *Store) evaluate(ctx context.Context, at time.Time, expr string, shared *reading) ([]streamkeeper.Point, error) {
	query, err := s.engine.NewInstantQuery(ctx, s.db, nil, expr, at)
	if err != nil {
		return nil, fmt.Errorf("reading the query %q: %w", expr, err)
	}
	defer query.Close()
	result := query.Exec(ctx)
	if result.Err != nil {
		return nil, fmt.Errorf("evaluating %q: %w", expr, limitError(result.Err, s.o))
	}
	switch v := result.Value.(type) {
	case promql.Vector:
		points := make([]streamkeeper.Point, 0, len(v))
		for _, p := range v {
			if p.H == nil {
				points = append(points, streamkeeper.Point{Labels: shared.plain(p.Metric), Value: p.F, Age: -1})
			}
		}
		return points, nil
	case promql.Scalar:
		return []streamkeeper.Point{{Labels: map[string]string{}, Value: v.V, Age: -1}}, nil
	default:
		return nil, fmt.Errorf("evaluating %q: the result is a %s, want one number per series", expr, result.Value.Type())
	}
}

func limitError(err error, o Options) error {
	var tooMany promql.ErrTooManySamples
	var timeout promql.ErrQueryTimeout
	switch {
	case errors.As(err, &tooMany):
		return fmt.Errorf("more than %d samples would be loaded, narrow the selector or the window: %w", o.MaxSamples, err)
	case errors.As(err, &timeout):
		return fmt.Errorf("took longer than %s: %w", o.QueryTimeout, err)
	}
	return err
}

// sample is one raw sample; t is in milliseconds.
type sample struct {
	t int64
	v float64
}

// eachSeries calls f, in label order, with the raw samples of every series that has any within [mint, maxt],
// staleness markers included. The slice is reused between calls.
func (s *Store) eachSeries(ctx context.Context, mint, maxt int64, matchers []*labels.Matcher, f func(labels.Labels, []sample)) error {
	querier, err := s.db.Querier(mint, maxt)
	if err != nil {
		return fmt.Errorf("reading series: %w", err)
	}
	defer querier.Close()
	set := querier.Select(ctx, true, &storage.SelectHints{Start: mint, End: maxt}, matchers...)
	var it chunkenc.Iterator
	var buf []sample
	loaded := 0
	for set.Next() {
		it = set.At().Iterator(it)
		buf = buf[:0]
		for kind := it.Seek(mint); kind != chunkenc.ValNone; kind = it.Next() {
			if kind != chunkenc.ValFloat {
				continue
			}
			t, v := it.At()
			if t > maxt {
				break
			}
			buf = append(buf, sample{t, v})
		}
		if err := it.Err(); err != nil {
			return fmt.Errorf("reading series: %w", err)
		}
		if loaded += len(buf); loaded > s.o.MaxSamples {
			return fmt.Errorf("reading series: more than %d samples would be loaded, narrow the selector or the window", s.o.MaxSamples)
		}
		if len(buf) > 0 {
			f(set.At().Labels(), buf)
		}
	}
	if err := set.Err(); err != nil {
		return fmt.Errorf("reading series: %w", err)
	}
	return ctx.Err()
}

func age(at time.Time, ms int64) time.Duration {
	return max(0, time.Duration(at.UnixMilli()-ms)*time.Millisecond)
}
