package kafka

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The special timestamps of ListOffsets.
const (
	atHead   int64 = -1
	atStart  int64 = -2
	atNewest int64 = -3
)

// backfillAges are the ages at which a log is asked where its head was, when the lag reaches back further
// than we have watched.
var backfillAges = []time.Duration{
	10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute,
	time.Hour, 6 * time.Hour, 24 * time.Hour, 72 * time.Hour,
}

const (
	backfillEvery = 10 * time.Minute
	maxBackfill   = 2_000 // partitions in one round
)

// listed is one partition's answer to ListOffsets.
type listed struct {
	offset    int64
	timestamp int64
}

// readOffsets reads stable offsets, log starts and newest timestamps, and heads last.
func (c *Collector) readOffsets(ctx context.Context, s *snapshot) {
	wanted := c.wanted(s)
	slow := c.slow() || c.cache.rounds == 0
	stable := wanted
	if !slow {
		stable = c.track.apart(wanted)
	}
	c.listOffsets(ctx, s, stable, atHead, true, func(p *partState, _ partition, l listed) { p.lso = l.offset })
	if slow {
		c.listOffsets(ctx, s, wanted, atStart, false, func(p *partState, _ partition, l listed) { p.start = l.offset })
		c.cache.newest = c.readNewest(ctx, s, wanted)
	}
	for topic, at := range c.cache.newest {
		if t := s.topics[topic]; t != nil {
			t.newest = at
		}
	}
	c.listOffsets(ctx, s, wanted, atHead, false, func(p *partState, _ partition, l listed) {
		p.head = l.offset
		s.heads++
	})
	for _, p := range wanted {
		if s.topics[p.topic].parts[p.index].leader >= 0 {
			s.asked++
		}
	}
}

// wanted lists the partitions whose offsets are read: those that groups read first, up to the bound. Of the
// cluster's own topics only those that somebody reads.
func (c *Collector) wanted(s *snapshot) []partition {
	read := map[string]bool{}
	for _, g := range s.groups {
		for name := range g.committed.names() {
			read[name] = true
		}
		for _, m := range g.members {
			for _, p := range m.assigned {
				read[p.topic] = true
			}
		}
	}
	all := 0
	for _, t := range s.topics {
		all += len(t.parts)
	}
	out := make([]partition, 0, min(all, c.o.MaxPartitions))
	for _, first := range []bool{true, false} {
		for _, name := range sortedKeys(s.topics) {
			parts := s.topics[name].parts
			if read[name] != first || s.topics[name].internal && !first || len(out)+len(parts) > c.o.MaxPartitions {
				continue
			}
			for i := range parts {
				out = append(out, partition{name, int32(i)})
			}
		}
	}
	return out
}

// apart lists the partitions whose stable offset is to be read although it is no round for slow things: those where it
// was not the head. It can be behind a head only while a transaction is open.
func (t *tracker) apart(wanted []partition) []partition {
	var out []partition
	for _, where := range wanted {
		if p := t.part(where); p == nil || p.lso < p.head || !p.lsoFrozen.IsZero() {
			out = append(out, where)
		}
	}
	return out
}

// readNewest is the newest record's time per topic; a topic of which a partition did not answer has none.
func (c *Collector) readNewest(ctx context.Context, s *snapshot, wanted []partition) map[string]time.Time {
	newest, answered := map[string]time.Time{}, map[string]int{}
	c.listOffsets(ctx, s, wanted, atNewest, false, func(_ *partState, where partition, l listed) {
		answered[where.topic]++
		if at := time.UnixMilli(l.timestamp); l.timestamp > 0 && at.After(newest[where.topic]) {
			newest[where.topic] = at
		}
	})
	for topic, n := range answered {
		if n < len(s.topics[topic].parts) {
			delete(newest, topic)
		}
	}
	return newest
}

