package broker

// LeaveGroup, key 13, versions 0–5. Deviations: none.

import (
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/group"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func leaveGroupAPI() api { return api{key: 13, min: 0, max: 5, handle: handleLeaveGroup} }

func handleLeaveGroup(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.LeaveGroupRequest)
	leavers := leaving(req)
	codes := make([]group.Code, len(leavers))
	found := b.groups.actOn(req.Group, false, func(c *coordinated, now time.Time) (effects group.Effects) {
		c.track.from = r.conn
		codes, effects = c.machine.Leave(now, leavers)
		for _, code := range codes {
			c.track.answered(code)
		}
		return effects
	})
	resp := kmsg.NewPtrLeaveGroupResponse()
	if !found {
		for i := range codes {
			codes[i] = group.UnknownMemberID
		}
		if req.Group == "" {
			resp.ErrorCode = int16(group.InvalidGroupID)
		}
	}
	if req.Version < 3 {
		resp.ErrorCode = max(resp.ErrorCode, int16(codes[0]))
		reply(resp)
		return
	}
	for i, l := range req.Members {
		out := kmsg.NewLeaveGroupResponseMember()
		out.MemberID, out.InstanceID, out.ErrorCode = l.MemberID, l.InstanceID, int16(codes[i])
		resp.Members = append(resp.Members, out)
	}
	reply(resp)
}

func leaving(req *kmsg.LeaveGroupRequest) []group.Leaving {
	if req.Version < 3 {
		return []group.Leaving{{MemberID: req.MemberID}}
	}
	all := make([]group.Leaving, len(req.Members))
	for i, m := range req.Members {
		all[i] = group.Leaving{MemberID: m.MemberID, InstanceID: text(m.InstanceID), Reason: text(m.Reason)}
	}
	return all
}
