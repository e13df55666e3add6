package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

// Defaults and bounds.
const (
	DefaultMaxPartitions     = 200_000
	DefaultSeriesPartitions  = 10_000
	DefaultRequestsPerSecond = 50

	dialTimeout    = 2 * time.Second
	requestTimeout = 5 * time.Second
	storeGrace     = 2 * time.Second
)

// Options configure a Collector. Cluster and Brokers are required.
type Options struct {
	Cluster string
	Kind    string   // embedded or kafka; "" means kafka. The embedded broker tells of its topics itself.
	Brokers []string // seeds, host:port

	Security Security

	// MaxPartitions bounds the partitions whose offsets are read (those that groups read come first); 0 means
	// DefaultMaxPartitions.
	MaxPartitions int
	// SeriesPartitions bounds the partitions that have series of their own; 0 means DefaultSeriesPartitions.
	SeriesPartitions int
	// RequestsPerSecond bounds what the cluster is asked; 0 means DefaultRequestsPerSecond.
	RequestsPerSecond float64
	// GroupLog has __consumer_offsets read, where that is allowed: who left which group when, also in the ten minutes before
	// the first round, and members' timeouts.
	GroupLog bool
	// TierLog has __remote_log_metadata read, where there is one and that is allowed: what becomes of copies to the remote store,
	// also in the ten minutes before the first round.
	TierLog bool
	// MoreConfigs names further configurations of topics that somebody wants to know; nil means none. It is called in each
	// round that reads configurations.
	MoreConfigs func() []string
	// Facts are context atoms of the cluster that only its owner knows (tiering); they win over what is seen.
	Facts map[string]bool
	// FromStart says that the cluster began together with this collector, so that nothing happened before.
	FromStart bool
	// Now is the clock of the request budget; nil means time.Now. Rounds are told their time.
	Now func() time.Time

	dial func(ctx context.Context, network, address string) (net.Conn, error) // nil is the network's own
}

// Collector watches one cluster. It is a [collectors.Collector]: rounds must not overlap. It survives the
// restart of any broker and the loss of all of them.
type Collector struct {
	o      Options
	client *kgo.Client
	budget *collectors.Budget
	track  *tracker
	stale  collectors.Staleness
	cache  readCache
	page   atomic.Pointer[collectors.Page]

	denials denials
}

// New makes a collector. It connects with the first round, so a cluster that is down is no error here.
func New(o Options) (*Collector, error) {
	if o.Cluster == "" || len(o.Brokers) == 0 {
		return nil, errors.New("watching a cluster: a name and at least one broker are needed")
	}
	if o.Kind == "" {
		o.Kind = "kafka"
	}
	if o.MaxPartitions <= 0 {
		o.MaxPartitions = DefaultMaxPartitions
	}
	if o.SeriesPartitions <= 0 {
		o.SeriesPartitions = DefaultSeriesPartitions
	}
	if o.RequestsPerSecond <= 0 {
		o.RequestsPerSecond = DefaultRequestsPerSecond
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(o.Brokers...),
		kgo.ClientID("streamkeeper"),
		kgo.DialTimeout(dialTimeout),
		kgo.RequestTimeoutOverhead(requestTimeout),
		kgo.RequestRetries(1),
		kgo.RetryTimeout(requestTimeout),
		kgo.RetryBackoffFn(backoff),
		kgo.MetadataMinAge(time.Second),
		kgo.DisableClientMetrics(),
	}
	secured, err := o.Security.Options()
	if err != nil {
		return nil, fmt.Errorf("watching %s: %w", o.Cluster, err)
	}
	if o.dial != nil {
		opts = append(opts, kgo.Dialer(o.dial))
	}
	// A tenth is kept for what the client asks by itself.
	budget := collectors.NewBudget(o.RequestsPerSecond*.9, o.Now)
	client, err := kgo.NewClient(append(append(opts, secured...), kgo.WithHooks(charging{budget}))...)
	if err != nil {
		return nil, fmt.Errorf("watching %s: %w", o.Cluster, err)
	}
	return &Collector{o: o, client: client, budget: budget, track: newTracker(o)}, nil
}

// backoff is how long the client waits after so many failures in a row. A request is tried twice; what the client refreshes by
// itself it tries for ever, and a cluster that turns us away must not be knocked at several times a second.
func backoff(failures int) time.Duration {
	const first, most = 100 * time.Millisecond, 30 * time.Second
	return min(first<<min(failures-1, 10), most)
}

// charging charges the budget for every request that leaves, also those that the client makes by itself, asks again or splits.
type charging struct{ budget *collectors.Budget }

// OnBrokerWrite is called by the client after each request that it has written.
func (c charging) OnBrokerWrite(kgo.BrokerMetadata, int16, int, time.Duration, time.Duration, error) {
	c.budget.Sent()
}

// OnBrokerE2E is called by the client when a request is over, answered or not.
func (c charging) OnBrokerE2E(kgo.BrokerMetadata, int16, kgo.BrokerE2E) { c.budget.Answered() }

// Close closes the connections. No round may be running.
func (c *Collector) Close() { c.client.Close() }

// Name is kafka.
func (c *Collector) Name() string { return "kafka" }

// Kind is kafka.
func (c *Collector) Kind() string { return "kafka" }

