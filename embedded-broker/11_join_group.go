package broker

// JoinGroup, key 11, versions 0–9. Deviations: a group of the consumer protocol becomes a classic one when it is empty, but
// takes no classic members beside its own (Kafka's online migration): INCONSISTENT_GROUP_PROTOCOL.

import (
	"bytes"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/group"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func joinGroupAPI() api { return api{key: 11, min: 0, max: 9, handle: handleJoinGroup} }

func handleJoinGroup(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.JoinGroupRequest)
	s := b.groups
	if s.closed.Load() {
		reply(joinResponse(group.JoinReply{Code: group.NotCoordinator, MemberID: req.MemberID, Generation: -1}, r.version))
		return
	}
	if req.Group == "" {
		reply(joinResponse(group.JoinReply{Code: group.InvalidGroupID, MemberID: req.MemberID, Generation: -1}, r.version))
		return
	}
	join := joinRequest(r, req)
	// A member id for a group that does not exist is from before: the client must start anew.
	found := s.actOn(req.Group, req.MemberID == "", func(c *coordinated, now time.Time) group.Effects {
		c.track.from = r.conn
		join.Token = c.park()
		c.joins[join.Token] = func(jr group.JoinReply) { reply(joinResponse(jr, r.version)) }
		if c.classic() == nil && !s.mayBeClassic(c, &join, now) {
			code := group.InconsistentGroupProtocol
			if join.MemberID != "" {
				code = group.UnknownMemberID
			}
			return group.Effects{Joins: []group.JoinReply{{To: join.Token, Code: code, MemberID: join.MemberID, Generation: -1}}}
		}
		effects := c.classic().Join(now, join)
		id := join.MemberID
		if id == "" {
			id = join.NewMemberID
		}
		c.heard(id)
		return effects
	})
	if !found {
		reply(joinResponse(group.JoinReply{Code: group.UnknownMemberID, MemberID: req.MemberID, Generation: -1}, r.version))
	}
}

// mayBeClassic makes an empty group of the consumer protocol a classic one, for a newcomer. c.mu is held.
func (s *groups) mayBeClassic(c *coordinated, join *group.JoinRequest, now time.Time) bool {
	if !c.machine.Idle() || join.MemberID != "" {
		return false
	}
	s.becomeClassic(c, now)
	return true
}

// joinRequest copies what the group keeps: the request's bytes belong to its frame.
func joinRequest(r *request, req *kmsg.JoinGroupRequest) group.JoinRequest {
	session := time.Duration(req.SessionTimeoutMillis) * time.Millisecond
	rebalance := time.Duration(req.RebalanceTimeoutMillis) * time.Millisecond
	if req.Version < 1 {
		rebalance = session
	}
	join := group.JoinRequest{
		MemberID: req.MemberID, InstanceID: text(req.InstanceID), ClientID: r.clientID, Host: r.conn.host,
		SessionTimeout: session, RebalanceTimeout: rebalance, ProtocolType: req.ProtocolType, Reason: text(req.Reason),
		MemberIDRequired: req.Version >= 4, SkipAssignment: req.Version >= 9,
	}
	prefix := r.clientID
	if join.InstanceID != "" {
		prefix = join.InstanceID
	}
	if join.MemberID == "" {
		join.NewMemberID = newMemberID(prefix)
	}
	for _, p := range req.Protocols {
		join.Protocols = append(join.Protocols, group.Protocol{Name: p.Name, Metadata: bytes.Clone(p.Metadata)})
	}
	return join
}

func joinResponse(r group.JoinReply, version int16) *kmsg.JoinGroupResponse {
	resp := kmsg.NewPtrJoinGroupResponse()
	resp.ErrorCode, resp.Generation, resp.MemberID = int16(r.Code), r.Generation, r.MemberID
	resp.LeaderID, resp.SkipAssignment = r.Leader, r.SkipAssignment
	resp.ProtocolType, resp.Protocol = textOrNil(r.ProtocolType), textOrNil(r.Protocol)
	if resp.Protocol == nil && version < 7 {
		resp.Protocol = new(string) // null only from v7 on
	}
	for _, m := range r.Members {
		out := kmsg.NewJoinGroupResponseMember()
		out.MemberID, out.InstanceID, out.ProtocolMetadata = m.ID, textOrNil(m.InstanceID), m.Metadata
		resp.Members = append(resp.Members, out)
	}
	return resp
}
