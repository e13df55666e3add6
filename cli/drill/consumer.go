package drill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// pollTimeoutReason is what the Java client says when it leaves because its application did not poll.
const pollTimeoutReason = "consumer poll timeout has expired."

// closeTimeout bounds a clean close: a broker that is away must not keep the worker.
const closeTimeout = 5 * time.Second

// consumer is a group member whose processing can be slowed, stopped and broken. On top of franz-go it
// enforces max.poll.interval.ms as the Java client does: past it, it leaves the group with the reason, and
// comes back with the next poll.
type consumer struct {
	spec     Spec
	client   *kgo.Client
	behave   *atomic.Pointer[Behaviour]
	count    *counters
	polledAt atomic.Int64 // unix nanoseconds; 0 while inside poll
	left     atomic.Bool  // left on poll timeout since the last poll
	topics   []string     // current subscription
	paused   bool
}

func consume(ctx context.Context, spec Spec, behave *atomic.Pointer[Behaviour], count *counters) error {
	c := &consumer{spec: spec, behave: behave, count: count, topics: spec.Topics}
	if spec.InstanceID != "" && spec.PollSeconds < 60 {
		return errors.New("a static member that exceeds max.poll.interval.ms goes silent instead of leaving, which this worker does not imitate: give it a minute or more")
	}
	start := kgo.NewOffset().AtStart()
	if spec.FromEnd {
		start = kgo.NewOffset().AtEnd()
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(spec.Brokers...),
		kgo.ClientID(spec.ClientID),
		kgo.SoftwareNameAndVersion("streamkeeper-worker", "1.0"),
		kgo.ConsumerGroup(spec.Group),
		kgo.ConsumeTopics(spec.Topics...),
		kgo.Balancers(kgo.RangeBalancer()),
		kgo.SessionTimeout(seconds(spec.SessionSeconds)),
		kgo.HeartbeatInterval(seconds(spec.SessionSeconds / 3)),
		kgo.RebalanceTimeout(seconds(spec.PollSeconds)),
		kgo.BlockRebalanceOnPoll(),
		kgo.DisableAutoCommit(),
		kgo.FetchMaxPartitionBytes(64 << 10), // one fetch must not hold minutes of slow work
		kgo.FetchMaxBytes(256 << 10),
		kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.ConsumeResetOffset(start),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { c.own(m, 1) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { c.own(m, -1) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { c.own(m, -1) }),
	}
	if spec.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(spec.InstanceID))
	}
	if spec.Committed {
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("open the consumer: %w", err)
	}
	c.client = client
	watch, stop := context.WithCancel(ctx)
	defer stop()
	go c.watchPoll(watch)
	err = c.loop(ctx)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if spec.InstanceID == "" {
		_ = client.LeaveGroupContext(bounded)
	}
	client.CloseAllowingRebalance()
	return err
}

func (c *consumer) own(m map[string][]int32, sign int64) {
	n := int64(0)
	for _, ps := range m {
		n += int64(len(ps))
	}
	c.count.assigned.Add(sign * n)
	if sign < 0 && n > 0 {
		c.count.revoked.Add(1)
	}
}

func (c *consumer) loop(ctx context.Context) error {
	for ctx.Err() == nil {
		b := c.behave.Load()
		c.subscribe(b)
		c.pause(b)
		c.polledAt.Store(0)
		poll, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		fetches := c.client.PollRecords(poll, c.spec.MaxPollRecords)
		cancel()
		c.polledAt.Store(time.Now().UnixNano())
		c.left.Store(false)
		if err := c.fatal(ctx, fetches); err != nil {
			return err
		}
		c.process(ctx, fetches.Records())
		c.client.AllowRebalance()
	}
	return nil
}

// fatal returns the errors after which a real application ends and is restarted by its supervisor.
func (c *consumer) fatal(ctx context.Context, fetches kgo.Fetches) error {
	for _, e := range fetches.Errors() {
		switch {
		case errors.Is(e.Err, context.DeadlineExceeded), errors.Is(e.Err, context.Canceled), ctx.Err() != nil:
		case errors.Is(e.Err, kerr.FencedInstanceID):
			return fmt.Errorf("fenced: %w", e.Err)
		default:
			c.count.failed(e.Err)
		}
	}
	return nil
}

