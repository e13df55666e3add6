package main

import (
	"context"
	"errors"
	"syscall"
	"time"
)

// loggedScenarios are faults that the Kafka protocol alone cannot tell apart: why a member left is in the brokers' log, or
// in the client's own where the protocol has no word for it (librdkafka, KIP-848). The consumers are Kafka's and librdkafka's.
var loggedScenarios = []scenario{
	{name: "healthy-logged", causes: []string{"healthy"}, partitions: 6, replicas: 3, members: 2, library: rdkafka, rate: 30},
	overrun("poll-overrun-java", java, "max.poll.records=100"),
	overrun("poll-overrun-java-848", java, "group.protocol=consumer", "max.poll.records=100"),
	overrun("poll-overrun-librdkafka", rdkafka),
	{
		name: "session-timeout", causes: []string{"consumer_gc_or_cpu_starved", "session_timeout_network"},
		partitions: 6, replicas: 3, members: 3, library: rdkafka, rate: 30, inject: freeze,
	},
	{name: "crash-looping-member", partitions: 6, replicas: 3, members: 2, library: rdkafka, rate: 30, inject: crash},
	{name: "static-member-fencing", partitions: 6, replicas: 3, members: 2, library: rdkafka, static: true, rate: 30, inject: fence},
	{name: "planned-broker-restart", benign: true, brokers: 3, partitions: 6, replicas: 3, members: 2, library: rdkafka, rate: 30, inject: restart, during: true, entity: lostBroker},
	{name: "rolling-deploy-churn", benign: true, partitions: 6, replicas: 3, members: 3, library: rdkafka, rate: 30, inject: roll},
}

// overrun is a group of which one member takes longer over what it has polled than it may.
func overrun(name string, of library, settings ...string) scenario {
	return scenario{
		name: name, causes: []string{"max_poll_interval_exceeded"}, partitions: 6, replicas: 3, members: 2, library: of,
		settings: append(settings, "max.poll.interval.ms=6000"), rate: 40, valueSize: 2000, inject: holdUp,
	}
}

// holdUp reads nothing of what the first member prints for longer than it may take between two polls, again and again.
// kcat ends of it and is started again.
func holdUp(ctx context.Context, l *lab, w *workload) error {
	m := w.members[0]
	m.hold.Store(int64(13 * time.Second))
	l.keepUp(ctx, m, 2*time.Second)
	return nil
}

// keepUp starts a member again some time after each of its ends.
func (l *lab) keepUp(ctx context.Context, m member, after time.Duration) {
	l.repeatedly(ctx, func() bool {
		select {
		case <-m.ended():
			return pause(ctx, after) && m.again() == nil
		case <-ctx.Done():
			return false
		}
	})
}

// repeatedly does something in the background until the clients end.
func (l *lab) repeatedly(ctx context.Context, do func() bool) {
	l.wg.Go(func() {
		for ctx.Err() == nil && do() {
		}
	})
}

// freeze stops the first member's process for longer than its session, again and again.
func freeze(ctx context.Context, l *lab, w *workload) error {
	m := w.members[0]
	l.repeatedly(ctx, func() bool {
		return m.signal(syscall.SIGSTOP) == nil && pause(ctx, 12*time.Second) && m.signal(syscall.SIGCONT) == nil && pause(ctx, 15*time.Second)
	})
	return nil
}

// crash kills the first member some seconds after every start.
func crash(ctx context.Context, l *lab, w *workload) error {
	m := w.members[0]
	l.repeatedly(ctx, func() bool {
		m.kill()
		<-m.ended()
		return pause(ctx, 2*time.Second) && m.again() == nil && pause(ctx, 8*time.Second)
	})
	return nil
}

// fence runs a second process with the first member's instance id; whichever is thrown out is started again.
func fence(ctx context.Context, l *lab, w *workload) error {
	twin, err := l.startProcess(ctx, w.members[0].id, w.members[0].make)
	if err != nil {
		return err
	}
	for _, m := range []member{w.members[0], twin} {
		l.keepUp(ctx, m, 3*time.Second)
	}
	return nil
}

// roll replaces every member once, one after the other, as a deployment does.
func roll(ctx context.Context, l *lab, w *workload) error {
	l.wg.Go(func() {
		for _, m := range w.members {
			m.stop()
			<-m.ended()
			if !pause(ctx, 2*time.Second) || m.again() != nil || !pause(ctx, 8*time.Second) {
				return
			}
		}
	})
	return nil
}

// restart stops a broker in the orderly way and starts it again, late enough to be missed.
func restart(ctx context.Context, l *lab, _ *workload) error {
	l.lost = 3
	l.wg.Go(func() {
		err := l.cluster.StopBroker(int(l.lost))
		if pause(ctx, 20*time.Second) {
			err = errors.Join(err, l.cluster.StartBroker(l.dist, int(l.lost), brokerHeap))
		}
		if err != nil {
			logf("restart broker %d: %v", l.lost, err)
		}
	})
	return nil
}
