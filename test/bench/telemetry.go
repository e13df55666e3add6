package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/streamkeeper-io/streamkeeper/test/load"
)

// cost is what telemetry costs: processor time per GiB over that of a build without, less one.
type cost struct {
	median float64
	upper  float64 // the median is below with 95 % confidence; only with enough pairs
}

// telemetryCost runs both builds at once on empty data and loads them in turn, so that an idle one is the other's
// control. It is unknown without a plain build.
func (p plan) telemetryCost(ctx context.Context) (c *cost, err error) {
	if p.plain == "" || p.telemetryPairs < 1 {
		return nil, nil
	}
	var brokers [2]broker
	for i, binary := range []string{p.binary, p.plain} {
		if brokers[i], err = (ours{binary}).start(ctx, p.dir); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, brokers[i].stop()) }()
	}
	var all []float64
	for pair := range p.telemetryPairs + 1 {
		topic := fmt.Sprintf("telemetry-%d", pair)
		var used [2]float64
		for n := range 2 {
			i := (n + pair) % 2
			if used[i], err = p.cpuOf(ctx, brokers[i], topic); err != nil {
				return nil, fmt.Errorf("telemetry's cost: %w", err)
			}
		}
		if pair > 0 { // the first warms up
			all = append(all, used[0]/used[1]-1)
		}
	}
	slices.Sort(all)
	return &cost{median: median(slices.Clone(all)), upper: all[upperRank(len(all))-1]}, nil
}

// cpuOf is the processor seconds that a broker takes to be written to and read back.
func (p plan) cpuOf(ctx context.Context, b broker, topic string) (float64, error) {
	if err := p.create(ctx, b, topic, p.partitions, nil); err != nil {
		return 0, err
	}
	before, err := b.process.CPU()
	if err != nil {
		return 0, err
	}
	s := p.spec(b.address, topic)
	r, err := load.Produce(ctx, s, load.Limit{Bytes: p.telemetryBytes})
	if err != nil {
		return 0, err
	}
	if _, _, err := load.Consume(ctx, s, r.Records, nil); err != nil {
		return 0, err
	}
	after, err := b.process.CPU()
	return (after - before).Seconds(), err
}

// upperRank is the smallest k such that the k-th of n sorted values is above the median with 95 % confidence: the
// chance that fewer than k of n lie below the median is at least 0.95. It is n when n is too small for that.
func upperRank(n int) int {
	chance := 1.0
	for range n {
		chance /= 2
	}
	sum := 0.0
	for k := range n {
		sum += chance // exactly k lie below
		if sum >= 0.95 {
			return k + 1
		}
		chance *= float64(n-k) / float64(k+1)
	}
	return n
}
