package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper/cli/drill"
	"github.com/streamkeeper-io/streamkeeper/test/kafka"
	"github.com/streamkeeper-io/streamkeeper/test/workers"
)

// library is whose consumer the members of a group are.
type library int

const (
	franz   library = iota // franz-go, through the drills' worker, whose processing can be slowed and broken
	rdkafka                // kcat
	java                   // Kafka's console consumer
)

// workload is a topic, its traffic and a group that reads it; all three are called like the scenario.
type workload struct {
	name    string
	members []member
}

// member is one consumer. kill ends it without a word to anybody, stop closes it well.
type member struct {
	set      func(drill.Behaviour) // franz only
	stop     func()
	kill     func()
	*process // not franz
}

// raise creates the topic and starts the members. Traffic is produced by l.produce.
func (l *lab) raise(ctx context.Context, s *scenario) error {
	bounded, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	replicas := int16(min(l.o.brokers, max(1, s.replicas)))
	created, err := l.admin.CreateTopic(bounded, s.partitions, replicas, s.configs, s.name)
	if err == nil {
		err = created.Err
	}
	if err != nil {
		return fmt.Errorf("create the topic: %w", err)
	}
	if err := l.known(bounded, s.name); err != nil {
		return err
	}
	w := &workload{name: s.name}
	l.work[s.name] = w
	l.streams[s.name] = drill.Stream{Partitions: s.partitions, Rate: s.rate, ValueSize: cmp.Or(s.valueSize, 200), HotShare: s.hot}
	for i := range s.members {
		m, err := l.startMember(ctx, s, fmt.Sprintf("%s-%d", s.name, i))
		if err != nil {
			return err
		}
		w.members = append(w.members, m)
	}
	return nil
}

// known waits until every broker knows a topic and who leads its partitions: kcat ends at once where it meets one that
// does not yet.
func (l *lab) known(ctx context.Context, topic string) error {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &topic
	req.Topics = append(req.Topics, t)
	for id := int32(1); id <= int32(l.o.brokers); {
		if answer, err := l.client.Broker(int(id)).RetriableRequest(ctx, req); err == nil && led(answer.(*kmsg.MetadataResponse)) {
			id++
		} else if !pause(ctx, 100*time.Millisecond) {
			return fmt.Errorf("broker %d does not know the topic %s: %w", id, topic, errors.Join(err, ctx.Err()))
		}
	}
	return nil
}

// led says whether all partitions in an answer have a leader.
func led(m *kmsg.MetadataResponse) bool {
	for _, t := range m.Topics {
		if t.ErrorCode != 0 || slices.ContainsFunc(t.Partitions, func(p kmsg.MetadataResponseTopicPartition) bool { return p.Leader < 0 }) {
			return false
		}
	}
	return len(m.Topics) > 0
}

func (l *lab) startMember(ctx context.Context, s *scenario, id string) (member, error) {
	if s.library != franz {
		return l.startProcess(ctx, id, func() *exec.Cmd { return l.command(ctx, s, id) })
	}
	w, err := l.worker(ctx, drill.Spec{
		Role: drill.RoleConsumer, Brokers: l.cluster.Addresses(), Topics: []string{s.name}, ClientID: id, Group: s.name,
		SessionSeconds: 8, PollSeconds: 300, MaxPollRecords: 500, Start: drill.Behaviour{RecordMillis: s.recordMillis},
	})
	if err != nil {
		return member{}, err
	}
	return member{set: w.Set, stop: w.Stop, kill: w.Stop}, nil
}

// command is a consumer of another library than ours: kcat, or Kafka's own console consumer.
func (l *lab) command(ctx context.Context, s *scenario, id string) *exec.Cmd {
	settings := append([]string{"client.id=" + id, "auto.commit.interval.ms=1000", "auto.offset.reset=earliest"}, s.settings...)
	if s.static {
		settings = append(settings, "group.instance.id="+id)
	}
	if s.library == java {
		args := []string{"--bootstrap-server", l.cluster.Bootstrap(), "--topic", s.name, "--group", s.name}
		for _, x := range settings {
			args = append(args, "--command-property", x)
		}
		return l.dist.Tool(ctx, kafka.ConsoleConsumer, args...)
	}
	args := []string{"-b", l.cluster.Bootstrap(), "-u", "-X", "session.timeout.ms=6000", "-X", "heartbeat.interval.ms=1500"}
	for _, x := range settings {
		args = append(args, "-X", x)
	}
	return exec.CommandContext(ctx, "kcat", append(args, "-G", s.name, s.name)...)
}

func (l *lab) worker(ctx context.Context, spec drill.Spec) (*workers.Worker, error) {
	w, err := workers.Start(ctx, &l.wg, spec, func(err error) { logf("%s ended: %v", spec.ClientID, err) })
	if err == nil {
		l.end = append(l.end, w.Stop)
	}
	return w, err
}

// produce starts the traffic of all topics, or changes it.
func (l *lab) produce(ctx context.Context) error {
	b := drill.Behaviour{Streams: maps.Clone(l.streams)}
	if l.source != nil {
		l.source.Set(b)
		return nil
	}
	var err error
	l.source, err = l.worker(ctx, drill.Spec{Role: drill.RoleProducer, Brokers: l.cluster.Addresses(), ClientID: "producer", Start: b})
	return err
}

func itoa(n int32) string { return strconv.Itoa(int(n)) }
