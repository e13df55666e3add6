package broker

// ListGroups, key 16, versions 0–5. Deviations: none; groups that only have offsets are listed as empty.

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func listGroupsAPI() api { return api{key: 16, min: 0, max: 5, handle: handleListGroups} }

func handleListGroups(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.ListGroupsRequest)
	resp := kmsg.NewPtrListGroupsResponse()
	resp.Groups = []kmsg.ListGroupsResponseGroup{}
	for _, c := range b.groups.all() {
		c.mu.Lock()
		out := kmsg.NewListGroupsResponseGroup()
		out.Group, out.ProtocolType = c.name, c.machine.ProtocolType()
		out.GroupState, out.GroupType = string(c.machine.State()), c.kind()
		listed := !c.gone && (!c.machine.Idle() || c.machine.Generation() > 0 || len(b.engine.CommittedOffsets(c.name)) > 0)
		c.mu.Unlock()
		if listed && passes(req.StatesFilter, out.GroupState) && passes(req.TypesFilter, out.GroupType) {
			resp.Groups = append(resp.Groups, out)
		}
	}
	slices.SortFunc(resp.Groups, func(a, b kmsg.ListGroupsResponseGroup) int { return strings.Compare(a.Group, b.Group) })
	reply(resp)
}

// passes says whether a value is among those asked for; none asked for means all.
func passes(filter []string, value string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, value) })
}
