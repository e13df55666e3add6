package cli

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors/series"
	"github.com/streamkeeper-io/streamkeeper/diagnose"
)

const scraped = 15 * time.Second

// dialledLab is a cluster that is watched through a Prometheus, in rounds at times of the test's choosing.
type dialledLab struct {
	t      *testing.T
	away   atomic.Bool // the Prometheus answers nothing
	remote *series.Remote
	places *places
	d      *dialled
	now    time.Time
	memory diagnose.Memory
	tick   *diagnose.Tick
	report streamkeeper.Report
}

func newDialledLab(t *testing.T, prometheus string, start time.Time) *dialledLab {
	t.Helper()
	l := &dialledLab{t: t, now: start}
	to, err := url.Parse(prometheus)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if l.away.Load() {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	if l.remote, err = (&DialConfig{URL: front.URL}).dial(); err != nil {
		t.Fatal(err)
	}
	if l.places, err = openPlaces(series.Options{OutOfOrder: exportedMost}, func() time.Time { return l.now }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.places.Close() })
	rulebook, err := loadCatalog(nil)
	if err != nil {
		t.Fatal(err)
	}
	l.tick = &diagnose.Tick{
		Catalog: rulebook, Signals: l.places.series, World: l.places.world, Events: l.places.events, Config: diagnose.Config{Interval: scraped},
		Sources: func(string) []streamkeeper.Source {
			return []streamkeeper.Source{{Name: l.d.Name(), Kind: l.d.Kind(), Untold: l.d.Untold()}}
		},
	}
	l.start()
	return l
}

// start begins to watch, as a new process does.
func (l *dialledLab) start() {
	c := remoteCluster{name: "eu", match: map[string]string{"kafka_cluster": "eu"}}
	l.d = newDialled(c, scraped, l.places.series, l.remote)
}

// until plays rounds and ticks up to a moment and returns the last round's error.
func (l *dialledLab) until(end time.Time) (err error) {
	l.t.Helper()
	for ; !l.now.After(end); l.now = l.now.Add(scraped) {
		err = l.d.Collect(l.t.Context(), l.now, l.places)
		report, _, next, terr := l.tick.Run(l.t.Context(), "eu", l.now, l.memory)
		if terr != nil {
			l.t.Fatal(terr)
		}
		l.report, l.memory = report, next
	}
	return err
}

// produced is how many records came in the last minutes, by the counter that is derived.
func (l *dialledLab) produced(window time.Duration) float64 {
	l.t.Helper()
	q := streamkeeper.Query{ID: "q", Kind: streamkeeper.QueryCount, Window: window, By: []string{"group"}, Expr: `streamkeeper_group_produced_total{cluster="eu"}`}
	answers, err := l.places.series.Read(l.t.Context(), l.now, []streamkeeper.Query{q})
	if err != nil || answers["q"].Err != nil || len(answers["q"].Points) != 1 {
		l.t.Fatalf("%v %+v", err, answers["q"])
	}
	return answers["q"].Points[0].Value
}

