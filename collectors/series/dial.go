package series

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// Bounds of what a foreign Prometheus is asked.
const (
	remoteQueries = 2                // at once
	remoteTimeout = 30 * time.Second // of one query
	remoteBytes   = 512 << 20        // of one answer
	remoteSpan    = 30 * time.Minute // of raw samples in one answer
)

// RemoteOptions say where a Prometheus is and how to be let in. Only URL is required.
type RemoteOptions struct {
	URL       string            // before /api/v1
	Transport http.RoundTripper // nil means the default one
	Timeout   time.Duration     // of one query; 0 means half a minute
}

// Remote is a server that speaks the Prometheus HTTP API: Prometheus, Mimir, Thanos, VictoriaMetrics. It is read only,
// asked at most two questions at once, and safe for concurrent use. Its errors say what to do.
type Remote struct {
	url     string
	api     promv1.API
	slots   chan struct{}
	timeout time.Duration
}

// Dial makes a Remote. Nothing is sent until it is asked something.
func Dial(o RemoteOptions) (*Remote, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is no address of a Prometheus: want http://HOST:PORT, or with the path before /api/v1", o.URL)
	}
	u.Path, _, _ = strings.Cut(u.Path, "/api/v1")
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	orDefault(&o.Timeout, remoteTimeout)
	client, err := api.NewClient(api.Config{Address: u.String(), RoundTripper: bounded{o.Transport}})
	if err != nil {
		return nil, fmt.Errorf("%q is no address of a Prometheus: %w", o.URL, err)
	}
	return &Remote{url: u.Redacted(), api: promv1.NewAPI(client), slots: make(chan struct{}, remoteQueries), timeout: o.Timeout}, nil
}

// bounded cuts answers that are larger than what we take.
type bounded struct{ next http.RoundTripper }

// RoundTrip is that of http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, remoteBytes), resp.Body}
	}
	return resp, err
}

// Counted is one row of Count.
type Counted struct {
	Labels map[string]string
	N      int
}

// Count counts the series of some metrics as of a moment, by labels; `__name__` is the metric.
func (r *Remote) Count(ctx context.Context, at time.Time, metrics, by []string) ([]Counted, error) {
	expr := fmt.Sprintf("count by (%s) ({__name__=~%q})", strings.Join(by, ", "), strings.Join(metrics, "|"))
	value, err := r.query(ctx, at, expr)
	if err != nil {
		return nil, err
	}
	vector, ok := value.(model.Vector)
	if !ok {
		return nil, fmt.Errorf("%s answered %q with a %s: is it a Prometheus?", r.url, expr, value.Type())
	}
	out := make([]Counted, 0, len(vector))
	for _, s := range vector {
		row := Counted{Labels: map[string]string{}, N: int(s.Value)}
		for name, v := range s.Metric {
			row.Labels[string(name)] = string(v)
		}
		out = append(out, row)
	}
	return out, nil
}

// query asks one instant question.
func (r *Remote) query(ctx context.Context, at time.Time, expr string) (model.Value, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for a turn at %s: %w", r.url, ctx.Err())
	}
	value, _, _, err := r.api.Query(ctx, expr, at, promv1.WithTimeout(r.timeout))
	if err != nil {
		return nil, r.explain(ctx, err)
	}
	return value, nil
}

// explain turns an error into what to do about it.
func (r *Remote) explain(ctx context.Context, err error) error {
	var op *net.OpError
	var told *promv1.Error
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s did not answer within %s: ask for one cluster, or look why it is slow", r.url, r.timeout)
	case errors.As(err, &op) && op.Op == "dial":
		return fmt.Errorf("no Prometheus answers at %s (%w): check the address, the port and the network", r.url, op.Err)
	case !errors.As(err, &told):
		return fmt.Errorf("asking %s: %w", r.url, err)
	}
	switch text := told.Msg + " " + told.Detail; {
	case strings.Contains(told.Msg, "401"), strings.Contains(told.Msg, "403"):
		return fmt.Errorf("%s does not let us in (%s): give a user and a password file, or a token file, that may read", r.url, told.Msg)
	case told.Type == promv1.ErrBadResponse, strings.Contains(told.Msg, "404"), strings.Contains(told.Msg, "405"):
		return fmt.Errorf("%s does not answer as the Prometheus HTTP API (%s): give the address before /api/v1; Mimir's ends in /prometheus, that of a VictoriaMetrics cluster in /select/0/prometheus", r.url, told.Msg)
	case told.Type == promv1.ErrExec || told.Type == promv1.ErrTimeout:
		return fmt.Errorf("%s refused the query, most likely because of its limits: ask for one cluster: %s", r.url, text)
	default:
		return fmt.Errorf("%s answered an error: %s", r.url, text)
	}
}

// Selection is which series to copy.
type Selection struct {
	Metrics []string
	Match   map[string]string // labels that the series must have, with their values
	Set     map[string]string // labels that the copies get
}

// Copied says what a copy brought.
type Copied struct {
	Series, Samples int
	Oldest, Newest  time.Time     // of the samples; zero without any
	Step            time.Duration // the usual time between two samples of a series; 0 when it is not known
}

