// Command kill is `task test:kill`: it kills a broker under load again and again, and checks after each
// restart that nothing acknowledged is lost, that no offset changes its content once read, and that no
// committed offset goes back.
package main

import (
	"context"
	"flag"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamkeeper-io/streamkeeper/test/server"
)

const (
	topic      = "ledger"
	group      = "readers"
	partitions = 4
)

type place struct {
	partition int32
	offset    int64
}

type ledger struct {
	mu        sync.Mutex
	seed      maphash.Seed
	acked     map[place]uint64 // hash of the value
	seen      map[place]uint64
	committed map[int32]int64 // acknowledged commits
	wrong     []string
}

func main() {
	binary := flag.String("binary", ".bin/streamkeeper", "path of the program")
	kills := flag.Int("kills", 20, "how many times")
	seed := flag.Uint64("seed", 1, "varies the moments")
	flag.Parse()
	if err := run(context.Background(), *binary, *kills, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "kill:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binary string, kills int, seed uint64) error {
	s, err := server.New(binary, "--set", "diagnose.enabled=false", "--set", "log.level=warn",
		"--set", "broker.log.segment_bytes=1MiB", "--set", "broker.tier.offload_after=2s", "--set", "broker.group.initial_rebalance_delay=100ms")
	if err != nil {
		return err
	}
	defer func() { _ = s.Remove() }()
	if err := s.Start(ctx); err != nil {
		return err
	}
	defer func() { _ = s.Kill() }()
	if err := createTopic(ctx, s.Kafka); err != nil {
		return err
	}
	l := &ledger{seed: maphash.MakeSeed(), acked: map[place]uint64{}, seen: map[place]uint64{}, committed: map[int32]int64{}}
	random := rand.New(rand.NewPCG(seed, 1))
	for n := range kills {
		load, stop := context.WithCancel(ctx)
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() { l.produce(load, s.Kafka, uint64(n*10+i)) })
		}
		wg.Go(func() { l.consume(load, s.Kafka) })
		time.Sleep(time.Duration(1500+random.IntN(2500)) * time.Millisecond) // the moment of the kill is what varies
		err := s.Kill()
		stop()
		wg.Wait()
		if err != nil {
			return err
		}
		began := time.Now()
		if err := s.Start(ctx); err != nil {
			return err
		}
		if err := l.check(ctx, s.Kafka); err != nil {
			return err
		}
		fmt.Printf("kill %2d: %d acknowledged, %d read, serving after %.1f s, %d wrong\n", n+1, len(l.acked), len(l.seen), time.Since(began).Seconds(), len(l.wrong))
		if len(l.wrong) > 0 {
			return fmt.Errorf("%d violations, the first: %s", len(l.wrong), l.wrong[0])
		}
	}
	fmt.Printf("%d passed, 0 failed\n", kills)
	return nil
}

func createTopic(ctx context.Context, brokers string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers))
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = kadm.NewClient(client).CreateTopic(ctx, partitions, 1, nil, topic)
	return err
}

func (l *ledger) hash(b []byte) uint64 { return maphash.Bytes(l.seed, b) }

func (l *ledger) fail(format string, args ...any) {
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

func (l *ledger) produce(ctx context.Context, brokers string, seed uint64) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.MaxBufferedRecords(500),
		kgo.RecordDeliveryTimeout(5*time.Second), kgo.DefaultProduceTopic(topic))
	if err != nil {
		return
	}
	defer client.Close()
	random := rand.New(rand.NewPCG(seed, 2))
	for i := 0; ctx.Err() == nil; i++ {
		value := make([]byte, 20+random.IntN(2000))
		for j := range value {
			value[j] = byte(random.Uint32())
		}
		h := l.hash(value)
		client.Produce(ctx, &kgo.Record{Value: value}, func(r *kgo.Record, err error) {
			if err != nil {
				return // not acknowledged: it may be there or not
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			l.acked[place{r.Partition, r.Offset}] = h
		})
		if i%50 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
}

func (l *ledger) consume(ctx context.Context, brokers string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.SessionTimeout(6*time.Second), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return
	}
	defer client.CloseAllowingRebalance()
	for ctx.Err() == nil {
		fetches := client.PollRecords(ctx, 1000)
		next := map[int32]int64{}
		fetches.EachRecord(func(r *kgo.Record) {
			l.saw(r)
			next[r.Partition] = r.Offset + 1
		})
		bounded, cancel := context.WithTimeout(ctx, 3*time.Second)
		if err := client.CommitUncommittedOffsets(bounded); err == nil {
			l.mu.Lock()
			for p, o := range next {
				l.committed[p] = max(l.committed[p], o)
			}
			l.mu.Unlock()
		}
		cancel()
	}
}

func (l *ledger) saw(r *kgo.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, h := place{r.Partition, r.Offset}, l.hash(r.Value)
	if was, ok := l.seen[at]; ok && was != h {
		l.fail("partition %d offset %d changed its content after it was read", r.Partition, r.Offset)
	}
	l.seen[at] = h
}

// check reads every partition whole and compares.
func (l *ledger) check(ctx context.Context, brokers string) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return err
	}
	want := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			want[o.Partition] = o.Offset
		}
	})
	there := map[place]bool{}
	next := map[int32]int64{}
	for !reached(next, want) {
		if ctx.Err() != nil {
			return fmt.Errorf("reading back did not end: at %v, want %v", next, want)
		}
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			l.saw(r)
			there[place{r.Partition, r.Offset}] = true
			if r.Offset != next[r.Partition] {
				l.fail("partition %d: offset %d follows %d", r.Partition, r.Offset, next[r.Partition]-1)
			}
			next[r.Partition] = r.Offset + 1
		})
	}
	for at, h := range l.acked {
		switch {
		case !there[at]:
			l.fail("partition %d offset %d was acknowledged and is lost", at.partition, at.offset)
		case l.seen[at] != h:
			l.fail("partition %d offset %d holds something else than was acknowledged", at.partition, at.offset)
		}
	}
	committed, err := admin.FetchOffsets(ctx, group)
	if err != nil {
		return err
	}
	for p, o := range l.committed {
		got, ok := committed.Lookup(topic, p)
		if !ok || got.At < o {
			l.fail("partition %d: committed %d went back to %d", p, o, got.At)
		}
	}
	return nil
}

func reached(next, want map[int32]int64) bool {
	for p, o := range want {
		if next[p] < o {
			return false
		}
	}
	return true
}
