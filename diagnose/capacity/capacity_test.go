package capacity

import (
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

func n(x float64) *float64 { return &x }

var entity = streamkeeper.Entity{Kind: streamkeeper.KindGroup, Name: "Orders_v2", Cluster: "c"}

// busy is a group of 2 members on 12 partitions: 200/s arrive, 30,000 wait, one member works off 100/s.
func busy() Group {
	return Group{
		Entity: entity, Topics: []string{"orders"}, Members: 2, Partitions: 12, Produce: n(200), Consume: n(195), Backlog: n(30000),
		LagSeconds: n(150), RecordSeconds: n(.01),
	}
}

// C = 200/.7 + 30000/600 + 200·30/600 = 285.7 + 50 + 10 = 345.7; ÷ 100 = 3.46: 4 consumers, which divides 12.
func TestScaleConsumers(t *testing.T) {
	g := busy()
	r, ok := Consumers(g, Settings{})
	if !ok || r.Kind != streamkeeper.ScaleConsumers || *r.From != 2 || *r.To != 4 {
		t.Fatalf("%+v, want scale_consumers from 2 to 4", r)
	}
	if r.Expected["capacity_per_second"] != 400 || r.Expected["drain_seconds"] != 150 || r.Expected["utilisation_ratio"] != .5 {
		t.Errorf("expected %v", r.Expected)
	}
	g.LagSeconds = n(2)
	if r, ok := Consumers(g, Settings{}); ok {
		t.Errorf("a group that is not late gets %+v", r)
	}
}

// Without a measured rate, members that are behind show theirs; without lag nothing is known.
func TestTrueRate(t *testing.T) {
	g := busy()
	g.RecordSeconds = nil
	r, ok := Consumers(g, Settings{})
	if !ok || *r.To != 4 {
		t.Errorf("%+v, want 4 from the observed 97.5/s each", r)
	}
	g.LagSeconds = nil
	if r, ok := Consumers(g, Settings{}); ok {
		t.Errorf("a group with unknown lag and rate gets %+v", r)
	}
}

func TestPartitionsBound(t *testing.T) {
	g := busy()
	g.Partitions = 3
	r, ok := Consumers(g, Settings{})
	if !ok || r.Kind != streamkeeper.AddPartitions || *r.From != 3 || *r.To != 6 || r.BoundedBy != "partitions" {
		t.Errorf("%+v, want add_partitions from 3 to 6 (1.3 × 4, rounded up)", r)
	}
}

func TestHotPartition(t *testing.T) {
	g := busy()
	g.HotPartition = n(90)
	r, ok := Consumers(g, Settings{})
	if !ok || r.Kind != streamkeeper.Hold || r.BoundedBy != "hottest partition" || r.Expected["salt_keys"] != 2 {
		t.Errorf("%+v, want hold: one consumer cannot follow the hot partition", r)
	}
}

// A likely cause that members make worse wins over any lag.
func TestGate(t *testing.T) {
	g := busy()
	g.Causes = []Cause{{ID: "rebalance_storm", Title: "A rebalance storm", Confidence: .9, Scale: "no", Why: "more members rebalance more"}}
	r, ok := Consumers(g, Settings{})
	if !ok || r.Kind != streamkeeper.Hold || !strings.Contains(r.Why, "more members rebalance more") || *r.To != 2 {
		t.Errorf("%+v, want hold", r)
	}
	g.Causes[0].Confidence = .3
	if r, _ := Consumers(g, Settings{}); r.Kind != streamkeeper.ScaleConsumers {
		t.Errorf("an unlikely cause gates: %+v", r)
	}
	g.Causes[0].Confidence, g.Causes[0].Scale = .9, "yes"
	if r, _ := Consumers(g, Settings{}); r.Kind != streamkeeper.ScaleConsumers {
		t.Errorf("a cause that allows scaling gates: %+v", r)
	}
}

func TestScaleDown(t *testing.T) {
	g := busy()
	g.Members, g.LagSeconds, g.Backlog = 12, n(.5), n(10)
	if r, ok := Consumers(g, Settings{}); ok {
		t.Errorf("a group that was not calm for long gets %+v", r)
	}
	g.CalmFor = time.Hour
	r, ok := Consumers(g, Settings{})
	if !ok || *r.To != 6 {
		t.Errorf("%+v, want 6: half at once although 3 would do", r)
	}
	g.RecordSeconds = nil
	if r, ok := Consumers(g, Settings{}); ok {
		t.Errorf("members are taken away at an unknown rate: %+v", r)
	}
}

func TestUploads(t *testing.T) {
	s := Store{
		Entity: entity, InFlight: n(4), Allowed: n(4), IngressBytes: n(40e6), BacklogBytes: n(6e9),
		UploadSeconds: n(2), UploadBytes: n(16e6),
	}
	// (40e6 + 6e9/600) / 16e6 = 3.125/s × 2 s ÷ .7 = 8.93
	r, ok := Uploads(s, Settings{})
	if !ok || r.Kind != streamkeeper.UploadConcurrency || *r.To != 9 {
		t.Errorf("%+v, want 9 uploads", r)
	}
	failing := s
	failing.ErrorShare = n(.2)
	if r, ok := Uploads(failing, Settings{}); ok {
		t.Errorf("a store that fails gets %+v", r)
	}
	throttled := s
	throttled.Causes = []Cause{{ID: "object_store_throttled", Confidence: .95, Scale: "no", Why: "the store refuses the rate"}}
	if r, ok := Uploads(throttled, Settings{}); !ok || r.Kind != streamkeeper.Hold {
		t.Errorf("%+v, want hold", r)
	}
	unknown := s
	unknown.UploadSeconds = nil
	if r, ok := Uploads(unknown, Settings{}); ok {
		t.Errorf("an unknown latency gives %+v", r)
	}
}

func TestManifestsAreYAML(t *testing.T) {
	g := busy()
	r, _ := Consumers(g, Settings{})
	m := Manifests(g, r, Settings{}, Place{Brokers: "kafka:9092", Prometheus: "http://127.0.0.1:8080/prometheus"})
	for tool, want := range map[string][]string{
		"keda": {"maxReplicaCount: 12", `threshold: "70"`, `lagThreshold: "60000"`, "name: orders-v2", "kafka:9092"},
		"hpa":  {"maxReplicas: 12", `averageValue: "70"`},
	} {
		var doc map[string]any
		if err := yaml.Unmarshal([]byte(m[tool]), &doc); err != nil {
			t.Errorf("%s is no YAML: %v\n%s", tool, err, m[tool])
		}
		for _, w := range want {
			if !strings.Contains(m[tool], w) {
				t.Errorf("%s lacks %q:\n%s", tool, w, m[tool])
			}
		}
	}
	if m := Manifests(g, streamkeeper.Recommendation{Kind: streamkeeper.Hold}, Settings{}, Place{}); m != nil {
		t.Errorf("holding gives manifests: %v", m)
	}
}
