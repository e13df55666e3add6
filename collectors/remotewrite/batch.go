package remotewrite

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/common/model"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

// batch is one request while it is taken.
type batch struct {
	r       *Receiver
	now     time.Time
	cluster string // that the sender named; "": series name theirs
	watched map[string]bool
	waiting []streamkeeper.Sample
	taken   int
	samples int
	first   error // what was left out first
}

// newBatch knows the cluster that the address or the tenant names, or the only one there is.
func (r *Receiver) newBatch(req *http.Request) *batch {
	b := &batch{r: r, now: r.o.Now(), watched: map[string]bool{}}
	names := r.o.Clusters()
	for _, name := range names {
		b.watched[name] = true
	}
	switch wanted := collectors.PushedFor(req); {
	case b.watched[wanted]:
		b.cluster = wanted
	case len(names) == 1:
		b.cluster = names[0]
	}
	return b
}

// take reads one series. What is over a limit becomes the first error and the rest goes on; an error that is returned ends
// the request.
func (b *batch) take(ctx context.Context, ts timeSeries) error {
	metric, labels, err := b.r.labels(ts)
	if err != nil {
		if errors.Is(err, errProto) {
			return err
		}
		b.leave(err)
		return nil
	}
	cluster := b.clusterOf(labels)
	derived := strings.HasPrefix(metric, "streamkeeper_") && !strings.HasPrefix(metric, "streamkeeper_broker_")
	if cluster != "" {
		labels["cluster"] = cluster
	}
	known := cluster == "" || derived || b.r.know(metric, labels, b.now)
	if !known {
		b.leave(refuse(http.StatusBadRequest, refusedSeries, "more than %d series: series %.100s is left out", b.r.limits.Series, metric))
	}
	histograms, err := ts.samples(func(v float64, ms int64) error {
		b.samples++
		if b.samples > b.r.limits.Samples {
			return refuse(http.StatusBadRequest, refusedSize, "the write request has more than %d samples", b.r.limits.Samples)
		}
		switch {
		case cluster == "":
			b.r.counts.unclaimed.Add(1)
			return nil
		case derived:
			b.r.counts.derived.Add(1)
			return nil
		case !known:
			return nil
		}
		at := time.UnixMilli(ms).UTC()
		if err := b.within(at, metric); err != nil {
			b.leave(err)
			return nil
		}
		b.waiting = append(b.waiting, streamkeeper.Sample{Metric: metric, Labels: labels, At: at, Value: v})
		return nil
	})
	b.r.counts.histograms.Add(int64(histograms))
	if err == nil && len(b.waiting) >= atOnce {
		err = b.store(ctx)
	}
	return err
}

func (b *batch) leave(err error) {
	if b.first == nil {
		b.first = err
	}
}

// clusterOf is the watched cluster that a series is of; "" when none is named for certain.
func (b *batch) clusterOf(labels map[string]string) string {
	for _, name := range collectors.ClusterLabels {
		if b.cluster == "" && b.watched[labels[name]] {
			return labels[name]
		}
	}
	return b.cluster
}

func (b *batch) within(at time.Time, metric string) error {
	switch {
	case b.now.Sub(at) > b.r.limits.MaxAge:
		return refuse(http.StatusBadRequest, refusedAge, "a sample of %.100s is too old: %s, more than %s before now", metric, at.Format(time.RFC3339), b.r.limits.MaxAge)
	case at.Sub(b.now) > b.r.limits.MaxAhead:
		return refuse(http.StatusBadRequest, refusedAge, "a sample of %.100s is from the future: %s", metric, at.Format(time.RFC3339))
	}
	return nil
}

// store hands over what waits.
func (b *batch) store(ctx context.Context) error {
	if len(b.waiting) == 0 {
		return nil
	}
	err := b.r.o.Sink.Samples(ctx, b.waiting)
	n := len(b.waiting)
	b.waiting = b.waiting[:0]
	switch {
	case err == nil:
		b.taken += n
		b.r.counts.samples.Add(int64(n))
		return nil
	case b.r.o.Final != nil && b.r.o.Final(err):
		b.leave(refuse(http.StatusBadRequest, refusedStore, "%w", err))
		return nil
	}
	return refuse(http.StatusInternalServerError, refusedStore, "%w", err)
}

// labels reads the labels of a series, within the limits.
func (r *Receiver) labels(ts timeSeries) (metric string, labels map[string]string, err error) {
	bad := func(format string, args ...any) error {
		return refuse(http.StatusBadRequest, refusedLabels, "series %.100s: "+format, append([]any{metric}, args...)...)
	}
	labels = map[string]string{}
	err = ts.labels(func(name, value []byte) error {
		switch {
		case len(name) == 0:
			return bad("a label has no name")
		case len(name) > r.limits.LabelNameBytes, len(value) > r.limits.LabelValueBytes:
			return bad("label %.100q is longer than %d bytes, or its value than %d", name, r.limits.LabelNameBytes, r.limits.LabelValueBytes)
		case !utf8.Valid(name), !utf8.Valid(value):
			return bad("label %.100q is no UTF-8", name)
		case len(labels) >= r.limits.LabelNames:
			return bad("more than %d labels", r.limits.LabelNames)
		}
		n := string(name)
		if n == model.MetricNameLabel {
			if metric != "" {
				return bad("two names")
			}
			metric = string(value)
			return nil
		}
		if _, twice := labels[n]; twice {
			return bad("label %.100q comes twice", name)
		}
		labels[n] = string(value)
		return nil
	})
	if err == nil && metric == "" {
		err = bad("it has no name")
	}
	return metric, labels, err
}

// know reports whether there is room for a series.
func (r *Receiver) know(metric string, labels map[string]string, now time.Time) bool {
	hash := collectors.SeriesHash(r.seed, metric, labels)
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.known[hash]; !ok && len(r.known) >= r.limits.Series {
		if now.Sub(r.swept) >= time.Minute {
			r.swept = now
			maps.DeleteFunc(r.known, func(_ uint64, at time.Time) bool { return now.Sub(at) > r.limits.SeriesIdle })
		}
		if len(r.known) >= r.limits.Series {
			return false
		}
	}
	r.known[hash] = now
	return true
}
