package series

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
)

// Limits of the HTTP interface.
const (
	maxPoints   = 11_000 // per series of a range query, as in Prometheus
	maxListed   = 100_000
	maxFormSize = 1 << 20
)

// Handler serves the read side of the Prometheus HTTP API under any prefix that ends in /api/v1/: query,
// query_range, labels, label/NAME/values, series, metadata and status/buildinfo. At most four queries run
// at a time; more wait for their turn or their client's patience.
func (s *Store) Handler() http.Handler {
	routes := map[string]func(*http.Request) (any, error){
		"query": s.httpQuery, "query_range": s.httpQueryRange, "labels": s.httpLabels,
		"series": s.httpSeries, "metadata": s.httpMetadata, "status/buildinfo": httpBuildInfo,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, name, _ := strings.Cut(r.URL.Path, "/api/v1/")
		serve := routes[name]
		if label, ok := strings.CutPrefix(name, "label/"); ok && strings.HasSuffix(label, "/values") {
			serve = func(r *http.Request) (any, error) { return s.httpValues(r, strings.TrimSuffix(label, "/values")) }
		}
		switch {
		case serve == nil:
			writeError(w, &httpError{http.StatusNotFound, "not_found", fmt.Errorf("no such endpoint: %s", r.URL.Path)})
			return
		case r.Method != http.MethodGet && r.Method != http.MethodPost:
			writeError(w, &httpError{http.StatusMethodNotAllowed, "bad_data", errors.New("use GET or POST")})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxFormSize)
		if err := r.ParseForm(); err != nil {
			writeError(w, badData(err))
			return
		}
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
		case <-r.Context().Done():
			return
		}
		data, err := serve(r)
		if err != nil {
			writeError(w, err)
			return
		}
		writeData(w, data)
	})
}

func (s *Store) httpQuery(r *http.Request) (any, error) {
	at, err := formTime(r, "time", s.now())
	if err != nil {
		return nil, err
	}
	ctx, cancel, err := s.timeout(r)
	if err != nil {
		return nil, err
	}
	defer cancel()
	query, err := s.engine.NewInstantQuery(ctx, s.db, nil, r.Form.Get("query"), at)
	if err != nil {
		return nil, badData(err)
	}
	return run(ctx, query)
}

func (s *Store) httpQueryRange(r *http.Request) (any, error) {
	start, err := formTime(r, "start", time.Time{})
	if err != nil {
		return nil, err
	}
	end, err := formTime(r, "end", time.Time{})
	if err != nil {
		return nil, err
	}
	step, err := formDuration(r, "step", 0)
	switch {
	case err != nil:
		return nil, err
	case start.IsZero() || end.IsZero() || step <= 0:
		return nil, badData(errors.New("start, end and a positive step are needed"))
	case end.Before(start):
		return nil, badData(errors.New("end is before start"))
	case end.Sub(start)/step > maxPoints:
		return nil, badData(fmt.Errorf("more than %d points per series: make the step larger", maxPoints))
	}
	ctx, cancel, err := s.timeout(r)
	if err != nil {
		return nil, err
	}
	defer cancel()
	query, err := s.engine.NewRangeQuery(ctx, s.db, nil, r.Form.Get("query"), start, end, step)
	if err != nil {
		return nil, badData(err)
	}
	return run(ctx, query)
}

// run executes and copies the result before the engine takes its memory back.
func run(ctx context.Context, query promql.Query) (any, error) {
	defer query.Close()
	result := query.Exec(ctx)
	if result.Err != nil {
		return nil, queryError(result.Err)
	}
	return queryData(result.Value)
}

func (s *Store) httpLabels(r *http.Request) (any, error) {
	querier, matchers, err := s.formQuerier(r)
	if err != nil {
		return nil, err
	}
	defer querier.Close()
	return collect(matchers, func(m []*labels.Matcher) ([]string, error) {
		names, _, err := querier.LabelNames(r.Context(), &storage.LabelHints{Limit: maxListed}, m...)
		return names, err
	})
}

func (s *Store) httpValues(r *http.Request, name string) (any, error) {
	if name == "" {
		return nil, badData(errors.New("a label name is needed"))
	}
	querier, matchers, err := s.formQuerier(r)
	if err != nil {
		return nil, err
	}
	defer querier.Close()
	return collect(matchers, func(m []*labels.Matcher) ([]string, error) {
		values, _, err := querier.LabelValues(r.Context(), name, &storage.LabelHints{Limit: maxListed}, m...)
		return values, err
	})
}

