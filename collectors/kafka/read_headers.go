package kafka

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	maxLooks     = 50 // partitions at once
	maxLookWaves = 6  // in one round: groups go on in several places, and a marker may be followed by another one
	lookBytes    = 64 << 10
	maxLookBytes = 2 * maxLooks * lookBytes // in one answer: never reached, so that what is left out is larger than lookBytes
	lookAgain    = 10 * time.Minute
	rightsFor    = time.Hour
	maxRecords   = 8 // offsets of one partition
)

// look is a place in a log that is to be looked at: where groups go on that are behind.
type look struct {
	where  partition
	topic  *topicTrack
	part   *partTrack
	offset int64
}

// readHeaders looks at what lies where groups go on in logs that hold transactions: their markers and aborted records take
// up offsets, and a group that has only those before it is not late. Only the heads of batches are read, where that is
// allowed (Read on the topic); of a topic that is not known to hold transactions it looks at one place, now and then. It
// returns how many of the requests that it may make are left.
func (c *Collector) readHeaders(ctx context.Context, now time.Time, requests int) int {
	for range maxLookWaves {
		looks := c.track.looks(now)
		requests -= c.readRights(ctx, looks, now)
		byLeader := map[int32][]look{}
		for _, l := range looks {
			if _, ok := byLeader[l.part.leader]; l.topic.readable && (ok || len(byLeader) < requests) {
				byLeader[l.part.leader] = append(byLeader[l.part.leader], l)
			}
		}
		if len(byLeader) == 0 || !c.lookAt(ctx, byLeader, now) {
			break
		}
		requests -= len(byLeader)
	}
	denied := false
	for _, t := range c.track.topics {
		denied = denied || t.transacted && !t.rights.IsZero() && !t.readable
	}
	c.denials.set(seesMarkers, denied)
	return requests
}

// readRights asks whether the topics may be read, where that was not asked lately, and returns how many requests that took.
func (c *Collector) readRights(ctx context.Context, looks []look, now time.Time) int {
	var names []string
	for i, l := range looks { // a topic's are neighbours
		if !l.topic.rightsKnown(now) && (i == 0 || looks[i-1].topic != l.topic) {
			names = append(names, l.where.topic)
		}
	}
	if len(names) == 0 {
		return 0
	}
	readable, _ := c.readable(ctx, names) // where that failed: in the next round, perhaps
	for name, may := range readable {
		if topic := c.track.topics[name]; topic != nil {
			topic.rights, topic.readable = now, may
		}
	}
	return 2
}

// readable tells which topics may be read. It takes two requests. A cluster that tells no rights is tried: it will refuse.
func (c *Collector) readable(ctx context.Context, names []string) (map[string]bool, error) {
	topics := make([]kmsg.MetadataRequestTopic, len(names))
	for i := range names {
		topics[i] = kmsg.NewMetadataRequestTopic()
		topics[i].Topic = &names[i]
	}
	answer, err := c.metadata(ctx, topics)
	if err != nil {
		return nil, fmt.Errorf("asking what may be read: %w", err)
	}
	may := make(map[string]bool, len(names))
	for _, t := range answer.Topics {
		if t.Topic != nil {
			may[*t.Topic] = t.AuthorizedOperations == math.MinInt32 || t.AuthorizedOperations&(1<<kmsg.ACLOperationRead) != 0
		}
	}
	return may, nil
}

func (topic *topicTrack) rightsKnown(now time.Time) bool {
	return !topic.rights.IsZero() && now.Sub(topic.rights) < rightsFor
}

// lookAt looks at one place in each partition, all leaders at once; false when one of them did not answer.
func (c *Collector) lookAt(ctx context.Context, byLeader map[int32][]look, now time.Time) bool {
	var mu sync.Mutex
	return c.each(ctx, sortedKeys(byLeader), func(id int32) error {
		answer, err := c.client.Broker(int(id)).RetriableRequest(ctx, headersRequest(byLeader[id]))
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		c.takeHeaders(answer.(*kmsg.FetchResponse), byLeader[id], now)
		return nil
	}, &snapshot{})
}

func headersRequest(looks []look) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = -1, 0, 0, maxLookBytes
	req.IsolationLevel, req.SessionEpoch = 1, -1
	for _, l := range looks { // sorted
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != l.where.topic {
			t := kmsg.NewFetchRequestTopic()
			t.Topic, t.TopicID = l.where.topic, l.topic.id
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = l.where.index, l.offset, lookBytes, -1
		last := &req.Topics[len(req.Topics)-1]
		last.Partitions = append(last.Partitions, p)
	}
	return req
}

// takeHeaders keeps what was seen. A topic that may not be read is not asked for again for a while.
func (c *Collector) takeHeaders(resp *kmsg.FetchResponse, looks []look, now time.Time) {
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			at := slices.IndexFunc(looks, func(l look) bool {
				return l.where.index == p.Partition && (l.where.topic == t.Topic || t.Topic == "" && l.topic.id == t.TopicID)
			})
			switch {
			case at < 0:
			case p.ErrorCode == kerr.TopicAuthorizationFailed.Code:
				looks[at].topic.rights, looks[at].topic.readable = now, false
			case p.ErrorCode == 0:
				looks[at].take(lookAt(p, looks[at].offset))
			}
		}
	}
}

// take keeps what lies at the place.
func (l look) take(f found) {
	l.topic.transacted = l.topic.transacted || f.transacted
	if f.next > l.offset {
		l.part.addBlank(blank{l.offset, f.next})
	}
	if !f.record && f.next > l.offset {
		return // and on from there in the next round
	}
	// What is left out is too large to be a marker.
	k := l.part.learnt()
	if k.records = append(k.records, f.next); len(k.records) > maxRecords {
		k.records = k.records[1:]
	}
	if f.at > 0 && !l.part.compacted {
		k.stamps.add(mark{f.next, f.at, f.at + 1})
	}
}

// looks lists the places to be looked at, in order.
func (t *tracker) looks(now time.Time) []look {
	var out []look
	chosen := map[partition]bool{} // a partition can be asked about in one place at once
	for _, g := range t.groups {
		for where, p := range g.parts.all() {
			l := look{where, t.topics[where.topic], p.part, p.next()}
			if p.fresh && !chosen[where] && len(out) < maxLooks && l.worth(now) {
				chosen[where] = true
				out = append(out, l)
			}
		}
	}
	slices.SortFunc(out, func(a, b look) int { return comparePartitions(a.where, b.where) })
	return out
}

// worth reports whether something is to be learnt from a look. A look at a topic that may hold no transactions counts as made.
func (l look) worth(now time.Time) bool {
	p := l.part
	switch {
	case l.topic == nil || p.leader < 0 || !p.stable || l.offset >= p.lso:
		return false
	case l.topic.rightsKnown(now) && !l.topic.readable:
		return false
	case l.topic.transacted:
		return !slices.Contains(p.known().records, l.offset)
	case !l.topic.looked.IsZero() && now.Sub(l.topic.looked) < lookAgain:
		return false
	}
	l.topic.looked = now
	return true
}
