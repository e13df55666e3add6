package kafka

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/streamkeeper-io/streamkeeper"
)

// exporterScene plays a capture to an Exported, changed from round to round.
type exporterScene struct {
	t         *testing.T
	x         *Exported
	now       time.Time
	points    map[string][]streamkeeper.Point // by metric
	series    map[string]float64
	events    []streamkeeper.Event
	mark      streamkeeper.Watermark
	inventory streamkeeper.Inventory
}

const sceneEvery = 15 * time.Second

func newExporterScene(t *testing.T, capture string) *exporterScene {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", "exporters", capture))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &exporterScene{t: t, now: time.Unix(1_700_000_000, 0), points: map[string][]streamkeeper.Point{}}
	for name, f := range families {
		for _, m := range f.Metric {
			p := streamkeeper.Point{Labels: map[string]string{"cluster": "c", "instance": "exporter:80"}, Value: m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()}
			for _, l := range m.Label {
				p.Labels[l.GetName()] = l.GetValue()
			}
			s.points[name] = append(s.points[name], p)
		}
	}
	s.x = NewExported(ExportedOptions{Cluster: "c", Series: s, Every: sceneEvery})
	return s
}

// Read answers bare selectors from the capture.
func (s *exporterScene) Read(_ context.Context, _ time.Time, qs []streamkeeper.Query) (streamkeeper.Answers, error) {
	out := streamkeeper.Answers{}
	for _, q := range qs {
		metric, matchers, _ := strings.Cut(q.Expr, "{")
		var points []streamkeeper.Point
		for _, p := range s.points[metric] {
			if !strings.Contains(matchers, "redpanda_namespace") || p.Labels["redpanda_namespace"] == "kafka" {
				points = append(points, p)
			}
		}
		out[q.ID] = streamkeeper.Answer{Points: points}
	}
	return out, nil
}

func (s *exporterScene) Samples(_ context.Context, samples []streamkeeper.Sample) error {
	for _, x := range samples {
		key := x.Metric
		for _, l := range slices.Sorted(maps.Keys(x.Labels)) {
			if l != "cluster" {
				key += " " + x.Labels[l]
			}
		}
		if math.IsNaN(x.Value) {
			delete(s.series, key)
		} else {
			s.series[key] = x.Value
		}
	}
	return nil
}

func (s *exporterScene) Events(_ context.Context, ev []streamkeeper.Event, w streamkeeper.Watermark) error {
	s.events, s.mark = append(s.events, ev...), w
	return nil
}

func (s *exporterScene) Inventory(_ context.Context, inv streamkeeper.Inventory) error {
	s.inventory = inv
	return nil
}

func (s *exporterScene) look() {
	s.t.Helper()
	if s.series == nil {
		s.series = map[string]float64{}
	}
	if err := s.x.Collect(context.Background(), s.now, s); err != nil {
		s.t.Fatal(err)
	}
	s.now = s.now.Add(sceneEvery)
}

// add changes the values of a metric's series that have a label.
func (s *exporterScene) add(metric, label, value string, by float64) {
	s.t.Helper()
	found := false
	for i := range s.points[metric] {
		if p := &s.points[metric][i]; p.Labels[label] == value {
			p.Value += by
			found = true
		}
	}
	if !found {
		s.t.Fatalf("no %s{%s=%q} in the capture", metric, label, value)
	}
}

func TestExported_Captures(t *testing.T) {
	for _, capture := range []struct {
		file, dialect string
		groups        bool
		members       bool
		starts        bool
	}{
		{"kminion-2.2.prom", "kminion", true, true, true},
		{"kafka_minion-1.0.prom", "kminion", true, false, true},
		{"kafka_exporter-1.10.prom", "kafka_exporter", true, true, true},
		{"kafka_exporter-1.2.prom", "kafka_exporter", true, true, true},
		{"redpanda-24.prom", "redpanda", true, true, false},
		{"jmx-strimzi.prom", "jmx", false, false, true},
	} {
		t.Run(capture.file, func(t *testing.T) {
			s := newExporterScene(t, capture.file)
			s.look()
			want := map[string]float64{"streamkeeper_topic_partitions orders": 4, "streamkeeper_topic_end_offset orders": 4600}
			absent := []string{"streamkeeper_broker_reachable 0", "streamkeeper_broker_replicas 0", "streamkeeper_topic_stable_offset_stuck_seconds orders"}
			if capture.groups {
				want["streamkeeper_group_lag_messages billing"] = 60
				want["streamkeeper_group_lag_messages nightly"] = 500
			} else {
				absent = append(absent, "streamkeeper_group_lag_messages billing")
			}
			if capture.members {
				want["streamkeeper_group_members billing"], want["streamkeeper_group_members nightly"] = 2, 0
			} else {
				absent = append(absent, "streamkeeper_group_members billing", "streamkeeper_group_empty_seconds billing")
			}
			if capture.starts {
				want["streamkeeper_topic_partition_log_start_offset 0 orders"] = 100
			} else {
				absent = append(absent, "streamkeeper_topic_partition_log_start_offset 0 orders")
			}
			if strings.HasPrefix(capture.file, "kafka_exporter") {
				want["streamkeeper_topic_offline_partitions orders"] = 0
			} else {
				absent = append(absent, "streamkeeper_topic_offline_partitions orders")
			}
			for key, v := range want {
				if got, ok := s.series[key]; !ok || got != v {
					t.Errorf("%s = %v (there: %v), want %v", key, got, ok, v)
				}
			}
			for _, key := range absent {
				if got, ok := s.series[key]; ok {
					t.Errorf("%s = %v, want unknown", key, got)
				}
			}
			if diff := cmp.Diff([]string{capture.dialect}, s.x.speaks); diff != "" {
				t.Errorf("dialects: %s", diff)
			}
		})
	}
}

