package inventory

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamkeeper-io/streamkeeper"
)

var epoch = time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return epoch.Add(time.Duration(seconds) * time.Second) }

func entity(kind streamkeeper.EntityKind, name string) streamkeeper.Entity {
	return streamkeeper.Entity{Kind: kind, Name: name, Cluster: "c"}
}

func names(es []streamkeeper.Entity) []string {
	var out []string
	for _, e := range es {
		out = append(out, e.Name)
	}
	return out
}

// seen is what the Kafka collector would tell of a small cluster.
func seen(seconds int) streamkeeper.Inventory {
	return streamkeeper.Inventory{
		Cluster: streamkeeper.ClusterInfo{Name: "c", ID: "id", Kind: "kafka"}, Source: "kafka", At: at(seconds),
		Brokers: []streamkeeper.BrokerInfo{{ID: 10}, {ID: 2}},
		Topics:  []streamkeeper.TopicInfo{{Name: "orders", Partitions: 2}, {Name: "audit-log", Partitions: 1}, {Name: "__consumer_offsets", Partitions: 50, Internal: true}},
		Groups: []streamkeeper.GroupInfo{
			{
				Name: "billing", State: "Stable", Topics: []string{"orders"}, Facts: map[string]bool{"classic": true, "static": false},
				Members: []streamkeeper.MemberInfo{{Key: "app@h1", ClientID: "app", Assigned: []streamkeeper.TopicPartitionSet{{Topic: "audit-log", Partitions: []int32{0}}}}},
			},
			{Name: "archive", State: "Empty", Topics: []string{"orders"}},
		},
		Facts: map[string]bool{"multi_broker": true, "tiering": false},
	}
}

func TestEntities(t *testing.T) {
	w := NewWorld(0)
	w.Add(seen(0))
	for kind, want := range map[streamkeeper.EntityKind][]string{
		streamkeeper.KindCluster:   {"c"},
		streamkeeper.KindBroker:    {"2", "10"}, // as numbers
		streamkeeper.KindTopic:     {"audit-log", "orders"},
		streamkeeper.KindPartition: {"audit-log-0", "orders-0", "orders-1"},
		streamkeeper.KindGroup:     {"archive", "billing"},
		streamkeeper.KindClient:    {"app"},
		streamkeeper.KindStore:     nil,
	} {
		if d := cmp.Diff(want, names(w.Entities("c", kind))); d != "" {
			t.Errorf("%s: %s", kind, d)
		}
	}
	if got := w.Entities("nobody", streamkeeper.KindGroup); got != nil {
		t.Errorf("an unheard cluster has %v", got)
	}
	if got := w.Cluster("c"); got != (streamkeeper.ClusterInfo{Name: "c", ID: "id", Kind: "kafka"}) {
		t.Errorf("cluster = %v", got)
	}
}

func TestRelated(t *testing.T) {
	w := NewWorld(0)
	w.Add(seen(0))
	for _, test := range []struct {
		of   streamkeeper.Entity
		kind streamkeeper.EntityKind
		want []string
	}{
		{entity("group", "billing"), "topic", []string{"audit-log", "orders"}}, // committed and assigned
		{entity("group", "archive"), "topic", []string{"orders"}},
		{entity("topic", "orders"), "group", []string{"archive", "billing"}},
		{entity("topic", "audit-log"), "group", []string{"billing"}},
		{entity("client", "app"), "group", []string{"billing"}},
		{entity("group", "billing"), "client", []string{"app"}},
		{entity("partition", "audit-log-0"), "topic", []string{"audit-log"}},
		{entity("topic", "orders"), "partition", []string{"orders-0", "orders-1"}},
		{entity("group", "billing"), "cluster", []string{"c"}},
		{entity("store", "bucket"), "cluster", []string{"c"}},
		{entity("cluster", "c"), "group", []string{"archive", "billing"}},
		{entity("group", "billing"), "group", []string{"billing"}},
		{entity("group", "billing"), "broker", []string{"2", "10"}}, // shared by all
		{entity("broker", "2"), "topic", []string{"audit-log", "orders"}},
		{entity("broker", "2"), "broker", []string{"2"}},
		{entity("client", "app"), "store", nil},
	} {
		if d := cmp.Diff(test.want, names(w.Related(test.of, test.kind))); d != "" {
			t.Errorf("%s -> %s: %s", test.of, test.kind, d)
		}
	}
}

