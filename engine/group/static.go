package group

import "time"

// replaceStatic gives the place of the static member old to a process that joins with the same instance id and no member
// id: a restart, or a second process by mistake. The old one, if it still runs, is fenced.
func (g *Group) replaceStatic(now time.Time, old string, r *JoinRequest) Code {
	if g.state == Empty || g.state == Dead {
		return UnknownMemberID // cannot happen: a static member keeps its group from being empty
	}
	m := g.find(old)
	before := m.view("")
	undo := *m
	undo.join, undo.sync = parked{}, parked{}
	wasLeader := g.leader
	g.answerJoinError(m, FencedInstanceID)
	g.answerSyncError(m, FencedInstanceID)
	g.renameStatic(m, r.NewMemberID)
	m.client, m.host, m.isNew = r.ClientID, r.Host, false
	m.joinedAt, m.gapCount = now, 0
	g.update(now, m, r)
	g.startSession(now, m)
	g.emit(Event{Kind: MemberFenced, At: now, Member: m.view(""), OldMember: before, Reason: FencedInstanceID.String()})
	g.emit(Event{Kind: MemberJoined, At: now, Member: m.view(""), OldMember: before, Reason: r.reason()})

	switch g.state {
	case Stable:
		if g.selectProtocol() == g.protocol {
			// Nothing to assign anew: the replacement takes over what the old one had, once that is stored.
			g.save(pendingSave{kind: saveStatic, generation: g.generation, member: m.id, undo: &undo, leader: wasLeader}, g.Snapshot())
			return None
		}
		g.rebalanceOrComplete(now, cause{
			"Group's selectedProtocol will change because static member " + m.id + " with instance id " + m.instance +
				" joined with change of protocol; client reason: " + r.reason(),
			CauseStaticReplaced, m.key(), r.reason(),
		})
	case CompletingRebalance:
		// The leader may be assigning to the old member id right now.
		g.prepare(now, cause{
			"Updating metadata for static member " + m.id + " with instance id " + m.instance + "; client reason: " + r.reason(),
			CauseStaticReplaced, m.key(), r.reason(),
		})
	case PreparingRebalance:
		g.maybeComplete(now)
	}
	return None
}

func (g *Group) renameStatic(m *member, id string) {
	if g.isLeader(m.id) {
		g.leader = id
	}
	if g.pendingSync[m.id] {
		delete(g.pendingSync, m.id)
		g.pendingSync[id] = true
	}
	m.id = id
	g.static[m.instance] = id
}

// staticSaved answers the JoinGroup of a replacement in a stable group, or takes the replacement back when it could not
// be stored.
func (g *Group) staticSaved(now time.Time, s pendingSave, code Code) {
	m := g.find(s.member)
	if m == nil || !m.join.waiting || g.state != Stable || s.generation != g.generation {
		return // a rebalance took over and will answer
	}
	if code != None {
		g.answerJoinError(m, code)
		id := m.id
		g.renameStatic(m, s.undo.id)
		gaps, count := m.gaps, m.gapCount
		*m = *s.undo
		m.gaps, m.gapCount = gaps, count
		if g.isLeader(id) {
			g.leader = m.id
		}
		g.startSession(now, m)
		return
	}
	reply := g.joined(m)
	if !m.skipAssignment {
		// Naming the old leader keeps the restarted one from assigning: a stable group would not pass it on.
		reply.Leader, reply.Members = s.leader, nil
	}
	reply.SkipAssignment = m.skipAssignment && g.isLeader(m.id)
	g.answerJoin(m, reply)
	g.startSession(now, m)
}
