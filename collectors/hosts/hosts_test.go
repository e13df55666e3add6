package hosts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
	"github.com/streamkeeper-io/streamkeeper/collectors/collectortest"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// site is a cluster with what exporters tell of its machines and pods.
type site struct {
	t        *testing.T
	inv      streamkeeper.Inventory
	machines []map[string]string
	pods     []map[string]string
	source   *Source
	live     []string

	mu    sync.Mutex
	state collectortest.State
}

func newSite(t *testing.T, lookup func(context.Context, string) ([]string, error)) *site {
	s := &site{t: t}
	s.source = New(Options{Cluster: "c", Series: s, World: s, Lookup: lookup})
	return s
}

// Inventory is what was seen of the cluster.
func (s *site) Inventory(string) streamkeeper.Inventory { return s.inv }

// Read answers what exporters tell.
func (s *site) Read(ctx context.Context, _ time.Time, qs []streamkeeper.Query) (streamkeeper.Answers, error) {
	s.mu.Lock()
	state := s.state
	s.mu.Unlock()
	switch state {
	case collectortest.Fails:
		return nil, errors.New("closed")
	case collectortest.Hangs:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	out := streamkeeper.Answers{}
	for _, q := range qs {
		if !strings.HasSuffix(q.Expr, `{cluster="c"}`) {
			s.t.Errorf("%s reads other clusters", q.Expr)
		}
		rows := s.machines
		if strings.HasPrefix(q.Expr, podMetric) {
			rows = s.pods
		}
		var points []streamkeeper.Point
		for _, labels := range rows {
			points = append(points, streamkeeper.Point{Labels: labels, Value: 1})
		}
		out[q.ID] = streamkeeper.Answer{Points: points}
	}
	return out, nil
}

// sink keeps what lives after a round.
type sink struct{ *site }

func (k sink) Samples(_ context.Context, samples []streamkeeper.Sample) error {
	k.live = nil
	for _, x := range samples {
		if collectors.IsStale(x.Value) {
			continue
		}
		var labels []string
		for name, v := range x.Labels {
			if name != "cluster" {
				labels = append(labels, name+"="+v)
			}
		}
		slices.Sort(labels)
		k.site.live = append(k.site.live, fmt.Sprintf("%s{%s} %v", strings.TrimPrefix(x.Metric, "streamkeeper_"), strings.Join(labels, ","), x.Value))
	}
	slices.Sort(k.site.live)
	return nil
}

func (sink) Events(context.Context, []streamkeeper.Event, streamkeeper.Watermark) error { return nil }

func (sink) Inventory(context.Context, streamkeeper.Inventory) error { return nil }

func (s *site) round(after time.Duration, want ...string) {
	s.t.Helper()
	s.live = nil
	if err := s.source.Collect(s.t.Context(), noon.Add(after), sink{s}); err != nil {
		s.t.Fatal(err)
	}
	if diff := cmp.Diff(want, s.live); diff != "" {
		s.t.Errorf("after %s: %s", after, diff)
	}
}

func member(host, client string) streamkeeper.MemberInfo {
	return streamkeeper.MemberInfo{Key: client + "@" + host, Host: host, ClientID: client}
}

func TestMachines(t *testing.T) {
	s := newSite(t, nil)
	s.inv.Brokers = []streamkeeper.BrokerInfo{{ID: 1, Address: "kafka-1.example:9092"}, {ID: 2, Address: "10.0.0.2:9092"}, {ID: 3, Address: "elsewhere:9092"}, {ID: 4, Address: "localhost:9092"}}
	s.inv.Groups = []streamkeeper.GroupInfo{{Name: "g", Members: []streamkeeper.MemberInfo{member("10.0.0.9", "a"), member("10.0.0.8", "b"), member("10.0.0.9", "c")}}}
	s.round(0)
	if s.source.Heard() || len(s.source.Untold()) != 2 {
		t.Errorf("nobody told anything: %v", s.source.Untold())
	}
	s.machines = []map[string]string{
		{"instance": "kafka-1:9100", "nodename": "kafka-1"},
		{"instance": "10.0.0.2:9100", "nodename": "kafka-2"},
		{"instance": "10.0.0.9:9100", "nodename": "worker"},
		{"instance": "10.0.0.7:9100", "nodename": "worker"}, // of the same name: it names neither
		{"instance": "127.0.0.1:9100", "nodename": "laptop"},
	}
	want := []string{
		"broker_machine{broker=1,instance=kafka-1:9100} 1", "broker_machine{broker=2,instance=10.0.0.2:9100} 1",
		"broker_machine{broker=4,instance=127.0.0.1:9100} 1", "group_machine{group=g,instance=10.0.0.9:9100} 1", "machines{} 4",
	}
	s.round(15*time.Second, want...)
	if needs := s.source.Untold(); !s.source.Heard() || len(needs) != 0 {
		t.Errorf("%v", needs)
	}
	s.inv.Groups = nil
	s.round(10*time.Minute, want...) // what is gone is remembered for a while
	s.round(16*time.Minute, want[0], want[1], want[2], "machines{} 3")
	s.machines = s.machines[3:4]
	s.round(17*time.Minute, append(slices.Clone(want[:3]), "machines{} 3")...)
}

func TestPods(t *testing.T) {
	s := newSite(t, nil)
	s.inv.Brokers = []streamkeeper.BrokerInfo{{ID: 0, Address: "prod-kafka-0.prod-kafka-brokers.kafka.svc:9092"}}
	s.inv.Groups = []streamkeeper.GroupInfo{
		{Name: "billing", Members: []streamkeeper.MemberInfo{member("10.244.1.17", "consumer-1")}},
		{Name: "orders", Members: []streamkeeper.MemberInfo{member("10.0.0.5", "orders-0"), member("10.0.0.5", "unknown")}},
	}
	s.pods = []map[string]string{
		{"namespace": "kafka", "pod": "prod-kafka-0", "pod_ip": "10.244.0.3", "host_ip": "10.0.0.1", "node": "worker-1", "created_by_kind": "StrimziPodSet", "created_by_name": "prod-kafka"},
		{"namespace": "shop", "pod": "billing-7f9c6d5b8-x2x9z", "pod_ip": "10.244.1.17", "host_ip": "10.0.0.5", "node": "worker-5", "created_by_kind": "ReplicaSet", "created_by_name": "billing-7f9c6d5b8"},
		{"namespace": "shop", "pod": "orders-0", "pod_ip": "10.0.0.5", "host_ip": "10.0.0.5", "node": "worker-5", "created_by_kind": "StatefulSet", "created_by_name": "orders"},
	}
	s.machines = []map[string]string{{"instance": "10.0.0.5:9100"}, {"instance": "prometheus-node-exporter-7x:9100", "node": "worker-1"}}
	s.round(
		0,
		"broker_machine{broker=0,instance=prometheus-node-exporter-7x:9100} 1", "broker_pod{broker=0,namespace=kafka,pod=prod-kafka-0} 1",
		"group_machine{group=billing,instance=10.0.0.5:9100} 1", "group_machine{group=orders,instance=10.0.0.5:9100} 1",
		"group_pod{group=billing,namespace=shop,pod=billing-7f9c6d5b8-x2x9z} 1", "group_pod{group=orders,namespace=shop,pod=orders-0} 1",
		"group_replicaset{group=billing,namespace=shop,replicaset=billing-7f9c6d5b8} 1", "machines{} 2", "pods{} 3",
	)
}

// Names are looked up once in a while, and a few at once.
func TestLookup(t *testing.T) {
	asked := map[string]int{}
	s := newSite(t, func(_ context.Context, name string) ([]string, error) {
		asked[name]++
		if name == "kafka-1.example" {
			return []string{"10.0.0.1"}, nil
		}
		return nil, errors.New("no such host")
	})
	s.inv.Brokers = []streamkeeper.BrokerInfo{{ID: 1, Address: "kafka-1.example:9092"}, {ID: 2, Address: "kafka-2.example:9092"}}
	s.machines = []map[string]string{{"instance": "10.0.0.1:9100"}}
	s.round(0, "broker_machine{broker=1,instance=10.0.0.1:9100} 1", "machines{} 1")
	s.round(15*time.Second, "broker_machine{broker=1,instance=10.0.0.1:9100} 1", "machines{} 1")
	if diff := cmp.Diff(map[string]int{"kafka-1.example": 1, "kafka-2.example": 1}, asked); diff != "" {
		t.Error(diff)
	}
}

// What fits nothing is told.
func TestUnmatched(t *testing.T) {
	s := newSite(t, nil)
	s.inv.Brokers = []streamkeeper.BrokerInfo{{ID: 1, Address: "10.0.0.1:9092"}}
	s.machines = []map[string]string{{"instance": "somewhere:9100"}}
	s.round(0, "machines{} 0")
	untold := s.source.Untold()
	if len(untold) != 1 || !strings.Contains(untold[0].Needs, "none of 1 is") {
		t.Errorf("%+v", untold)
	}
}

func TestContract(t *testing.T) {
	collectortest.Run(t, func(t *testing.T) collectortest.Subject {
		s := newSite(t, nil)
		s.inv.Brokers = []streamkeeper.BrokerInfo{{ID: 1, Address: "10.0.0.1:9092"}}
		s.machines = []map[string]string{{"instance": "10.0.0.1:9100"}}
		return collectortest.Subject{Collector: s.source, Cluster: "c", Source: func(state collectortest.State) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.state = state
		}}
	})
}
