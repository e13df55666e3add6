package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamkeeper-io/streamkeeper/test/kafka"
	"github.com/streamkeeper-io/streamkeeper/test/server"
)

// grid is a cluster in which every group has committed on every partition.
type grid struct{ topics, partitions, groups int }

// rows is how many lags there are.
func (g grid) rows() int { return g.topics * g.partitions * g.groups }

const (
	recordsEach  = 4 // in each partition
	committedAt  = 1 // by each group: the lag is the rest
	topicsAtOnce = 50
)

// fill makes the topics, the records and the commits. No group has members.
func (g grid) fill(ctx context.Context, brokers []string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(50*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	var names []string
	for i := range g.topics {
		names = append(names, topicName(i))
	}
	for chunk := range slices.Chunk(names, topicsAtOnce) {
		made, err := admin.CreateTopics(ctx, int32(g.partitions), 1, nil, chunk...)
		if err == nil {
			err = made.Error()
		}
		if err != nil {
			return fmt.Errorf("create topics: %w", err)
		}
	}
	if err := g.produce(ctx, client, names); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	offsets := kadm.Offsets{}
	for _, topic := range names {
		for p := range g.partitions {
			offsets.Add(kadm.Offset{Topic: topic, Partition: int32(p), At: committedAt, LeaderEpoch: -1})
		}
	}
	for i := range g.groups {
		if err := commit(ctx, admin, groupName(i), offsets); err != nil {
			return err
		}
	}
	return nil
}

func (g grid) produce(ctx context.Context, client *kgo.Client, topics []string) error {
	for chunk := range slices.Chunk(topics, topicsAtOnce) {
		var records []*kgo.Record
		for _, topic := range chunk {
			for p := range g.partitions {
				for range recordsEach {
					records = append(records, &kgo.Record{Topic: topic, Partition: int32(p), Value: []byte("x")})
				}
			}
		}
		if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return err
		}
	}
	return nil
}

// commit tries for a while: a coordinator that was just made is still loading.
func commit(ctx context.Context, admin *kadm.Client, group string, offsets kadm.Offsets) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		done, err := admin.CommitOffsets(ctx, group, offsets)
		if err == nil {
			err = done.Error()
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("commit for %s: %w", group, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// startGrid runs Apache Kafka with the grid on it.
func startGrid(ctx context.Context, dir string, g grid) (*kafka.Cluster, error) {
	dist, err := kafka.Resolve(ctx)
	if err != nil {
		return nil, err
	}
	cluster, err := dist.Start(ctx, kafka.Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := g.fill(ctx, cluster.Addresses()); err != nil {
		_ = cluster.Stop()
		return nil, err
	}
	say("the grid of %d lags took %.0f s to make", g.rows(), time.Since(began).Seconds())
	return cluster, nil
}

// cpuOf is the processor time of all brokers so far.
func cpuOf(c *kafka.Cluster) (sum time.Duration, err error) {
	for _, pid := range c.PIDs() {
		used, err := server.Process(pid).CPU()
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}
