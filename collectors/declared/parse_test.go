package declared

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const strimzi = `
apiVersion: kafka.strimzi.io/v1beta2
kind: KafkaTopic
metadata:
  name: orders
  labels: {strimzi.io/cluster: prod}
spec:
  partitions: 6
  replicas: 3
  config:
    retention.ms: 604800000
    min.insync.replicas: "2"
    unclean.leader.election.enable: false
    min.cleanable.dirty.ratio: 0.5
    compression.type:
---
# of another kind, and of another shape
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
spec: [1, 2]
---
apiVersion: kafka.strimzi.io/v1
kind: KafkaTopic
metadata: {name: audit-log}
spec: {topicName: audit.log}
---
`

func TestParse(t *testing.T) {
	got, err := Parse([]byte(strimzi))
	if err != nil {
		t.Fatal(err)
	}
	want := []Topic{
		{Name: "orders", Cluster: "prod", Partitions: 6, Replicas: 3, Configs: map[string]string{
			"retention.ms": "604800000", "min.insync.replicas": "2", "unclean.leader.election.enable": "false", "min.cleanable.dirty.ratio": "0.5",
		}},
		{Name: "audit.log", Configs: map[string]string{}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"what is no YAML":    "kind: [KafkaTopic",
		"no name":            "kind: KafkaTopic\nspec: {partitions: 1}",
		"a list for a value": "kind: KafkaTopic\nmetadata: {name: a}\nspec: {config: {retention.ms: [1, 2]}}",
		"an alias":           "kind: KafkaTopic\nmetadata: {name: &n a}\nspec: {topicName: *n}",
		"a long line":        "kind: " + strings.Repeat("x", maxLine),
		"a deep one":         strings.Repeat("[", maxBrackets+1),
		"a deep indent":      strings.Repeat("- ", maxIndent),
		"a large file":       strings.Repeat("#\n", maxFile),
		"too many settings":  "kind: KafkaTopic\nmetadata: {name: a}\nspec:\n  config:\n" + manyConfigs(maxConfigs+1),
	} {
		if got, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s was read as %+v", name, got)
		}
	}
}

func manyConfigs(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("    k" + strings.Repeat("x", i) + ": 1\n")
	}
	return b.String()
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(strimzi))
	f.Add([]byte("kind: KafkaTopic\nmetadata: {name: a}\nspec: {config: {a: 1e400, b: .nan, c: 0x1f, d: 2026-01-01}}"))
	f.Add([]byte("- - - ?\n:\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		topics, err := Parse(text)
		if err != nil && topics != nil {
			t.Fatal("topics of a file that could not be read")
		}
		for _, topic := range topics {
			if topic.Name == "" || topic.Partitions < 0 || topic.Replicas < 0 || topic.Configs == nil {
				t.Fatalf("%+v", topic)
			}
		}
	})
}