func TestExported_OneMemberStandsStill(t *testing.T) {
	s := newExporterScene(t, "kafka_exporter-1.10.prom")
	for range 12 {
		for p := range 4 {
			s.add("kafka_topic_partition_current_offset", "partition", fmt.Sprint(p), 100)
			if p >= 2 {
				s.add("kafka_consumergroup_current_offset", "partition", fmt.Sprint(p), 100)
			}
		}
		s.look()
	}
	for key, want := range map[string]float64{
		"streamkeeper_group_frozen_members billing": 1, "streamkeeper_group_frozen_alone billing": 0, "streamkeeper_group_stalled_partitions billing": 2,
		"streamkeeper_group_moving_partitions billing": 2, "streamkeeper_group_fact multi_parts billing": 1, "streamkeeper_cluster_fact members_unnamed": 1,
		"streamkeeper_group_busy_members billing": 2, "streamkeeper_group_partitions_per_busy_member_max billing": 2,
	} {
		if got, ok := s.series[key]; !ok || got != want {
			t.Errorf("%s = %v (there: %v), want %v", key, got, ok, want)
		}
	}
	for key := range s.series {
		if strings.Contains(key, "streamkeeper_group_fact owner_changed billing") {
			t.Errorf("%s is told, though owners are not known", key)
		}
	}
}

func TestExported_MembersGo(t *testing.T) {
	s := newExporterScene(t, "kminion-2.2.prom")
	s.look()
	s.look()
	s.add("kminion_kafka_consumer_group_members", "group_id", "billing", -2)
	s.look()
	s.look()
	var kinds []string
	for _, e := range s.events {
		kinds = append(kinds, e.Kind)
	}
	if diff := cmp.Diff([]string{"member_gone", "group_became_empty"}, kinds); diff != "" {
		t.Errorf("events: %s", diff)
	}
	if got := s.series["streamkeeper_group_empty_seconds billing"]; got != sceneEvery.Seconds() {
		t.Errorf("empty for %v s, want %v", got, sceneEvery.Seconds())
	}
	if !s.mark.Through.Equal(s.now.Add(-sceneEvery)) {
		t.Errorf("watermark through %s, want %s", s.mark.Through, s.now.Add(-sceneEvery))
	}
}

// TestExported_StaleIsUnknown: an exporter that fell silent must not leave its last numbers standing.
func TestExported_StaleIsUnknown(t *testing.T) {
	s := newExporterScene(t, "kminion-2.2.prom")
	s.look()
	for metric := range s.points {
		for i := range s.points[metric] {
			s.points[metric][i].Age = 3 * sceneEvery
		}
	}
	if err := s.x.Collect(context.Background(), s.now, s); err == nil || !strings.Contains(err.Error(), "kafka_exporter") {
		t.Errorf("error %v, want one that names the dialects", err)
	}
	if len(s.series) > 0 {
		t.Errorf("%d series still live, such as %v", len(s.series), slices.Sorted(maps.Keys(s.series))[0])
	}
	if len(s.x.Sources(s.now)) != 0 {
		t.Error("a dialect is still told as a source")
	}
}

// TestExported_ShrunkListsAreNotTakenForDeletions: exporters leave out what they could not read.
func TestExported_ShrunkListsAreNotTakenForDeletions(t *testing.T) {
	s := newExporterScene(t, "kminion-2.2.prom")
	s.look()
	s.look()
	s.points["kminion_kafka_topic_partition_high_water_mark"] = s.points["kminion_kafka_topic_partition_high_water_mark"][:1]
	s.look()
	for _, e := range s.events {
		t.Errorf("told %s: %s", e.Kind, e.Text)
	}
	if s.mark.Through.Equal(s.now.Add(-sceneEvery)) {
		t.Error("the round counts as whole though most is missing")
	}
}

func TestDialects_AreComplete(t *testing.T) {
	for _, d := range dialects {
		if d.Name == "" || len(d.Facts[factHead]) == 0 {
			t.Errorf("dialect %q does not tell where logs end", d.Name)
		}
		for fact, rows := range d.Facts {
			for _, n := range rows {
				needs := map[string][]string{
					factHead: {n.Topic, n.Partition}, factStart: {n.Topic, n.Partition}, factLeader: {n.Topic, n.Partition},
					factCommitted: {n.Group, n.Topic, n.Partition}, factLag: {n.Group, n.Topic, n.Partition},
					factMembers: {n.Group}, factState: {n.Group, n.State}, factBroker: {n.Broker, n.Address},
				}[fact]
				if n.Metric == "" || needs == nil || slices.Contains(needs, "") {
					t.Errorf("%s: %s of %q lacks a label", d.Name, fact, n.Metric)
				}
			}
		}
	}
}
