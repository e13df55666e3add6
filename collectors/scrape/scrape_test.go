package scrape

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
	"github.com/streamkeeper-io/streamkeeper/test/alloctest"
)

type memorySink struct{ samples []streamkeeper.Sample }

func (s *memorySink) Samples(_ context.Context, samples []streamkeeper.Sample) error {
	s.samples = append(s.samples, samples...)
	return nil
}

func (s *memorySink) Events(context.Context, []streamkeeper.Event, streamkeeper.Watermark) error {
	return nil
}
func (s *memorySink) Inventory(context.Context, streamkeeper.Inventory) error { return nil }

// lines writes samples as text, in order, without what differs from run to run.
func (s *memorySink) lines() []string {
	out := []string{}
	for _, x := range s.samples {
		if x.Metric == "scrape_duration_seconds" {
			continue
		}
		var labels []string
		for name, value := range x.Labels {
			if name != "instance" {
				labels = append(labels, name+"="+value)
			}
		}
		slices.Sort(labels)
		value := fmt.Sprint(x.Value)
		if collectors.IsStale(x.Value) {
			value = "stale"
		}
		out = append(out, fmt.Sprintf("%s{%s} %s", x.Metric, strings.Join(labels, ","), value))
	}
	slices.Sort(out)
	s.samples = nil
	return out
}

// target answers with a scripted body.
type target struct {
	body, contentType string
	status            int
}

func (f *target) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if f.contentType != "" {
		w.Header().Set("Content-Type", f.contentType)
	}
	if f.status != 0 {
		w.WriteHeader(f.status)
	}
	w.Write([]byte(f.body))
}

func underTest(t *testing.T, o Options) (*target, *Scraper) {
	t.Helper()
	f := &target{}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	o.Cluster, o.URL = "c", server.URL+"/metrics"
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return f, s
}

