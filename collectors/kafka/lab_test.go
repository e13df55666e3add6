package kafka

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

// lab is a fake cluster under watch, with rounds at times of the test's choosing.
type lab struct {
	t         *testing.T
	cluster   *kfake.Cluster
	collector *Collector
	client    *kgo.Client
	admin     *kadm.Client
	series    map[string]float64 // what lives after the last round
	events    []streamkeeper.Event
	mark      streamkeeper.Watermark
	inventory streamkeeper.Inventory
}

func newLab(t *testing.T, brokers int, o Options, opts ...kfake.Opt) *lab {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(brokers)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	o.Cluster, o.Brokers = "c", cluster.ListenAddrs()
	o.RequestsPerSecond = 10_000
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &lab{t: t, cluster: cluster, collector: c, client: client, admin: kadm.NewClient(client), series: map[string]float64{}}
}

func (l *lab) Samples(_ context.Context, samples []streamkeeper.Sample) error {
	for _, s := range samples {
		if s.Labels["cluster"] != "c" {
			l.t.Errorf("%+v has no cluster", s)
		}
		var labels []string
		for name, value := range s.Labels {
			if name != "cluster" {
				labels = append(labels, name+"="+value)
			}
		}
		slices.Sort(labels)
		key := strings.TrimPrefix(s.Metric, "streamkeeper_") + "{" + strings.Join(labels, ",") + "}"
		if collectors.IsStale(s.Value) {
			delete(l.series, key)
		} else {
			l.series[key] = s.Value
		}
	}
	return nil
}

func (l *lab) Events(_ context.Context, ev []streamkeeper.Event, w streamkeeper.Watermark) error {
	l.events = append(l.events, ev...)
	l.mark = w
	return nil
}

func (l *lab) Inventory(_ context.Context, inv streamkeeper.Inventory) error {
	l.inventory = inv
	return nil
}

// round collects as of a time; the error is the round's.
func (l *lab) round(seconds float64) error {
	ctx, cancel := context.WithTimeout(l.t.Context(), 5*time.Second)
	defer cancel()
	return l.collector.Collect(ctx, at(seconds), l)
}

func (l *lab) mustRound(seconds float64) {
	l.t.Helper()
	if err := l.round(seconds); err != nil {
		l.t.Fatal(err)
	}
}

// want compares series: "absent" means not there.
func (l *lab) want(when string, want map[string]any) {
	l.t.Helper()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		got, ok := l.series[key]
		if w := want[key]; w == "absent" && ok || w != "absent" && (!ok || fmt.Sprint(got) != fmt.Sprint(w)) {
			l.t.Errorf("%s: %s = %v (there: %v), want %v", when, key, got, ok, w)
		}
	}
}

// wantNear compares lags in seconds as closely as they are promised.
func (l *lab) wantNear(when string, want map[string]float64) {
	l.t.Helper()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		got, ok := l.series[key]
		if off := math.Abs(got - want[key]); !ok || off > max(1, .05*want[key]) {
			l.t.Errorf("%s: %s = %v (there: %v), want about %v", when, key, got, ok, want[key])
		}
	}
}

func (l *lab) kinds() map[string]int {
	n := map[string]int{}
	for _, e := range l.events {
		n[e.Kind]++
	}
	return n
}

func (l *lab) produce(topic string, part int32, n int) {
	l.t.Helper()
	var records []*kgo.Record
	for i := range n {
		records = append(records, &kgo.Record{Topic: topic, Partition: part, Value: fmt.Appendf(nil, "%d", i)})
	}
	if err := l.client.ProduceSync(l.t.Context(), records...).FirstErr(); err != nil {
		l.t.Fatal(err)
	}
}

// commit commits without being a member, which a group allows while it is empty.
func (l *lab) commit(group, topic string, offsets map[int32]int64) {
	l.t.Helper()
	var o kadm.Offsets
	for p, at := range offsets {
		o.Add(kadm.Offset{Topic: topic, Partition: p, At: at, LeaderEpoch: -1})
	}
	if err := l.admin.CommitAllOffsets(l.t.Context(), group, o); err != nil {
		l.t.Fatal(err)
	}
}

// consumer joins a group and waits until it has its partitions.
func (l *lab) consumer(group, topic, clientID string, opts ...kgo.Opt) *kgo.Client {
	l.t.Helper()
	assigned := make(chan struct{}, 16)
	c, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(l.cluster.ListenAddrs()...), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ClientID(clientID),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.HeartbeatInterval(50 * time.Millisecond),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { assigned <- struct{}{} }),
	}, opts...)...)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(c.Close)
	select {
	case <-assigned:
	case <-time.After(10 * time.Second):
		l.t.Fatal("the consumer got no partitions")
	}
	return c
}
