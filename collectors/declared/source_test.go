package declared

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamkeeper-io/streamkeeper"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// site is a cluster with its files.
type site struct {
	t      *testing.T
	dir    string
	inv    streamkeeper.Inventory
	source *Source
	now    time.Time
	events []streamkeeper.Event
}

// Inventory is what was seen of the cluster.
func (s *site) Inventory(string) streamkeeper.Inventory { return s.inv }

func (s *site) Samples(context.Context, []streamkeeper.Sample) error { return nil }

func (s *site) Events(_ context.Context, ev []streamkeeper.Event, _ streamkeeper.Watermark) error {
	s.events = append(s.events, ev...)
	return nil
}

func newSite(t *testing.T) *site {
	s := &site{t: t, dir: t.TempDir(), now: noon}
	s.source = New("c", []string{s.dir}, s)
	return s
}

func (s *site) write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Chtimes(path, s.now, s.now); err != nil { // a file system's clock may be coarse
		s.t.Fatal(err)
	}
}

// round collects and returns what was told in it: kind, topic, key, declared, actual.
func (s *site) round() ([]string, error) {
	s.now, s.events = s.now.Add(15*time.Second), nil
	err := s.source.Collect(s.t.Context(), s.now, sinkOnly{s})
	var told []string
	for _, e := range s.events {
		text := e.Kind + " " + e.String("topic") + " " + e.String("key")
		if e.Kind == "drift" {
			text += " " + e.String("declared") + "≠" + e.String("actual")
		}
		if e.Entity != (streamkeeper.Entity{Kind: "topic", Name: e.String("topic"), Cluster: "c"}) || e.Text == "" || !e.At.Equal(s.now) {
			s.t.Errorf("%+v", e)
		}
		told = append(told, text)
	}
	return told, err
}

func (s *site) wantTold(when string, want ...string) {
	s.t.Helper()
	got, err := s.round()
	if err != nil {
		s.t.Errorf("%s: %v", when, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("%s: %s", when, diff)
	}
}

// sinkOnly is the site as the place where a round's yield goes.
type sinkOnly struct{ *site }

func (sinkOnly) Inventory(context.Context, streamkeeper.Inventory) error { return nil }

func TestDrift(t *testing.T) {
	s := newSite(t)
	s.write("orders.yaml", "kind: KafkaTopic\nmetadata: {name: orders}\nspec: {partitions: 6, replicas: 3, config: {retention.ms: 604800000, cleanup.policy: 'delete, compact', segment.ms: 1}}")
	s.wantTold("nothing was seen of the cluster")
	orders := streamkeeper.TopicInfo{
		Name: "orders", Partitions: 6, Replicas: 3, Configs: map[string]string{"retention.ms": "604800000", "cleanup.policy": "compact,delete"},
	}
	s.inv = streamkeeper.Inventory{Topics: []streamkeeper.TopicInfo{orders}}
	s.wantTold("as declared; what is not known does not differ")
	if got := s.source.Configs(); !slices.Equal(got, []string{"cleanup.policy", "retention.ms", "segment.ms"}) {
		t.Errorf("declared configurations %v", got)
	}
	orders.Partitions, orders.Configs = 12, map[string]string{"retention.ms": "60000", "cleanup.policy": "compact,delete"}
	s.inv.Topics[0] = orders
	s.wantTold("somebody changed two things", "drift orders partitions 6≠12", "drift orders retention.ms 604800000≠60000")
	s.wantTold("it is told once")
	s.write("orders.yaml", "kind: KafkaTopic\nmetadata: {name: orders}\nspec: {partitions: 12, config: {retention.ms: 60000}}\n---\nkind: KafkaTopic\nmetadata: {name: refunds}")
	s.wantTold("the file follows", "drift refunds topic there≠missing", "drift_ended orders partitions", "drift_ended orders retention.ms")
	s.write("broken.yaml", "kind: [")
	if told, err := s.round(); err == nil || len(told) > 0 {
		t.Errorf("a broken file: told %v, error %v", told, err)
	}
}

// Files of several clusters lie in one folder: the label parts them.
func TestDriftOfOtherClusters(t *testing.T) {
	s := newSite(t)
	s.write("a.yml", "kind: KafkaTopic\nmetadata: {name: here, labels: {strimzi.io/cluster: c}}\n---\nkind: KafkaTopic\nmetadata: {name: there, labels: {strimzi.io/cluster: d}}")
	s.inv = streamkeeper.Inventory{Brokers: []streamkeeper.BrokerInfo{{ID: 1}}}
	s.wantTold("one of them is ours", "drift here topic there≠missing")
}