// collect asks once per match[] (once without any) and merges the sorted answers.
func collect(sets [][]*labels.Matcher, ask func([]*labels.Matcher) ([]string, error)) (any, error) {
	if len(sets) == 0 {
		sets = [][]*labels.Matcher{nil}
	}
	out := []string{}
	for _, m := range sets {
		found, err := ask(m)
		if err != nil {
			return nil, queryError(err)
		}
		for _, f := range found {
			out = append(out, strings.Clone(f)) // the store's strings do not outlive the querier
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func (s *Store) httpSeries(r *http.Request) (any, error) {
	querier, sets, err := s.formQuerier(r)
	if err != nil {
		return nil, err
	}
	defer querier.Close()
	if len(sets) == 0 {
		return nil, badData(errors.New("a match[] is needed"))
	}
	out, seen := []map[string]string{}, map[uint64]bool{}
	for _, m := range sets {
		set := querier.Select(r.Context(), true, &storage.SelectHints{Start: math.MinInt64, End: math.MaxInt64, Func: "series"}, m...)
		for set.Next() && len(out) < maxListed {
			l := set.At().Labels()
			if h := l.Hash(); !seen[h] {
				seen[h] = true
				out = append(out, l.Map())
			}
		}
		if err := set.Err(); err != nil {
			return nil, queryError(err)
		}
	}
	return out, nil
}

type metadata struct {
	Type string `json:"type"`
	Help string `json:"help"`
	Unit string `json:"unit"`
}

// httpMetadata tells each metric's type from its name: the names follow Prometheus' conventions.
func (s *Store) httpMetadata(r *http.Request) (any, error) {
	querier, err := s.db.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		return nil, queryError(err)
	}
	defer querier.Close()
	names, _, err := querier.LabelValues(r.Context(), model.MetricNameLabel, &storage.LabelHints{Limit: maxListed})
	if err != nil {
		return nil, queryError(err)
	}
	out := map[string][]metadata{}
	for _, name := range names {
		kind := "gauge"
		switch {
		case strings.HasSuffix(name, "_bucket"):
			name, kind = strings.TrimSuffix(name, "_bucket"), "histogram"
		case strings.HasSuffix(name, "_total"), strings.HasSuffix(name, "_sum"), strings.HasSuffix(name, "_count"):
			kind = "counter"
		}
		if only := r.Form.Get("metric"); only == "" || only == name {
			out[strings.Clone(name)] = []metadata{{Type: kind}}
		}
	}
	return out, nil
}

func httpBuildInfo(*http.Request) (any, error) {
	return map[string]string{"version": "3.0.0", "application": "streamkeeper"}, nil
}

func (s *Store) now() time.Time {
	if s.o.Now == nil {
		return time.UnixMilli(s.db.Head().MaxTime()) // a recording: its last moment
	}
	return s.o.Now()
}

// timeout bounds a query by the smaller of the asked and the configured timeout.
func (s *Store) timeout(r *http.Request) (context.Context, context.CancelFunc, error) {
	d, err := formDuration(r, "timeout", s.o.QueryTimeout)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), min(d, s.o.QueryTimeout))
	return ctx, cancel, nil
}

func (s *Store) formQuerier(r *http.Request) (storage.Querier, [][]*labels.Matcher, error) {
	start, err := formTime(r, "start", time.UnixMilli(math.MinInt64/4))
	if err != nil {
		return nil, nil, err
	}
	end, err := formTime(r, "end", time.UnixMilli(math.MaxInt64/4))
	if err != nil {
		return nil, nil, err
	}
	sets, err := s.parser.ParseMetricSelectors(r.Form["match[]"])
	if err != nil {
		return nil, nil, badData(err)
	}
	querier, err := s.db.Querier(start.UnixMilli(), end.UnixMilli())
	if err != nil {
		return nil, nil, queryError(err)
	}
	return querier, sets, nil
}

func formTime(r *http.Request, name string, missing time.Time) (time.Time, error) {
	text := r.Form.Get(name)
	if text == "" {
		return missing, nil
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(f) < 1e14 {
		return time.UnixMilli(int64(math.Round(f * 1000))), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, badData(fmt.Errorf("%s %q: want seconds since 1970 or RFC 3339", name, text))
	}
	return t, nil
}

func formDuration(r *http.Request, name string, missing time.Duration) (time.Duration, error) {
	text := r.Form.Get(name)
	if text == "" {
		return missing, nil
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && f >= 0 && f < 1e9 {
		return time.Duration(f * float64(time.Second)), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, badData(fmt.Errorf("%s %q: want seconds or a duration like 15s", name, text))
	}
	return d, nil
}
