// Package ledger keeps account of what a broker promised under load: what was acknowledged, what was read and what was
// committed. Check compares that with what the broker has, as often as one likes: after a crash nothing acknowledged may
// be lost, no offset may change its content once read, and no committed offset may go back.
package ledger

import (
	"context"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
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

// Ledger is the account of one broker's ledger topic; safe for concurrent use, but nothing may produce while Check runs.
type Ledger struct {
	seed maphash.Seed

	mu        sync.Mutex
	acked     map[place]uint64 // hash of the value
	seen      map[place]uint64
	committed map[int32]int64 // acknowledged commits
	wrong     []string
}

// New creates the topic and opens its account.
func New(ctx context.Context, brokers string) (*Ledger, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	l := &Ledger{seed: maphash.MakeSeed(), acked: map[place]uint64{}, seen: map[place]uint64{}, committed: map[int32]int64{}}
	_, err = kadm.NewClient(client).CreateTopic(ctx, partitions, 1, nil, topic)
	return l, err
}

// Counts are how many records were acknowledged and read so far.
func (l *Ledger) Counts() (acked, read int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked), len(l.seen)
}

// Err is the first violation and how many there were; nil while every promise was kept.
func (l *Ledger) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%d violations, the first: %s", len(l.wrong), l.wrong[0])
}

func (l *Ledger) hash(b []byte) uint64 { return maphash.Bytes(l.seed, b) }

// fail notes a violation. l.mu is held.
func (l *Ledger) fail(format string, args ...any) {
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// Produce sends idempotent records of random content until ctx ends, each burst followed by a pause.
func (l *Ledger) Produce(ctx context.Context, brokers string, seed uint64, burst int, pause time.Duration) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.MaxBufferedRecords(500),
		kgo.RecordDeliveryTimeout(5*time.Second), kgo.DefaultProduceTopic(topic))
	if err != nil {
		return
	}
	defer client.Close()
	random := rand.New(rand.NewPCG(seed, 2))
	tick := time.NewTicker(pause)
	defer tick.Stop()
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
		if i%burst == 0 {
			<-tick.C
		}
	}
}

// Consume reads as a member of a group and commits until ctx ends.
func (l *Ledger) Consume(ctx context.Context, brokers string) {
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

func (l *Ledger) saw(r *kgo.Record) {
	at, h := place{r.Partition, r.Offset}, l.hash(r.Value)
	l.mu.Lock()
	defer l.mu.Unlock()
	if was, ok := l.seen[at]; ok && was != h {
		l.fail("partition %d offset %d changed its content after it was read", r.Partition, r.Offset)
	}
	l.seen[at] = h
}

// Check reads every partition whole and compares; Err tells what it found. Its own error means that it could not.
func (l *Ledger) Check(ctx context.Context, brokers string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	there, err := l.readBack(ctx, client, admin)
	if err != nil {
		return err
	}
	l.mu.Lock()
	for at, h := range l.acked {
		switch {
		case !there[at]:
			l.fail("partition %d offset %d was acknowledged and is lost", at.partition, at.offset)
		case l.seen[at] != h:
			l.fail("partition %d offset %d holds something else than was acknowledged", at.partition, at.offset)
		}
	}
	l.mu.Unlock()
	committed, err := admin.FetchOffsets(ctx, group)
	if err != nil {
		return fmt.Errorf("committed offsets: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, o := range l.committed {
		got, ok := committed.Lookup(topic, p)
		if !ok || got.At < o {
			l.fail("partition %d: committed %d went back to %d", p, o, got.At)
		}
	}
	return nil
}

// readBack reads the topic from the start to its present end, without a gap, and returns what is there.
func (l *Ledger) readBack(ctx context.Context, client *kgo.Client, admin *kadm.Client) (map[place]bool, error) {
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("end offsets: %w", err)
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
			return nil, fmt.Errorf("reading back did not end: at %v, want %v", next, want)
		}
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			l.saw(r)
			there[place{r.Partition, r.Offset}] = true
			if r.Offset != next[r.Partition] {
				l.mu.Lock()
				l.fail("partition %d: offset %d follows %d", r.Partition, r.Offset, next[r.Partition]-1)
				l.mu.Unlock()
			}
			next[r.Partition] = r.Offset + 1
		})
	}
	return there, nil
}

func reached(next, want map[int32]int64) bool {
	for p, o := range want {
		if next[p] < o {
			return false
		}
	}
	return true
}
