package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"strconv"

	"github.com/streamkeeper-io/streamkeeper/cli/drill"
	"github.com/streamkeeper-io/streamkeeper/test/kafka"
)

// library is whose consumer the members of a group are.
type library int

const (
	franz library = iota // franz-go, through the drills' worker, whose processing can be slowed and broken
	rdkafka
	java
)

// workload is a topic, its traffic and a group that reads it; all three are called like the scenario.
type workload struct {
	name    string
	members []member
}

// member is one consumer. kill ends it without a word to anybody, stop closes it well.
type member struct {
	set  func(drill.Behaviour) // franz only
	stop func()
	kill func()
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
	w := &workload{name: s.name}
	l.work[s.name] = w
	l.streams[s.name] = drill.Stream{Partitions: s.partitions, Rate: s.rate, ValueSize: 200, HotShare: s.hot}
	for i := range s.members {
		m, err := l.startMember(ctx, s, fmt.Sprintf("%s-%d", s.name, i))
		if err != nil {
			return err
		}
		w.members = append(w.members, m)
	}
	return nil
}

func (l *lab) startMember(ctx context.Context, s *scenario, id string) (member, error) {
	switch s.library {
	case rdkafka:
		return l.process(exec.Command("kcat", "-b", l.cluster.Bootstrap(), "-q", "-X", "client.id="+id,
			"-X", "session.timeout.ms=6000", "-X", "heartbeat.interval.ms=1500", "-X", "auto.commit.interval.ms=1000",
			"-X", "auto.offset.reset=earliest", "-G", s.name, s.name))
	case java:
		return l.javaMember(ctx, s.name)
	}
	w, err := l.worker(ctx, drill.Spec{
		Role: drill.RoleConsumer, Brokers: l.cluster.Addresses(), Topics: []string{s.name}, ClientID: id, Group: s.name,
		SessionSeconds: 8, PollSeconds: 300, MaxPollRecords: 500, Start: drill.Behaviour{RecordMillis: s.recordMillis},
	})
	if err != nil {
		return member{}, err
	}
	return member{set: w.set, stop: w.stop, kill: w.stop}, nil
}

// javaMember is Kafka's own console consumer.
func (l *lab) javaMember(ctx context.Context, name string) (member, error) {
	ctx, stop := context.WithCancel(ctx)
	l.wg.Go(func() {
		_, _ = l.dist.Run(ctx, "", kafka.ConsoleConsumer, "--bootstrap-server", l.cluster.Bootstrap(), "--topic", name, "--group", name,
			"--command-property", "auto.offset.reset=earliest", "--command-property", "auto.commit.interval.ms=1000")
	})
	return member{stop: stop, kill: stop}, nil
}

func (l *lab) process(cmd *exec.Cmd) (member, error) {
	if err := cmd.Start(); err != nil {
		return member{}, fmt.Errorf("start %s (Debian: kcat): %w", cmd.Path, err)
	}
	l.wg.Go(func() { _ = cmd.Wait() })
	kill := func() { _ = cmd.Process.Kill() }
	l.end = append(l.end, kill)
	return member{stop: func() { _ = cmd.Process.Signal(endSignal) }, kill: kill}, nil
}

// drillWorker is a worker of the drills, in this process.
type drillWorker struct {
	in   *io.PipeWriter
	stop func()
}

func (w *drillWorker) set(b drill.Behaviour) { _ = json.NewEncoder(w.in).Encode(b) }

func (l *lab) worker(ctx context.Context, spec drill.Spec) (*drillWorker, error) {
	in, out := io.Pipe()
	l.wg.Go(func() {
		if err := drill.Work(ctx, in, io.Discard); err != nil && ctx.Err() == nil {
			logf("%s ended: %v", spec.ClientID, err)
		}
		_ = in.Close()
	})
	w := &drillWorker{in: out, stop: func() { _ = out.Close() }}
	l.end = append(l.end, w.stop)
	return w, json.NewEncoder(out).Encode(spec)
}

// produce starts the traffic of all topics, or changes it.
func (l *lab) produce(ctx context.Context) error {
	b := drill.Behaviour{Streams: maps.Clone(l.streams)}
	if l.source != nil {
		l.source.set(b)
		return nil
	}
	var err error
	l.source, err = l.worker(ctx, drill.Spec{Role: drill.RoleProducer, Brokers: l.cluster.Addresses(), ClientID: "producer", Start: b})
	return err
}

func itoa(n int32) string { return strconv.Itoa(int(n)) }
