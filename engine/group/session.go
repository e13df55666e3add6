package group

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Heartbeat handles a Heartbeat request and returns its answer.
func (g *Group) Heartbeat(now time.Time, id, instance string, generation int32) (Code, Effects) {
	return g.heartbeat(now, id, instance, generation), g.take()
}

func (g *Group) heartbeat(now time.Time, id, instance string, generation int32) Code {
	if g.state == Dead {
		return CoordinatorNotAvailable
	}
	if code := g.validate(id, instance); code != None {
		return code
	}
	if generation != g.generation {
		return IllegalGeneration
	}
	m := g.find(id)
	switch g.state {
	case PreparingRebalance:
		m.beat(now, true)
		g.startSession(now, m)
		return RebalanceInProgress
	case CompletingRebalance, Stable:
		m.beat(now, true)
		g.startSession(now, m)
		return None
	default:
		return UnknownMemberID
	}
}

// startSession gives m a full session timeout from now.
func (g *Group) startSession(now time.Time, m *member) {
	if m.isNew {
		return // its first JoinGroup runs under NewMemberJoinTimeout
	}
	g.expireAt(m, now.Add(m.session))
}

func (g *Group) expireAt(m *member, at time.Time) {
	m.expires = at
	g.schedule(at)
}

// schedule notes that something may be due at t.
func (g *Group) schedule(t time.Time) {
	if g.next.IsZero() || t.Before(g.next) {
		g.next = t
	}
}

// Deadline is when to call Expire; ok is false when nothing is scheduled. It may be earlier than necessary (a heartbeat
// does not move it), never later.
func (g *Group) Deadline() (t time.Time, ok bool) { return g.next, !g.next.IsZero() }

// Expire runs the timers that are due at now: sessions, announced member ids, the join phase and the sync phase.
func (g *Group) Expire(now time.Time) Effects {
	for !g.next.IsZero() && !g.next.After(now) && g.state != Dead {
		g.expirePending(now)
		g.expireSessions(now)
		if due(g.joinTimer.at, now) {
			g.joinTimer = timer{}
			g.joinTimeout(now)
		}
		if due(g.syncTimer.at, now) {
			g.syncTimer = timer{}
			g.expireSync(now)
		}
		g.reschedule()
	}
	return g.take()
}

func due(at, now time.Time) bool { return !at.IsZero() && !at.After(now) }

// reschedule finds the next deadline anew.
func (g *Group) reschedule() {
	g.next = time.Time{}
	for _, at := range g.pending {
		g.schedule(at)
	}
	for _, m := range g.members {
		if !m.expires.IsZero() {
			g.schedule(m.expires)
		}
	}
	for _, t := range []timer{g.joinTimer, g.syncTimer} {
		if !t.at.IsZero() {
			g.schedule(t.at)
		}
	}
}

func (g *Group) expirePending(now time.Time) {
	gone := false
	for id, at := range g.pending {
		if due(at, now) {
			delete(g.pending, id)
			gone = true
		}
	}
	if gone {
		g.maybeComplete(now)
	}
}

func (g *Group) expireSessions(now time.Time) {
	for _, m := range slices.Clone(g.members) {
		if !due(m.expires, now) || g.find(m.id) != m {
			continue
		}
		if !m.isNew && (m.join.waiting || m.sync.waiting) {
			m.expires = time.Time{} // who waits for us is alive; the answer starts a new session
			continue
		}
		reason := ReasonSession
		if m.isNew {
			reason = ReasonJoinTimeout
		}
		g.drop(m.id)
		g.emit(Event{Kind: MemberExpired, At: now, Member: m.view(""), Reason: reason})
		g.rebalanceOrComplete(now, cause{
			"removing member " + m.id + " on heartbeat expiration.", CauseMemberExpired, m.key(), "",
		})
	}
}

// expireSync removes those who joined this generation and never asked for their assignment.
func (g *Group) expireSync(now time.Time) {
	if g.state != CompletingRebalance && g.state != Stable || len(g.pendingSync) == 0 {
		return
	}
	var ids []string
	trigger := ""
	for _, m := range slices.Clone(g.members) {
		if !g.pendingSync[m.id] {
			continue
		}
		ids = append(ids, m.id)
		if trigger == "" {
			trigger = m.key()
		}
		g.drop(m.id)
		g.emit(Event{Kind: MemberExpired, At: now, Member: m.view(""), Reason: ReasonRebalance})
	}
	g.prepare(now, cause{
		fmt.Sprintf("Removing [%s] on pending sync request expiration", strings.Join(ids, ", ")), CauseSyncExpired, trigger, "",
	})
}
