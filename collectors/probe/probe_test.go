package probe

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
	"github.com/streamkeeper-io/streamkeeper/collectors/collectortest"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// lab is a fake cluster with a probe, and the sink it hands over to.
type lab struct {
	t       *testing.T
	cluster *kfake.Cluster
	probe   *Probe
	series  map[string]float64
	events  []streamkeeper.Event
}

func newLab(t *testing.T, brokers int, cases []Case, opts ...kfake.Opt) *lab {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(brokers)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	p, err := New(Options{Cluster: "c", Brokers: c.ListenAddrs(), Cases: cases})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return &lab{t: t, cluster: c, probe: p, series: map[string]float64{}}
}

func (l *lab) Samples(_ context.Context, samples []streamkeeper.Sample) error {
	for _, s := range samples {
		key := strings.TrimPrefix(s.Metric, "streamkeeper_probe_")
		for _, name := range []string{"case", "broker", "stage", "fate", "le"} {
			if v := s.Labels[name]; v != "" {
				key += "/" + v
			}
		}
		if l.series[key] = s.Value; collectors.IsStale(s.Value) {
			delete(l.series, key)
		}
	}
	return nil
}

func (l *lab) Events(_ context.Context, events []streamkeeper.Event, _ streamkeeper.Watermark) error {
	l.events = append(l.events, events...)
	return nil
}
func (l *lab) Inventory(context.Context, streamkeeper.Inventory) error { return nil }

func (l *lab) round(seconds int) error {
	ctx, cancel := context.WithTimeout(l.t.Context(), DefaultEvery)
	defer cancel()
	return l.probe.Collect(ctx, epoch.Add(time.Duration(seconds)*time.Second), l)
}

func (l *lab) want(when string, want map[string]float64) {
	l.t.Helper()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if got, ok := l.series[key]; !ok || got != want[key] {
			l.t.Errorf("%s: %s = %v (there: %v), want %v", when, key, got, ok, want[key])
		}
	}
}

