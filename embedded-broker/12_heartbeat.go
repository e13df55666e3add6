package broker

// Heartbeat, key 12, versions 0–4. Deviations: none.

import (
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/group"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func heartbeatAPI() api { return api{key: keyHeartbeat, min: 0, max: 4, handle: handleHeartbeat} }

func handleHeartbeat(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.HeartbeatRequest)
	resp := kmsg.NewPtrHeartbeatResponse()
	code := group.UnknownMemberID // what a group that is gone answers
	if req.Group == "" {
		code = group.InvalidGroupID
	}
	b.groups.actOn(req.Group, false, func(c *coordinated, now time.Time) (effects group.Effects) {
		c.track.from = r.conn
		m := c.classic()
		if m == nil {
			return effects // of another protocol: whoever this is, it is no member
		}
		code, effects = m.Heartbeat(now, req.MemberID, text(req.InstanceID), req.Generation)
		c.track.answered(code)
		if code == group.None || code == group.RebalanceInProgress {
			c.heard(req.MemberID)
		}
		return effects
	})
	resp.ErrorCode = int16(code)
	reply(resp)
}