// Collect does one round: it reads what ctx leaves time for, and hands over what that shows. The error
// joins what could not be read.
func (c *Collector) Collect(ctx context.Context, now time.Time, sink collectors.Sink) error {
	s := c.read(ctx, now)
	r := c.track.absorb(s)
	// Whoever only scrapes us need not wait for when records were sent. A diagnosis must not take groups for late before
	// that is known: each of a fleet would have all its series.
	if c.page.Load() == nil && !c.o.GroupLog {
		c.track.measure(r)
		c.show(c.track.page(s, r, nil))
	}
	c.readSent(ctx, now)
	c.track.measure(r)
	c.show(c.track.page(s, r, c.page.Load()))

	sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeGrace)
	defer cancel()
	err := fold(s.errors)
	if serr := sink.Samples(sctx, c.stale.Mark(now, r.samples)); serr != nil {
		err = errors.Join(err, fmt.Errorf("storing samples of %s: %w", c.o.Cluster, serr))
	}
	if w := c.track.watermark(); !w.Through.IsZero() {
		if serr := sink.Events(sctx, r.events, w); serr != nil {
			err = errors.Join(err, fmt.Errorf("storing events of %s: %w", c.o.Cluster, serr))
		}
	}
	if s.brokers != nil {
		if serr := sink.Inventory(sctx, c.track.inventory(s, now)); serr != nil {
			err = errors.Join(err, fmt.Errorf("storing the inventory of %s: %w", c.o.Cluster, serr))
		}
	}
	return err
}

// fold keeps the first errors: one dead broker fails many requests in the same way.
func fold(errs []error) error {
	const most = 3
	if len(errs) > most {
		errs = append(errs[:most:most], fmt.Errorf("and %d more", len(errs)-most))
	}
	return errors.Join(errs...)
}

// inventory is what exists, as far as the last whole lists go.
func (t *tracker) inventory(s *snapshot, now time.Time) streamkeeper.Inventory {
	inv := streamkeeper.Inventory{
		Cluster: streamkeeper.ClusterInfo{Name: t.cluster, ID: s.clusterID, Kind: t.kind},
		Source:  "kafka", At: now, Facts: t.clusterFacts(),
	}
	for id, b := range s.told {
		inv.Brokers = append(inv.Brokers, streamkeeper.BrokerInfo{ID: id, Address: b.address, Rack: b.rack})
	}
	slices.SortFunc(inv.Brokers, func(a, b streamkeeper.BrokerInfo) int { return cmp.Compare(a.ID, b.ID) })
	for _, id := range sortedKeys(t.brokers) {
		b := t.brokers[id]
		inv.Brokers = append(inv.Brokers, streamkeeper.BrokerInfo{ID: id, Address: b.state.address, Rack: b.state.rack})
	}
	for _, name := range sortedKeys(t.topics) {
		topic := t.topics[name]
		info := streamkeeper.TopicInfo{Name: name, Partitions: int32(len(topic.parts)), Replicas: topic.replicas, Internal: topic.internal, Configs: topic.configs}
		for _, p := range topic.parts {
			if p.leader == leaderUnknown {
				info.Leaders = nil
				break
			}
			info.Leaders = append(info.Leaders, p.leader)
		}
		inv.Topics = append(inv.Topics, info)
	}
	for _, name := range sortedKeys(t.groups) {
		inv.Groups = append(inv.Groups, t.groupInfo(t.groups[name], now))
	}
	if t.kind != "embedded" && len(t.tiered) > 0 {
		inv.Stores = append(inv.Stores, streamkeeper.StoreInfo{Name: streamkeeper.TieredStorage})
	}
	return inv
}

// groupInfo tells of a group. What is as it was is told with the same memory: inventories are kept, and of a fleet they are
// large. Nobody writes to them.
func (t *tracker) groupInfo(g *groupTrack, now time.Time) streamkeeper.GroupInfo {
	info := t.newGroupInfo(g, now)
	if !reflect.DeepEqual(info, g.info) {
		g.info = info
	}
	return g.info
}

func (t *tracker) newGroupInfo(g *groupTrack, now time.Time) streamkeeper.GroupInfo {
	info := streamkeeper.GroupInfo{Name: g.name, Topics: g.topics(), Facts: t.groupFacts(g, now)}
	if g.state == nil {
		return info
	}
	info.State, info.Assignor, info.Protocol = g.state.state, g.state.assignor, "classic"
	if g.state.kip848 {
		info.Protocol = "consumer"
	}
	for _, id := range sortedKeys(g.members) {
		m := g.members[id]
		member := streamkeeper.MemberInfo{Key: m.key, MemberID: m.state.id, ClientID: m.state.client, Host: m.state.host, InstanceID: m.state.instance}
		for _, p := range m.state.assigned { // sorted: partitions of one topic are neighbours
			if n := len(member.Assigned); n == 0 || member.Assigned[n-1].Topic != p.topic {
				member.Assigned = append(member.Assigned, streamkeeper.TopicPartitionSet{Topic: p.topic})
			}
			last := &member.Assigned[len(member.Assigned)-1]
			last.Partitions = append(last.Partitions, p.index)
		}
		info.Members = append(info.Members, member)
	}
	return info
}