func TestFacts(t *testing.T) {
	w := NewWorld(0)
	w.Add(seen(0))
	w.SetFacts("c", []streamkeeper.Fact{
		{Entity: entity("group", "billing"), Name: "static", State: streamkeeper.Present},
		{Entity: entity("group", "billing"), Name: "poll_limit", State: streamkeeper.NotApplicable},
		{Entity: entity("cluster", "c"), Name: "history", State: streamkeeper.Absent},
	})
	for _, test := range []struct {
		of   streamkeeper.Entity
		atom string
		want streamkeeper.State
		why  string
	}{
		{entity("group", "billing"), "classic", streamkeeper.Present, "told by the inventory"},
		{entity("group", "billing"), "static", streamkeeper.Present, "what was read from series is fresher"},
		{entity("group", "billing"), "poll_limit", streamkeeper.NotApplicable, "kept as such"},
		{entity("group", "billing"), "multi_broker", streamkeeper.Present, "the cluster's"},
		{entity("group", "billing"), "history", streamkeeper.Absent, "the cluster's, read from series"},
		{entity("group", "billing"), "leave_reasons", streamkeeper.Unknown, "nobody has said: not false"},
		{entity("group", "archive"), "classic", streamkeeper.Unknown, "another group's facts say nothing"},
		{entity("store", "bucket"), "tiering", streamkeeper.Absent, "the cluster's"},
		{streamkeeper.Entity{Kind: "group", Name: "x", Cluster: "other"}, "tiering", streamkeeper.Unknown, "another cluster"},
	} {
		if got := w.Fact(test.of, test.atom); got != test.want {
			t.Errorf("%s %s = %s, want %s: %s", test.of, test.atom, got, test.want, test.why)
		}
	}
}

func TestMergeAndAgeing(t *testing.T) {
	w := NewWorld(time.Minute)
	w.Add(seen(0))
	w.Add(streamkeeper.Inventory{
		Cluster: streamkeeper.ClusterInfo{Name: "c"}, Source: "wiring", At: at(10),
		Stores: []streamkeeper.StoreInfo{{Name: "bucket"}},
		Groups: []streamkeeper.GroupInfo{{Name: "billing", Facts: map[string]bool{"poll_limit": true}}},
		Facts:  map[string]bool{"tiering": true},
	})
	inv := w.Inventory("c")
	if inv.Source != "kafka,wiring" || inv.Cluster.Kind != "kafka" || len(inv.Stores) != 1 || !inv.Facts["tiering"] || !inv.Facts["multi_broker"] {
		t.Errorf("merged: %+v", inv)
	}
	g := inv.Groups[1]
	if g.State != "Stable" || len(g.Members) != 1 || !g.Facts["poll_limit"] || !g.Facts["classic"] {
		t.Errorf("a source that knows only a fact of a group hid the rest: %+v", g)
	}

	smaller := seen(20)
	smaller.Groups = smaller.Groups[:1]
	w.Add(smaller)
	w.Add(seen(5)) // late: must not bring the group back
	if d := cmp.Diff([]string{"billing"}, names(w.Entities("c", "group"))); d != "" {
		t.Errorf("a deleted group lives on: %s", d)
	}
	w.Add(streamkeeper.Inventory{Cluster: streamkeeper.ClusterInfo{Name: "c"}, Source: "wiring", At: at(200)})
	if got := w.Entities("c", "group"); len(got) != 0 {
		t.Errorf("a source silent for three minutes still has %v", got)
	}
}

func TestLearn(t *testing.T) {
	w := NewWorld(time.Minute)
	sample := func(metric, label, value string, v float64, seconds int) streamkeeper.Sample {
		return streamkeeper.Sample{Metric: metric, Labels: map[string]string{"cluster": "c", label: value}, At: at(seconds), Value: v}
	}
	w.Learn([]streamkeeper.Sample{
		sample("streamkeeper_broker_client_throttle_seconds_total", "client", "noisy", 1, 0),
		sample("streamkeeper_broker_store_calls_total", "store", "bucket", 0, 0),
		sample("streamkeeper_broker_up", "broker", "0", 1, 0),
		sample("streamkeeper_broker_topic_messages_in_total", "topic", "other", 1, 0),
		sample("somebody_elses_metric", "group", "x", 1, 0),
	})
	for kind, want := range map[streamkeeper.EntityKind][]string{
		"client": {"noisy"}, "store": {"bucket"}, "broker": {"0"}, "topic": nil, "group": nil,
	} {
		if d := cmp.Diff(want, names(w.Entities("c", kind))); d != "" {
			t.Errorf("%s: %s", kind, d)
		}
	}
	w.Learn([]streamkeeper.Sample{sample("streamkeeper_broker_store_calls_total", "store", "bucket", 0, 90)})
	if got := w.Entities("c", "client"); len(got) != 0 {
		t.Errorf("a client not seen for 90 s is still there: %v", got)
	}
	if got := w.Entities("c", "store"); len(got) != 1 {
		t.Errorf("a store seen right now is gone: %v", got)
	}
}

func BenchmarkFact(b *testing.B) {
	w := NewWorld(0)
	inv := seen(0)
	for i := range 1000 {
		inv.Groups = append(inv.Groups, streamkeeper.GroupInfo{Name: fmt.Sprintf("g%d", i), State: "Stable", Facts: map[string]bool{"classic": true}})
	}
	w.Add(inv)
	for b.Loop() {
		w.Fact(entity("group", "g999"), "classic")
	}
}
