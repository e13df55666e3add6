package broker

// DescribeGroups, key 15, versions 0–6. Deviations: authorized operations are never told, because nothing is authorized.

import (
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/group"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func describeGroupsAPI() api { return api{key: 15, min: 0, max: 6, handle: handleDescribeGroups} }

func handleDescribeGroups(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.DescribeGroupsRequest)
	resp := kmsg.NewPtrDescribeGroupsResponse()
	for _, name := range req.Groups {
		out := kmsg.NewDescribeGroupsResponseGroup()
		out.Group = name
		missing := "Group " + name + " not found."
		b.groups.actOn(name, false, func(c *coordinated, _ time.Time) group.Effects {
			if m := c.classic(); m != nil {
				missing = ""
				describe(&out, m)
			} else {
				missing = "Group " + name + " is not a classic group."
			}
			return group.Effects{}
		})
		if missing != "" {
			out.State = string(group.Dead) // until v5 that is all a client learns
			if req.Version >= 6 {
				out.ErrorCode = int16(group.GroupIDNotFound)
				out.ErrorMessage = textOrNil(missing)
			}
		}
		resp.Groups = append(resp.Groups, out)
	}
	reply(resp)
}

// describe tells metadata and assignments of a stable group only: in a rebalance they are of no generation.
func describe(out *kmsg.DescribeGroupsResponseGroup, m *group.Group) {
	out.State, out.ProtocolType = string(m.State()), m.ProtocolType()
	stable := m.State() == group.Stable
	if stable {
		out.Protocol = m.Protocol()
	}
	for _, v := range m.Members() {
		member := kmsg.NewDescribeGroupsResponseGroupMember()
		member.MemberID, member.InstanceID = v.ID, textOrNil(v.InstanceID)
		member.ClientID, member.ClientHost = v.ClientID, "/"+v.Host // as Java prints an address
		member.ProtocolMetadata, member.MemberAssignment = []byte{}, []byte{}
		if stable {
			member.ProtocolMetadata = append(member.ProtocolMetadata, v.Metadata...)
			member.MemberAssignment = append(member.MemberAssignment, v.Assignment...)
		}
		out.Members = append(out.Members, member)
	}
}