// CopyFrom copies raw samples of (from, to] from a Remote into the store. A series that ended there has no staleness
// marker here, because the HTTP API does not tell of any: only the age of its last sample says so.
func (s *Store) CopyFrom(ctx context.Context, r *Remote, sel Selection, from, to time.Time) (Copied, error) {
	c := copier{store: s, set: sel.Set}
	for _, metric := range sel.Metrics {
		if err := c.read(ctx, r, selectorOf([]string{metric}, sel.Match), from, to); err != nil {
			return c.copied(), err
		}
	}
	return c.copied(), nil
}

// raw asks for the samples of (from, to] as they are.
func (r *Remote) raw(ctx context.Context, selector string, from, to time.Time) (model.Matrix, error) {
	value, err := r.query(ctx, to, fmt.Sprintf("%s[%dms]", selector, to.Sub(from).Milliseconds()))
	if err != nil {
		return nil, err
	}
	matrix, ok := value.(model.Matrix)
	if !ok {
		return nil, fmt.Errorf("%s answered with a %s instead of raw samples: is it a Prometheus?", r.url, value.Type())
	}
	return matrix, nil
}

// selectorOf selects the series of some metrics that have some labels.
func selectorOf(metrics []string, match map[string]string) string {
	var b strings.Builder
	if len(metrics) == 1 {
		fmt.Fprintf(&b, "{__name__=%q", metrics[0])
	} else {
		fmt.Fprintf(&b, "{__name__=~%q", strings.Join(metrics, "|"))
	}
	names := make([]string, 0, len(match))
	for name := range match {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, ",%s=%q", name, match[name])
	}
	b.WriteByte('}')
	return b.String()
}

// copier writes what comes, and keeps what Copied tells.
type copier struct {
	store          *Store
	set            map[string]string
	series         map[uint64]int64 // with the time of the newest sample that was copied
	samples        int
	oldest, newest int64
	steps          []int64
}

const maxSteps = 10_000 // remembered to find the usual one

// read copies what a selector selects, half an hour at a time.
func (c *copier) read(ctx context.Context, r *Remote, selector string, from, to time.Time) error {
	for start := from; start.Before(to); start = start.Add(remoteSpan) {
		end := start.Add(remoteSpan)
		if end.After(to) {
			end = to
		}
		matrix, err := r.raw(ctx, selector, start, end)
		if err != nil {
			return err
		}
		if err := c.take(ctx, matrix, start.UnixMilli()); err != nil {
			c.series = nil // what was taken is not stored: it may be asked for again
			return err
		}
	}
	return nil
}

func (c *copier) take(ctx context.Context, matrix model.Matrix, after int64) error {
	app := c.store.db.Appender(ctx)
	for _, stream := range matrix {
		l := c.labels(stream.Metric)
		if c.series == nil {
			c.series = map[uint64]int64{}
		}
		hash := l.Hash()
		copied := max(after, c.series[hash])
		c.series[hash] = copied
		if len(c.series) > c.store.o.MaxSeries {
			return errors.Join(fmt.Errorf("copying series: more than %d: ask for one cluster: %w", c.store.o.MaxSeries, ErrTooManySeries), app.Rollback())
		}
		var ref storage.SeriesRef
		var previous int64
		for _, p := range stream.Values {
			t := int64(p.Timestamp)
			if t <= copied {
				continue
			}
			c.series[hash] = t
			var err error
			ref, err = app.Append(ref, l, t, float64(p.Value))
			switch {
			case isOdd(err):
				ref = 0
				continue
			case err != nil:
				return errors.Join(fmt.Errorf("copying series: %w", err), app.Rollback())
			}
			c.seen(t, previous)
			previous = t
		}
	}
	if err := app.Commit(); err != nil {
		return fmt.Errorf("copying series: %w", err)
	}
	return nil
}

func (c *copier) labels(m model.Metric) labels.Labels {
	b := labels.NewBuilder(labels.EmptyLabels())
	for name, value := range m {
		b.Set(string(name), string(value))
	}
	for name, value := range c.set {
		b.Set(name, value)
	}
	return b.Labels()
}

func (c *copier) seen(t, previous int64) {
	c.samples++
	if c.oldest == 0 || t < c.oldest {
		c.oldest = t
	}
	c.newest = max(c.newest, t)
	if previous > 0 && len(c.steps) < maxSteps {
		c.steps = append(c.steps, t-previous)
	}
}

func (c *copier) copied() Copied {
	out := Copied{Series: len(c.series), Samples: c.samples}
	if c.samples > 0 {
		out.Oldest, out.Newest = time.UnixMilli(c.oldest).UTC(), time.UnixMilli(c.newest).UTC()
	}
	out.Step = usual(c.steps)
	return out
}

// usual is the median of steps in milliseconds, to the second; 0 without any.
func usual(steps []int64) time.Duration {
	if len(steps) == 0 {
		return 0
	}
	slices.Sort(steps)
	return (time.Duration(steps[len(steps)/2]) * time.Millisecond).Round(time.Second)
}
