package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	partitions   = 3
	adminTimeout = 30 * time.Second
	keys         = 40 // of a compacted partition
)

// kind is one kind of partitions and the traffic on each.
type kind struct {
	name    string
	configs map[string]*string
	produce func(ctx context.Context, s *scene, partition int32) error
}

func text(s string) *string { return &s }

var kinds = []kind{
	{"idle", nil, idle},
	{"bursty", nil, bursty},
	{"compacted", map[string]*string{
		"cleanup.policy": text("compact"), "segment.ms": text("3000"), "min.cleanable.dirty.ratio": text("0.01"), "delete.retention.ms": text("100"),
	}, compacted},
	{"transactional", nil, transactional},
	{"restarted", nil, steady},
}

// scene is a topic of one kind, its traffic and the groups that read it.
type scene struct {
	kind
	l       *lab
	client  *kgo.Client
	admin   *kadm.Client
	ledgers [partitions]*ledger
}

// stage makes the topic.
func (l *lab) stage(ctx context.Context, k kind) (*scene, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(l.addresses...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.DefaultProduceTopic(k.name))
	if err != nil {
		return nil, err
	}
	s := &scene{kind: k, l: l, client: client, admin: kadm.NewClient(client)}
	for i := range s.ledgers {
		s.ledgers[i] = &ledger{}
	}
	bounded, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	replicas := int16(1)
	if l.cluster != nil {
		replicas = int16(min(l.o.brokers, 3))
	}
	created, err := s.admin.CreateTopic(bounded, partitions, replicas, k.configs, k.name)
	return s, errors.Join(err, created.Err)
}

// start begins the traffic, and the groups.
func (s *scene) start(ctx context.Context, l *lab) {
	background := func(what string, f func() error) {
		l.wg.Go(func() {
			if err := f(); err != nil && ctx.Err() == nil {
				l.failed(fmt.Errorf("%s %s: %w", s.name, what, err))
			}
		})
	}
	for p := range int32(partitions) {
		background("producer", func() error { return s.produce(ctx, s, p) })
	}
	for i := range groups {
		background(groups[i].name, func() error { return s.commits(ctx, groups[i]) })
	}
	if s.configs != nil {
		background("survey", func() error { return s.surveys(ctx) })
	}
}

// send sends records that are stamped now and keeps them when they are acknowledged.
func (s *scene) send(ctx context.Context, client *kgo.Client, p int32, n int, key func(i int) string) ([]sent, error) {
	out := make([]sent, n)
	var wg sync.WaitGroup
	var failed error
	var mu sync.Mutex
	for i := range n {
		r := &kgo.Record{Topic: s.name, Partition: p, Timestamp: time.Now(), Key: []byte(key(i)), Value: make([]byte, 100)}
		wg.Add(1)
		client.Produce(ctx, r, func(r *kgo.Record, err error) {
			defer wg.Done()
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
			out[i] = sent{offset: r.Offset, at: r.Timestamp.UnixMilli(), acked: time.Now().UnixMilli()}
		})
	}
	wg.Wait()
	return out, failed
}

func plain(int) string { return "k" }

func (s *scene) sendPlain(ctx context.Context, p int32, n int) error {
	records, err := s.send(ctx, s.client, p, n, plain)
	if err == nil {
		s.ledgers[p].add(records...)
	}
	return err
}

// idle writes for a while and never again.
func idle(ctx context.Context, s *scene, p int32) error {
	for end := time.Now().Add(s.l.o.before * 2 / 3); time.Now().Before(end) && pause(ctx, 300*time.Millisecond); {
		if err := s.sendPlain(ctx, p, 1); err != nil {
			return err
		}
	}
	return nil
}

// bursty writes a few hundred records at once, then nothing for some seconds.
func bursty(ctx context.Context, s *scene, p int32) error {
	for {
		if err := s.sendPlain(ctx, p, 100+rand.IntN(200)); err != nil {
			return err
		}
		if !pause(ctx, time.Duration(3000+rand.IntN(8000))*time.Millisecond) {
			return nil
		}
	}
}

// steady writes without waiting for answers, so that records wait in the producer while a broker is away.
func steady(ctx context.Context, s *scene, p int32) error {
	for pause(ctx, 40*time.Millisecond) {
		r := &kgo.Record{Topic: s.name, Partition: p, Timestamp: time.Now(), Value: make([]byte, 100)}
		s.client.Produce(ctx, r, func(r *kgo.Record, err error) {
			if err == nil {
				s.ledgers[p].add(sent{offset: r.Offset, at: r.Timestamp.UnixMilli(), acked: time.Now().UnixMilli()})
			} else if ctx.Err() == nil {
				s.l.failed(err)
			}
		})
	}
	return nil
}

func compacted(ctx context.Context, s *scene, p int32) error {
	for pause(ctx, 50*time.Millisecond) {
		records, err := s.send(ctx, s.client, p, 1, func(int) string { return fmt.Sprint(rand.IntN(keys)) })
		if err != nil {
			return err
		}
		s.ledgers[p].add(records...)
	}
	return nil
}

