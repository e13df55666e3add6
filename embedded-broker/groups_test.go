package broker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/tier"
	"github.com/twmb/franz-go/pkg/kgo"
)

// groupLab is a broker over an engine in a temporary directory, that can be restarted.
type groupLab struct {
	t         *testing.T
	dir       string
	store     engine.Objects
	o         GroupOptions
	telemetry *Telemetry
	engine    *engine.Engine
	broker    *Broker
	listen    string
}

// quick lets tests use sessions of a second.
var quick = GroupOptions{MinSessionTimeout: 100 * time.Millisecond, InitialRebalanceDelay: 100 * time.Millisecond}

func newGroupLab(t *testing.T, o GroupOptions) *groupLab {
	t.Helper()
	store, err := tier.OpenStore("file://"+t.TempDir(), func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	l := &groupLab{t: t, dir: t.TempDir(), store: store, o: o, listen: "127.0.0.1:0"}
	l.start()
	t.Cleanup(l.stop)
	return l
}

func (l *groupLab) start() {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	l.telemetry = NewTelemetry(TelemetryOptions{Dir: l.dir})
	var err error
	l.engine, err = engine.Open(ctx, engine.Options{
		Dir: l.dir, Store: l.store, Observer: l.telemetry, CacheBytes: 8 << 20,
		Log: engine.LogOptions{SegmentBytes: 4 << 20, Flush: engine.FlushOS},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.broker, err = Start(ctx, Options{Engine: l.engine, Telemetry: l.telemetry, Listen: l.listen, Group: l.o})
	if err != nil {
		l.t.Fatal(err)
	}
	l.listen = l.broker.Addr()
}

func (l *groupLab) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := l.broker.Close(ctx); err != nil {
		l.t.Error(err)
	}
	if err := l.engine.Close(ctx); err != nil {
		l.t.Error(err)
	}
}

func (l *groupLab) topic(name string, partitions int32) {
	l.t.Helper()
	if _, err := l.engine.CreateTopic(l.t.Context(), name, partitions, nil); err != nil {
		l.t.Fatal(err)
	}
}

func (l *groupLab) client(opts ...kgo.Opt) *kgo.Client {
	l.t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(l.broker.Addr())}, opts...)...)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(c.Close)
	return c
}

// consumer is a client of a group with short sessions; it polls in the background until the test ends.
type consumer struct {
	*kgo.Client
	mu    sync.Mutex
	got   map[string]int // values received, with how often
	owned map[int32]bool
}

func (l *groupLab) consume(name, topic string, opts ...kgo.Opt) *consumer {
	l.t.Helper()
	c := &consumer{got: map[string]int{}, owned: map[int32]bool{}}
	all := append([]kgo.Opt{
		kgo.ConsumerGroup(name), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(2 * time.Second), kgo.HeartbeatInterval(200 * time.Millisecond), kgo.RebalanceTimeout(5 * time.Second),
		kgo.AutoCommitInterval(100 * time.Millisecond), kgo.FetchMaxWait(200 * time.Millisecond),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { c.own(m[topic], true) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { c.own(m[topic], false) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { c.own(m[topic], false) }),
	}, opts...)
	c.Client = l.client(all...)
	go func() {
		for {
			fetches := c.PollFetches(l.t.Context())
			if fetches.IsClientClosed() || l.t.Context().Err() != nil {
				return
			}
			c.mu.Lock()
			fetches.EachRecord(func(r *kgo.Record) { c.got[string(r.Value)]++ })
			c.mu.Unlock()
		}
	}()
	return c
}

func (c *consumer) own(partitions []int32, is bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range partitions {
		if is {
			c.owned[p] = true
		} else {
			delete(c.owned, p)
		}
	}
}

func (c *consumer) partitions() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.owned)
}

func (c *consumer) received() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.got)
}

func (l *groupLab) produce(topic string, partitions int32, n int) {
	l.t.Helper()
	p := l.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	var records []*kgo.Record
	for i := range n {
		records = append(records, &kgo.Record{Topic: topic, Partition: int32(i) % partitions, Value: fmt.Appendf(nil, "%s-%d", topic, i)})
	}
	if err := p.ProduceSync(l.t.Context(), records...).FirstErr(); err != nil {
		l.t.Fatal(err)
	}
	p.Close()
}