// listOffsets asks each leader for its partitions, all leaders at once, and hands over each answer, one at a time.
// Partitions that failed are not handed over.
func (c *Collector) listOffsets(
	ctx context.Context, s *snapshot, wanted []partition, timestamp int64, committed bool, take func(*partState, partition, listed),
) {
	byLeader := map[int32][]partition{}
	for _, p := range wanted {
		if leader := s.topics[p.topic].parts[p.index].leader; leader >= 0 {
			byLeader[leader] = append(byLeader[leader], p)
		}
	}
	var mu sync.Mutex
	c.each(ctx, sortedKeys(byLeader), func(id int32) error {
		for i, chunk := range slices.Collect(slices.Chunk(byLeader[id], maxPerRequest)) {
			if i > 0 { // the first is paid for
				if err := c.budget.Wait(ctx); err != nil {
					return fmt.Errorf("listing offsets: %w", err)
				}
			}
			answer, err := c.client.Broker(int(id)).RetriableRequest(ctx, listRequest(chunk, timestamp, committed))
			if err != nil {
				return fmt.Errorf("listing offsets: %w", err)
			}
			resp := answer.(*kmsg.ListOffsetsResponse)
			if timestamp == atNewest && resp.Version < 7 {
				return nil // older brokers take -3 for a time before all records
			}
			mu.Lock()
			err = c.takeListed(s, resp, take)
			mu.Unlock()
			if err != nil {
				return err
			}
		}
		return nil
	}, s)
}

func listRequest(parts []partition, timestamp int64, committed bool) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	if committed {
		req.IsolationLevel = 1
	}
	for _, p := range parts {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != p.topic {
			t := kmsg.NewListOffsetsRequestTopic()
			t.Topic = p.topic
			req.Topics = append(req.Topics, t)
		}
		part := kmsg.NewListOffsetsRequestTopicPartition()
		part.Partition, part.Timestamp, part.CurrentLeaderEpoch = p.index, timestamp, -1
		last := &req.Topics[len(req.Topics)-1]
		last.Partitions = append(last.Partitions, part)
	}
	return req
}

// takeListed hands over the answers and returns the first partition's error: the others fail alike.
func (c *Collector) takeListed(s *snapshot, resp *kmsg.ListOffsetsResponse, take func(*partState, partition, listed)) (first error) {
	for _, t := range resp.Topics {
		topic := s.topics[t.Topic]
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				c.cache.moved = c.cache.moved || kerr.IsRetriable(err)
				if first == nil {
					first = fmt.Errorf("listing offsets of %s-%d: %w", t.Topic, p.Partition, err)
				}
				continue
			}
			if topic != nil && p.Partition >= 0 && int(p.Partition) < len(topic.parts) {
				take(&topic.parts[p.Partition], partition{t.Topic, p.Partition}, listed{p.Offset, p.Timestamp})
			}
		}
	}
	return first
}

// backfill asks the logs themselves where their heads were some time ago, for partitions whose lag reaches
// back before we watched. Without it a group that was late when we came would be of unknown lateness until
// it has caught up. It trusts timestamps only as far as they agree with what was seen.
func (c *Collector) backfill(ctx context.Context, now time.Time) {
	need := c.track.unknownAges(now)
	if len(need) == 0 {
		return
	}
	s := &snapshot{topics: map[string]*topicState{}}
	for p, w := range need {
		t := s.topics[p.topic]
		if t == nil {
			t = &topicState{parts: make([]partState, len(c.track.topics[p.topic].parts))}
			s.topics[p.topic] = t
		}
		t.parts[p.index].leader = w.part.leader
		w.part.backfilled = now
	}
	for _, age := range backfillAges {
		at := now.Add(-age)
		var ask []partition
		for _, p := range slices.SortedFunc(maps.Keys(need), comparePartitions) {
			if h := need[p].part.heads.head; len(h) > 0 && h[0] > need[p].offset {
				ask = append(ask, p)
			}
		}
		if len(ask) == 0 || ctx.Err() != nil {
			return
		}
		c.listOffsets(ctx, s, ask, at.UnixMilli(), false, func(_ *partState, p partition, l listed) {
			if l.offset >= 0 {
				need[p].part.heads.prepend(at, l.offset)
			}
		})
	}
}

// wantedAge is a record whose age is not known.
type wantedAge struct {
	part   *partTrack
	offset int64
}

// unknownAges lists the partitions whose first uncommitted record is older than the history, unless they
// were asked for lately.
func (t *tracker) unknownAges(now time.Time) map[partition]wantedAge {
	out := map[partition]wantedAge{}
	for _, g := range t.groups {
		for where, p := range g.parts.all() {
			if !p.fresh || len(out) >= maxBackfill || !p.part.backfilled.IsZero() && now.Sub(p.part.backfilled) < backfillEvery {
				continue
			}
			if _, known := p.lagSeconds(now); known {
				continue
			}
			offset := max(p.progress.committed, p.part.start)
			if w, ok := out[where]; !ok || offset < w.offset {
				out[where] = wantedAge{p.part, offset}
			}
		}
	}
	return out
}
