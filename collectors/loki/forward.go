package loki

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/client_golang/prometheus"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

const (
	forwardBatch   = 500
	forwardTimeout = 10 * time.Second
	firstBackoff   = time.Second
	lastBackoff    = time.Minute
	maxRetryAfter  = 5 * time.Minute
)

// ForwardOptions configure a Forwarder.
type ForwardOptions struct {
	URL string // of a Loki's push; a user and password in it are sent as such
	// Feed gives at most limit events that came after a position, the next position, and how many were lost between: the
	// event log is the queue, so that a Loki that is away costs no memory.
	Feed    func(after uint64, limit int) (events []streamkeeper.Event, next, lost uint64)
	Changed func() <-chan struct{} // closed when there is more
	Client  *http.Client           // nil means one of its own
	Logger  *slog.Logger
}

// Forwarder pushes every event on to a Loki, in the order in which they came: label job=streamkeeper, cluster, kind and
// source, the event as JSON. What Loki refuses for good is dropped and counted; anything else is tried again.
type Forwarder struct {
	o                     ForwardOptions
	sent, dropped, failed atomic.Int64
}

// NewForwarder makes a forwarder.
func NewForwarder(o ForwardOptions) *Forwarder {
	if o.Client == nil {
		o.Client = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	}
	return &Forwarder{o: o}
}

// Run pushes until ctx ends.
func (f *Forwarder) Run(ctx context.Context) error {
	var at uint64
	for {
		more := f.o.Changed()
		events, next, lost := f.o.Feed(at, forwardBatch)
		f.dropped.Add(int64(lost))
		at = next
		if len(events) == 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-more:
			}
			continue
		}
		body, err := encodeEvents(events)
		if err != nil {
			return fmt.Errorf("encoding events for Loki: %w", err)
		}
		if err := f.deliver(ctx, body, len(events)); err != nil {
			return err
		}
	}
}

// deliver tries until the batch is taken or refused for good, or ctx ends.
func (f *Forwarder) deliver(ctx context.Context, body []byte, n int) error {
	for backoff := firstBackoff; ; backoff = min(2*backoff, lastBackoff) {
		wait, err := f.post(ctx, body)
		switch {
		case err == nil:
			f.sent.Add(int64(n))
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		}
		f.failed.Add(1)
		if errors.Is(err, errRefused) {
			f.dropped.Add(int64(n))
			f.o.Logger.Warn("Loki refuses events", "url", f.host(), "events", n, "error", err)
			return nil
		}
		f.o.Logger.Debug("pushing events to Loki, will try again", "error", err)
		timer := time.NewTimer(max(wait, backoff))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// errRefused is an answer that another try will not change.
var errRefused = errors.New("refused")

// post sends a batch once; wait is how long the server asks to be left alone.
func (f *Forwarder) post(ctx context.Context, body []byte) (wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.o.URL, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errRefused, err)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	res, err := f.o.Client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 500))
	switch {
	case res.StatusCode/100 == 2:
		return 0, nil
	case res.StatusCode == http.StatusTooManyRequests || res.StatusCode/100 == 5:
		seconds, _ := strconv.Atoi(res.Header.Get("Retry-After"))
		return min(time.Duration(max(0, seconds))*time.Second, maxRetryAfter), fmt.Errorf("HTTP %s: %s", res.Status, text)
	}
	return 0, fmt.Errorf("%w: HTTP %s: %s", errRefused, res.Status, text)
}

// host is the address as it may be logged: without a password.
func (f *Forwarder) host() string {
	if u, err := url.Parse(f.o.URL); err == nil {
		return u.Host
	}
	return ""
}

// encodeEvents makes a push request, one stream per cluster, kind and source.
func encodeEvents(events []streamkeeper.Event) ([]byte, error) {
	var req push.PushRequest
	at := map[string]int{}
	for _, e := range events {
		line, err := json.Marshal(e)
		if err != nil {
			return nil, err
		}
		labels := fmt.Sprintf(`{cluster=%q, job="streamkeeper", kind=%q, source=%q}`, e.Entity.Cluster, e.Kind, e.Source)
		i, ok := at[labels]
		if !ok {
			i = len(req.Streams)
			at[labels] = i
			req.Streams = append(req.Streams, push.Stream{Labels: labels})
		}
		req.Streams[i].Entries = append(req.Streams[i].Entries, push.Entry{Timestamp: e.At, Line: string(line)})
	}
	raw, err := req.Marshal()
	if err != nil {
		return nil, err
	}
	return snappy.Encode(nil, raw), nil
}

// Describe names the forwarder's metrics.
func (f *Forwarder) Describe(ch chan<- *prometheus.Desc) {
	ch <- forwardedDesc
	ch <- forwardDroppedDesc
	ch <- forwardFailedDesc
}

// Collect gives their values.
func (f *Forwarder) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(forwardedDesc, prometheus.CounterValue, float64(f.sent.Load()))
	ch <- prometheus.MustNewConstMetric(forwardDroppedDesc, prometheus.CounterValue, float64(f.dropped.Load()))
	ch <- prometheus.MustNewConstMetric(forwardFailedDesc, prometheus.CounterValue, float64(f.failed.Load()))
}
