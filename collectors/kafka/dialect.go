package kafka

import (
	"embed"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
)

// The facts that an exporter can tell. A dialect lists for each the metrics that tell it.
const (
	factHead      = "head"
	factStart     = "log_start"
	factCommitted = "committed"
	factLag       = "lag"
	factMembers   = "members"
	factState     = "state"
	factLeader    = "leader"
	factBroker    = "broker"
)

// dialect is one exporter's names: a table, read from its file.
type dialect struct {
	Name  string             `yaml:"dialect"`
	Facts map[string][]named `yaml:"facts"`
}

// named is one metric that tells a fact, with the names of its labels: one row for each set of names that versions
// of the exporter have used, newest first.
type named struct {
	Metric    string `yaml:"metric"`
	Where     string `yaml:"where"` // matchers that are needed besides the cluster's
	Topic     string `yaml:"topic"`
	Partition string `yaml:"partition"`
	Group     string `yaml:"group"`
	State     string `yaml:"state"`
	Broker    string `yaml:"broker"`
	Address   string `yaml:"address"`
}

//go:embed dialects/*.yaml
var dialectFiles embed.FS

// dialectOrder is which dialect is asked first: the one that reads offsets of one moment, and tells most, leads.
var dialectOrder = []string{"kminion", "kafka_exporter", "redpanda", "jmx"}

var dialects = mustDialects()

// untold is a row of dialects/untold.yaml.
type untold struct {
	Fact  string `yaml:"fact"`
	What  string `yaml:"what"`
	Needs string `yaml:"needs"`
}

var untoldFacts = mustRead[[]untold]("untold")

// mustDialects reads the tables that are part of the program; a test reads them too.
func mustDialects() []dialect {
	all := make([]dialect, 0, len(dialectOrder))
	for _, name := range dialectOrder {
		all = append(all, mustRead[dialect](name))
	}
	return all
}

func mustRead[T any](name string) (v T) {
	data, err := dialectFiles.ReadFile("dialects/" + name + ".yaml")
	if err != nil {
		panic(err)
	}
	if err := yaml.UnmarshalWithOptions(data, &v, yaml.Strict()); err != nil {
		panic(fmt.Sprintf("dialects/%s.yaml: %v", name, err))
	}
	return v
}

// Dialects lists the names of the dialects that [Exported] understands, in the order in which they are asked.
func Dialects() []string { return append([]string(nil), dialectOrder...) }

// ExportedMetrics lists the metrics that each dialect needs, by dialect.
func ExportedMetrics() map[string][]string {
	out := map[string][]string{}
	for _, d := range dialects {
		for _, fact := range sortedKeys(d.Facts) {
			for _, n := range d.Facts[fact] {
				out[d.Name] = append(out[d.Name], n.Metric)
			}
		}
	}
	return out
}

// HeadMetrics lists the metric that tells a dialect of a topic's records, by metric: where one of them is, that
// dialect is spoken.
func HeadMetrics() map[string]string {
	out := map[string]string{}
	for _, d := range dialects {
		for _, n := range d.Facts[factHead] {
			out[n.Metric] = d.Name
		}
	}
	return out
}

// selector selects the metric's series of a cluster.
func (n named) selector(cluster string) string {
	matchers := fmt.Sprintf("cluster=%q", cluster)
	if n.Where != "" {
		matchers += "," + strings.TrimSpace(n.Where)
	}
	return n.Metric + "{" + matchers + "}"
}
