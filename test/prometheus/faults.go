package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/streamkeeper-io/streamkeeper/cli/drill"
	"github.com/streamkeeper-io/streamkeeper/test/workers"
)

// fault is what goes wrong with a group, and how the group works.
type fault struct {
	cause        string // "" must stay quiet
	partitions   int32
	members      int
	recordMillis float64
	rate         float64
	patient      bool // is named only with some minutes of history: who is stuck is told by nobody having come or gone
	inject       func(*lab, *group)
}

var faults = []fault{
	{partitions: 6, members: 2, rate: 40, recordMillis: 1, inject: func(*lab, *group) {}},
	{cause: "no_active_consumers", partitions: 4, members: 1, rate: 20, recordMillis: 1, inject: stopAll},
	{cause: "consumer_stuck_or_paused", partitions: 6, members: 3, rate: 40, recordMillis: 1, patient: true, inject: pauseOne},
	{cause: "partition_bound_parallelism", partitions: 2, members: 3, rate: 30, recordMillis: 25, inject: flood},
	{cause: "hot_partition_key_skew", partitions: 6, members: 3, rate: 40, recordMillis: 14, inject: heat},
}

// group is one of the groups that a fault is injected into; its topic is called like it.
type group struct {
	name    string
	fault   *fault
	stream  drill.Stream
	members []*workers.Worker
}

// source produces to every topic.
type source struct{ *workers.Worker }

// raise creates topics and starts members and traffic.
func (l *lab) raise(ctx context.Context) error {
	for i := range faults {
		f := &faults[i]
		if !strings.Contains(f.cause, l.o.only) {
			continue
		}
		if f.patient && l.o.quick {
			fmt.Printf("left  %s: needs some minutes of history\n", f.cause)
			continue
		}
		for n := range l.o.copies {
			name := fmt.Sprintf("%s-%d", strings.ReplaceAll(f.cause, "_", "-"), n+1)
			if f.cause == "" {
				name = fmt.Sprintf("healthy-%d", n+1)
			}
			if err := l.raiseGroup(ctx, name, f); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	var err error
	l.source.Worker, err = l.worker(drill.Spec{
		Role: drill.RoleProducer, Brokers: []string{l.server.Kafka}, ClientID: "producer", Start: drill.Behaviour{Streams: l.streams()},
	})
	return err
}

func (l *lab) raiseGroup(ctx context.Context, name string, f *fault) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	created, err := l.admin.CreateTopic(ctx, f.partitions, 1, nil, name)
	if err == nil {
		err = created.Err
	}
	if err != nil {
		return err
	}
	g := &group{name: name, fault: f, stream: drill.Stream{Partitions: f.partitions, Rate: f.rate, ValueSize: 100}}
	for i := range f.members {
		w, err := l.worker(drill.Spec{
			Role: drill.RoleConsumer, Brokers: []string{l.server.Kafka}, Topics: []string{name}, Group: name, ClientID: fmt.Sprintf("%s-%d", name, i),
			SessionSeconds: 8, PollSeconds: 300, MaxPollRecords: 50, Start: drill.Behaviour{RecordMillis: f.recordMillis},
		})
		if err != nil {
			return err
		}
		g.members = append(g.members, w)
	}
	l.groups = append(l.groups, g)
	return nil
}

func (l *lab) worker(spec drill.Spec) (*workers.Worker, error) {
	return workers.Start(l.clients, &l.wg, spec, func(err error) { fmt.Fprintf(os.Stderr, "%s ended: %v\n", spec.ClientID, err) })
}

func (l *lab) streams() map[string]drill.Stream {
	all := map[string]drill.Stream{}
	for _, g := range l.groups {
		all[g.name] = g.stream
	}
	return all
}

// send changes what goes to a group's topic.
func (l *lab) send(g *group, s drill.Stream) {
	g.stream = s
	l.source.Set(drill.Behaviour{Streams: maps.Clone(l.streams())})
}

func stopAll(_ *lab, g *group) {
	for _, m := range g.members {
		m.Stop()
	}
}

func pauseOne(_ *lab, g *group) {
	g.members[0].Set(drill.Behaviour{RecordMillis: g.fault.recordMillis, Paused: true})
}

// flood sends more than one member for each partition can do.
func flood(l *lab, g *group) {
	s := g.stream
	s.Rate = 2 * 1.6 * 1000 / g.fault.recordMillis
	l.send(g, s)
}

// heat sends most records to one partition, more than its reader can do.
func heat(l *lab, g *group) {
	s := g.stream
	s.HotShare, s.Rate = 0.85, 140
	l.send(g, s)
}
