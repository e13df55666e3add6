package scrape

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

// Default bounds of one scrape.
const (
	DefaultMaxSamples = 100_000
	DefaultMaxBody    = 64 << 20

	accept     = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
	storeGrace = 2 * time.Second // to store the outcome of a scrape whose own time is over
)

// Options configure a Scraper. Cluster and URL are required.
type Options struct {
	Cluster    string
	URL        string            // http://host:port/metrics
	Instance   string            // the instance label; "" means the URL's host:port
	Client     *http.Client      // nil means a client with its own connections
	Labels     map[string]string // added to every series
	MaxSamples int               // of one scrape; 0 means DefaultMaxSamples
	MaxBody    int64             // bytes, after decompression; 0 means DefaultMaxBody
}

// Scraper reads one target. It is a [collectors.Collector]; not safe for concurrent rounds.
//
// Every series gets the labels cluster and instance; an exposed label of such a name moves to exported_NAME.
// Exposed timestamps are ignored: a sample's time is its round's, so a target with a wrong clock, or one
// that repeats old values, cannot look fresh.
type Scraper struct {
	o      Options
	labels map[string]string
	body   []byte // reused between rounds
	parsed parser
}

// New makes a collector for one target. The error says what is wrong with the options.
func New(o Options) (*Scraper, error) {
	target, err := url.Parse(o.URL)
	if err != nil {
		return nil, fmt.Errorf("scraping %q: %w", o.URL, err)
	}
	if (target.Scheme != "http" && target.Scheme != "https") || target.Host == "" {
		return nil, fmt.Errorf("scraping %q: want http://host:port/path", o.URL)
	}
	if o.Cluster == "" {
		return nil, fmt.Errorf("scraping %q: no cluster named", o.URL)
	}
	if o.Instance == "" {
		o.Instance = target.Host
	}
	if o.Client == nil {
		o.Client = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	}
	if o.MaxSamples <= 0 {
		o.MaxSamples = DefaultMaxSamples
	}
	if o.MaxBody <= 0 {
		o.MaxBody = DefaultMaxBody
	}
	labels := map[string]string{}
	for name, value := range o.Labels {
		labels[name] = value
	}
	labels["cluster"], labels["instance"] = o.Cluster, o.Instance
	return &Scraper{o: o, labels: labels, parsed: parser{fixed: labels, max: o.MaxSamples}}, nil
}

// Name is scrape-INSTANCE.
func (s *Scraper) Name() string { return "scrape-" + s.o.Instance }

// Kind is scrape.
func (s *Scraper) Kind() string { return "scrape" }

// Collect scrapes once. The outcome is stored even when the scrape failed: up 0 and the end of every series.
func (s *Scraper) Collect(ctx context.Context, now time.Time, sink collectors.Sink) error {
	start := time.Now()
	samples, err := s.scrape(ctx, now)
	if err != nil {
		samples = s.parsed.endAll(now)
	}
	up := 1.0
	if err != nil {
		up = 0
	}
	exposed := float64(len(s.parsed.live))
	for metric, v := range map[string]float64{
		"up": up, "scrape_duration_seconds": time.Since(start).Seconds(), "scrape_samples_scraped": exposed,
	} {
		samples = append(samples, streamkeeper.Sample{Metric: metric, Labels: s.labels, At: now, Value: v})
	}
	sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeGrace)
	defer cancel()
	if serr := sink.Samples(sctx, samples); serr != nil {
		err = errors.Join(err, fmt.Errorf("storing what %s exposes: %w", s.o.URL, serr))
	}
	return err
}

func (s *Scraper) scrape(ctx context.Context, now time.Time) ([]streamkeeper.Sample, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.o.URL, nil)
	if err != nil {
		return nil, fmt.Errorf("scraping: %w", err)
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("User-Agent", "streamkeeper")
	res, err := s.o.Client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("scraping: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("scraping %s: HTTP %s", s.o.URL, res.Status)
	}
	if err := s.readBody(res.Body); err != nil {
		return nil, fmt.Errorf("scraping %s: %w", s.o.URL, err)
	}
	samples, err := s.parsed.round(s.body, res.Header.Get("Content-Type"), now)
	if err != nil {
		return nil, fmt.Errorf("scraping %s: %w", s.o.URL, err)
	}
	return samples, nil
}

// readBody fills s.body, which keeps its memory between rounds unless one was unusually large.
func (s *Scraper) readBody(r io.Reader) error {
	limited := io.LimitReader(r, s.o.MaxBody+1)
	if cap(s.body) > 4<<20 && cap(s.body) > 4*len(s.body) {
		s.body = nil
	}
	s.body = s.body[:0]
	for {
		if len(s.body) == cap(s.body) {
			s.body = append(s.body, 0)[:len(s.body)]
		}
		n, err := limited.Read(s.body[len(s.body):cap(s.body)])
		s.body = s.body[:len(s.body)+n]
		switch {
		case int64(len(s.body)) > s.o.MaxBody:
			return fmt.Errorf("the answer is over %d bytes", s.o.MaxBody)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}
