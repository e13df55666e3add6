package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/cli/drill"
)

const endSignal = syscall.SIGTERM

// scenario is one fault and what must be said of it.
type scenario struct {
	name    string   // of the topic and group; the cause with dashes, unless causes are given
	causes  []string // one of them must be named first, or be in a set that is named first
	apart   string   // a cause that must not be in the set
	benign  bool     // and must be called harmless
	plain   bool     // it is named without logs and JMX too
	entity  func(*lab, *workload) streamkeeper.Entity
	brokers int // that it needs

	partitions   int32
	replicas     int
	configs      map[string]*string
	members      int
	library      library
	settings     []string // of clients that are processes, KEY=VALUE
	static       bool     // members have an instance id, their client id
	recordMillis float64
	rate         float64
	valueSize    int
	hot          float64

	inject func(context.Context, *lab, *workload) error
	during bool // while diagnose looks, else before
	aged   bool // after ten minutes of history, and what comes during them

	// check judges what was said in place of the cause, and says what it found; clients go on until it returns.
	check func(context.Context, *lab, *workload, *streamkeeper.Report) (said string, right bool, err error)
}

// cause is the first cause of a scenario.
func (s *scenario) cause() string {
	if len(s.causes) > 0 {
		return s.causes[0]
	}
	return strings.ReplaceAll(s.name, "-", "_")
}

// groupScenarios run side by side. Cold, a group that is evenly late may be too small or slow: that is one answer.
var groupScenarios = []scenario{
	{name: "lost-before-we-came", causes: []string{"crash_looping_member"}, partitions: 6, replicas: 3, members: 2, library: rdkafka, rate: 30, inject: crashBefore},
	{name: "healthy", partitions: 6, replicas: 3, members: 2, rate: 60, recordMillis: 1},
	{name: "no-active-consumers", partitions: 4, replicas: 3, members: 1, library: java, rate: 30, inject: stopAll},
	{name: "partition-bound-parallelism", partitions: 2, replicas: 3, members: 3, library: rdkafka, rate: 60, valueSize: slowValue, inject: slow(90)},
	{
		name: "consumer-undersized", causes: []string{"consumer_undersized", "processing_slowed"}, partitions: 6, replicas: 3,
		members: 2, library: java, settings: []string{"max.poll.records=50"}, rate: 60, valueSize: slowValue, inject: slow(90),
	},
	{name: "hot-partition-key-skew", partitions: 6, replicas: 3, members: 3, rate: 40, recordMillis: 14, inject: heat},
	{name: "poison-message", partitions: 6, replicas: 3, members: 3, rate: 60, recordMillis: 1, inject: poison},
	{name: "consumer-stuck-or-paused", partitions: 6, replicas: 3, members: 3, library: rdkafka, rate: 60, valueSize: slowValue, inject: stick},
	{name: "hanging-transaction", partitions: 3, replicas: 3, members: 2, library: rdkafka, rate: 30, inject: hang, entity: either},
	{name: "offset-out-of-range-reset", partitions: 3, replicas: 3, members: 1, rate: 60, recordMillis: 40, inject: deleteRecords, during: true},
	{
		name: "retention-race", causes: []string{"the loss within 20 %"}, partitions: 1, replicas: 3, members: 1, configs: raceConfigs(),
		rate: 60, recordMillis: 1, inject: hamper, check: countdown,
	},
	{name: "member-lost-once", benign: true, partitions: 6, replicas: 3, members: 3, library: rdkafka, rate: 30, inject: killOne, during: true},
	throttledScenario,
}

// brokerScenarios share one lost broker.
var brokerScenarios = []scenario{
	{name: "healthy-replicated", causes: []string{"healthy"}, brokers: 3, partitions: 6, replicas: 3, members: 2, rate: 60, recordMillis: 1},
	{name: "offline-partition", brokers: 3, partitions: 3, replicas: 1, members: 1, rate: 30, recordMillis: 1, inject: killLeader, entity: topic},
	{name: "broker-down", brokers: 3, partitions: 6, replicas: 3, members: 2, rate: 60, recordMillis: 1, entity: lostBroker},
}

// agedScenarios cannot be told apart by who has just come: traffic that outgrew its readers, and readers that became slow.
var agedScenarios = []scenario{
	{
		name: "outgrown", causes: []string{"consumer_undersized"}, apart: "processing_slowed", partitions: 6, replicas: 3, members: 2,
		rate: 30, recordMillis: 40, inject: outgrow, during: true, aged: true,
	},
	{
		name: "slowed", causes: []string{"processing_slowed"}, apart: "consumer_undersized", partitions: 6, replicas: 3, members: 2,
		library: java, settings: []string{"max.poll.records=50"}, rate: 40, valueSize: slowValue, inject: slow(150), during: true, aged: true,
	},
	bystander("well-a"), bystander("well-b"), bystander("well-c"), // else all groups were late at once
}

