package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamkeeper-io/streamkeeper/test/load"
)

const (
	topic       = "ledger"  // the load
	clientTopic = "orders"  // a client with its defaults writes here
	fastTopic   = "metrics" // backpressure=fail_fast
	group       = "readers"
	partitions  = 6
)

// The phases of a scenario.
const (
	well int32 = iota
	away
	back
	phases
)

// ledger is what happened to the load. It keeps a few bytes a batch, never what was produced.
type ledger struct {
	phase atomic.Int32

	mu             sync.Mutex
	latency        [phases]load.Quantiles
	acked          [partitions][]batchAt
	throttled      int
	refused        int
	firstThrottle  time.Time
	firstRefusal   time.Time
	other          map[int16]int // answers that are no error of a full log
	read           [partitions]map[int64]int64
	clientAcked    int
	clientFailed   int
	clientRead     map[string]int
	fastRefused    int
	slowestFast    time.Duration
	fastTaken      int
	commits        int
	commitsFailed  int
	lastCommitFail error
	slowestCommit  time.Duration
}

type batchAt struct{ base, stamp int64 }

func newLedger() *ledger {
	l := &ledger{other: map[int16]int{}, clientRead: map[string]int{}}
	for i := range l.read {
		l.read[i] = map[int64]int64{}
	}
	return l
}

// answer takes one answer in.
func (l *ledger) answer(a load.Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch a.Code {
	case 0:
		l.latency[l.phase.Load()].Add(a.At.Sub(a.Due))
		l.acked[a.Partition] = append(l.acked[a.Partition], batchAt{a.Base, a.Stamp})
	case kerr.NotEnoughReplicas.Code:
		l.refused++
		if l.firstRefusal.IsZero() {
			l.firstRefusal = a.At
		}
	default:
		l.other[a.Code]++
	}
	if a.ThrottleMillis > 0 {
		l.throttled++
		if l.firstThrottle.IsZero() {
			l.firstThrottle = a.At
		}
	}
}

func (b *bench) topics(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.server.Kafka))
	if err != nil {
		return err
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	fast := "fail_fast"
	_, err = adm.CreateTopic(ctx, partitions, 1, nil, topic)
	_, err2 := adm.CreateTopic(ctx, 1, 1, nil, clientTopic)
	_, err3 := adm.CreateTopic(ctx, 1, 1, map[string]*string{"backpressure": &fast}, fastTopic)
	return errors.Join(err, err2, err3)
}

// start starts the load, a group that reads and commits, a client with its defaults and one that would rather drop
// than wait. They end with ctx.
func (b *bench) startLoad(ctx context.Context, wg *sync.WaitGroup) error {
	// So many that they reach the limit although each of them is slowed down to a batch a second.
	spec := load.Spec{Address: b.server.Kafka, Topic: topic, Partitions: partitions, RecordBytes: 1024, BatchBytes: 64 << 10, Connections: 16, Window: 5, Acks: -1}
	wg.Go(func() {
		dropped, err := load.Stream(ctx, spec, func(time.Duration) float64 { return b.plan.rate }, b.ledger.answer)
		b.dropped.Store(dropped)
		if err != nil {
			b.complain("the load ended: %v", err)
		}
	})
	reader, err := kgo.NewClient(kgo.SeedBrokers(b.server.Kafka), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic, clientTopic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.FetchMaxBytes(8<<20), kgo.MaxConcurrentFetches(1))
	if err != nil {
		return err
	}
	b.reader = reader
	reading, stop := context.WithCancel(context.WithoutCancel(ctx))
	b.stopReading = stop
	b.readers.Go(func() { b.read(reading) })
	b.readers.Go(func() { b.commit(reading) })
	wg.Go(func() { b.client(ctx) })
	wg.Go(func() { b.fast(ctx) })
	return nil
}

// read takes in what a group sees.
func (b *bench) read(ctx context.Context) {
	for ctx.Err() == nil {
		fs := b.reader.PollFetches(ctx)
		for _, e := range fs.Errors() {
			if ctx.Err() == nil {
				b.complain("reading %s/%d: %v", e.Topic, e.Partition, e.Err)
			}
		}
		b.ledger.mu.Lock()
		fs.EachRecord(b.ledger.seen)
		b.ledger.mu.Unlock()
	}
}

// seen takes a record in that a reader got. l.mu is held.
func (l *ledger) seen(r *kgo.Record) {
	if r.Topic == clientTopic {
		l.clientRead[string(r.Value)]++
		return
	}
	if stamp, ok := load.StampOf(r.Value); ok {
		l.read[r.Partition][r.Offset] = stamp
	}
}

// commit commits what was read every half second.
func (b *bench) commit(ctx context.Context) {
	every := time.NewTicker(500 * time.Millisecond)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		if len(b.reader.UncommittedOffsets()) == 0 {
			continue
		}
		began := time.Now()
		err := b.reader.CommitUncommittedOffsets(context.WithoutCancel(ctx))
		b.ledger.mu.Lock()
		b.ledger.commits++
		if err != nil {
			b.ledger.commitsFailed++
			b.ledger.lastCommitFail = err
		}
		b.ledger.slowestCommit = max(b.ledger.slowestCommit, time.Since(began))
		b.ledger.mu.Unlock()
	}
}

// client writes with a client's defaults: it retries, and shows nothing unless retrying ends.
func (b *bench) client(ctx context.Context) {
	c, err := kgo.NewClient(kgo.SeedBrokers(b.server.Kafka), kgo.DefaultProduceTopic(clientTopic), kgo.ClientID("orders"))
	if err != nil {
		b.complain("%v", err)
		return
	}
	defer c.Close()
	every := time.NewTicker(50 * time.Millisecond)
	defer every.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			if err := c.Flush(end); err != nil {
				b.complain("a client's last records: %v", err)
			}
			return
		case <-every.C:
		}
		c.TryProduce(context.WithoutCancel(ctx), kgo.StringRecord(fmt.Sprint(n)), func(_ *kgo.Record, err error) {
			b.ledger.mu.Lock()
			defer b.ledger.mu.Unlock()
			if errors.Is(err, kgo.ErrMaxBuffered) {
				return // this client is full, which is what waiting looks like from outside
			}
			if b.ledger.clientAcked++; err != nil {
				b.ledger.clientAcked--
				b.ledger.clientFailed++
				b.complain("a client's record failed: %v", err)
			}
		})
	}
}

// fast writes to a topic that fails fast and does not retry: each outcome must come at once.
func (b *bench) fast(ctx context.Context) {
	c, err := kgo.NewClient(kgo.SeedBrokers(b.server.Kafka), kgo.DefaultProduceTopic(fastTopic), kgo.ClientID("metrics"),
		kgo.RecordRetries(0), kgo.DisableIdempotentWrite())
	if err != nil {
		b.complain("%v", err)
		return
	}
	defer c.Close()
	every := time.NewTicker(250 * time.Millisecond)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		began := time.Now()
		err := c.ProduceSync(context.WithoutCancel(ctx), kgo.SliceRecord(make([]byte, 100))).FirstErr()
		b.ledger.mu.Lock()
		switch {
		case err == nil:
			b.ledger.fastTaken++
		case errors.Is(err, kerr.NotEnoughReplicas):
			b.ledger.fastRefused++
			b.ledger.slowestFast = max(b.ledger.slowestFast, time.Since(began))
		default:
			b.complain("a record to a topic that fails fast: %v", err)
		}
		b.ledger.mu.Unlock()
	}
}
