package drill

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// maxUnacked bounds what a producer holds while the broker is away; past it, it waits as
// an application with max.block.ms does.
const maxUnacked = 5000

// produce sends records at a steady rate, spread over the partitions in turn, a share of them to one hot
// partition. Records carry their send time, so that readers can tell their delay.
func produce(ctx context.Context, spec Spec, behave *atomic.Pointer[Behaviour], count *counters) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(spec.Brokers...),
		kgo.ClientID(spec.ClientID),
		kgo.SoftwareNameAndVersion("streamkeeper-worker", "1.0"),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(5*time.Millisecond),
		kgo.MaxBufferedRecords(maxUnacked),
		kgo.DefaultProduceTopic(spec.Topics[0]),
	)
	if err != nil {
		return fmt.Errorf("open the producer: %w", err)
	}
	defer client.Close()
	random := rand.New(rand.NewPCG(1, uint64(spec.Partitions)))
	every := time.NewTicker(10 * time.Millisecond)
	defer every.Stop()
	last, owed, next := time.Now(), 0.0, int32(0)
	for {
		select {
		case <-ctx.Done():
			bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
			defer cancel()
			_ = client.Flush(bounded)
			return nil
		case now := <-every.C:
			b := behave.Load()
			// A stall is not made up for beyond a second: the rate is what is offered, not a debt.
			owed = math.Min(owed+b.Rate*now.Sub(last).Seconds(), math.Max(b.Rate, 1))
			last = now
			for ; owed >= 1; owed-- {
				part := next % max(spec.Partitions, 1)
				next++
				if b.HotShare > 0 && random.Float64() < b.HotShare {
					part = b.HotPart
				}
				send(ctx, client, part, b.ValueSize, random, count)
			}
		}
	}
}

func send(ctx context.Context, client *kgo.Client, part int32, size int, random *rand.Rand, count *counters) {
	value := make([]byte, max(size, 16))
	for i := range value {
		value[i] = byte('a' + random.IntN(16))
	}
	client.Produce(ctx, &kgo.Record{Partition: part, Value: value, Timestamp: time.Now()}, func(r *kgo.Record, err error) {
		if err != nil {
			if ctx.Err() == nil {
				count.failed(err)
			}
			return
		}
		count.records.Add(1)
		count.delayMillis.Store(time.Since(r.Timestamp).Milliseconds())
	})
}
