package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamkeeper-io/streamkeeper/cli/drill"
	"github.com/streamkeeper-io/streamkeeper/test/server"
)

const (
	maxGrowth  = 100 << 20        // of resident memory
	maxRatio   = 2                // p99 without the store over p99 with it
	maxBucket  = 1.3              // bucket bytes over live bytes
	namedIn    = 60 * time.Second // until diagnosis says what it is
	quietFor   = 2 * time.Minute  // without a record, after which what was not read counts as lost
	sampleTime = 500 * time.Millisecond
)

// bench is one scenario under way.
type bench struct {
	plan    *plan
	server  *server.Server
	store   *server.Store
	ledger  *ledger
	dropped atomic.Int64

	reader      *kgo.Client
	readers     sync.WaitGroup
	stopReading func()

	mu    sync.Mutex
	wrong []string
}

// complain notes what must not be, once each.
func (b *bench) complain(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(b.wrong, text) && len(b.wrong) < 20 {
		b.wrong = append(b.wrong, text)
	}
}

// run runs one scenario from an empty folder.
func run(ctx context.Context, p *plan) (r result) {
	r = result{Fault: p.name, LimitMiB: p.limit >> 20, Ample: p.ample() || !p.frozen}
	b := &bench{plan: p, ledger: newLedger()}
	defer func() { r.Wrong = b.wrong }()
	defer b.close()
	if err := b.start(ctx); err != nil {
		b.complain("%v", err)
		return r
	}
	producing, stop := context.WithCancel(ctx)
	defer stop()
	var producers sync.WaitGroup
	if err := b.startLoad(producing, &producers); err != nil {
		b.complain("%v", err)
		return r
	}
	b.phases(ctx, &r)
	stop()
	producers.Wait()
	b.verify(ctx, &r)
	b.judge(&r)
	return r
}

func (b *bench) start(ctx context.Context) (err error) {
	p := b.plan
	if b.server, err = server.NewIn(p.dir, p.binary, "--set", "log.level=error",
		"--set", fmt.Sprintf("broker.log.segment_bytes=%d", p.segment),
		"--set", fmt.Sprintf("broker.tier.local_bytes=%d", p.limit/10), "--set", fmt.Sprintf("broker.tier.hard_local_bytes=%d", p.limit),
		"--set", "broker.tier.offload_after=5s", "--set", "broker.group.initial_rebalance_delay=100ms"); err != nil {
		return err
	}
	if b.store, err = server.StartStore(ctx, b.server, p.s3); err != nil {
		return err
	}
	if err := b.server.Start(ctx); err != nil {
		return err
	}
	return b.topics(ctx)
}

func (b *bench) close() {
	if b.reader != nil {
		b.stopReading()
		b.readers.Wait()
		b.reader.Close()
	}
	if b.server == nil {
		return
	}
	if err := b.server.Stop(); err != nil {
		b.complain("stopping: %v", err)
	}
	if b.store != nil {
		b.store.Close()
	}
	if len(b.wrong) > 0 {
		fmt.Fprintln(os.Stderr, b.server.Log())
	}
	_ = b.server.Remove()
}

// phases lets the store be well, not well, and well again until the backlog is gone.
func (b *bench) phases(ctx context.Context, r *result) {
	l := b.ledger
	base := b.watch(ctx, b.plan.healthy, nil)
	began := time.Now()
	l.phase.Store(away)
	if err := b.store.Behave(b.plan.be); err != nil {
		b.complain("%v", err)
	}
	peak := b.watch(ctx, b.plan.gone, func() bool {
		f, ok := b.server.First(ctx)
		if ok && f.Cause == b.plan.cause {
			r.Advice = nil
			for _, a := range f.Advice {
				r.Advice = append(r.Advice, a.Do)
			}
			if r.Named == nil {
				r.Named = since(began)
			}
		}
		if ok {
			r.Said = f.Cause
		}
		if held, err := b.server.Metric(ctx, "streamkeeper_broker_offload_pending_bytes"); err == nil {
			r.HeldMiB = max(r.HeldMiB, int64(held)>>20)
		}
		return false
	})
	l.phase.Store(back)
	returned := time.Now()
	if err := b.store.Behave(drill.Behaviour{}); err != nil {
		b.complain("%v", err)
	}
	after := b.watch(ctx, b.plan.back, func() bool {
		pending, err := b.server.Metric(ctx, "streamkeeper_broker_offload_pending_bytes")
		oldest, err2 := b.server.Metric(ctx, "streamkeeper_broker_offload_oldest_seconds")
		// In a steady state a segment waits for its age, and for its turn.
		if err == nil && err2 == nil && oldest < 20 && pending < b.plan.rate*20 {
			r.Drained = since(returned)
		}
		return r.Drained != nil
	})
	r.RSSGrowthMiB = (max(peak, after) - base) >> 20
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range []struct {
		at time.Time
		to **float64
	}{{l.firstThrottle, &r.FirstThrottle}, {l.firstRefusal, &r.FirstRefusal}} {
		if !x.at.IsZero() {
			s := x.at.Sub(began).Seconds()
			*x.to = &s
		}
	}
}

func since(t time.Time) *float64 { s := time.Since(t).Seconds(); return &s }

// watch samples for a time, or until done says so, and returns the largest resident memory.
func (b *bench) watch(ctx context.Context, d time.Duration, done func() bool) (rss int64) {
	every := time.NewTicker(sampleTime)
	defer every.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return rss
		case <-every.C:
		}
		if n, err := b.server.RSS(); err == nil {
			rss = max(rss, n)
		}
		if done != nil && done() {
			break
		}
	}
	return rss
}

