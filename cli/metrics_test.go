package cli

import (
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/twmb/franz-go/pkg/kfake"
	"golang.org/x/sync/errgroup"

	"github.com/streamkeeper-io/streamkeeper/collectors"
	"github.com/streamkeeper-io/streamkeeper/collectors/collectortest"
)

// metricsOf reads a page as a scraper does, strictly: a name that comes twice is an error.
func metricsOf(t *testing.T, get func(string) (*http.Response, error), url string) map[string]*dto.MetricFamily {
	t.Helper()
	resp, err := get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || !strings.HasPrefix(got, "text/plain; version=0.0.4") {
		t.Errorf("HTTP %d of type %s", resp.StatusCode, got)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// Without a diagnosis clusters are measured for /metrics alone, and a scrape asks them nothing, also when they hang.
func TestMetrics_OfClustersThatAreOnlyMeasured(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	become := collectortest.Cluster(t, cluster)
	c := Defaults()
	c.Broker.Enabled, c.Diagnose.Enabled = false, false
	c.Clusters = []ClusterConfig{{Name: "prod", Brokers: cluster.ListenAddrs(), Scrape: Duration{time.Second}}}
	ctx, stop := context.WithCancel(t.Context())
	s, err := wire(ctx, Process{Getenv: func(string) string { return "" }}, c, slog.New(slog.DiscardHandler), "127.0.0.1:0", func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	g, running := errgroup.WithContext(ctx)
	s.run(running, g)
	t.Cleanup(func() {
		stop()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	server := httptest.NewServer(s.web.Handler())
	t.Cleanup(server.Close)
	ends := func() int {
		return len(metricsOf(t, http.Get, server.URL+"/metrics")["streamkeeper_topic_partition_end_offset"].GetMetric())
	}
	for end := time.Now().Add(30 * time.Second); ends() != 4; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the cluster is never on the page")
		}
	}
	become(collectortest.Hangs)
	began := time.Now()
	for range 10 {
		if n := ends(); n != 4 {
			t.Errorf("%d partitions while the cluster hangs", n)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("ten scrapes took %s", took)
	}
}

// A page is compressed for who asks for it.
func TestMetrics_Compression(t *testing.T) {
	p := collectors.NewPage()
	p.Line("streamkeeper_x", "X.", nil, 1)
	m := &metricsPage{own: prometheus.NewRegistry(), sources: []func() *collectors.Page{
		func() *collectors.Page { return p },
		func() *collectors.Page { return nil },
	}}
	for accept, want := range map[string]bool{"gzip": true, "deflate, gzip;q=0.5": true, "gzip;q=0": false, "": false, "br": false} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Header.Set("Accept-Encoding", accept)
		w := httptest.NewRecorder()
		m.ServeHTTP(w, r)
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != want {
			t.Errorf("%q: compressed %v", accept, got)
		}
		body := io.Reader(w.Body)
		if want {
			zip, err := gzip.NewReader(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			body = zip
		}
		if got, err := io.ReadAll(body); err != nil || string(got) != "# HELP streamkeeper_x X.\n# TYPE streamkeeper_x gauge\nstreamkeeper_x{} 1\n" {
			t.Errorf("%q: %q %v", accept, got, err)
		}
	}
}
