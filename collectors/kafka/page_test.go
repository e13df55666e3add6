package kafka

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/streamkeeper-io/streamkeeper/collectors"
)

func text(t *testing.T, p *collectors.Page) string {
	t.Helper()
	var b strings.Builder
	if err := collectors.WritePages(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPage(t *testing.T) {
	l := newLab(t, 2, Options{}, kfake.SeedTopics(2, "orders", "audit"))
	l.produce("orders", 0, 7)
	l.produce("orders", 1, 5)
	l.commit("billing", "orders", map[int32]int64{0: 4, 1: 5})
	if p := l.collector.Page(); p != nil {
		t.Errorf("a page before the first round: %s", text(t, p))
	}
	l.mustRound(0)
	l.mustRound(5)
	got := text(t, l.collector.Page())
	for _, line := range []string{
		`streamkeeper_group_partition_lag_messages{cluster="c",group="billing",topic="orders",partition="0"} 3`,
		`streamkeeper_group_partition_lag_messages{cluster="c",group="billing",topic="orders",partition="1"} 0`,
		`streamkeeper_group_topic_lag_messages{cluster="c",group="billing",topic="orders"} 3`,
		`streamkeeper_group_topic_committed_offset{cluster="c",group="billing",topic="orders"} 9`,
		`streamkeeper_group_lag_messages{cluster="c",group="billing"} 3`,
		`streamkeeper_group_info{cluster="c",group="billing",protocol="classic",state="Empty"} 1`,
		`streamkeeper_topic_partition_end_offset{cluster="c",partition="0",topic="orders"} 7`,
		`streamkeeper_broker_reachable{broker="1",cluster="c"} 1`,
	} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("there is no %s in\n%s", line, got)
		}
	}
	for _, begins := range []string{`streamkeeper_topic_info{cleanup_policy="delete",cluster="c",replicas="`, `streamkeeper_broker_info{address="127.0.0.1:`} {
		if !strings.Contains(got, "\n"+begins) {
			t.Errorf("there is no %s… in\n%s", begins, got)
		}
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	if _, err := parser.TextToMetricFamilies(strings.NewReader(got)); err != nil {
		t.Error(err)
	}
	if problems, err := promlint.New(strings.NewReader(got)).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", err, problems)
	}
}

// Of a cluster with more rows than fit the page has those that have series.
func TestPageIsBounded(t *testing.T) {
	s := newScene(t, 3)
	s.round(0)
	g := s.track.groups["g"]
	r := &round{at: at(s.now)}
	s.track.measure(r)
	if got := strings.Count(text(t, s.track.page(&snapshot{}, r, nil)), "\n"+partitionLag+"{"); got != 3 {
		t.Errorf("%d of 3 rows", got)
	}
	spare := g.parts.at(partition{"t", 2})
	for p := range int32(pageRows) {
		like := *spare
		g.parts.put(partition{"t", p + 3}, &like)
	}
	r = &round{at: at(s.now)}
	s.track.measure(r)
	got := text(t, s.track.page(&snapshot{}, r, nil))
	if n := strings.Count(got, "\n"+partitionLag+"{"); n == 0 || n > worstRows {
		t.Errorf("%d rows, want the %d worst at the most", n, worstRows)
	}
	if strings.Contains(got, topicLag+"{") {
		t.Error("sums by topic of a large cluster")
	}
}

// What is measured is explained.
func TestEveryMetricHasHelp(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	added := regexp.MustCompile(`\b([rm])\.add\("([a-z_]+)"`)
	n := 0
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range added.FindAllStringSubmatch(string(source), -1) {
			name := m[2]
			if m[1] == "m" {
				name = "streamkeeper_group_" + name
			}
			if strings.HasSuffix(name, "_") {
				continue // the rest comes from elsewhere
			}
			if n++; help(name) == "" {
				t.Errorf("%s: no help for %s", file, name)
			}
		}
	}
	if n < 60 {
		t.Errorf("%d metrics found", n)
	}
}