// verify waits until the group has read all, then reads all again from the start: most of it is cold by then. It waits as
// long as anything comes: how long that takes is the machine's business.
func (b *bench) verify(ctx context.Context, r *result) {
	lost := func() (batches, records int) { return b.ledger.missing() }
	if !b.advances(ctx, func() bool {
		n, m := lost()
		if n+m > 0 {
			time.Sleep(sampleTime) // until the next look
		}
		return n+m == 0
	}) {
		n, m := lost()
		b.complain("the group did not read %d batches and %d records of a client", n, m)
	}
	b.ledger.forget()
	again, err := kgo.NewClient(kgo.SeedBrokers(b.server.Kafka), kgo.ConsumeTopics(topic, clientTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxBytes(8<<20))
	if err != nil {
		b.complain("%v", err)
		return
	}
	defer again.Close()
	b.advances(ctx, func() bool {
		poll, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		fs := again.PollFetches(poll)
		b.ledger.mu.Lock()
		fs.EachRecord(b.ledger.seen)
		b.ledger.mu.Unlock()
		if fs.NumRecords() > 0 {
			return false
		}
		n, m := lost()
		return n+m == 0
	})
	r.Lost, r.LostClient = lost()
	for value, n := range b.ledger.clientRead {
		if n > 1 {
			b.complain("record %s of an idempotent client is there %d times", value, n)
		}
	}
	size, err := b.store.Bytes()
	live, err2 := b.server.Metric(ctx, "streamkeeper_broker_object_bytes", `kind="live"`)
	if err := errors.Join(err, err2); err != nil {
		b.complain("%v", err)
	} else if live > 0 {
		r.BucketOverLive = float64(size) / live
	}
}

// advances asks ok, which takes its time, until it is so, and gives up when nothing more was read for quietFor.
func (b *bench) advances(ctx context.Context, ok func() bool) bool {
	read, since := b.ledger.size(), time.Now()
	for ctx.Err() == nil {
		if ok() {
			return true
		}
		if n := b.ledger.size(); n != read {
			read, since = n, time.Now()
		} else if time.Since(since) > quietFor {
			return false
		}
	}
	return false
}

// size is how much was read.
func (l *ledger) size() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, offsets := range l.read {
		n += len(offsets)
	}
	return n + len(l.clientRead)
}

// missing counts what was acknowledged and not read.
func (l *ledger) missing() (batches, records int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.acked {
		for _, a := range l.acked[p] {
			if stamp, ok := l.read[p][a.base]; !ok || stamp != a.stamp {
				batches++
			}
		}
	}
	return batches, max(l.clientAcked-len(l.clientRead), 0)
}

func (l *ledger) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.read {
		clear(l.read[i])
	}
	clear(l.clientRead)
}

// judge fills in the figures and says which are wrong.
func (b *bench) judge(r *result) {
	l := b.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.acked {
		r.Acked += len(l.acked[i])
	}
	r.HealthyP99, r.P99, r.DrainP99 = l.latency[well].At(0.99).Seconds(), l.latency[away].At(0.99).Seconds(), l.latency[back].At(0.99).Seconds()
	r.P99Ratio = r.P99 / r.HealthyP99
	r.Throttled, r.Refused, r.Dropped = l.throttled, l.refused, b.dropped.Load()
	r.Commits, r.CommitsFailed, r.SlowestCommit = l.commits, l.commitsFailed, l.slowestCommit.Seconds()
	r.ClientRecords, r.ClientFailed = l.clientAcked, l.clientFailed
	r.FastRefused, r.SlowestFast = l.fastRefused, l.slowestFast.Seconds()
	check := func(ok bool, format string, args ...any) {
		if !ok {
			b.complain(format, args...)
		}
	}
	check(len(l.other) == 0, "answers with other errors: %v", l.other)
	check(r.Lost+r.LostClient == 0, "%d batches and %d records of a client are lost", r.Lost, r.LostClient)
	check(r.Commits > 0 && r.CommitsFailed == 0, "%d of %d commits failed: %v", r.CommitsFailed, r.Commits, l.lastCommitFail)
	check(r.RSSGrowthMiB <= maxGrowth>>20, "resident memory grew by %d MiB", r.RSSGrowthMiB)
	check(r.Drained != nil, "the backlog was not drained within %s", b.plan.back)
	// A slow store that uploads keep up with hurts nobody: nothing need be said.
	coped := b.plan.cause == "" || !b.plan.frozen && b.plan.cause == "object_store_slow" && float64(r.HeldMiB<<20) < b.plan.rate*20
	check(coped || r.Named != nil && *r.Named <= namedIn.Seconds() && len(r.Advice) > 0, "%s was not named within %s, with advice", b.plan.cause, namedIn)
	if r.Ample {
		check(r.Refused == 0 && r.Throttled == 0 && r.FastRefused == 0 && r.Dropped == 0,
			"with room to spare %d requests were refused, %d slowed, %d failed fast, %d not sent in time", r.Refused, r.Throttled, r.FastRefused, r.Dropped)
		check(r.P99Ratio <= maxRatio, "p99 rose %.1f-fold", r.P99Ratio)
		return
	}
	check(r.FirstThrottle != nil && r.FirstRefusal != nil && *r.FirstThrottle < *r.FirstRefusal, "producers were not slowed and then refused")
	check(r.FastRefused > 0 && r.SlowestFast < 1, "a topic that fails fast refused %d times, the slowest took %.1f s", r.FastRefused, r.SlowestFast)
}