// A cluster is watched through a Prometheus as it goes on: quiet before the fault, named after it, with the data's age told.
func TestDialled(t *testing.T) {
	end := time.Now().Add(-time.Hour).Truncate(time.Second)
	l := newDialledLab(t, foreignPrometheus(t, end, "eu", "us").URL, end.Add(-8*time.Minute))
	if err := l.until(end.Add(-6 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	if len(l.report.Findings) != 0 || l.report.Health.State != streamkeeper.Healthy {
		t.Errorf("before the fault: %s: %+v", l.report.Headline, l.report.Findings)
	}
	if err := l.until(end); err != nil {
		t.Fatal(err)
	}
	if len(l.report.Findings) == 0 || l.report.Findings[0].Cause != "no_active_consumers" {
		t.Errorf("after the fault: %s: %+v", l.report.Headline, l.report.Findings)
	}
	if age := l.now.Sub(l.d.Newest()); age < scraped || age > 3*scraped {
		t.Errorf("the newest scrape that was taken is %s old", age)
	}
	if !slices.ContainsFunc(l.report.NotJudged, func(n streamkeeper.NotJudged) bool {
		return strings.Contains(n.What, "which member owns which partition")
	}) {
		t.Errorf("not judged: %+v", l.report.NotJudged)
	}
	// Nothing of another cluster has come.
	if at, err := l.places.series.Newest(t.Context(), "kafka_topic_partition_current_offset", map[string]string{"kafka_cluster": "us"}, end.Add(-time.Hour)); err != nil || !at.IsZero() {
		t.Errorf("samples of another cluster, of %s: %v", at, err)
	}
}

// While the Prometheus is away the source fails and its data ages; then what was missed is taken up.
func TestDialled_Gap(t *testing.T) {
	end := time.Now().Add(-time.Hour).Truncate(time.Second)
	l := newDialledLab(t, foreignPrometheus(t, end, "eu").URL, end.Add(-20*time.Minute))
	if err := l.until(end.Add(-18 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	before := l.d.Newest()
	l.away.Store(true)
	if err := l.until(end.Add(-13 * time.Minute)); err == nil || !l.d.Newest().Equal(before) {
		t.Errorf("away: %v, newest %s then %s", err, before, l.d.Newest())
	}
	if l.report.Health.State != streamkeeper.HealthUnknown {
		t.Errorf("on data of five minutes ago it says %s (%s)", l.report.Health.State, l.report.Headline)
	}
	l.away.Store(false)
	if err := l.until(end.Add(-10 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	if l.report.Health.State != streamkeeper.Healthy {
		t.Errorf("back: %s", l.report.Headline)
	}
	if got := l.produced(8 * time.Minute); got < 0.9*8*4*600 || got > 1.1*8*4*600 {
		t.Errorf("over the gap %.0f records were counted, want some %d", got, 8*4*600)
	}
}

// Machines of the cluster are followed too, from the minute on in which they are first told of, and those of others are not.
func TestDialled_Machines(t *testing.T) {
	end := time.Now().Add(-time.Hour).Truncate(time.Second)
	prometheus := foreignStore(t, end, "eu", "us")
	server := httptest.NewServer(prometheus.Handler())
	t.Cleanup(server.Close)
	var told []streamkeeper.Sample
	first := end.Add(-4 * time.Minute)
	for at := first; !at.After(end); at = at.Add(scraped) {
		for cluster, instance := range map[string]string{"eu": "10.0.0.1:9100", "us": "10.0.0.2:9100"} {
			told = append(told, streamkeeper.Sample{
				Metric: "node_uname_info", At: at, Value: 1,
				Labels: map[string]string{"kafka_cluster": cluster, "instance": instance, "nodename": "a"},
			})
		}
	}
	if err := prometheus.Append(t.Context(), told); err != nil {
		t.Fatal(err)
	}
	l := newDialledLab(t, server.URL, end.Add(-6*time.Minute))
	if err := l.until(end); err != nil {
		t.Fatal(err)
	}
	q := streamkeeper.Query{ID: "q", Kind: streamkeeper.QueryInstant, Expr: `count_over_time(node_uname_info[1h])`}
	answers, err := l.places.series.Read(t.Context(), end, []streamkeeper.Query{q})
	if err != nil || len(answers["q"].Points) != 1 {
		t.Fatalf("%v %+v, want one machine", err, answers["q"])
	}
	got := answers["q"].Points[0]
	if got.Labels["cluster"] != "eu" || got.Labels["instance"] != "10.0.0.1:9100" || got.Value != 17 {
		t.Errorf("%v %v, want the 17 samples of the machine of eu", got.Labels, got.Value)
	}
}

// A new process on the same data goes on: counters neither begin again nor count twice, and a lag is as old as it is.
func TestDialled_Restart(t *testing.T) {
	end := time.Now().Add(-time.Hour).Truncate(time.Second)
	l := newDialledLab(t, foreignPrometheus(t, end, "eu").URL, end.Add(-20*time.Minute))
	if err := l.until(end.Add(-12 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	l.now = l.now.Add(time.Minute) // it is down for a while
	l.start()
	if err := l.until(end.Add(-8 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	if got := l.produced(10 * time.Minute); got < 0.95*10*4*600 || got > 1.05*10*4*600 {
		t.Errorf("over the restart %.0f records were counted, want %d", got, 10*4*600)
	}
	if err := l.until(end); err != nil {
		t.Fatal(err)
	}
	if len(l.report.Findings) == 0 || l.report.Findings[0].Cause != "no_active_consumers" {
		t.Errorf("after the restart: %s: %+v", l.report.Headline, l.report.Findings)
	}
}

func TestDialling_Find(t *testing.T) {
	server := foreignPrometheus(t, time.Now(), "eu", "us")
	look := func(c DialConfig, taken ...string) (adopted []string, err error) {
		t.Helper()
		c.URL = server.URL
		remote, err := c.dial()
		if err != nil {
			t.Fatal(err)
		}
		store, err := series.Memory(series.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		d := &dialling{config: c, remote: remote, store: store, log: slog.New(slog.NewTextHandler(io.Discard, nil)), taken: func() []string { return taken }}
		d.adopt = func(name string, every time.Duration, _ *dialled) {
			if every != scraped {
				t.Errorf("%s is scraped every %s", name, every)
			}
			adopted = append(adopted, name)
			taken = append(taken, name)
		}
		mine := map[string]bool{}
		err = d.look(t.Context(), mine)
		if again := len(adopted); d.look(t.Context(), mine) == nil && len(adopted) != again {
			t.Error("a cluster was adopted twice")
		}
		if (d.trouble() == nil) != (err == nil) {
			t.Errorf("in trouble %v after %v", d.trouble(), err)
		}
		return adopted, err
	}
	if got, err := look(DialConfig{}); err != nil || strings.Join(got, " ") != "eu us" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := look(DialConfig{Clusters: []string{"us"}}); err != nil || strings.Join(got, " ") != "us" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := look(DialConfig{Clusters: []string{"us", "asia"}}); err == nil || !strings.Contains(err.Error(), "asia, there are: eu, us") || len(got) != 1 {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := look(DialConfig{}, "eu"); err == nil || !strings.Contains(err.Error(), "another source watches") || strings.Join(got, " ") != "us" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := look(DialConfig{ClusterLabel: "nothing"}); err == nil || len(got) != 0 {
		t.Errorf("%q, %v", got, err)
	}
}

// The Prometheus of a config is a text or a mapping.
func TestDialConfig(t *testing.T) {
	for text, want := range map[string]string{
		"dial: http://p:9090":                     "http://p:9090",
		"dial: {url: 'http://q', tenant: team-a}": "http://q",
		"dial:\n  url: http://r\n":                "http://r",
		"retention: 1h":                           "",
	} {
		var c SeriesConfig
		if err := yaml.UnmarshalWithOptions([]byte(text), &c, yaml.Strict()); err != nil || c.Dial.URL != want {
			t.Errorf("%q: %+v, %v", text, c.Dial, err)
		}
	}
	c := Defaults()
	for _, kv := range []string{"series.dial=http://p", "series.dial.tenant=a"} {
		path, value, _ := strings.Cut(kv, "=")
		if err := patchConfig("--set", path, value, &c); err != nil {
			t.Fatal(err)
		}
	}
	if c.Series.Dial.URL != "http://p" || c.Series.Dial.Tenant != "a" || c.Series.Retention.Duration != 24*time.Hour {
		t.Errorf("%+v", c.Series)
	}
	if err := patchConfig("--set", "series.dial.nonsense", "1", &c); err == nil {
		t.Error("an unknown key was taken")
	}
	c.Series.Dial = DialConfig{Tenant: "a"}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "series.dial.url") {
		t.Errorf("%v", err)
	}
}
