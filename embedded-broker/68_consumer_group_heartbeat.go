package broker

// ConsumerGroupHeartbeat, key 68, versions 0–1 (KIP-848). Deviations: a classic group becomes one of the consumer protocol
// when it is empty, but takes no members of the consumer protocol beside classic ones (Kafka's online migration):
// GROUP_ID_NOT_FOUND with a message. Racks do not matter: all partitions lie on this broker. Member, instance and rack
// ids have at most 4096 bytes.

import (
	"strings"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/group"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const maxMemberText = 4096 // bytes of a member, instance or rack id

func consumerGroupHeartbeatAPI() api {
	return api{key: keyConsumerGroupHeartbeat, min: 0, max: 1, handle: handleConsumerGroupHeartbeat}
}

func handleConsumerGroupHeartbeat(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.ConsumerGroupHeartbeatRequest)
	s := b.groups
	refuse := func(code group.Code, message string) {
		reply(heartbeatResponse(group.HeartbeatReply{Code: code, Message: message, MemberID: req.MemberID, Epoch: req.MemberEpoch}))
	}
	switch {
	case s.closed.Load():
		refuse(group.NotCoordinator, "the broker is stopping")
		return
	case req.Group == "":
		refuse(group.InvalidRequest, "GroupId can't be empty.")
		return
	case max(len(req.MemberID), len(text(req.InstanceID)), len(text(req.RackID))) > maxMemberText:
		refuse(group.InvalidRequest, "MemberId, InstanceId and RackId have at most 4096 bytes.")
		return
	}
	beat := heartbeatRequest(r, req)
	found := s.actOn(req.Group, req.MemberEpoch == 0, func(c *coordinated, now time.Time) group.Effects {
		c.track.from = r.conn
		beat.Token = c.park()
		c.beats[beat.Token] = func(hr group.HeartbeatReply) { reply(heartbeatResponse(hr)) }
		if code, message := s.mayBeConsumer(c, req.MemberEpoch, now); code != group.None {
			return group.Effects{Beats: []group.HeartbeatReply{{To: beat.Token, Code: code, Message: message}}}
		}
		m, options := c.consumer(), s.consumerOptions(c.name)
		m.Configure(options.SessionTimeout, options.HeartbeatInterval)
		beat.Topics = s.topics()
		effects := m.Heartbeat(now, beat)
		id := beat.MemberID
		if id == "" {
			id = beat.NewMemberID
		}
		if beat.Epoch >= 0 {
			c.heard(id)
		}
		s.unreleased(c, now, beat, effects)
		return effects
	})
	if !found {
		refuse(group.UnknownMemberID, "Group "+req.Group+" not found.")
	}
}

// mayBeConsumer makes an empty classic group one of the consumer protocol, for a newcomer, or says why not. c.mu is held.
func (s *groups) mayBeConsumer(c *coordinated, epoch int32, now time.Time) (group.Code, string) {
	switch {
	case c.consumer() != nil:
		return group.None, ""
	case epoch != 0:
		return group.UnknownMemberID, "Group " + c.name + " is not a consumer group."
	case c.machine.Idle():
		s.becomeConsumer(c, now)
		return group.None, ""
	case c.machine.Size() == 0: // a member was announced, or the last one's leaving is not stored yet
		return group.CoordinatorNotAvailable, "Group " + c.name + " is changing: try again."
	}
	return group.GroupIDNotFound, "Group " + c.name + " is not a consumer group: it has members of the classic protocol. " +
		"Stop them all, or set group.protocol=classic here."
}

// heartbeatRequest copies what the group keeps: the request's bytes belong to its frame.
func heartbeatRequest(r *request, req *kmsg.ConsumerGroupHeartbeatRequest) group.HeartbeatRequest {
	beat := group.HeartbeatRequest{
		MemberID: req.MemberID, Epoch: req.MemberEpoch, InstanceID: text(req.InstanceID), Rack: text(req.RackID),
		ClientID: r.clientID, Host: r.conn.host, RebalanceTimeout: -1,
		Names: req.SubscribedTopicNames, Regex: req.SubscribedTopicRegex, Assignor: req.ServerAssignor,
	}
	if req.Version == 0 && req.MemberID == "" {
		beat.NewMemberID = strings.TrimPrefix(newMemberID(""), "-")
	}
	if req.RebalanceTimeoutMillis >= 0 {
		beat.RebalanceTimeout = time.Duration(req.RebalanceTimeoutMillis) * time.Millisecond
	}
	if req.Topics != nil {
		beat.Owned = group.PartitionsOf(func(yield func(group.TopicID, []int32) bool) {
			for _, t := range req.Topics {
				if !yield(t.TopicID, t.Partitions) {
					return
				}
			}
		})
	}
	return beat
}

func heartbeatResponse(r group.HeartbeatReply) *kmsg.ConsumerGroupHeartbeatResponse {
	resp := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	resp.ErrorCode, resp.ErrorMessage = int16(r.Code), textOrNil(r.Message)
	if r.Code != group.None {
		return resp
	}
	resp.MemberID, resp.MemberEpoch = textOrNil(r.MemberID), r.Epoch
	resp.HeartbeatIntervalMillis = int32(r.Interval / time.Millisecond)
	if r.Assignment == nil {
		return resp
	}
	assigned := kmsg.NewConsumerGroupHeartbeatResponseAssignment()
	assigned.Topics = []kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic{}
	for id, numbers := range r.Assignment.ByTopic() {
		t := kmsg.NewConsumerGroupHeartbeatResponseAssignmentTopic()
		t.TopicID, t.Partitions = id, numbers
		assigned.Topics = append(assigned.Topics, t)
	}
	resp.Assignment = &assigned
	return resp
}