func TestScrapeFormats(t *testing.T) {
	for _, test := range []struct {
		name, contentType, body string
		want                    []string
	}{
		{
			"the text format", "text/plain; version=0.0.4",
			"# HELP m Help.\n# TYPE m counter\nm{group=\"a\"} 1\nm{group=\"b\",cluster=\"theirs\"} 2 1700000000000\nn NaN\n",
			[]string{"m{cluster=c,exported_cluster=theirs,group=b} 2", "m{cluster=c,group=a} 1", "n{cluster=c} NaN", "scrape_samples_scraped{cluster=c} 3", "up{cluster=c} 1"},
		},
		{
			"OpenMetrics with exemplars and creation times", "application/openmetrics-text; version=1.0.0; charset=utf-8",
			"# TYPE m counter\nm_total{group=\"a\"} 1 # {trace=\"x\"} 1\nm_created{group=\"a\"} 1700000000\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 4\nh_count 3\n# EOF\n",
			[]string{"h_bucket{cluster=c,le=+Inf} 3", "h_bucket{cluster=c,le=1.0} 2", "h_count{cluster=c} 3", "h_sum{cluster=c} 4", "m_total{cluster=c,group=a} 1", "scrape_samples_scraped{cluster=c} 5", "up{cluster=c} 1"},
		},
		{
			"no content type is text", "weird/type", "m 1\nm 2\n",
			[]string{"m{cluster=c} 1", "scrape_samples_scraped{cluster=c} 1", "up{cluster=c} 1"},
		},
		{
			"what another Streamkeeper measured is not the target's", "text/plain",
			"streamkeeper_group_lag_messages{cluster=\"x\",group=\"a\"} 1\nstreamkeeper_broker_up{broker=\"0\"} 1\n",
			[]string{"scrape_samples_scraped{cluster=c} 2", "streamkeeper_broker_up{broker=0,cluster=c} 1", "up{cluster=c} 1"},
		},
		{"nothing exposed is up", "text/plain", "", []string{"scrape_samples_scraped{cluster=c} 0", "up{cluster=c} 1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, s := underTest(t, Options{})
			f.contentType, f.body = test.contentType, test.body
			var sink memorySink
			if err := s.Collect(t.Context(), time.Unix(100, 0), &sink); err != nil {
				t.Fatal(err)
			}
			for _, x := range sink.samples {
				if !x.At.Equal(time.Unix(100, 0)) || x.Labels["instance"] == "" {
					t.Errorf("%+v: want the round's time and an instance", x)
				}
			}
			if d := cmp.Diff(test.want, sink.lines()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestScrapeEndsWhatIsGone(t *testing.T) {
	f, s := underTest(t, Options{Labels: map[string]string{"job": "broker"}})
	var sink memorySink
	up := func(n int, v int) []string {
		return []string{fmt.Sprintf("scrape_samples_scraped{cluster=c,job=broker} %d", n), fmt.Sprintf("up{cluster=c,job=broker} %d", v)}
	}
	for _, step := range []struct {
		name   string
		status int
		body   string
		want   []string
	}{
		{"two series", 0, "a 1\nb 2\n", append([]string{"a{cluster=c,job=broker} 1", "b{cluster=c,job=broker} 2"}, up(2, 1)...)},
		{"one is gone", 0, "a 1\n", append([]string{"a{cluster=c,job=broker} 1", "b{cluster=c,job=broker} stale"}, up(1, 1)...)},
		{"it is ended once, and what is left out never", 0, "a 1\n", append([]string{"a{cluster=c,job=broker} 1"}, up(1, 1)...)},
		{"a failed scrape ends all", 500, "a 1\n", append([]string{"a{cluster=c,job=broker} stale"}, up(0, 0)...)},
		{"and says so as long as it lasts", 500, "", up(0, 0)},
		{"back", 0, "a 5\n", append([]string{"a{cluster=c,job=broker} 5"}, up(1, 1)...)},
		{"half a body is no body", 0, "a 6\nc 1\nd{ 1\n", append([]string{"a{cluster=c,job=broker} stale", "c{cluster=c,job=broker} stale"}, up(0, 0)...)},
	} {
		f.status, f.body = step.status, step.body
		err := s.Collect(t.Context(), time.Unix(1, 0), &sink)
		if failed := slices.Contains(step.want, "up{cluster=c,job=broker} 0"); failed != (err != nil) {
			t.Errorf("%s: error %v", step.name, err)
		}
		if d := cmp.Diff(step.want, sink.lines()); d != "" {
			t.Errorf("%s: %s", step.name, d)
		}
	}
}

func TestScrapeBounds(t *testing.T) {
	many := strings.Builder{}
	for i := range 70 {
		fmt.Fprintf(&many, "l%d=\"x\",", i)
	}
	for _, test := range []struct{ name, body, want string }{
		{"samples", "a 1\nb 1\nc 1\nd 1\n", "more than 3 samples"},
		{"bytes", "# " + strings.Repeat("x", 10_000) + "\n", "over 9000 bytes"},
		{"labels", "a{" + many.String() + "} 1\n", "labels"},
		{"label length", "a{l=\"" + strings.Repeat("x", 5000) + "\"} 1\n", "longer"},
	} {
		f, s := underTest(t, Options{MaxSamples: 3, MaxBody: 9000})
		f.body = test.body
		var sink memorySink
		if err := s.Collect(t.Context(), time.Unix(1, 0), &sink); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
		if !slices.Contains(sink.lines(), "up{cluster=c} 0") {
			t.Errorf("%s: a target over a bound is not up 0", test.name)
		}
	}
}

func TestScrapeStoresAfterItsDeadline(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(release)
	s, err := New(Options{Cluster: "c", URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	sink := checkedSink{t: t}
	if err := s.Collect(ctx, time.Unix(1, 0), &sink); err == nil {
		t.Error("a target that hangs is fine")
	}
	if !slices.Contains(sink.lines(), "up{cluster=c} 0") {
		t.Error("a target that hangs is not up 0")
	}
}

// checkedSink refuses a context that has ended, as a store does.
type checkedSink struct {
	memorySink
	t *testing.T
}

func (s *checkedSink) Samples(ctx context.Context, samples []streamkeeper.Sample) error {
	if ctx.Err() != nil {
		s.t.Error("stored under a context that has ended")
	}
	return s.memorySink.Samples(ctx, samples)
}

func TestNewRefuses(t *testing.T) {
	for _, o := range []Options{{URL: "http://h"}, {Cluster: "c"}, {Cluster: "c", URL: "ftp://h"}, {Cluster: "c", URL: "http://"}, {Cluster: "c", URL: "://"}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("# TYPE m counter\nm{a=\"b\"} 1\nm{a=\"c\",cluster=\"x\"} 2 3\n"), false)
	f.Add([]byte("m_total 1 # {a=\"b\"} 1\n# EOF\n"), true)
	f.Add([]byte("{\"m.x\",a=\"b\"} 1\n"), false)
	f.Fuzz(func(t *testing.T, body []byte, open bool) {
		contentType := "text/plain"
		if open {
			contentType = "application/openmetrics-text; version=1.0.0"
		}
		p := parser{fixed: map[string]string{"cluster": "c"}, max: 100}
		var samples []streamkeeper.Sample
		var err error
		alloctest.Bound(t, len(body), 512, func() { // a series with its labels for a few bytes
			samples, err = p.round(body, contentType, time.Unix(1, 0))
		})
		if err != nil {
			return
		}
		again, err := p.round(body, contentType, time.Unix(2, 0))
		if err != nil || len(again) != len(samples) {
			t.Errorf("the same body gave %d samples, then %d (%v)", len(samples), len(again), err)
		}
		for _, s := range samples {
			if s.Labels["cluster"] != "c" {
				t.Errorf("%+v has lost its cluster", s)
			}
		}
		if ended := p.endAll(time.Unix(3, 0)); len(ended) != len(samples) {
			t.Errorf("%d series ended of %d", len(ended), len(samples))
		}
	})
}
