package remotewrite

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/prompb"

	"github.com/streamkeeper-io/streamkeeper"
)

func sender(t *testing.T, url string) *Sender {
	t.Helper()
	registry := prometheus.NewRegistry()
	hot := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "streamkeeper_test_hot"}, []string{"job"})
	hot.WithLabelValues("").Set(7)
	delay := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "streamkeeper_test_seconds", Buckets: []float64{1}})
	delay.Observe(.5)
	registry.MustRegister(hot, delay)
	s, err := NewSender(SenderOptions{
		URL: url, Every: 20 * time.Millisecond, Gatherer: registry, Labels: map[string]string{"job": "streamkeeper", "instance": "here"},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What is gathered arrives as a Prometheus would have scraped it: our own receiver takes it.
func TestSender(t *testing.T) {
	var sink kept
	r := receiver(&sink, func(o *Options) { o.Now = time.Now }, "eu")
	var refusals atomic.Int32
	arrived := make(chan struct{}, 1000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if refusals.Add(1) == 1 { // it is tried again
			http.Error(w, "not yet", http.StatusServiceUnavailable)
			return
		}
		r.ServeHTTP(w, req)
		arrived <- struct{}{}
	}))
	defer server.Close()
	s := sender(t, server.URL+"/api/v1/push?cluster=eu")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	<-arrived
	<-arrived // the first is counted by now
	stop()
	<-done
	// Derived names are refused by our own receiver: what it counts is what was sent.
	if got := r.counts.derived.Load(); got < 5 {
		t.Errorf("%d samples arrived, want at least 5 (hot, and the histogram's buckets, sum and count)", got)
	}
	if s.failed.Load() != 1 || s.sent.Load() < 5 {
		t.Errorf("failed %d, sent %d", s.failed.Load(), s.sent.Load())
	}
	if problems, err := testutil.CollectAndLint(s); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

func TestSender_Labels(t *testing.T) {
	all, err := sender(t, "http://h/w").read(now)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, ts := range all {
		metric := ""
		got := streamkeeper.Sample{Labels: map[string]string{}}
		for _, l := range ts.Labels {
			if l.Name == "__name__" {
				metric = l.Value
			}
			got.Labels[l.Name] = l.Value
		}
		names[metric] = true
		if got.Labels["job"] != "streamkeeper" || got.Labels["instance"] != "here" || ts.Samples[0].Timestamp != now.UnixMilli() {
			t.Errorf("%+v", ts)
		}
		if !slices.IsSortedFunc(ts.Labels, func(a, b prompb.Label) int { return strings.Compare(a.Name, b.Name) }) {
			t.Errorf("labels are not sorted: %+v", ts.Labels)
		}
	}
	for _, want := range []string{"streamkeeper_test_hot", "streamkeeper_test_seconds_bucket", "streamkeeper_test_seconds_sum", "streamkeeper_test_seconds_count"} {
		if !names[want] {
			t.Errorf("%s is missing of %v", want, names)
		}
	}
}

// A server that refuses for good loses the samples, and only those; one that is away, those that find no room.
func TestSender_Drops(t *testing.T) {
	refused := make(chan struct{}, 1000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no", http.StatusBadRequest)
		refused <- struct{}{}
	}))
	defer server.Close()
	s := sender(t, server.URL)
	all, err := s.read(now)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.push(t.Context(), all); err != nil || s.dropped.Load() != int64(len(all)) {
		t.Errorf("%v, dropped %d of %d", err, s.dropped.Load(), len(all))
	}
	for range maxQueued + 3 {
		s.enqueue(all)
	}
	if got := s.dropped.Load(); got != int64(4*len(all)) || len(s.queue) != maxQueued {
		t.Errorf("dropped %d, want %d; %d wait", got, 4*len(all), len(s.queue))
	}
}
