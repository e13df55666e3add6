package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper/test/load"
	"github.com/streamkeeper-io/streamkeeper/test/server"
)

// topic holds the data that is replayed.
const topic = "history"

// broker is our broker, stopped and started again on the same data.
type broker struct {
	*server.Server
	base []string
}

func newBroker(p plan, s *store) (*broker, error) {
	srv, err := server.NewIn(p.dir, p.binary)
	if err != nil {
		return nil, err
	}
	srv.UseStore(s.Address)
	return &broker{srv, append(srv.Args, "--set", "diagnose.enabled=false", "--set", "log.level=warn")}, nil
}

// The three ways it runs.
var (
	// filling: everything goes to the store, and stays in the local log, too.
	filling = []string{"broker.tier.offload_after=1s", "broker.tier.local_bytes=100GiB", "broker.tier.hard_local_bytes=120GiB"}
	// emptying: what is in the store leaves the local log.
	emptying = []string{"broker.tier.offload_after=1s", "broker.tier.local_bytes=256MiB"}
	// serving: what is written now stays local, so that no upload disturbs.
	serving = []string{"broker.tier.offload_after=24h", "broker.tier.local_bytes=100GiB", "broker.tier.hard_local_bytes=120GiB"}
)

// restart runs it with other settings.
func (b *broker) restart(ctx context.Context, settings []string, more ...string) error {
	if err := b.Stop(); err != nil {
		return err
	}
	b.Args = append([]string{}, b.base...)
	for _, s := range append(append([]string{}, settings...), more...) {
		b.Args = append(b.Args, "--set", s)
	}
	return b.Start(ctx)
}

func (p plan) spec(address, topic string) load.Spec {
	return load.Spec{
		Address: address, Topic: topic, Partitions: p.partitions, RecordBytes: p.record, BatchBytes: p.batch,
		Connections: p.connections, Window: 5, Acks: -1,
	}
}

// create makes a topic and waits until it can be used.
func (b *broker) create(ctx context.Context, name string, partitions int) error {
	return b.with(func(client *kgo.Client) error {
		admin := kadm.NewClient(client)
		if _, err := admin.CreateTopic(ctx, int32(partitions), 1, nil, name); err != nil {
			return err
		}
		return until(ctx, time.Minute, "topic "+name+" to have leaders", func() (bool, error) {
			ends, err := admin.ListEndOffsets(ctx, name)
			return err == nil && ends.Error() == nil && len(ends[name]) == partitions, nil
		})
	})
}

func (b *broker) with(fn func(*kgo.Client) error) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Kafka))
	if err != nil {
		return err
	}
	defer client.Close()
	return fn(client)
}

const (
	latest     = -1
	localStart = -4 // the first offset in the local log
	pending    = -6 // the first offset that is not in the store
)

// awaits waits until every partition of the topic has come to its end with one of these offsets.
func (b *broker) awaits(ctx context.Context, partitions int, what string, timestamp int64) error {
	return b.with(func(client *kgo.Client) error {
		return until(ctx, 10*time.Minute, what, func() (bool, error) {
			at, err := offsets(ctx, client, partitions, timestamp)
			if err != nil {
				return false, err
			}
			end, err := offsets(ctx, client, partitions, latest)
			if err != nil {
				return false, err
			}
			for i := range at {
				if at[i] < end[i] {
					return false, nil
				}
			}
			return true, nil
		})
	})
}

func offsets(ctx context.Context, client *kgo.Client, partitions int, timestamp int64) ([]int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	for i := range partitions {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = int32(i), timestamp
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	out := make([]int64, partitions)
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				return nil, fmt.Errorf("offset %d of %s/%d: error %d", timestamp, topic, p.Partition, p.ErrorCode)
			}
			out[p.Partition] = p.Offset
		}
	}
	return out, nil
}

// until waits for a condition, looked at again and again.
func until(ctx context.Context, limit time.Duration, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		ok, err := done()
		if ok {
			return nil
		}
		if err := errors.Join(err, sleepUntil(ctx, time.Now().Add(100*time.Millisecond))); err != nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
	}
}
