package remotewrite

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/prompb"
	"golang.org/x/sync/errgroup"
)

const (
	sendTimeout  = 10 * time.Second // of one try
	firstBackoff = time.Second
	lastBackoff  = time.Minute
	maxQueued    = 40    // gatherings that wait; the oldest make room
	maxSent      = 2_000 // samples in one request, as a Prometheus sends
)

// SenderOptions configure a Sender. URL, Every, Gatherer and Logger are required.
type SenderOptions struct {
	URL      string // of a server's remote write; a user and password in it are sent as such
	Every    time.Duration
	Gatherer prometheus.Gatherer
	Labels   map[string]string // that every series gets
	Client   *http.Client      // nil means one of its own
	Logger   *slog.Logger
}

// Sender gathers metrics again and again and pushes them by remote write 1.0, which every server takes. While the server is
// away or overloaded it tries again, and a bounded queue waits; what the server refuses for good is dropped and counted.
type Sender struct {
	o                     SenderOptions
	api                   *remote.API
	queue                 chan []prompb.TimeSeries
	sent, dropped, failed atomic.Int64
}

// NewSender makes a sender.
func NewSender(o SenderOptions) (*Sender, error) {
	if o.Client == nil {
		o.Client = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone(), Timeout: sendTimeout}
	}
	api, err := remote.NewAPI(o.URL, remote.WithAPIPath(""), remote.WithAPIHTTPClient(o.Client),
		remote.WithAPIBackoff(remote.BackoffConfig{Min: firstBackoff, Max: lastBackoff}))
	if err != nil {
		return nil, fmt.Errorf("pushing metrics: %w", err)
	}
	return &Sender{o: o, api: api, queue: make(chan []prompb.TimeSeries, maxQueued)}, nil
}

// Run gathers and pushes until ctx ends.
func (s *Sender) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.gather(ctx) })
	g.Go(func() error { return s.deliver(ctx) })
	return g.Wait()
}

func (s *Sender) gather(ctx context.Context) error {
	every := time.NewTicker(s.o.Every)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-every.C:
			all, err := s.read(now)
			if err != nil {
				s.o.Logger.Warn("gathering our own metrics; those that could be read are pushed", "error", err)
			}
			s.enqueue(all)
		}
	}
}

// enqueue has a gathering wait for its turn; the oldest makes room.
func (s *Sender) enqueue(all []prompb.TimeSeries) {
	for {
		select {
		case s.queue <- all:
			return
		default:
		}
		select {
		case oldest := <-s.queue:
			s.dropped.Add(int64(len(oldest)))
		default:
		}
	}
}

// read gathers what there is, as of now.
func (s *Sender) read(now time.Time) ([]prompb.TimeSeries, error) {
	families, err := s.o.Gatherer.Gather()
	vector, verr := expfmt.ExtractSamples(&expfmt.DecodeOptions{Timestamp: model.TimeFromUnixNano(now.UnixNano())}, families...)
	if err == nil {
		err = verr
	}
	out := make([]prompb.TimeSeries, 0, len(vector))
	for _, x := range vector {
		out = append(out, prompb.TimeSeries{
			Labels:  s.labels(x.Metric),
			Samples: []prompb.Sample{{Value: float64(x.Value), Timestamp: int64(x.Timestamp)}},
		})
	}
	return out, err
}

// labels are sorted, as receivers demand; a metric's own come before ours.
func (s *Sender) labels(m model.Metric) []prompb.Label {
	all := maps.Clone(s.o.Labels)
	if all == nil {
		all = map[string]string{}
	}
	for name, value := range m {
		if value != "" { // an empty label is none
			all[string(name)] = string(value)
		}
	}
	out := make([]prompb.Label, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, prompb.Label{Name: name, Value: all[name]})
	}
	return out
}

func (s *Sender) deliver(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case all := <-s.queue:
			for chunk := range slices.Chunk(all, maxSent) {
				if err := s.push(ctx, chunk); err != nil {
					return err
				}
			}
		}
	}
}

// push tries until the samples are taken or refused for good, or ctx ends.
func (s *Sender) push(ctx context.Context, chunk []prompb.TimeSeries) error {
	_, err := s.api.Write(ctx, remote.WriteV1MessageType, &prompb.WriteRequest{Timeseries: chunk}, remote.WithWriteRetryCallback(func(err error) {
		s.failed.Add(1)
		s.o.Logger.Debug("pushing metrics, will try again", "error", err)
	}))
	switch {
	case err == nil:
		s.sent.Add(int64(len(chunk)))
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	s.failed.Add(1)
	s.dropped.Add(int64(len(chunk)))
	s.o.Logger.Warn("a server refuses our metrics", "url", s.host(), "samples", len(chunk), "error", err)
	return nil
}

// host is the address as it may be logged: without a password.
func (s *Sender) host() string {
	if u, err := url.Parse(s.o.URL); err == nil {
		return u.Host
	}
	return ""
}
