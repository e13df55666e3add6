package diagnose

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// A calm that rests on what sources told long ago is not health; trouble that they told of is trouble all the same.
func TestStaleSources(t *testing.T) {
	old, fresh := 180.0, 2.0
	stale := streamkeeper.Source{Name: "kafka", Kind: "kafka", FreshSeconds: &old, Stale: true, Error: "deadline"}
	live := streamkeeper.Source{Name: "kafka", Kind: "kafka", FreshSeconds: &fresh}
	other := streamkeeper.Source{Name: "metrics 2", Kind: "scrape", FreshSeconds: &old, Stale: true}
	ear := streamkeeper.Source{Name: "loki", Kind: "loki", FreshSeconds: &fresh, Listens: true}
	for name, c := range map[string]struct {
		sources []streamkeeper.Source
		broken  bool
		want    streamkeeper.HealthState
		untold  int
	}{
		"all is read":                                  {[]streamkeeper.Source{live, ear}, false, streamkeeper.Healthy, 0},
		"its only source is stale":                     {[]streamkeeper.Source{stale}, false, streamkeeper.HealthUnknown, 1},
		"what listens proves nothing":                  {[]streamkeeper.Source{stale, ear}, false, streamkeeper.HealthUnknown, 1},
		"one of two brokers' metrics":                  {[]streamkeeper.Source{live, other, {Name: "metrics 1", Kind: "scrape", FreshSeconds: &fresh}}, false, streamkeeper.Healthy, 1},
		"all of their metrics":                         {[]streamkeeper.Source{live, other}, false, streamkeeper.HealthUnknown, 1},
		"never read":                                   {[]streamkeeper.Source{{Name: "kafka", Kind: "kafka", Stale: true, Error: "refused"}}, false, streamkeeper.HealthUnknown, 1},
		"what is wrong stays wrong while nobody looks": {[]streamkeeper.Source{stale}, true, streamkeeper.Critical, 1},
	} {
		l := newLab()
		tick := l.tick(t)
		tick.Sources = func(cluster string) []streamkeeper.Source {
			if cluster != "c" {
				t.Errorf("sources of %q", cluster)
			}
			return c.sources
		}
		_, _, mem := run(t, tick, Memory{}, clock, 5)
		at := clock.Add(25 * time.Second)
		if c.broken {
			l.overrun("orders", at)
		}
		r, _, _ := run(t, tick, mem, at, 6)
		if r.Health.State != c.want || (r.Health.State == streamkeeper.HealthUnknown) != (r.Health.Score == nil) {
			t.Errorf("%s: %+v, want %s", name, r.Health, c.want)
		}
		told := 0
		for _, n := range r.NotJudged {
			if strings.Contains(n.What, "read whole") {
				told++
			}
		}
		if told != c.untold {
			t.Errorf("%s: %d stale sources are admitted, want %d: %+v", name, told, c.untold, r.NotJudged)
		}
		if c.want == streamkeeper.HealthUnknown && !strings.Contains(r.Headline, "read whole") {
			t.Errorf("%s: headline %q", name, r.Headline)
		}
	}
}

func TestStaleSourcesAreExported(t *testing.T) {
	old := 180.0
	l := newLab()
	loop := NewLoop(LoopOptions{Tick: l.tick(t), Clusters: func() []string { return []string{"c"} }})
	loop.adopt("c")
	loop.clusters["c"].report = &streamkeeper.Report{
		Cluster: streamkeeper.ClusterInfo{Name: "c"}, GeneratedAt: time.Unix(1000, 0),
		Sources: []streamkeeper.Source{
			{Name: "kafka", Kind: "kafka", FreshSeconds: &old, Stale: true}, {Name: "kafka", Kind: "kafka"}, {Name: "loki", Kind: "loki", Listens: true},
		},
	}
	want := `
# HELP streamkeeper_diagnose_source_last_whole_timestamp_seconds When a source was last read whole; absent when it never was.
# TYPE streamkeeper_diagnose_source_last_whole_timestamp_seconds gauge
streamkeeper_diagnose_source_last_whole_timestamp_seconds{cluster="c",kind="kafka",source="kafka"} 820
# HELP streamkeeper_diagnose_source_stale 1 while a source that the diagnosis rests on was not read whole lately.
# TYPE streamkeeper_diagnose_source_stale gauge
streamkeeper_diagnose_source_stale{cluster="c",kind="kafka",source="kafka"} 1
`
	if err := testutil.CollectAndCompare(loop, strings.NewReader(want), "streamkeeper_diagnose_source_stale", "streamkeeper_diagnose_source_last_whole_timestamp_seconds"); err != nil {
		t.Error(err)
	}
}
