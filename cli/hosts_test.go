package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors/hosts"
	"github.com/streamkeeper-io/streamkeeper/collectors/series"
	"github.com/streamkeeper-io/streamkeeper/rules"
)

// capture is what exporters told at one moment: real of node_exporter, written from the documentation for cAdvisor and
// kube-state-metrics. It is played with counters that grow.
type capture struct {
	t      *testing.T
	places *places
	now    time.Time
	base   []streamkeeper.Sample
}

const captureEvery = 15 * time.Second

func newCapture(t *testing.T, file, instance string) *capture {
	t.Helper()
	c := &capture{t: t, now: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)}
	var err error
	if c.places, err = openPlaces(series.Options{Interval: captureEvery}, func() time.Time { return c.now }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.places.Close() })
	in, err := os.Open(filepath.Join("..", "collectors", "hosts", "testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(in)
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range families {
		for _, m := range f.Metric {
			s := streamkeeper.Sample{Metric: name, Labels: map[string]string{"cluster": "c", "instance": instance}}
			s.Value = m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()
			for _, l := range m.Label {
				s.Labels[l.GetName()] = l.GetValue()
			}
			c.base = append(c.base, s)
		}
	}
	return c
}

// has reports whether the capture has a metric.
func (c *capture) has(metric string) bool {
	for _, s := range c.base {
		if s.Metric == metric {
			return true
		}
	}
	return false
}

// play lets counters grow by so much a second for fifteen minutes, and matches all along.
func (c *capture) play(inv streamkeeper.Inventory, perSecond map[string]float64) {
	c.t.Helper()
	where := hosts.New(hosts.Options{Cluster: "c", Series: c.places.series, World: c.places.world})
	for i := range 61 {
		var samples []streamkeeper.Sample
		for _, s := range c.base {
			s.At = c.now
			s.Value += perSecond[s.Metric] * float64(i) * captureEvery.Seconds()
			samples = append(samples, s)
		}
		if err := c.places.Samples(context.Background(), samples); err != nil {
			c.t.Fatal(err)
		}
		inv.At = c.now
		if err := c.places.Inventory(context.Background(), inv); err != nil {
			c.t.Fatal(err)
		}
		if err := where.Collect(context.Background(), c.now, c.places); err != nil {
			c.t.Fatal(err)
		}
		c.now = c.now.Add(captureEvery)
	}
	c.now = c.now.Add(-captureEvery)
	on := streamkeeper.Entity{Kind: streamkeeper.KindCluster, Name: "c", Cluster: "c"}
	c.places.world.SetFacts("c", []streamkeeper.Fact{
		{Entity: on, Name: "source_node", State: streamkeeper.Present}, {Entity: on, Name: "source_kube", State: streamkeeper.Present},
	})
}

var builtinCatalog = sync.OnceValues(func() (*rules.Catalog, error) { return loadCatalog(nil) })

// judge evaluates nodes of the catalog as of now.
func (c *capture) judge(on streamkeeper.Entity, nodes ...string) map[string]streamkeeper.Observation {
	c.t.Helper()
	book, err := builtinCatalog()
	if err != nil {
		c.t.Fatal(err)
	}
	scope := rules.Scope{Cluster: "c", Now: c.now, Interval: captureEvery}
	suspect := rules.Suspect{Entity: on}
	for _, n := range nodes {
		suspect.Nodes = append(suspect.Nodes, rules.NodeOn{Node: n, Entity: on})
	}
	answers, err := c.places.series.Read(context.Background(), c.now, book.EvidenceQueries(scope, []rules.Suspect{suspect}))
	if err != nil {
		c.t.Fatal(err)
	}
	for id, a := range answers {
		if a.Err != nil {
			c.t.Errorf("%s: %v", id, a.Err)
		}
	}
	out := map[string]streamkeeper.Observation{}
	for _, o := range book.Evidence(scope, []rules.Suspect{suspect}, rules.Inputs{Answers: answers, Events: c.places.events, World: c.places.world}) {
		out[o.Node] = o
	}
	return out
}

func (c *capture) want(on streamkeeper.Entity, want map[string]streamkeeper.State) {
	c.t.Helper()
	names := make([]string, 0, len(want))
	for n := range want {
		names = append(names, n)
	}
	got := c.judge(on, names...)
	for n, state := range want {
		if o := got[n]; o.State != state {
			c.t.Errorf("%s on %s is %v (%s), want %v", n, on, o.State, o.Why, state)
		} else if strings.Contains(o.Text, "unknown") {
			c.t.Errorf("%s says %q", n, o.Text)
		}
	}
}

// siteInventory is a broker on the machine 10.0.0.1 (in the pod prod-kafka-0, where there are pods) and a group whose
// member is called like a pod, on the same machine.
func siteInventory() streamkeeper.Inventory {
	return streamkeeper.Inventory{
		Cluster: streamkeeper.ClusterInfo{Name: "c", Kind: "kafka"}, Source: "kafka",
		Brokers: []streamkeeper.BrokerInfo{{ID: 1, Address: "10.0.0.1:9092"}, {ID: 2, Address: "prod-kafka-0.brokers:9092"}},
		Groups: []streamkeeper.GroupInfo{
			{Name: "billing", State: "Stable", Members: []streamkeeper.MemberInfo{{Key: "a", ClientID: "a", Host: "10.0.0.1"}}},
			{Name: "orders", State: "Stable", Members: []streamkeeper.MemberInfo{{Key: "b", ClientID: "b", Host: "10.244.1.17"}}},
			{Name: "away", State: "Stable", Members: []streamkeeper.MemberInfo{{Key: "c", ClientID: "c", Host: "10.9.9.9"}}},
		},
	}
}

var (
	billing  = streamkeeper.Entity{Kind: streamkeeper.KindGroup, Name: "billing", Cluster: "c"}
	orders   = streamkeeper.Entity{Kind: streamkeeper.KindGroup, Name: "orders", Cluster: "c"}
	away     = streamkeeper.Entity{Kind: streamkeeper.KindGroup, Name: "away", Cluster: "c"}
	brokerOf = func(id string) streamkeeper.Entity {
		return streamkeeper.Entity{Kind: streamkeeper.KindBroker, Name: id, Cluster: "c"}
	}
)

func TestDialectNode(t *testing.T) {
	const file = "node_exporter-1.5.prom"
	calm := map[string]float64{
		"node_pressure_cpu_waiting_seconds_total": .05, "node_pressure_memory_stalled_seconds_total": 0, "node_pressure_io_stalled_seconds_total": .01,
		"node_schedstat_waiting_seconds_total": .02, "node_disk_read_time_seconds_total": .01, "node_disk_write_time_seconds_total": .05,
		"node_disk_reads_completed_total": 10, "node_disk_writes_completed_total": 50, "node_netstat_Tcp_OutSegs": 1000, "node_netstat_Tcp_RetransSegs": 1,
	}
	faults := map[string]map[string]float64{
		"host_short_of_cpu":             {"node_pressure_cpu_waiting_seconds_total": .9, "node_schedstat_waiting_seconds_total": 3},
		"host_short_of_memory":          {"node_pressure_memory_stalled_seconds_total": .4},
		"host_retransmits":              {"node_netstat_Tcp_RetransSegs": 100},
		"broker_disk_slow":              {"node_disk_write_time_seconds_total": 40, "node_pressure_io_stalled_seconds_total": .8},
		"broker_host_killed_for_memory": {"node_vmstat_oom_kill": .01},
		"":                              {},
	}
	has := newCapture(t, file, "x")
	for _, metric := range hosts.Metrics()[hosts.DialectNode] {
		if !has.has(metric) {
			t.Errorf("the capture has no %s", metric)
		}
	}
	for fault, faster := range faults {
		t.Run("fault "+fault, func(t *testing.T) {
			c := newCapture(t, file, "10.0.0.1:9100")
			rates := map[string]float64{}
			for _, m := range []map[string]float64{calm, faster} {
				for metric, v := range m {
					rates[metric] = v
				}
			}
			c.play(siteInventory(), rates)
			for _, on := range []struct {
				entity streamkeeper.Entity
				nodes  []string
			}{{billing, []string{"host_short_of_cpu", "host_short_of_memory", "host_retransmits"}}, {brokerOf("1"), []string{"broker_disk_slow", "broker_host_killed_for_memory"}}} {
				want := map[string]streamkeeper.State{}
				for _, n := range on.nodes {
					want[n] = streamkeeper.Absent
					if n == fault {
						want[n] = streamkeeper.Present
					}
				}
				c.want(on.entity, want)
			}
			c.want(away, map[string]streamkeeper.State{"host_short_of_cpu": streamkeeper.Unknown})
			c.want(brokerOf("2"), map[string]streamkeeper.State{"broker_disk_slow": streamkeeper.Unknown})
		})
	}
}

func TestDialectKube(t *testing.T) {
	nodes := []string{"container_throttled", "containers_restart", "container_killed_for_memory", "member_pod_evicted", "deploy_seen"}
	// Each case plays both files: pods are known from the one, throttling from the other.
	for fault, c := range map[string]struct {
		rates map[string]float64
		set   func(*streamkeeper.Sample)
		also  []string
	}{
		"":                    {},
		"container_throttled": {rates: map[string]float64{"container_cpu_cfs_throttled_periods_total": 9}},
		"containers_restart":  {rates: map[string]float64{"kube_pod_container_status_restarts_total": .01}, also: []string{"container_killed_for_memory"}},
		"member_pod_evicted": {set: func(s *streamkeeper.Sample) {
			if s.Labels["reason"] == "Evicted" {
				s.Value = 1
			}
		}},
		"deploy_seen": {set: func(s *streamkeeper.Sample) {
			if s.Metric == "kube_replicaset_created" {
				s.Value = float64(time.Date(2026, 3, 4, 12, 10, 0, 0, time.UTC).Unix())
			}
		}},
	} {
		t.Run("fault "+fault, func(t *testing.T) {
			x := newCapture(t, "kube-state-metrics-2.17.prom", "kube-state-metrics:8080")
			x.base = append(x.base, newCapture(t, "cadvisor-1.34.prom", "worker-5:10250").base...)
			for i := range x.base {
				if c.set != nil {
					c.set(&x.base[i])
				}
			}
			rates := map[string]float64{"container_cpu_cfs_periods_total": 10, "container_cpu_cfs_throttled_periods_total": .1}
			for metric, v := range c.rates {
				rates[metric] = v
			}
			for _, metric := range hosts.Metrics()[hosts.DialectKube] {
				if !x.has(metric) {
					t.Errorf("the captures have no %s", metric)
				}
			}
			x.play(siteInventory(), rates)
			want := map[string]streamkeeper.State{}
			for _, n := range nodes {
				want[n] = streamkeeper.Absent
			}
			want["deploy_seen"] = streamkeeper.Unknown // a hook may be broken: none was seen proves nothing
			for _, n := range append(c.also, fault) {
				if n != "" {
					want[n] = streamkeeper.Present
				}
			}
			x.want(orders, want)
			broker := streamkeeper.Absent
			if fault == "containers_restart" {
				broker = streamkeeper.Present
			}
			x.want(brokerOf("2"), map[string]streamkeeper.State{"broker_killed_for_memory": broker})
			x.want(away, map[string]streamkeeper.State{"container_throttled": streamkeeper.Unknown})
		})
	}
}
