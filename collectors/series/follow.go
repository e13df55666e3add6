package series

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/streamkeeper-io/streamkeeper/collectors"
)

// Follower copies what is new in a Remote, again and again. It is not safe for concurrent use.
type Follower struct {
	copier
	remote   *Remote
	selector string
}

// Follow makes a Follower. Nothing is asked until Copy.
func (s *Store) Follow(r *Remote, sel Selection) *Follower {
	return &Follower{copier: copier{store: s, set: sel.Set}, remote: r, selector: selectorOf(sel.Metrics, sel.Match)}
}

// Copy copies what it has not copied yet of (from, to], in one question for each half hour. Moments may overlap those of the
// call before: samples that came late are then found.
func (f *Follower) Copy(ctx context.Context, from, to time.Time) (Copied, error) {
	f.samples, f.oldest, f.newest, f.steps = 0, 0, 0, f.steps[:0]
	for hash, newest := range f.series { // older ones are not asked for again
		if newest < from.UnixMilli() {
			delete(f.series, hash)
		}
	}
	err := f.read(ctx, f.remote, f.selector, from, to)
	return f.copied(), err
}

// paceWindow is how far back Pace looks.
const paceWindow = 10 * time.Minute

// Pace is the usual time between two samples of a metric's series as of a moment, judged by one of them; 0 when there are
// not two.
func (r *Remote) Pace(ctx context.Context, at time.Time, metric string, match map[string]string) (time.Duration, error) {
	value, err := r.query(ctx, at, "topk(1, "+selectorOf([]string{metric}, match)+")")
	if err != nil {
		return 0, err
	}
	one, ok := value.(model.Vector)
	if !ok {
		return 0, fmt.Errorf("%s answered topk with a %s: is it a Prometheus?", r.url, value.Type())
	}
	if len(one) == 0 {
		return 0, nil
	}
	its := map[string]string{}
	for name, v := range one[0].Metric {
		if name != model.MetricNameLabel {
			its[string(name)] = string(v)
		}
	}
	matrix, err := r.raw(ctx, selectorOf([]string{metric}, its), at.Add(-paceWindow), at)
	if err != nil {
		return 0, err
	}
	var steps []int64
	for _, stream := range matrix {
		for i := 1; i < len(stream.Values); i++ {
			steps = append(steps, int64(stream.Values[i].Timestamp-stream.Values[i-1].Timestamp))
		}
	}
	return usual(steps), nil
}

// Newest is the time of the newest sample since a moment of a metric's series with some labels; zero when there is none.
func (s *Store) Newest(ctx context.Context, metric string, match map[string]string, since time.Time) (time.Time, error) {
	matchers := []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, metric)}
	for name, value := range match {
		matchers = append(matchers, labels.MustNewMatcher(labels.MatchEqual, name, value))
	}
	var newest time.Time
	err := s.eachSeries(ctx, since.UnixMilli(), math.MaxInt64/4, matchers, func(_ labels.Labels, samples []sample) {
		for _, x := range samples {
			if at := time.UnixMilli(x.t).UTC(); !collectors.IsStale(x.v) && at.After(newest) {
				newest = at
			}
		}
	})
	return newest, err
}
