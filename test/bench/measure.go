package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamkeeper-io/streamkeeper/test/load"
)

// measured is what one side did in one run. Rates are bytes of record values a second.
type measured struct {
	produce, consume float64
	produceLatency   load.Quantiles
	cpuPerGiB        float64 // processor seconds per GiB, produced and consumed once, at the fixed rate
	steadyLatency    load.Quantiles
	rss              int64
	sync             load.Quantiles
	variants         []variant
}

// variant is a load that is printed beside the main one.
type variant struct {
	name    string
	rate    float64
	latency load.Quantiles
}

func (m measured) String() string {
	return fmt.Sprintf("produce %s (p99 %v), consume %s, %.2f CPU s/GiB at the fixed rate (p99 %v), peak RSS %d MiB, sync p50 %v p99 %v",
		rate(m.produce), m.produceLatency.At(0.99), rate(m.consume), m.cpuPerGiB, m.steadyLatency.At(0.99), m.rss/mib, m.sync.At(0.5), m.sync.At(0.99))
}

func (p plan) spec(address, topic string) load.Spec {
	return load.Spec{
		Address: address, Topic: topic, Partitions: p.partitions, RecordBytes: p.record, BatchBytes: p.batch,
		Connections: p.connections, Window: p.window, Acks: -1,
	}
}

// ceiling is how fast the generator is against a server that keeps nothing.
func (p plan) ceiling(ctx context.Context) (float64, error) {
	s := p.spec("", "ceiling")
	hole, err := load.NewBlackHole(s)
	if err != nil {
		return 0, err
	}
	defer hole.Close()
	s.Address = hole.Address()
	r, err := load.Produce(ctx, s, load.Limit{For: 3 * time.Second})
	return r.Rate(), err
}

// measure runs one side from empty data to its end.
func (p plan) measure(ctx context.Context, s side) (m measured, err error) {
	b, err := s.start(ctx, p.dir)
	if err != nil {
		return m, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w; its log ends with: %s", err, b.log())
		}
		err = errors.Join(err, b.stop())
	}()
	if err := p.throughput(ctx, b, &m); err != nil {
		return m, fmt.Errorf("throughput: %w", err)
	}
	if err := p.fixedRate(ctx, b, &m); err != nil {
		return m, fmt.Errorf("fixed rate: %w", err)
	}
	if m.rss, err = b.process.PeakRSS(); err != nil {
		return m, err
	}
	if err := p.single(ctx, s, b, &m); err != nil {
		return m, fmt.Errorf("single records: %w", err)
	}
	if p.variants {
		if err := p.others(ctx, b, &m); err != nil {
			return m, err
		}
	}
	return m, nil
}

// shippedRSS is the peak resident memory of our program as shipped under the same load.
func (p plan) shippedRSS(ctx context.Context) (rss int64, err error) {
	b, err := shipped{p.binary}.start(ctx, p.dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	var m measured
	if err := errors.Join(p.throughput(ctx, b, &m), p.fixedRate(ctx, b, &m)); err != nil {
		return 0, fmt.Errorf("%w; its log ends with: %s", err, b.log())
	}
	return b.process.PeakRSS()
}

// create makes a topic and waits until it can be used.
func (p plan) create(ctx context.Context, b broker, topic string, partitions int, configs map[string]*string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.address))
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(ctx, int32(partitions), 1, configs, topic); err != nil {
		return err
	}
	for {
		ends, err := admin.ListEndOffsets(ctx, topic)
		if err == nil && ends.Error() == nil && len(ends[topic]) == partitions {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("topic %s has no leaders: %w", topic, errors.Join(err, ctx.Err()))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// throughput is as fast as answered: a warm-up, a run, and that run read back.
func (p plan) throughput(ctx context.Context, b broker, m *measured) error {
	for _, topic := range []string{"warmup", "throughput"} {
		if err := p.create(ctx, b, topic, p.partitions, nil); err != nil {
			return err
		}
	}
	warm, err := load.Produce(ctx, p.spec(b.address, "warmup"), load.Limit{For: p.warmup})
	if err != nil {
		return err
	}
	if _, _, err := load.Consume(ctx, p.spec(b.address, "warmup"), min(warm.Records, p.bytes/int64(p.record)), nil); err != nil {
		return err
	}
	s := p.spec(b.address, "throughput")
	r, err := load.Produce(ctx, s, load.Limit{Bytes: p.bytes})
	if err != nil {
		return err
	}
	m.produce, m.produceLatency = r.Rate(), r.Latency
	r, _, err = load.Consume(ctx, s, r.Records, nil)
	m.consume = r.Rate()
	return err
}

// fixedRate offers both sides the same load, read as it is written, and takes what that costs them.
func (p plan) fixedRate(ctx context.Context, b broker, m *measured) error {
	if err := p.create(ctx, b, "steady", p.partitions, nil); err != nil {
		return err
	}
	s := p.spec(b.address, "steady")
	before, err := b.process.CPU()
	if err != nil {
		return err
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	read := make(chan error, 1)
	steady := s
	steady.Rate = float64(p.rate)
	requests := int64(p.steady.Seconds() * steady.Rate / float64(p.partitions*max(p.batch/p.record, 1)*p.record))
	limit := load.Limit{Bytes: max(requests, 1) * int64(p.partitions*max(p.batch/p.record, 1)*p.record)}
	go func() {
		_, _, err := load.Consume(reading, s, limit.Bytes/int64(p.record), nil)
		read <- err
	}()
	r, err := load.Produce(ctx, steady, limit)
	if err != nil {
		return err
	}
	if err := <-read; err != nil {
		return err
	}
	after, err := b.process.CPU()
	if err != nil {
		return err
	}
	m.steadyLatency = r.Latency
	m.cpuPerGiB = (after - before).Seconds() / (float64(r.Bytes) / gib)
	return nil
}

// single sends record by record, each on disk before the next is sent.
func (p plan) single(ctx context.Context, s side, b broker, m *measured) error {
	if err := p.create(ctx, b, "single", 1, s.syncTopic()); err != nil {
		return err
	}
	spec := load.Spec{Address: b.address, Topic: "single", Partitions: 1, RecordBytes: p.record, BatchBytes: p.record, Connections: 1, Window: 1, Acks: -1}
	for range p.syncs {
		r, err := load.Produce(ctx, spec, load.Limit{Bytes: int64(p.syncRecords) * int64(p.record)})
		if err != nil {
			return err
		}
		m.sync.Merge(&r.Latency)
	}
	return nil
}

// others are the loads that are printed only.
func (p plan) others(ctx context.Context, b broker, m *measured) error {
	lz4 := p.spec(b.address, "lz4")
	lz4.LZ4 = true
	small := p.spec(b.address, "small")
	small.RecordBytes = 100
	fragmented := p.spec(b.address, "fragmented")
	fragmented.BatchBytes, fragmented.Spread, fragmented.Connections, fragmented.Window = p.record, 1, 200, 1
	for _, v := range []struct {
		name  string
		spec  load.Spec
		limit load.Limit
	}{
		{"lz4", lz4, load.Limit{Bytes: p.bytes / 4}},
		{"100-byte records", small, load.Limit{Bytes: p.bytes / 4}},
		{"200 producers, one record a request", fragmented, load.Limit{Bytes: p.bytes / 64}},
	} {
		if err := p.create(ctx, b, v.spec.Topic, p.partitions, nil); err != nil {
			return err
		}
		r, err := load.Produce(ctx, v.spec, v.limit)
		if err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
		m.variants = append(m.variants, variant{v.name, r.Rate(), r.Latency})
	}
	return nil
}
