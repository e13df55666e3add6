package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	groupLogBack   = 10 * time.Minute // how far back the group log is read: rules look no further for who left
	groupLogBytes  = 2 << 20          // of one answer
	groupLogPart   = 256 << 10        // of one partition
	groupLogAtOnce = 10               // brokers; of more, the next ones each time
	groupLogFresh  = 30 * time.Second // how long it counts as read to its end
	groupLogSkew   = 2                // times groupLogBack that reading may be behind before it skips what is too old
)

// groupLogReader is where reading the group log has come to.
type groupLogReader struct {
	next     map[int32]int64     // by partition, the offset to go on from
	ends     map[int32]time.Time // and when it was last read to its end
	brokers  turns[int32]
	refused  time.Time // when we were last told that we may not
	strange  bool      // something was met that we cannot read, and told
	unpacker kgo.Decompressor
}

// readGroupLog reads on in the group log, from groupLogBack before the first round. It is a help, not a need: where it may not
// be read, or is behind, a round is whole without it.
func (c *Collector) readGroupLog(ctx context.Context, s *snapshot) {
	log, topic := &c.cache.log, s.topics[groupLog]
	if !c.o.GroupLog || c.o.Kind == "embedded" || topic == nil || !c.mayReadGroupLog(ctx, s) {
		return
	}
	c.startGroupLog(ctx, s, topic)
	byLeader := map[int32][]int32{}
	for index := range topic.parts {
		if _, ok := log.next[int32(index)]; ok && topic.parts[index].leader >= 0 {
			byLeader[topic.parts[index].leader] = append(byLeader[topic.parts[index].leader], int32(index))
		}
	}
	var wg sync.WaitGroup
	for _, id := range log.brokers.next(s.at, sortedKeys(byLeader), groupLogAtOnce) {
		if c.budget.Wait(ctx) != nil {
			break
		}
		s.taking.Lock() // answers move on where to read
		req := c.groupLogRequest(topic, byLeader[id])
		s.taking.Unlock()
		wg.Go(func() {
			answer, err := c.client.Broker(int(id)).RetriableRequest(ctx, req)
			if err == nil {
				c.takeGroupLog(s, answer.(*kmsg.FetchResponse))
			}
		})
	}
	wg.Wait()
	s.loggedAll = true
	for index := range topic.parts {
		s.loggedAll = s.loggedAll && s.at.Sub(log.ends[int32(index)]) <= groupLogFresh
	}
}

// mayReadGroupLog asks for the right to read, at first and where that was refused long ago.
func (c *Collector) mayReadGroupLog(ctx context.Context, s *snapshot) bool {
	log := &c.cache.log
	switch {
	case log.next != nil && log.refused.IsZero():
		return true
	case !log.refused.IsZero() && s.at.Sub(log.refused) < refusedEvery:
		return false
	}
	may, err := c.readable(ctx, []string{groupLog})
	if err != nil {
		return false // in the next round, perhaps
	}
	log.refused = time.Time{}
	if !may[groupLog] {
		log.refused = s.at
	}
	if log.next == nil {
		log.next, log.ends, log.unpacker = map[int32]int64{}, map[int32]time.Time{}, kgo.DefaultDecompressor()
	}
	c.denials.set(seesGroupLog, !may[groupLog])
	return may[groupLog]
}

// startGroupLog finds where to begin in the partitions that are not read yet, or that were left: at what was written within
// groupLogBack, or at the end where nothing was.
func (c *Collector) startGroupLog(ctx context.Context, s *snapshot, topic *topicState) {
	var parts []partition
	for index := range topic.parts {
		if _, ok := c.cache.log.next[int32(index)]; !ok {
			parts = append(parts, partition{groupLog, int32(index)})
		}
	}
	if len(parts) == 0 {
		return
	}
	var quiet []partition
	from := s.at.Add(-groupLogBack).UnixMilli()
	c.listOffsets(ctx, s, question{parts, same(from), false}, func(_ *partState, where partition, l listed) {
		if l.offset < 0 {
			quiet = append(quiet, where)
			return
		}
		c.cache.log.next[where.index] = l.offset
	})
	if len(quiet) > 0 {
		c.listOffsets(ctx, s, question{quiet, same(atHead), false}, func(_ *partState, where partition, l listed) {
			c.cache.log.next[where.index] = l.offset
		})
	}
}

// groupLogRequest asks for all of a broker's partitions, each time with another one first: a full answer leaves out the last.
func (c *Collector) groupLogRequest(topic *topicState, parts []int32) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = -1, 0, 0, groupLogBytes
	req.IsolationLevel, req.SessionEpoch = 1, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = groupLog, topic.id
	turn := c.cache.rounds % len(parts)
	for _, index := range slices.Concat(parts[turn:], parts[:turn]) {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = index, c.cache.log.next[index], groupLogPart, -1
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	return req
}

func (c *Collector) takeGroupLog(s *snapshot, resp *kmsg.FetchResponse) {
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			c.takeGroupLogPart(s, &resp.Topics[i].Partitions[j])
		}
	}
}

// takeGroupLogPart keeps what one partition told, in its order: all of a group is in one.
func (c *Collector) takeGroupLogPart(s *snapshot, p *kmsg.FetchResponseTopicPartition) {
	s.taking.Lock()
	from := c.cache.log.next[p.Partition]
	s.taking.Unlock()
	o := kgo.ProcessFetchPartitionOpts{Topic: groupLog, Partition: p.Partition, Offset: from, IsolationLevel: kgo.ReadCommitted()}
	read, next := kgo.ProcessFetchPartition(o, p, c.cache.log.unpacker, nil)
	var (
		all     []logged
		strange error
	)
	for _, r := range read.Records {
		switch l, ok, err := readLogged(r); {
		case err != nil:
			strange = fmt.Errorf("reading %s-%d at %d: %w", groupLog, p.Partition, r.Offset, err)
		case ok:
			all = append(all, l)
		}
	}
	s.taking.Lock()
	defer s.taking.Unlock()
	s.logged = append(s.logged, all...)
	if strange != nil && !c.cache.log.strange { // newer than we are, likely: once is enough
		c.cache.log.strange = true
		s.fail(strange)
	}
	c.cache.log.next[p.Partition] = next
	if read.Err == nil && next >= p.LastStableOffset {
		c.cache.log.ends[p.Partition] = s.at
	}
	denied := errors.Is(read.Err, kerr.TopicAuthorizationFailed)
	if denied { // by a cluster that told no rights
		c.cache.log.refused = s.at
		c.denials.set(seesGroupLog, true)
	}
	old := len(read.Records) > 0 && s.at.Sub(read.Records[len(read.Records)-1].Timestamp) > groupLogSkew*groupLogBack
	if errors.Is(read.Err, kerr.OffsetOutOfRange) || old {
		delete(c.cache.log.next, p.Partition) // go on where what is of interest begins
	}
}
