package broker

// SyncGroup, key 14, versions 0–5. Deviations: none.

import (
	"bytes"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/group"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func syncGroupAPI() api { return api{key: 14, min: 0, max: 5, handle: handleSyncGroup} }

func handleSyncGroup(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.SyncGroupRequest)
	s := b.groups
	refused := group.None
	switch {
	case req.Group == "":
		refused = group.InvalidGroupID
	case s.closed.Load():
		refused = group.NotCoordinator
	}
	if refused != group.None {
		reply(syncResponse(group.SyncReply{Code: refused}))
		return
	}
	sync := group.SyncRequest{
		MemberID: req.MemberID, InstanceID: text(req.InstanceID), Generation: req.Generation,
		ProtocolType: text(req.ProtocolType), Protocol: text(req.Protocol),
		Assignments: make(map[string][]byte, len(req.GroupAssignment)),
	}
	for _, a := range req.GroupAssignment {
		sync.Assignments[a.MemberID] = bytes.Clone(a.MemberAssignment) // the group keeps it, the frame goes
	}
	found := s.actOn(req.Group, false, func(c *coordinated, now time.Time) group.Effects {
		c.track.from = r.conn
		sync.Token = c.park()
		c.syncs[sync.Token] = func(sr group.SyncReply) { reply(syncResponse(sr)) }
		m := c.classic()
		if m == nil { // of another protocol: whoever this is, it is no member
			return group.Effects{Syncs: []group.SyncReply{{To: sync.Token, Code: group.UnknownMemberID}}}
		}
		effects := m.Sync(now, sync)
		if !refusesSync(effects, sync.Token) {
			c.heard(req.MemberID)
		}
		return effects
	})
	if !found {
		reply(syncResponse(group.SyncReply{Code: group.UnknownMemberID}))
	}
}

// refusesSync says that the request was answered with an error at once.
func refusesSync(e group.Effects, t group.Token) bool {
	for _, r := range e.Syncs {
		if r.To == t {
			return r.Code != group.None
		}
	}
	return false
}

func syncResponse(r group.SyncReply) *kmsg.SyncGroupResponse {
	resp := kmsg.NewPtrSyncGroupResponse()
	resp.ErrorCode = int16(r.Code)
	resp.ProtocolType, resp.Protocol = textOrNil(r.ProtocolType), textOrNil(r.Protocol)
	resp.MemberAssignment = r.Assignment
	if resp.MemberAssignment == nil {
		resp.MemberAssignment = []byte{}
	}
	return resp
}