// process handles records one by one, commits what was done, and stays at a poison record.
func (c *consumer) process(ctx context.Context, records []*kgo.Record) {
	var done []*kgo.Record
	stuck := map[int32]bool{}
	for _, r := range records {
		b := c.behave.Load()
		if p := b.Poison; p != nil && r.Topic == c.spec.Topics[0] && r.Partition == p.Partition && r.Offset >= p.Offset {
			stuck[r.Partition] = true
			continue
		}
		if !wait(ctx, time.Duration(b.RecordMillis*float64(time.Millisecond))) {
			break // a clean stop: what was done is committed, the rest is for the next owner
		}
		done = append(done, r)
		c.count.reached(r.Topic, r.Partition, r.Offset+1)
		if len(done) == 100 { // commit as one goes, as applications do with long batches
			c.commit(ctx, done)
			done = done[:0]
		}
	}
	c.commit(ctx, done)
	c.retryPoison(ctx, stuck)
}

func (c *consumer) commit(ctx context.Context, done []*kgo.Record) {
	if len(done) == 0 || c.behave.Load().NoCommit {
		return
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := c.client.CommitRecords(bounded, done...); err != nil && ctx.Err() == nil {
		c.count.failed(fmt.Errorf("commit: %w", err))
	}
}

// retryPoison goes back to the record that failed, as a consumer that retries for ever does.
func (c *consumer) retryPoison(ctx context.Context, stuck map[int32]bool) {
	p := c.behave.Load().Poison
	if p == nil || !stuck[p.Partition] {
		return
	}
	c.count.failed(fmt.Errorf("record %d of partition %d cannot be processed", p.Offset, p.Partition))
	c.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{
		c.spec.Topics[0]: {p.Partition: {Epoch: -1, Offset: p.Offset}},
	})
	wait(ctx, 200*time.Millisecond)
}

func (c *consumer) subscribe(b *Behaviour) {
	want := b.Topics
	if want == nil {
		want = c.spec.Topics
	}
	if slices.Equal(want, c.topics) {
		return
	}
	for _, t := range want {
		if !slices.Contains(c.topics, t) {
			c.client.AddConsumeTopics(t)
		}
	}
	for _, t := range c.topics {
		if !slices.Contains(want, t) {
			c.client.PurgeTopicsFromConsuming(t)
		}
	}
	c.topics = want
}

func (c *consumer) pause(b *Behaviour) {
	if b.Paused == c.paused {
		return
	}
	c.paused = b.Paused
	if b.Paused {
		c.client.PauseFetchTopics(c.spec.Topics...)
	} else {
		c.client.ResumeFetchTopics(c.spec.Topics...)
	}
}

// watchPoll leaves the group when the application has not polled for max.poll.interval.
func (c *consumer) watchPoll(ctx context.Context) {
	limit := seconds(c.spec.PollSeconds)
	if limit <= 0 || c.spec.InstanceID != "" {
		return
	}
	every := time.NewTicker(100 * time.Millisecond)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		at := c.polledAt.Load()
		if at == 0 || c.left.Load() || time.Since(time.Unix(0, at)) < limit {
			continue
		}
		c.left.Store(true)
		if err := c.leave(ctx, pollTimeoutReason); err != nil && ctx.Err() == nil {
			c.count.failed(fmt.Errorf("leave: %w", err))
		}
	}
}

func (c *consumer) leave(ctx context.Context, reason string) error {
	member, _ := c.client.GroupMetadata()
	if member == "" {
		return nil
	}
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = c.spec.Group
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID, m.Reason = member, kmsg.StringPtr(reason)
	req.Members = append(req.Members, m)
	bounded, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	_, err := req.RequestWith(bounded, c.client)
	return err
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// wait is a sleep that ends with ctx; false when it ended early.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
