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
	for where, l := range c.listOffsets(ctx, s, wanted, atHead, true) {
		s.topics[where.topic].parts[where.index].lso = l.offset
	}
	if c.slow() || c.cache.rounds == 0 {
		for where, l := range c.listOffsets(ctx, s, wanted, atStart, false) {
			s.topics[where.topic].parts[where.index].start = l.offset
		}
		c.cache.newest = newestByTopic(s, wanted, c.listOffsets(ctx, s, wanted, atNewest, false))
	}
	for topic, at := range c.cache.newest {
		if t := s.topics[topic]; t != nil {
			t.newest = at
		}
	}
	heads := c.listOffsets(ctx, s, wanted, atHead, false)
	for where, l := range heads {
		s.topics[where.topic].parts[where.index].head = l.offset
	}
	s.heads = len(heads)
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
		for p := range g.committed {
			read[p.topic] = true
		}
		for _, m := range g.members {
			for _, p := range m.assigned {
				read[p.topic] = true
			}
		}
	}
	var out []partition
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

// newestByTopic is the newest record's time per topic; a topic of which a partition did not answer has none.
func newestByTopic(s *snapshot, wanted []partition, answers map[partition]listed) map[string]time.Time {
	newest, missing := map[string]time.Time{}, map[string]bool{}
	for _, p := range wanted {
		l, ok := answers[p]
		if !ok {
			missing[p.topic] = true
			continue
		}
		if at := time.UnixMilli(l.timestamp); l.timestamp > 0 && at.After(newest[p.topic]) {
			newest[p.topic] = at
		}
	}
	for topic := range missing {
		delete(newest, topic)
	}
	return newest
}

// listOffsets asks each leader for its partitions, all leaders at once. Partitions that failed are missing.
func (c *Collector) listOffsets(ctx context.Context, s *snapshot, wanted []partition, timestamp int64, committed bool) map[partition]listed {
	byLeader := map[int32][]partition{}
	for _, p := range wanted {
		if leader := s.topics[p.topic].parts[p.index].leader; leader >= 0 {
			byLeader[leader] = append(byLeader[leader], p)
		}
	}
	out := make(map[partition]listed, len(wanted))
	var mu sync.Mutex
	c.each(ctx, sortedKeys(byLeader), func(id int32) error {
		for chunk := range slices.Chunk(byLeader[id], maxPerRequest) {
			answer, err := c.client.Broker(int(id)).RetriableRequest(ctx, listRequest(chunk, timestamp, committed))
			if err != nil {
				return fmt.Errorf("listing offsets: %w", err)
			}
			resp := answer.(*kmsg.ListOffsetsResponse)
			if timestamp == atNewest && resp.Version < 7 {
				return nil // older brokers take -3 for a time before all records
			}
			mu.Lock()
			err = c.takeListed(resp, out)
			mu.Unlock()
			if err != nil {
				return err
			}
		}
		return nil
	}, s)
	return out
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

// takeListed keeps the answers and returns the first partition's error: the others fail alike.
func (c *Collector) takeListed(resp *kmsg.ListOffsetsResponse, out map[partition]listed) (first error) {
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				c.cache.moved = c.cache.moved || kerr.IsRetriable(err)
				if first == nil {
					first = fmt.Errorf("listing offsets of %s-%d: %w", t.Topic, p.Partition, err)
				}
				continue
			}
			out[partition{t.Topic, p.Partition}] = listed{p.Offset, p.Timestamp}
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
		for p, l := range c.listOffsets(ctx, s, ask, at.UnixMilli(), false) {
			if l.offset >= 0 {
				need[p].part.heads.prepend(at, l.offset)
			}
		}
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
		for where, p := range g.parts {
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
