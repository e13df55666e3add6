package group

import (
	"slices"
	"strings"
	"time"
)

// Leaving is one member of a LeaveGroup.
type Leaving struct {
	MemberID   string // "" when an operator removes a static member by its instance id
	InstanceID string
	Reason     string
}

// Leave handles a LeaveGroup and returns a code for each of leavers, in their order.
func (g *Group) Leave(now time.Time, leavers []Leaving) ([]Code, Effects) {
	codes := make([]Code, len(leavers))
	var left []string
	var first cause
	pendingLeft := false
	for i, l := range leavers {
		if _, ok := g.pending[l.MemberID]; ok && g.state != Dead {
			delete(g.pending, l.MemberID)
			pendingLeft = true
			continue
		}
		id, code := g.leaver(l)
		codes[i] = code
		if code != None {
			continue
		}
		reason := l.Reason
		if reason == "" {
			reason = ReasonNotProvided
		}
		m := g.find(id)
		if len(left) == 0 {
			first = cause{kind: CauseMemberLeft, trigger: m.key(), client: reason}
		}
		left = append(left, id)
		g.drop(id)
		g.emit(Event{Kind: MemberLeft, At: now, Member: m.view(""), Reason: reason, Admin: l.MemberID == ""})
	}
	switch {
	case len(left) > 0:
		first.reason = "explicit `LeaveGroup` request for (" + strings.Join(left, ",") + ") members."
		g.rebalanceOrComplete(now, first)
	case pendingLeft:
		g.maybeComplete(now)
	}
	return codes, g.take()
}

func (g *Group) leaver(l Leaving) (id string, code Code) {
	switch {
	case g.state == Dead:
		return "", CoordinatorNotAvailable
	case l.MemberID != "":
		return l.MemberID, g.validate(l.MemberID, l.InstanceID)
	}
	id, ok := g.static[l.InstanceID]
	if l.InstanceID == "" || !ok {
		return "", UnknownMemberID
	}
	return id, None
}

// drop removes a member or a member id that was only handed out. What it waits for is answered UNKNOWN_MEMBER_ID, so that
// a client that still listens comes again.
func (g *Group) drop(id string) {
	delete(g.pending, id)
	delete(g.pendingSync, id)
	if len(g.pendingSync) == 0 {
		g.syncTimer = timer{}
	}
	i := slices.IndexFunc(g.members, func(m *member) bool { return m.id == id })
	if i < 0 {
		return
	}
	m := g.members[i]
	g.answerJoinError(m, UnknownMemberID)
	g.answerSyncError(m, UnknownMemberID)
	g.members = slices.Delete(g.members, i, i+1)
	if m.instance != "" && g.static[m.instance] == id {
		delete(g.static, m.instance)
	}
	if g.isLeader(id) {
		g.leader = ""
		if len(g.members) > 0 {
			g.leader = g.members[0].id
		}
	}
}
