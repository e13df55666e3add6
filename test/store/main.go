// Command store is `task test:store`: the object store goes away for 60 s under load, once by refused
// connections and once as a black hole. Producing must go on, object_store_unavailable must be named within
// 30 s, nothing may be lost and the backlog must drain after its return.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"hash/maphash"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamkeeper-io/streamkeeper/cli/drill"
	"github.com/streamkeeper-io/streamkeeper/test/server"
)

const (
	gone       = 60 * time.Second
	namedIn    = 30 * time.Second
	drainIn    = 3 * time.Minute
	topic      = "ledger"
	partitions = 6
)

func main() {
	binary := flag.String("binary", ".bin/streamkeeper", "path of the program")
	s3 := flag.String("s3", ".bin/versitygw", "path of the S3 server")
	flag.Parse()
	failed := 0
	for _, fault := range []string{drill.StoreRefuse, drill.StoreBlackHole} {
		if err := run(context.Background(), *binary, *s3, fault); err != nil {
			fmt.Printf("FAIL  %s: %v\n", fault, err)
			failed++
		}
	}
	fmt.Printf("%d passed, %d failed\n", 2-failed, failed)
	if failed > 0 {
		os.Exit(1)
	}
}

// bench is one server with its store and load.
type bench struct {
	server *server.Server
	store  *server.Store
	acked  atomic.Int64
	failed atomic.Int64
	last   atomic.Value
	mu     sync.Mutex
	sums   map[place]uint64
	seed   maphash.Seed
}

type place struct {
	partition int32
	offset    int64
}

func run(ctx context.Context, binary, s3, fault string) error {
	b := &bench{sums: map[place]uint64{}, seed: maphash.MakeSeed()}
	defer b.close()
	if err := b.start(ctx, binary, s3); err != nil {
		return err
	}
	load, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { b.produce(load) })
	time.Sleep(30 * time.Second) // a healthy stretch, with uploads
	before := b.acked.Load()
	began := time.Now()
	if err := b.store.Behave(drill.Behaviour{Store: fault}); err != nil {
		return errors.Join(err, stopLoad(stop, &wg))
	}
	named := b.waitNamed(ctx, began)
	for time.Since(began) < gone {
		time.Sleep(200 * time.Millisecond)
	}
	during := b.acked.Load() - before
	if err := b.store.Behave(drill.Behaviour{}); err != nil {
		return errors.Join(err, stopLoad(stop, &wg))
	}
	returned := time.Now()
	drained := b.waitDrained(ctx, returned)
	_ = stopLoad(stop, &wg)
	lost, err := b.verify(ctx)
	fmt.Printf("%-10s  %.0f records/s acknowledged while gone, %d failed; named after %s; drained %s after its return; %d acknowledged, %d lost\n",
		fault, float64(during)/gone.Seconds(), b.failed.Load(), named, drained, len(b.sums), lost)
	switch {
	case err != nil:
		return err
	case during == 0 || b.failed.Load() > 0:
		return fmt.Errorf("producing did not go on: %v", b.last.Load())
	case named == 0 || named > namedIn:
		return errors.New("object_store_unavailable was not named in time")
	case drained == 0:
		return errors.New("the backlog did not drain")
	case lost > 0:
		return fmt.Errorf("%d acknowledged records are lost", lost)
	}
	return nil
}

func stopLoad(stop func(), wg *sync.WaitGroup) error {
	stop()
	wg.Wait()
	return nil
}

func (b *bench) start(ctx context.Context, binary, s3 string) error {
	var err error
	if b.server, err = server.New(binary, "--set", "log.level=error", "--set", "broker.log.segment_bytes=4MiB",
		"--set", "broker.tier.offload_after=3s", "--set", "broker.group.initial_rebalance_delay=100ms"); err != nil {
		return err
	}
	if b.store, err = server.StartStore(ctx, b.server, s3); err != nil {
		return err
	}
	return b.server.Start(ctx)
}

func (b *bench) close() {
	if b.server != nil {
		_ = b.server.Stop()
	}
	if b.store != nil {
		b.store.Close()
	}
	if b.server != nil {
		_ = b.server.Remove()
	}
}

func (b *bench) produce(ctx context.Context) {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.server.Kafka), kgo.DefaultProduceTopic(topic), kgo.MaxBufferedRecords(2000))
	if err != nil {
		return
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, partitions, 1, nil, topic); err != nil {
		b.last.Store(err.Error())
		return
	}
	every := time.NewTicker(5 * time.Millisecond)
	defer every.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			_ = client.Flush(context.WithoutCancel(ctx))
			return
		case <-every.C:
		}
		for range 5 { // 1,000 records of 2 KB a second
			value := []byte(strings.Repeat(strconv.Itoa(n), 2000)[:2000])
			sum := maphash.Bytes(b.seed, value)
			client.Produce(context.WithoutCancel(ctx), &kgo.Record{Value: value}, func(r *kgo.Record, err error) {
				if err != nil {
					b.failed.Add(1)
					b.last.Store(err.Error())
					return
				}
				b.acked.Add(1)
				b.mu.Lock()
				b.sums[place{r.Partition, r.Offset}] = sum
				b.mu.Unlock()
			})
		}
	}
}

// waitNamed returns how long it took until the right cause was the first finding; 0 when it never was.
func (b *bench) waitNamed(ctx context.Context, began time.Time) time.Duration {
	for time.Since(began) < gone {
		if f, ok := b.server.First(ctx); ok && f.Cause == "object_store_unavailable" {
			return time.Since(began).Round(time.Second)
		}
		time.Sleep(500 * time.Millisecond)
	}
	return 0
}

// waitDrained waits until the oldest closed data that is not offloaded is young again.
func (b *bench) waitDrained(ctx context.Context, returned time.Time) time.Duration {
	for time.Since(returned) < drainIn {
		if oldest, err := b.server.Metric(ctx, "streamkeeper_broker_offload_oldest_seconds"); err == nil && oldest < 10 {
			return time.Since(returned).Round(time.Second)
		}
		time.Sleep(500 * time.Millisecond)
	}
	return 0
}

// verify reads everything back, hot, warm and cold.
func (b *bench) verify(ctx context.Context) (lost int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.server.Kafka), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	missing := len(b.sums)
	for missing > 0 {
		if ctx.Err() != nil {
			return missing, nil
		}
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if sum, ok := b.sums[place{r.Partition, r.Offset}]; ok && sum == maphash.Bytes(b.seed, r.Value) {
				missing--
			}
		})
	}
	return 0, nil
}
