package kafka

import (
	"context"
	"fmt"
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

// listed is one partition's answer to ListOffsets.
type listed struct {
	offset    int64
	timestamp int64
}

// readOffsets reads heads, log starts and newest timestamps, and stable offsets after heads: one below its head is held up by
// an open transaction then, and not only older than what came meanwhile.
func (c *Collector) readOffsets(ctx context.Context, s *snapshot) {
	wanted := c.wanted(s)
	slow := c.slow() || c.cache.rounds == 0
	var asking sync.WaitGroup
	if slow {
		asking.Go(func() {
			c.listOffsets(ctx, s, question{wanted, same(atStart), false}, func(p *partState, _ partition, l listed) { p.start = l.offset })
		})
		asking.Go(func() { c.cache.newest = c.readNewest(ctx, s, wanted) })
		asking.Go(func() { c.readTiered(ctx, s, wanted) })
	}
	c.listOffsets(ctx, s, question{wanted, same(atHead), false}, func(p *partState, _ partition, l listed) {
		p.head = l.offset
		s.heads++
	})
	stable := wanted
	if !slow {
		stable = c.track.apart(wanted)
	}
	c.listOffsets(ctx, s, question{stable, same(atHead), true}, func(p *partState, _ partition, l listed) {
		if p.head != unset {
			p.lso = min(l.offset, p.head)
		}
	})
	asking.Wait()
	for topic, at := range c.cache.newest {
		if t := s.topics[topic]; t != nil {
			t.newest = at
		}
	}
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
	c.listOffsets(ctx, s, question{wanted, same(atNewest), false}, func(p *partState, where partition, l listed) {
		p.newest = l
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

// question is what ListOffsets is asked: the time of interest in each partition, or one of the special ones.
type question struct {
	parts     []partition
	at        func(partition) int64
	committed bool // as a reader of committed records sees it
}

func same(at int64) func(partition) int64 { return func(partition) int64 { return at } }

// byLeader splits partitions by who leads them; those that have no leader are left out.
func (s *snapshot) byLeader(parts []partition) map[int32][]partition {
	out := map[int32][]partition{}
	for _, p := range parts {
		if leader := s.topics[p.topic].parts[p.index].leader; leader >= 0 {
			out[leader] = append(out[leader], p)
		}
	}
	return out
}

// listOffsets asks each leader for its partitions, all leaders at once, and hands over each answer, one at a time.
// Partitions that failed are not handed over.
func (c *Collector) listOffsets(ctx context.Context, s *snapshot, q question, take func(*partState, partition, listed)) {
	byLeader := s.byLeader(q.parts)
	c.each(ctx, sortedKeys(byLeader), func(id int32) error {
		for i, chunk := range slices.Collect(slices.Chunk(byLeader[id], maxPerRequest)) {
			if i > 0 { // the first is paid for
				if err := c.budget.Wait(ctx); err != nil {
					return fmt.Errorf("listing offsets: %w", err)
				}
			}
			answer, err := c.client.Broker(int(id)).RetriableRequest(ctx, listRequest(chunk, q))
			if err != nil {
				return fmt.Errorf("listing offsets: %w", err)
			}
			resp := answer.(*kmsg.ListOffsetsResponse)
			if takesTime(resp, q.at(chunk[0])) {
				return nil
			}
			s.taking.Lock()
			err = c.takeListed(s, resp, take)
			s.taking.Unlock()
			if err != nil {
				return err
			}
		}
		return nil
	}, s)
}

func listRequest(parts []partition, q question) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	if q.committed {
		req.IsolationLevel = 1
	}
	for _, p := range parts {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != p.topic {
			t := kmsg.NewListOffsetsRequestTopic()
			t.Topic = p.topic
			req.Topics = append(req.Topics, t)
		}
		part := kmsg.NewListOffsetsRequestTopicPartition()
		part.Partition, part.Timestamp, part.CurrentLeaderEpoch = p.index, q.at(p), -1
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
