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
	logBack   = 10 * time.Minute // how far back a log is read: rules look no further for who left
	logBytes  = 2 << 20          // of one answer
	logPart   = 256 << 10        // of one partition
	logAtOnce = 10               // brokers; of more, the next ones each time
	logBehind = 2                // times logBack that reading may be behind before it skips what is too old
)

// ownLog is a topic that brokers write down in what they do, and how it is read.
type ownLog struct {
	topic string
	sees  sees          // the permission that it needs
	fresh time.Duration // how long it counts as read to its end
	// calm is how many brokers that had nothing new when last asked are asked in a round; 0: like those that had.
	calm func(brokers int) int
	// read reads records, without a lock, and returns what keeps them, and what is wrong with one of them.
	read func([]*kgo.Record) (keep func(*snapshot), strange error)
}

// logReader is where reading such a topic has come to.
type logReader struct {
	next     map[int32]int64     // by partition, the offset to go on from
	ends     map[int32]time.Time // and when it was last read to its end
	brokers  turns[int32]
	active   turns[int32]
	news     map[int32]bool // brokers that had something new when last asked
	refused  time.Time      // when we were last told that we may not
	strange  bool           // something was met that we cannot read, and told
	unpacker kgo.Decompressor
}

// readLog reads on in a log, from logBack before the first round, and reports whether it was read to its end just now. It is a
// help, not a need: where it may not be read, or is behind, a round is whole without it.
func (c *Collector) readLog(ctx context.Context, s *snapshot, own *ownLog, log *logReader) (all bool) {
	topic := s.topics[own.topic]
	if c.o.Kind == "embedded" || topic == nil || !c.mayReadLog(ctx, s, own, log) {
		return false
	}
	c.startLog(ctx, s, own, log)
	byLeader := map[int32][]int32{}
	for index := range topic.parts {
		if _, ok := log.next[int32(index)]; ok && topic.parts[index].leader >= 0 {
			byLeader[topic.parts[index].leader] = append(byLeader[topic.parts[index].leader], int32(index))
		}
	}
	var wg sync.WaitGroup
	for _, id := range log.due(s.at, sortedKeys(byLeader), own.calm) {
		if c.budget.Wait(ctx) != nil {
			break
		}
		s.taking.Lock() // answers move on where to read
		req := c.logRequest(own, log, topic, byLeader[id])
		s.taking.Unlock()
		wg.Go(func() {
			answer, err := c.client.Broker(int(id)).RetriableRequest(ctx, req)
			if err == nil {
				c.takeLog(s, own, log, id, answer.(*kmsg.FetchResponse))
			}
		})
	}
	wg.Wait()
	for index := range topic.parts {
		if s.at.Sub(log.ends[int32(index)]) > own.fresh {
			return false
		}
	}
	return true
}

// due are the brokers that are asked in this round.
func (log *logReader) due(now time.Time, leaders []int32, calm func(int) int) []int32 {
	if calm == nil {
		return log.brokers.next(now, leaders, logAtOnce)
	}
	var active, rest []int32
	for _, id := range leaders {
		if log.news[id] {
			active = append(active, id)
		} else {
			rest = append(rest, id)
		}
	}
	return slices.Concat(log.active.next(now, active, logAtOnce), log.brokers.next(now, rest, calm(len(leaders))))
}

// mayReadLog asks for the right to read, at first and where that was refused long ago.
func (c *Collector) mayReadLog(ctx context.Context, s *snapshot, own *ownLog, log *logReader) bool {
	switch {
	case log.next != nil && log.refused.IsZero():
		return true
	case !log.refused.IsZero() && s.at.Sub(log.refused) < refusedEvery:
		return false
	}
	may, err := c.readable(ctx, []string{own.topic})
	if err != nil {
		return false // in the next round, perhaps
	}
	log.refused = time.Time{}
	if !may[own.topic] {
		log.refused = s.at
	}
	if log.next == nil {
		log.next, log.ends, log.news, log.unpacker = map[int32]int64{}, map[int32]time.Time{}, map[int32]bool{}, kgo.DefaultDecompressor()
	}
	c.denials.set(own.sees, !may[own.topic])
	return may[own.topic]
}

// startLog finds where to begin in the partitions that are not read yet, or that were left: at what was written within logBack,
// or at the end where nothing was.
func (c *Collector) startLog(ctx context.Context, s *snapshot, own *ownLog, log *logReader) {
	var parts []partition
	for index := range s.topics[own.topic].parts {
		if _, ok := log.next[int32(index)]; !ok {
			parts = append(parts, partition{own.topic, int32(index)})
		}
	}
	if len(parts) == 0 {
		return
	}
	var quiet []partition
	from := s.at.Add(-logBack).UnixMilli()
	c.listOffsets(ctx, s, question{parts, same(from), false}, func(_ *partState, where partition, l listed) {
		if l.offset < 0 {
			quiet = append(quiet, where)
			return
		}
		log.next[where.index] = l.offset
	})
	if len(quiet) > 0 {
		c.listOffsets(ctx, s, question{quiet, same(atHead), false}, func(_ *partState, where partition, l listed) {
			log.next[where.index] = l.offset
		})
	}
}

// logRequest asks for all of a broker's partitions, each time with another one first: a full answer leaves out the last.
func (c *Collector) logRequest(own *ownLog, log *logReader, topic *topicState, parts []int32) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = -1, 0, 0, logBytes
	req.IsolationLevel, req.SessionEpoch = 1, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = own.topic, topic.id
	turn := c.cache.rounds % len(parts)
	for _, index := range slices.Concat(parts[turn:], parts[:turn]) {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = index, log.next[index], logPart, -1
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	return req
}

func (c *Collector) takeLog(s *snapshot, own *ownLog, log *logReader, broker int32, resp *kmsg.FetchResponse) {
	news := false
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			news = c.takeLogPart(s, own, log, &resp.Topics[i].Partitions[j]) || news
		}
	}
	s.taking.Lock()
	log.news[broker] = news
	s.taking.Unlock()
}

// takeLogPart keeps what one partition told, in its order, and reports whether that was anything.
func (c *Collector) takeLogPart(s *snapshot, own *ownLog, log *logReader, p *kmsg.FetchResponseTopicPartition) (news bool) {
	s.taking.Lock()
	from := log.next[p.Partition]
	s.taking.Unlock()
	o := kgo.ProcessFetchPartitionOpts{Topic: own.topic, Partition: p.Partition, Offset: from, IsolationLevel: kgo.ReadCommitted()}
	read, next := kgo.ProcessFetchPartition(o, p, log.unpacker, nil)
	keep, strange := own.read(read.Records)
	s.taking.Lock()
	defer s.taking.Unlock()
	keep(s)
	if strange != nil && !log.strange { // newer than we are, likely: once is enough
		log.strange = true
		s.fail(fmt.Errorf("reading %s-%d: %w", own.topic, p.Partition, strange))
	}
	log.next[p.Partition] = next
	if read.Err == nil && next >= p.LastStableOffset {
		log.ends[p.Partition] = s.at
	}
	denied := errors.Is(read.Err, kerr.TopicAuthorizationFailed)
	if denied { // by a cluster that told no rights
		log.refused = s.at
		c.denials.set(own.sees, true)
	}
	old := len(read.Records) > 0 && s.at.Sub(read.Records[len(read.Records)-1].Timestamp) > logBehind*logBack
	if errors.Is(read.Err, kerr.OffsetOutOfRange) || old {
		delete(log.next, p.Partition) // go on where what is of interest begins
	}
	return len(read.Records) > 0
}
