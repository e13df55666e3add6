package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/streamkeeper-io/streamkeeper/test/kafka"
	"github.com/streamkeeper-io/streamkeeper/test/server"
)

// side is one of the two brokers.
type side interface {
	name() string
	// start runs it on empty data below dir.
	start(ctx context.Context, dir string) (broker, error)
	// syncTopic is the configuration of a topic whose every record is on disk when it is acknowledged.
	syncTopic() map[string]*string
}

// broker is a running side.
type broker struct {
	address string
	process server.Process
	stop    func() error
	log     func() string
}

type ours struct{ binary string }

func (ours) name() string                  { return "streamkeeper" }
func (ours) syncTopic() map[string]*string { return nil }

// start runs the broker alone, as Kafka runs alone. Kafka does not tier; so that both only write their log, ours may
// keep all of the run locally.
func (o ours) start(ctx context.Context, dir string) (broker, error) {
	return startOurs(ctx, o.binary, dir, "--set", "diagnose.enabled=false", "--set", "log.level=warn",
		"--set", "broker.tier.local_bytes=100GiB", "--set", "broker.tier.hard_local_bytes=120GiB", "--set", "broker.tier.offload_after=24h")
}

// shipped is ours as `up` runs it by default: diagnosis, dashboard, local budgets and tiering included.
type shipped struct{ binary string }

func (s shipped) start(ctx context.Context, dir string) (broker, error) {
	return startOurs(ctx, s.binary, dir, "--set", "log.level=warn")
}

func startOurs(ctx context.Context, binary, dir string, args ...string) (broker, error) {
	s, err := server.NewIn(dir, binary, args...)
	if err != nil {
		return broker{}, err
	}
	if err := s.Start(ctx); err != nil {
		return broker{}, errors.Join(err, s.Remove())
	}
	return broker{s.Kafka, server.Process(s.PID()), func() error { return errors.Join(s.Stop(), s.Remove()) }, s.Log}, nil
}

type theirs struct{ dist *kafka.Dist }

func (theirs) name() string { return "kafka " + kafka.Version() }

func (theirs) syncTopic() map[string]*string {
	one := "1"
	return map[string]*string{"flush.messages": &one}
}

func (t theirs) start(ctx context.Context, dir string) (broker, error) {
	c, err := t.dist.Start(ctx, kafka.Options{Brokers: 1, Dir: dir})
	if err != nil {
		return broker{}, err
	}
	return broker{c.Addresses()[0], server.Process(c.PIDs()[0]), c.Stop, c.Log}, nil
}

// dropCaches empties the page cache where that is allowed, so that no run reads what another one wrote.
func dropCaches() {
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0o200); err != nil {
		fmt.Fprintln(os.Stderr, "bench: the page cache is not dropped between runs:", err)
	}
}
