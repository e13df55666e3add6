package group

import (
	"slices"
	"time"
)

// leaveBeat handles a heartbeat that says good-bye. A static member may say that it will be back: it keeps its partitions
// until its session ends.
func (g *Consumer) leaveBeat(now time.Time, r *HeartbeatRequest) (HeartbeatReply, *refusal) {
	m := g.byID[r.MemberID]
	if r.InstanceID != "" {
		m = g.byID[g.static[r.InstanceID]]
	}
	switch {
	case m == nil:
		return HeartbeatReply{}, refuse(UnknownMemberID, "Member %s is not a member of group %s.", r.MemberID, g.name)
	case m.id != r.MemberID:
		return HeartbeatReply{}, refuse(FencedInstanceID, "Static member %s with instance id %s was fenced by member %s.", r.MemberID, r.InstanceID, m.id)
	case r.Epoch == epochAway && m.instance != "":
		m.beat(now, false)
		m.moveTo(epochAway)
		g.hold(m, m.assigned, Partitions{})
		m.state, m.revokeBy = settled, time.Time{}
		g.expireAt(m, now.Add(g.options.SessionTimeout))
	default:
		g.remove(now, m, Event{Kind: MemberLeft, Reason: ReasonNotProvided},
			cause{"Member " + m.id + " left the group.", CauseMemberLeft, m.key(), ReasonNotProvided})
	}
	return HeartbeatReply{MemberID: r.MemberID, Epoch: r.Epoch}, nil
}

// Leave handles a LeaveGroup, by which operators' tools remove static members; members of this protocol leave by a
// heartbeat.
func (g *Consumer) Leave(now time.Time, leavers []Leaving) ([]Code, Effects) {
	codes := make([]Code, len(leavers))
	for i, l := range leavers {
		m := g.byID[g.static[l.InstanceID]]
		if g.dead || m == nil || l.InstanceID == "" || l.MemberID != "" && l.MemberID != m.id {
			codes[i] = UnknownMemberID
			continue
		}
		reason := l.Reason
		if reason == "" {
			reason = ReasonNotProvided
		}
		g.remove(now, m, Event{Kind: MemberLeft, Reason: reason, Admin: true},
			cause{"An operator removed member " + m.id + ".", CauseMemberLeft, m.key(), reason})
	}
	g.finish(now, nil)
	return codes, g.take()
}

// remove ends a membership; e says how.
func (g *Consumer) remove(now time.Time, m *consumerMember, e Event, why cause) {
	e.At, e.Member = now, g.view(m)
	g.drop(m)
	g.resolve() // here, so that what nobody subscribes to any more is no second change
	g.emit(e)
	g.bump(now, why)
}

// Expire runs the timers that are due: sessions, and members that do not give up what they were told to.
func (g *Consumer) Expire(now time.Time) Effects {
	if g.dead || g.next.IsZero() || g.next.After(now) {
		return g.take()
	}
	for _, m := range slices.Clone(g.members) {
		switch {
		case due(m.expires, now):
			g.remove(now, m, Event{Kind: MemberExpired, Reason: ReasonSession},
				cause{"Member " + m.id + " fenced from the group because its session expired.", CauseMemberExpired, m.key(), ""})
		case due(m.revokeBy, now):
			g.remove(now, m, Event{Kind: MemberExpired, Reason: ReasonRebalance},
				cause{"Member " + m.id + " fenced from the group because it failed to transition in time.", CauseMemberExpired, m.key(), ""})
		}
	}
	g.next = time.Time{}
	for _, m := range g.members {
		g.schedule(m.expires)
		if !m.revokeBy.IsZero() {
			g.schedule(m.revokeBy)
		}
	}
	g.finish(now, nil)
	return g.take()
}

// Deadline is when to call Expire; ok is false when nothing is scheduled. It may be too early, never too late.
func (g *Consumer) Deadline() (t time.Time, ok bool) { return g.next, !g.next.IsZero() }

func (g *Consumer) expireAt(m *consumerMember, at time.Time) {
	m.expires = at
	g.schedule(at)
}

func (g *Consumer) schedule(at time.Time) {
	if g.next.IsZero() || at.Before(g.next) {
		g.next = at
	}
}

// Commit checks an OffsetCommit of a member, or of an operator's tool while the group is empty (epoch -1). It is accepted at
// the member's epoch, and at an earlier one as long as every partition was the member's already then (KIP-1251): a commit
// that crosses an answer with a new epoch does no harm.
func (g *Consumer) Commit(id, instance string, epoch int32, partitions func() Partitions) Code {
	if g.dead {
		return CoordinatorNotAvailable
	}
	if epoch < 0 && len(g.members) == 0 {
		return None
	}
	m, code := g.speaker(id, instance)
	switch {
	case code != None:
		return code
	case epoch == m.epoch:
		return None
	case epoch > m.epoch || epoch < 0:
		return StaleMemberEpoch
	}
	for tp, number := range partitions().Each() {
		if since, ok := m.since[placed{tp, number}]; !ok || since > epoch {
			return StaleMemberEpoch
		}
	}
	return None
}

// Fetch checks an OffsetFetch. Without a member id and epoch it is an operator's.
func (g *Consumer) Fetch(id string, epoch int32) Code {
	if id == "" && epoch < 0 {
		return None
	}
	m, code := g.speaker(id, "")
	if code == None && epoch != m.epoch {
		return StaleMemberEpoch
	}
	return code
}

func (g *Consumer) speaker(id, instance string) (*consumerMember, Code) {
	if owner, ok := g.static[instance]; ok && instance != "" && owner != id {
		return nil, FencedInstanceID
	}
	m := g.byID[id]
	if m == nil {
		return nil, UnknownMemberID
	}
	return m, None
}

// Deletable says whether the group may be deleted with its offsets.
func (g *Consumer) Deletable() Code {
	switch {
	case g.dead:
		return GroupIDNotFound
	case len(g.members) > 0:
		return NonEmptyGroup
	case len(g.saves) > 0:
		return CoordinatorNotAvailable // who deletes now would not see what is being stored
	}
	return None
}

// OffsetsDeletable says whether OffsetDelete is possible at all; then ask OffsetDeletable for each topic.
func (g *Consumer) OffsetsDeletable() Code {
	if g.dead {
		return GroupIDNotFound
	}
	return None
}

// OffsetDeletable refuses to delete offsets under a member that reads the topic.
func (g *Consumer) OffsetDeletable(topic string) Code {
	if _, ok := g.resolved[topic]; ok && len(g.members) > 0 {
		return GroupSubscribedToTopic
	}
	return None
}
