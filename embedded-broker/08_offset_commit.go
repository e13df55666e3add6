package broker

// OffsetCommit, key 8, versions 0–10. Deviations: commit timestamps (v1) and retention times (v2–4) are ignored; offsets
// do not expire.

import (
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/group"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const maxOffsetMetadata = 4096 // Kafka's offset.metadata.max.bytes

func offsetCommitAPI() api {
	return api{key: keyOffsetCommit, min: 0, max: 10, handle: handleOffsetCommit}
}

func handleOffsetCommit(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.OffsetCommitRequest)
	s := b.groups
	by, code := s.mayCommit(r, req)
	if code != group.None {
		reply(commitResponse(req, int16(code)))
		return
	}
	resp, offsets := b.resolveCommit(req)
	if len(offsets) == 0 {
		reply(resp)
		return
	}
	s.engine.CommitOffsets(req.Group, offsets, func(err error) {
		code := storeCode(err)
		by.committed(s.now(), code)
		if code != group.None {
			reply(commitResponse(req, int16(code)))
			return
		}
		reply(resp)
	})
}

// committer is who commits: for counting the outcome without the group's lock, which the engine's goroutine must not wait
// for.
type committer struct {
	stats  *commitStats
	member *memberTrack // nil for a simple client
}

func (c committer) committed(now time.Time, code group.Code) {
	c.stats.add(now, code)
	if c.member != nil && code == group.None {
		c.member.mu.Lock()
		c.member.lastCommit = now
		c.member.mu.Unlock()
	}
}

// mayCommit asks the group whether the client may commit, and tells of a refusal.
func (s *groups) mayCommit(r *request, req *kmsg.OffsetCommitRequest) (by committer, code group.Code) {
	if req.Group == "" {
		return by, group.InvalidGroupID
	}
	generation := req.Generation
	if req.Version == 0 {
		generation = -1 // it has none
	}
	found := s.actOn(req.Group, group.CommitUnknown(generation) == group.None, func(c *coordinated, now time.Time) group.Effects {
		code = c.commit(now, req.MemberID, text(req.InstanceID), generation, req.Version, func() group.Partitions { return s.committing(req) })
		by = committer{c.track.commits, c.track.members[req.MemberID]}
		if code != group.None {
			s.rejected(c, now, req.MemberID, r.clientID, r.conn.host, code)
		}
		return group.Effects{}
	})
	if !found {
		return by, group.CommitUnknown(generation)
	}
	return by, code
}

// consumerCommits is the first version of OffsetCommit that speaks of member epochs.
const consumerCommits = 9

// commit asks the group's machine whether a client may commit. partitions is what it commits, asked for only when its epoch
// is behind. c.mu is held.
func (c *coordinated) commit(now time.Time, id, instance string, generation int32, version int16, partitions func() group.Partitions) group.Code {
	if m := c.classic(); m != nil {
		return m.Commit(now, id, instance, generation)
	}
	code := c.consumer().Commit(id, instance, generation, partitions)
	if (code == group.None || code == group.StaleMemberEpoch) && generation >= 0 && version < consumerCommits {
		return group.UnsupportedVersion // a member that cannot know that it is stale
	}
	return code
}

// committing are the partitions a commit names, as far as their topics exist.
func (s *groups) committing(req *kmsg.OffsetCommitRequest) group.Partitions {
	view := s.engine.TopicView()
	return group.PartitionsOf(func(yield func(group.TopicID, []int32) bool) {
		for i := range req.Topics {
			t := &req.Topics[i]
			id := group.TopicID(t.TopicID)
			if req.Version < 10 {
				topic, _ := view.ByName(t.Topic)
				id = group.TopicID(topic.ID)
			}
			numbers := make([]int32, len(t.Partitions))
			for j := range t.Partitions {
				numbers[j] = t.Partitions[j].Partition
			}
			if id != (group.TopicID{}) && !yield(id, numbers) {
				return
			}
		}
	})
}

// resolveCommit splits a commit into the offsets to store and the answer, with errors for what cannot be stored.
func (b *Broker) resolveCommit(req *kmsg.OffsetCommitRequest) (*kmsg.OffsetCommitResponse, map[engine.OffsetKey]engine.CommittedOffset) {
	resp := commitResponse(req, 0)
	offsets := map[engine.OffsetKey]engine.CommittedOffset{}
	now := b.now()
	for i := range req.Topics {
		t, out := &req.Topics[i], &resp.Topics[i]
		topic, ok := b.engine.Topic(t.Topic)
		missing := kerr.UnknownTopicOrPartition.Code
		if req.Version >= 10 {
			topic, ok = b.engine.TopicByID(t.TopicID)
			missing = kerr.UnknownTopicID.Code
		}
		for j := range t.Partitions {
			p := &t.Partitions[j]
			switch {
			case !ok:
				out.Partitions[j].ErrorCode = missing
			case p.Partition < 0 || p.Partition >= topic.Partitions:
				out.Partitions[j].ErrorCode = kerr.UnknownTopicOrPartition.Code
			case len(text(p.Metadata)) > maxOffsetMetadata:
				out.Partitions[j].ErrorCode = kerr.OffsetMetadataTooLarge.Code
			default:
				epoch := p.LeaderEpoch
				if req.Version < 6 {
					epoch = -1
				}
				offsets[engine.OffsetKey{Topic: topic.Name, Partition: p.Partition}] = engine.CommittedOffset{
					Offset: p.Offset, LeaderEpoch: epoch, Metadata: text(p.Metadata), CommittedAt: now,
				}
			}
		}
	}
	return resp, offsets
}

// commitResponse answers every partition with one code.
func commitResponse(req *kmsg.OffsetCommitRequest, code int16) *kmsg.OffsetCommitResponse {
	resp := kmsg.NewPtrOffsetCommitResponse()
	resp.Topics = make([]kmsg.OffsetCommitResponseTopic, len(req.Topics))
	for i, t := range req.Topics {
		out := kmsg.NewOffsetCommitResponseTopic()
		out.Topic, out.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			answer := kmsg.NewOffsetCommitResponseTopicPartition()
			answer.Partition, answer.ErrorCode = p.Partition, code
			out.Partitions = append(out.Partitions, answer)
		}
		resp.Topics[i] = out
	}
	return resp
}