// bystander is a group to which nothing happens.
func bystander(name string) scenario {
	return scenario{name: name, causes: []string{"healthy"}, partitions: 3, replicas: 3, members: 1, rate: 20, recordMillis: 1, during: true, aged: true}
}

func group(_ *lab, w *workload) streamkeeper.Entity {
	return streamkeeper.Entity{Kind: streamkeeper.KindGroup, Name: w.name}
}

func topic(_ *lab, w *workload) streamkeeper.Entity {
	return streamkeeper.Entity{Kind: streamkeeper.KindTopic, Name: w.name}
}

func either(*lab, *workload) streamkeeper.Entity { return streamkeeper.Entity{} }

func lostBroker(l *lab, _ *workload) streamkeeper.Entity {
	return streamkeeper.Entity{Kind: streamkeeper.KindBroker, Name: itoa(l.lost)}
}

func stopAll(_ context.Context, _ *lab, w *workload) error {
	for _, m := range w.members {
		m.stop()
	}
	return nil
}

// crashBefore kills the first member three times before anybody looks, and never again: of that only the group log tells.
func crashBefore(ctx context.Context, _ *lab, w *workload) error {
	m := w.members[0]
	for range 3 {
		m.kill()
		<-m.ended()
		if !pause(ctx, 2*time.Second) {
			return ctx.Err()
		}
		if err := m.again(); err != nil {
			return err
		}
		if !pause(ctx, 8*time.Second) {
			return ctx.Err()
		}
	}
	return nil
}

func killOne(_ context.Context, _ *lab, w *workload) error {
	w.members[0].kill()
	return nil
}

// slowValue is the size of values that fill the pipe of a member that is read slowly within seconds.
const slowValue = 2000

// slow makes each record take so long, on every member: nobody reads what it prints any faster.
func slow(recordMillis int64) func(context.Context, *lab, *workload) error {
	return func(_ context.Context, _ *lab, w *workload) error {
		for _, m := range w.members {
			m.pace.Store(slowValue * 1000 / recordMillis)
		}
		return nil
	}
}

// heat sends most records to one partition, more than its reader can do.
func heat(ctx context.Context, l *lab, w *workload) error {
	s := l.streams[w.name]
	s.HotShare, s.Rate = 0.85, 140
	l.streams[w.name] = s
	return l.produce(ctx)
}

// outgrow sends twice what the members can do.
func outgrow(ctx context.Context, l *lab, w *workload) error {
	s := l.streams[w.name]
	s.Rate = 100
	l.streams[w.name] = s
	return l.produce(ctx)
}

// stick lets the first member wait for ever until it may print a record, while its heartbeats go on.
func stick(_ context.Context, _ *lab, w *workload) error {
	w.members[0].hold.Store(int64(time.Hour))
	return nil
}

// poison makes a record that is to come fail on every member.
func poison(ctx context.Context, l *lab, w *workload) error {
	bounded, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	ends, err := l.admin.ListEndOffsets(bounded, w.name)
	if err != nil {
		return err
	}
	end, _ := ends.Lookup(w.name, 1)
	for _, m := range w.members {
		m.set(drill.Behaviour{RecordMillis: 1, Poison: &drill.Poison{Partition: 1, Offset: end.Offset + 3}})
	}
	return nil
}

// hang opens a transaction on one partition and leaves it open; others go on producing.
func hang(ctx context.Context, l *lab, w *workload) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(l.cluster.Addresses()...), kgo.TransactionalID(w.name+"-writer"),
		kgo.TransactionTimeout(15*time.Minute), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	l.end = append(l.end, client.Close)
	if err := client.BeginTransaction(); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	return client.ProduceSync(bounded, &kgo.Record{Topic: w.name, Partition: 0, Value: []byte("never committed")}).FirstErr()
}

// deleteRecords takes away what a slow group has not read yet, as retention does.
func deleteRecords(ctx context.Context, l *lab, w *workload) error {
	bounded, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	ends, err := l.admin.ListEndOffsets(bounded, w.name)
	if err != nil {
		return err
	}
	deleted, err := l.admin.DeleteRecords(bounded, ends.Offsets())
	if err != nil {
		return err
	}
	return deleted.Error()
}

// killLeader kills the broker that holds the only replica of the first partition.
func killLeader(ctx context.Context, l *lab, w *workload) error {
	bounded, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	topics, err := l.admin.ListTopics(bounded, w.name)
	if err != nil {
		return err
	}
	part, ok := topics[w.name].Partitions[0]
	if !ok || part.Leader < 0 {
		return errors.New("the first partition has no leader")
	}
	l.lost = part.Leader
	if err := l.cluster.Kill(int(l.lost)); err != nil {
		return fmt.Errorf("kill broker %d: %w", l.lost, err)
	}
	return nil
}