// surveys reads the whole topic every few seconds to see what compaction has left of it.
func (s *scene) surveys(ctx context.Context) error {
	for pause(ctx, 2*time.Second) {
		ends, err := s.admin.ListEndOffsets(ctx, s.name)
		if err == nil {
			err = ends.Error()
		}
		if err != nil {
			continue // a broker is away
		}
		reader, err := kgo.NewClient(kgo.SeedBrokers(s.l.addresses...), kgo.ConsumeTopics(s.name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		if err != nil {
			return err
		}
		all := make([]survey, partitions)
		for i := range all {
			all[i] = survey{at: time.Now().UnixMilli(), there: map[int64]bool{}}
		}
		left := map[int32]int64{}
		ends.Each(func(o kadm.ListedOffset) {
			if o.Offset > 0 {
				left[o.Partition] = o.Offset - 1
			}
		})
		for len(left) > 0 && ctx.Err() == nil {
			fetches := reader.PollFetches(ctx)
			fetches.EachRecord(func(r *kgo.Record) {
				all[r.Partition].there[r.Offset] = true
				if last, ok := left[r.Partition]; ok && r.Offset >= last {
					delete(left, r.Partition)
				}
			})
		}
		reader.Close()
		if len(left) > 0 {
			return nil // cut short: it says nothing of what it did not come to
		}
		for p := range all {
			s.ledgers[p].survey(all[p])
		}
	}
	return nil
}

// transactional writes short transactions, some of which are aborted. The first partition goes on; the second one ends with
// a transaction that is committed, and the third with one that is aborted, before anybody watches.
func transactional(ctx context.Context, s *scene, p int32) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(s.l.addresses...), kgo.TransactionalID(fmt.Sprintf("%s-%d", s.name, p)), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.TransactionTimeout(30*time.Second),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	end := time.Now().Add(s.l.o.before * 2 / 3)
	for i := 0; ; i++ {
		last := p > 0 && time.Now().After(end)
		abort := i%5 == 4
		if last {
			abort = p == 2
		}
		if err := s.transaction(ctx, client, p, abort); err != nil {
			return err
		}
		if last || !pause(ctx, time.Duration(500+rand.IntN(4000))*time.Millisecond) {
			return nil
		}
	}
}

func (s *scene) transaction(ctx context.Context, client *kgo.Client, p int32, abort bool) error {
	if err := client.BeginTransaction(); err != nil {
		return err
	}
	records, err := s.send(ctx, client, p, 5+rand.IntN(10), plain)
	if err == nil && !pause(ctx, time.Duration(rand.IntN(400))*time.Millisecond) {
		err = ctx.Err()
	}
	how := kgo.TransactionEndTry(!abort)
	if err != nil {
		how = kgo.TryAbort // a broker that goes away ends it
	}
	ended := client.EndTransaction(context.WithoutCancel(ctx), how)
	if ended != nil {
		return errors.Join(err, ended)
	}
	if err != nil && ctx.Err() == nil && !kerr.IsRetriable(err) {
		return err
	}
	now := time.Now().UnixMilli()
	for i := range records {
		records[i].aborted, records[i].acked = !bool(how), now // it can be read from now on
	}
	s.ledgers[p].add(records...)
	return nil
}

// reader is a group: how it moves on a partition. It commits without being a member, which a group allows that has none.
type reader struct {
	name string
	next func(b *ledger, now time.Time, from int64) int64
	wait func() time.Duration
}

func seconds(from, to float64) time.Duration {
	return time.Duration((from + (to-from)*rand.Float64()) * float64(time.Second))
}

var groups = []reader{
	{"follows", func(b *ledger, now time.Time, from int64) int64 {
		offset, _ := b.sentBefore(now, seconds(0, 2))
		return max(from, offset)
	}, func() time.Duration { return seconds(2, 6) }},
	{"behind", func(b *ledger, now time.Time, from int64) int64 {
		offset, _ := b.sentBefore(now, seconds(12, 30))
		return max(from, offset)
	}, func() time.Duration { return seconds(3, 8) }},
	{"stands", func(b *ledger, _ time.Time, from int64) int64 {
		if from > 0 {
			return from
		}
		return b.nth(.4)
	}, func() time.Duration { return 20 * time.Second }},
	{"never", func(*ledger, time.Time, int64) int64 { return 0 }, func() time.Duration { return time.Minute }},
}

// commits commits from some time on, before anybody watches.
func (s *scene) commits(ctx context.Context, g reader) error {
	var at [partitions]int64
	for wait := s.l.o.before / 2; pause(ctx, wait); wait = g.wait() {
		var offsets kadm.Offsets
		for p, b := range s.ledgers {
			at[p] = g.next(b, time.Now(), at[p])
			offsets.Add(kadm.Offset{Topic: s.name, Partition: int32(p), At: at[p], LeaderEpoch: -1})
		}
		if err := s.admin.CommitAllOffsets(ctx, s.name+"-"+g.name, offsets); err != nil && ctx.Err() == nil {
			fmt.Printf("        %s-%s could not commit: %v\n", s.name, g.name, err) // while its coordinator is away
		}
	}
	return nil
}
