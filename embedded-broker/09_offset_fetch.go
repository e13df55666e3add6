package broker

// OffsetFetch, key 9, versions 0–10. Deviations: the member id and epoch of v9 are checked in groups of the consumer
// protocol only, as in Kafka.

import (
	"slices"
	"strings"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/group"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func offsetFetchAPI() api { return api{key: 9, min: 0, max: 10, handle: handleOffsetFetch} }

func handleOffsetFetch(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.OffsetFetchRequest)
	resp := kmsg.NewPtrOffsetFetchResponse()
	if req.Version >= 8 {
		for i := range req.Groups {
			group := b.fetchGroupOffsets(&req.Groups[i], req.Version)
			if req.RequireStable {
				b.holdUnstable(&group)
			}
			resp.Groups = append(resp.Groups, group)
		}
		reply(resp)
		return
	}
	asked := kmsg.NewOffsetFetchRequestGroup()
	asked.Group = req.Group
	if req.Topics != nil || req.Version < 2 { // null asks for everything, from v2 on
		asked.Topics = []kmsg.OffsetFetchRequestGroupTopic{}
	}
	for _, t := range req.Topics {
		gt := kmsg.NewOffsetFetchRequestGroupTopic()
		gt.Topic, gt.Partitions = t.Topic, t.Partitions
		asked.Topics = append(asked.Topics, gt)
	}
	group := b.fetchGroupOffsets(&asked, req.Version)
	if req.RequireStable {
		b.holdUnstable(&group)
	}
	for _, t := range group.Topics {
		out := kmsg.NewOffsetFetchResponseTopic()
		out.Topic = t.Topic
		for _, p := range t.Partitions {
			answer := kmsg.NewOffsetFetchResponseTopicPartition()
			answer.Partition, answer.Offset, answer.LeaderEpoch = p.Partition, p.Offset, p.LeaderEpoch
			answer.Metadata, answer.ErrorCode = p.Metadata, p.ErrorCode
			out.Partitions = append(out.Partitions, answer)
		}
		resp.Topics = append(resp.Topics, out)
	}
	reply(resp)
}

// fetchGroupOffsets answers for one group. A group nobody knows has committed nothing: that is no error.
func (b *Broker) fetchGroupOffsets(asked *kmsg.OffsetFetchRequestGroup, version int16) kmsg.OffsetFetchResponseGroup {
	resp := kmsg.NewOffsetFetchResponseGroup()
	resp.Group = asked.Group
	if version >= 9 {
		if code := b.groups.mayFetch(asked); code != group.None {
			resp.ErrorCode = int16(code)
			return resp
		}
	}
	committed := b.engine.CommittedOffsets(asked.Group)
	if asked.Topics == nil {
		resp.Topics = b.everyOffset(committed, version)
		return resp
	}
	for _, t := range asked.Topics {
		out := kmsg.NewOffsetFetchResponseGroupTopic()
		out.Topic, out.TopicID = t.Topic, t.TopicID
		name, code := t.Topic, int16(0)
		if version >= 10 {
			topic, ok := b.engine.TopicByID(t.TopicID)
			if name = topic.Name; !ok {
				code = kerr.UnknownTopicID.Code
			}
		}
		for _, index := range t.Partitions {
			p := offsetAnswer(committed, engine.OffsetKey{Topic: name, Partition: index})
			p.ErrorCode = code
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

// mayFetch asks a group of the consumer protocol whether the client is the member it says it is.
func (s *groups) mayFetch(asked *kmsg.OffsetFetchRequestGroup) (code group.Code) {
	s.actOn(asked.Group, false, func(c *coordinated, _ time.Time) group.Effects {
		if m := c.consumer(); m != nil {
			code = m.Fetch(text(asked.MemberID), asked.MemberEpoch)
		}
		return group.Effects{}
	})
	return code
}

func (b *Broker) everyOffset(committed map[engine.OffsetKey]engine.CommittedOffset, version int16) (topics []kmsg.OffsetFetchResponseGroupTopic) {
	for _, k := range sortedKeys(committed) {
		topic, ok := b.engine.Topic(k.Topic)
		if !ok && version >= 10 {
			continue // a deleted topic has no id to answer with
		}
		if n := len(topics); n == 0 || topics[n-1].Topic != k.Topic {
			out := kmsg.NewOffsetFetchResponseGroupTopic()
			out.Topic, out.TopicID = k.Topic, topic.ID
			topics = append(topics, out)
		}
		last := &topics[len(topics)-1]
		last.Partitions = append(last.Partitions, offsetAnswer(committed, k))
	}
	return topics
}

func sortedKeys(m map[engine.OffsetKey]engine.CommittedOffset) []engine.OffsetKey {
	keys := make([]engine.OffsetKey, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compareOffsetKeys)
	return keys
}

// offsetAnswer is a partition's answer; -1 when nothing is committed for it.
func offsetAnswer(committed map[engine.OffsetKey]engine.CommittedOffset, k engine.OffsetKey) kmsg.OffsetFetchResponseGroupTopicPartition {
	p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = k.Partition, -1, -1, new(string)
	if o, ok := committed[k]; ok {
		p.Offset, p.LeaderEpoch, p.Metadata = o.Offset, o.LeaderEpoch, &o.Metadata
	}
	return p
}

func compareOffsetKeys(a, b engine.OffsetKey) int {
	if c := strings.Compare(a.Topic, b.Topic); c != 0 {
		return c
	}
	return int(a.Partition) - int(b.Partition)
}