// eventually waits for a condition; what is asked for when it fails.
func (l *groupLab) eventually(what string, is func() bool) {
	l.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			l.t.Fatalf("waited in vain for: %s\nevents:\n%s", what, l.story())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (l *groupLab) events(kind string) (found []streamkeeper.Event) {
	page, _ := l.telemetry.ring.read(0, ringSize)
	for _, e := range page.Events {
		if kind == "" || e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}

func (l *groupLab) story() string {
	var b strings.Builder
	for _, e := range l.events("") {
		fmt.Fprintf(&b, "%s %s %s %v\n", e.At.Format("15:04:05.000"), e.Kind, e.Text, e.Attrs)
	}
	return b.String()
}

// event waits for the n-th event of a kind.
func (l *groupLab) event(kind string, n int) streamkeeper.Event {
	l.t.Helper()
	l.eventually(fmt.Sprintf("event %d of kind %s", n, kind), func() bool { return len(l.events(kind)) >= n })
	return l.events(kind)[n-1]
}

// metrics are the group metrics now, by name and labels: members{group="g"}.
func (l *groupLab) metrics() map[string]float64 {
	l.t.Helper()
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(l.telemetry); err != nil {
		l.t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		l.t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		name, ok := strings.CutPrefix(f.GetName(), "streamkeeper_broker_group_")
		if !ok {
			continue
		}
		for _, m := range f.GetMetric() {
			all[name+labels(m)] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return all
}

func labels(m *dto.Metric) string {
	var parts []string
	for _, p := range m.GetLabel() {
		if p.GetName() != "broker" {
			parts = append(parts, p.GetName()+"="+p.GetValue())
		}
	}
	slices.Sort(parts)
	return "{" + strings.Join(parts, ",") + "}"
}

func (l *groupLab) number(e streamkeeper.Event, name string) float64 {
	l.t.Helper()
	v, ok := e.Number(name)
	if !ok {
		l.t.Fatalf("%s has no %s: %v", e.Kind, name, e.Attrs)
	}
	return v
}

func TestGroups_ConsumeAndShare(t *testing.T) {
	balancers := map[string]kgo.GroupBalancer{
		"range": kgo.RangeBalancer(), "roundrobin": kgo.RoundRobinBalancer(), "cooperative-sticky": kgo.CooperativeStickyBalancer(),
	}
	for name, balancer := range balancers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newGroupLab(t, quick)
			l.topic("t", 4)
			l.produce("t", 4, 400)
			a := l.consume("g", "t", kgo.Balancers(balancer), kgo.ClientID("a"))
			l.eventually("a has everything", func() bool { return a.received() == 400 && a.partitions() == 4 })
			b := l.consume("g", "t", kgo.Balancers(balancer), kgo.ClientID("b"))
			l.eventually("both share", func() bool { return a.partitions() == 2 && b.partitions() == 2 })
			l.produce("t", 4, 400)
			l.eventually("the group is caught up", func() bool {
				m := l.metrics()
				return m["backlog_messages{group=g}"] == 0 && m["members{group=g}"] == 2 && m["fetched_records_total{group=g}"] >= 800
			})
			b.Close()
			l.eventually("a has all again", func() bool { return a.partitions() == 4 })
			left := l.event("member_left", 1)
			if got := left.String("member"); got != "b@127.0.0.1" {
				t.Errorf("member %q left", got)
			}
			if open, ok := left.Attrs["conn_open"].(bool); !ok || !open {
				t.Errorf("conn_open is %v", left.Attrs["conn_open"])
			}
			m := l.metrics()
			if m["losses_total{group=g,kind=left}"] != 1 || m["losses_total{group=g,kind=expired}"] != 0 {
				t.Errorf("losses: %v", m)
			}
			if m["rebalances_total{group=g}"] < 3 {
				t.Errorf("%v rebalances completed", m["rebalances_total{group=g}"])
			}
		})
	}
}
