package kafka

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	heldAfter    = 10 * time.Second // a stable offset that stood still for so long is looked into
	maxHeldParts = 100              // in one round
)

// openTxn is the transaction at a partition's stable offset.
type openTxn struct {
	producer         int64
	epoch            int32
	coordinatorEpoch int32
	start            int64     // offset of its first record
	written          time.Time // when its producer last wrote to the partition
	// What the coordinator says. listed is whether all coordinators were asked, and id is empty when none knows the producer.
	listed  bool
	id      string
	state   string
	timeout time.Duration
	began   time.Time // zero when not known
}

// readHeld asks who holds the stable offsets that stand still. What fails or is not allowed stays unknown: that somebody
// holds them is known already, and that alone is no failure of the round.
func (c *Collector) readHeld(ctx context.Context, s *snapshot) {
	s.held = map[partition]openTxn{}
	parts := c.track.heldParts(s)
	if len(parts) == 0 {
		return
	}
	c.readProducers(ctx, s, parts)
	if len(s.held) > 0 {
		c.readCoordinators(ctx, s)
	}
}

// heldParts lists the partitions whose stable offset stands still below a moving head.
func (t *tracker) heldParts(s *snapshot) []partition {
	var out []partition
	for _, name := range sortedKeys(s.topics) {
		for i, now := range s.topics[name].parts {
			where := partition{name, int32(i)}
			p := t.part(where)
			if p == nil || p.lsoFrozen.IsZero() || now.lso != p.lso || p.lsoFrozen.before(s.at) < heldAfter {
				continue
			}
			if out = append(out, where); len(out) == maxHeldParts {
				return out
			}
		}
	}
	return out
}

func (c *Collector) readProducers(ctx context.Context, s *snapshot, parts []partition) {
	req := kmsg.NewPtrDescribeProducersRequest()
	for _, p := range parts {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != p.topic {
			t := kmsg.NewDescribeProducersRequestTopic()
			t.Topic = p.topic
			req.Topics = append(req.Topics, t)
		}
		last := &req.Topics[len(req.Topics)-1]
		last.Partitions = append(last.Partitions, p.index)
	}
	denied := false
	c.shards(ctx, s, req, func(resp kmsg.Response) bool {
		for _, t := range resp.(*kmsg.DescribeProducersResponse).Topics {
			for _, p := range t.Partitions {
				denied = denied || p.ErrorCode == kerr.TopicAuthorizationFailed.Code
				if x, ok := oldestOpen(p.ActiveProducers); ok && p.ErrorCode == 0 {
					s.held[partition{t.Topic, p.Partition}] = x
				}
			}
		}
		return true
	})
	c.denials.set(seesProducers, denied)
}

// oldestOpen is the transaction that began first: it is the one that the stable offset waits for.
func oldestOpen(all []kmsg.DescribeProducersResponseTopicPartitionActiveProducer) (x openTxn, ok bool) {
	for _, p := range all {
		if p.CurrentTxnStartOffset < 0 || ok && p.CurrentTxnStartOffset >= x.start {
			continue
		}
		x, ok = openTxn{producer: p.ProducerID, epoch: p.ProducerEpoch, coordinatorEpoch: p.CoordinatorEpoch, start: p.CurrentTxnStartOffset}, true
		if p.LastTimestamp >= 0 {
			x.written = time.UnixMilli(p.LastTimestamp)
		}
	}
	return x, ok
}

// readCoordinators asks every coordinator for the transactions of the producers found, and what it knows of them.
func (c *Collector) readCoordinators(ctx context.Context, s *snapshot) {
	ids := map[int64]string{}
	req := kmsg.NewPtrListTransactionsRequest()
	for _, x := range s.held {
		if !slices.Contains(req.ProducerIDFilters, x.producer) {
			req.ProducerIDFilters = append(req.ProducerIDFilters, x.producer)
		}
	}
	slices.Sort(req.ProducerIDFilters)
	listed := c.shards(ctx, s, req, func(resp kmsg.Response) bool {
		r := resp.(*kmsg.ListTransactionsResponse)
		for _, t := range r.TransactionStates {
			ids[t.ProducerID] = t.TransactionalID
		}
		return r.ErrorCode == 0
	})
	told := map[string]kmsg.DescribeTransactionsResponseTransactionState{}
	if len(ids) > 0 {
		describe := kmsg.NewPtrDescribeTransactionsRequest()
		describe.TransactionalIDs = slices.Sorted(maps.Values(ids))
		c.shards(ctx, s, describe, func(resp kmsg.Response) bool {
			for _, t := range resp.(*kmsg.DescribeTransactionsResponse).TransactionStates {
				if t.ErrorCode == 0 {
					told[t.TransactionalID] = t
				}
			}
			return true
		})
	}
	for where, x := range s.held {
		x.listed, x.id = listed, ids[x.producer]
		if t, ok := told[x.id]; ok {
			x.state, x.timeout = t.State, time.Duration(t.TimeoutMillis)*time.Millisecond
			if t.StartTimestamp > 0 {
				x.began = time.UnixMilli(t.StartTimestamp)
			}
		}
		s.held[where] = x
	}
}

// shards sends a request that the client splits over the brokers, and reports whether all of it was answered well.
func (c *Collector) shards(ctx context.Context, s *snapshot, req kmsg.Request, take func(kmsg.Response) bool) bool {
	for range s.brokers {
		if c.budget.Wait(ctx) != nil {
			return false
		}
	}
	whole := true
	for _, shard := range c.client.RequestSharded(ctx, req) {
		whole = shard.Err == nil && take(shard.Resp) && whole
	}
	return whole
}
