package drill

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// maxUnacked bounds what a producer holds while the broker is away; past it, it waits as
// an application with max.block.ms does.
const maxUnacked = 5000

// produce sends records to every stream at its own steady rate, spread over the partitions in turn, a share of
// them to one hot partition.
func produce(ctx context.Context, spec Spec, behave *atomic.Pointer[Behaviour], count *counters) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(spec.Brokers...),
		kgo.ClientID(spec.ClientID),
		kgo.SoftwareNameAndVersion("streamkeeper-worker", "1.0"),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(5*time.Millisecond),
		kgo.MaxBufferedRecords(maxUnacked),
	)
	if err != nil {
		return fmt.Errorf("open the producer: %w", err)
	}
	defer client.Close()
	p := pump{client: client, count: count, random: rand.New(rand.NewPCG(1, 2)), streams: map[string]*pace{}}
	every := time.NewTicker(10 * time.Millisecond)
	defer every.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
			defer cancel()
			_ = client.Flush(bounded)
			return nil
		case now := <-every.C:
			p.send(ctx, behave.Load().Streams, now.Sub(last).Seconds())
			last = now
		}
	}
}

// pump keeps the pace of every stream.
type pump struct {
	client  *kgo.Client
	count   *counters
	random  *rand.Rand
	streams map[string]*pace
}

// pace is what a stream owes, and the partition that is next.
type pace struct {
	owed float64
	next int32
}

// due is how many records are to be sent now. A stall is not made up for beyond a second: the rate is what is
// offered, not a debt.
func (p *pace) due(rate, seconds float64) int {
	p.owed = math.Min(p.owed+rate*seconds, math.Max(rate, 1))
	n := int(p.owed)
	p.owed -= float64(n)
	return n
}

func (p *pump) send(ctx context.Context, streams map[string]Stream, seconds float64) {
	for _, topic := range slices.Sorted(maps.Keys(streams)) {
		s := streams[topic]
		if p.streams[topic] == nil {
			p.streams[topic] = &pace{}
		}
		at := p.streams[topic]
		for range at.due(s.Rate, seconds) {
			part := at.next % max(s.Partitions, 1)
			at.next++
			if s.HotShare > 0 && p.random.Float64() < s.HotShare {
				part = s.HotPart
			}
			p.one(ctx, topic, part, s.ValueSize)
		}
	}
}

func (p *pump) one(ctx context.Context, topic string, part int32, size int) {
	value := make([]byte, max(size, 16))
	for i := range value {
		value[i] = byte('a' + p.random.IntN(16))
	}
	p.client.Produce(ctx, &kgo.Record{Topic: topic, Partition: part, Value: value, Timestamp: time.Now()}, func(r *kgo.Record, err error) {
		if err != nil {
			if ctx.Err() == nil {
				p.count.failed(err)
			}
			return
		}
		p.count.reached(r.Topic, r.Partition, r.Offset+1)
	})
}