// TestProbe_EachBroker is the whole way through a cluster of three, and one broker that stops to acknowledge.
func TestProbe_EachBroker(t *testing.T) {
	l := newLab(t, 3, nil)
	for i := range 2 { // the fake cluster places partitions as it likes: a broker may get its own in the second round
		if err := l.round(5 * i); err != nil {
			t.Fatal(err)
		}
	}
	for b := range 3 {
		l.want("all well", map[string]float64{
			fmt.Sprintf("available/path/%d/ack", b): 1, fmt.Sprintf("available/path/%d/round_trip", b): 1,
			fmt.Sprintf("failing_seconds/path/%d/ack", b):    0,
			fmt.Sprintf("records_total/path/%d/returned", b): l.series[fmt.Sprintf("records_total/path/%d/sent", b)],
			fmt.Sprintf("records_total/path/%d/lost", b):     0, fmt.Sprintf("records_total/path/%d/duplicated", b): 0,
		})
		if l.series[fmt.Sprintf("latest_seconds/path/%d/round_trip", b)] <= 0 {
			t.Errorf("broker %d: no time of the round trip", b)
		}
	}
	commits := 0.0
	for b := range 3 {
		commits += l.series[fmt.Sprintf("available/path/%d/commit", b)]
	}
	if commits == 0 {
		t.Error("no coordinator was probed")
	}
	if len(l.events) != 0 {
		t.Errorf("%+v", l.events)
	}
	release := make(chan struct{})
	defer close(release)
	l.cluster.Control(func(req kmsg.Request) (kmsg.Response, error, bool) {
		l.cluster.KeepControl()
		if _, ok := req.(*kmsg.ProduceRequest); ok && l.cluster.CurrentNode() == 1 {
			l.cluster.SleepControl(func() { <-release })
		}
		return nil, nil, false
	})
	start := time.Now()
	if err := l.round(10); err != nil {
		t.Errorf("two of three paths work: %v", err)
	}
	if took := time.Since(start); took > DefaultEvery {
		t.Errorf("the round took %s", took)
	}
	l.want("one hangs", map[string]float64{
		"available/path/1/ack": 0, "failing_seconds/path/1/ack": 5, "available/path/0/ack": 1, "available/path/2/round_trip": 1,
		"records_total/path/1/failed": 1, "records_total/path/1/lost": 0,
	})
	if _, ok := l.series["latest_seconds/path/1/ack"]; ok {
		t.Error("a time is told for what did not happen")
	}
	if len(l.events) != 1 || l.events[0].Kind != "probe_failed" || l.events[0].Entity.Name != "1" || l.events[0].String("stage") != "ack" {
		t.Errorf("%+v", l.events)
	}
	if problems, err := testutil.CollectAndLint(l.probe.Metrics()); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

// TestProbe_UsersCase sends to a topic of the user's, with headers, and waits for the group's commit.
func TestProbe_UsersCase(t *testing.T) {
	l := newLab(t, 1, []Case{{Name: "checkout", Topic: "orders", Size: 300, Headers: map[string]string{"kind": "probe"}, Group: "billing", Within: 8 * time.Second}},
		kfake.SeedTopics(2, "orders"))
	client, err := kgo.NewClient(kgo.SeedBrokers(l.cluster.ListenAddrs()...), kgo.ConsumerGroup("billing"), kgo.ConsumeTopics("orders"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	answers := make(chan *kgo.Record, 16)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	defer func() { cancel(); <-done }()
	var silent atomic.Bool
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
				if !silent.Load() {
					_ = client.CommitRecords(ctx, r)
				}
				answers <- r
			})
		}
	}()
	for i := 0; i < 5 && l.series["available/checkout/0/answer"] == 0; i++ { // the group may still be joining
		if err := l.round(5 * i); err != nil {
			t.Fatal(err)
		}
	}
	r := <-answers
	if len(r.Value) != 300 || !slices.ContainsFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == "kind" && string(h.Value) == "probe" }) {
		t.Errorf("%d bytes, %+v", len(r.Value), r.Headers)
	}
	l.want("answered", map[string]float64{"available/checkout/0/answer": 1, "available/checkout/0/round_trip": 1, "records_total/checkout/0/unanswered": 0})
	silent.Store(true)
	for i := range 3 {
		if err := l.round(25 + 5*i); err != nil {
			t.Error(err)
		}
	}
	l.want("silent", map[string]float64{"available/checkout/0/answer": 0, "available/checkout/0/round_trip": 1})
	if len(l.events) == 0 || l.events[0].Entity.Name != "orders" || l.events[0].String("group") != "billing" {
		t.Errorf("%+v", l.events)
	}
}

func TestProbe_MissingTopic(t *testing.T) {
	l := newLab(t, 1, []Case{{Name: "a", Topic: "nowhere"}})
	if err := l.round(0); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("%v", err)
	}
	l.want("the built-in case goes on", map[string]float64{"available/path/0/ack": 1})
}

func TestContract(t *testing.T) {
	collectortest.Run(t, func(t *testing.T) collectortest.Subject {
		l := newLab(t, 1, nil)
		return collectortest.Subject{
			Collector: l.probe, Cluster: "c", Mark: true, Counts: true,
			Source: collectortest.Cluster(t, l.cluster),
		}
	})
}

func TestValidateCases(t *testing.T) {
	bad := []Case{{Name: "path", Topic: "t"}, {Name: "a"}, {Name: "a", Topic: "t", Size: MaxSize + 1}, {Name: "b", Topic: "t", Within: time.Hour}}
	if err := ValidateCases(bad); err == nil || len(strings.Split(err.Error(), "\n")) != 5 {
		t.Errorf("%v", err)
	}
	if err := ValidateCases([]Case{{Name: "a", Topic: "t"}}); err != nil {
		t.Error(err)
	}
}
