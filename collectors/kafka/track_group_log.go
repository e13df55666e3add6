package kafka

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// groupLogTrack is what the group log told of a group.
type groupLogTrack struct {
	members map[string]*loggedMember // by what identifies them; of a KIP-848 group those that joined since it is read
	former  map[string]*loggedMember // before the last rebalance
	whole   bool                     // members are all there are
}

// absorbLogged takes what coordinators wrote of groups. Who came and went before the first round is told from it, with the time
// at which it was written; later changes are told from descriptions, which do not wait for a rebalance to end. It returns what
// is of groups that are not known.
func (t *tracker) absorbLogged(all []logged, r *round) (rest []logged) {
	for i := range all {
		l := &all[i]
		g := t.groups[l.group]
		if g == nil {
			rest = append(rest, *l)
			continue
		}
		if l.at.After(r.at) {
			l.at = r.at // by a clock that is ahead of ours
		}
		switch {
		case l.roster != nil:
			t.absorbRoster(g, l, r)
		case l.joined != nil:
			t.absorbJoined(g, l, r)
		case l.left != "":
			t.absorbLeft(g, l, r)
		default:
			if gp := g.parts.at(l.commit); gp != nil {
				gp.written = momentOf(l.at)
			}
		}
	}
	return rest
}

func (g *groupTrack) logTrack() *groupLogTrack {
	if g.log == nil {
		g.log = &groupLogTrack{members: map[string]*loggedMember{}}
	}
	return g.log
}

// absorbRoster compares a classic group's members after a rebalance with those before it. With the first roster alone nobody
// knows who is new.
func (t *tracker) absorbRoster(g *groupTrack, l *logged, r *round) {
	log := g.logTrack()
	now, names := make(map[string]*loggedMember, len(l.roster)), map[string]int{}
	for i := range l.roster {
		m := &l.roster[i]
		now[identityOf(m.memberState)] = m
		names[memberKey(m.memberState)]++
	}
	if log.whole && l.at.Before(t.started) {
		for _, id := range sortedKeys(log.members) {
			if m := log.members[id]; now[id] == nil {
				t.tellLoggedGone(g, m, l.at, map[string]any{"members": float64(len(now)), "replaced": names[memberKey(m.memberState)] > 0}, r)
			}
		}
		for _, id := range sortedKeys(now) {
			if log.members[id] == nil {
				t.tellLoggedSeen(g, now[id], l.at, map[string]any{"members": float64(len(now))}, r)
			}
		}
	}
	log.former, log.members, log.whole = log.members, now, true
}

func (t *tracker) absorbJoined(g *groupTrack, l *logged, r *round) {
	log, id := g.logTrack(), identityOf(l.joined.memberState)
	if log.members[id] == nil && l.at.Before(t.started) {
		t.tellLoggedSeen(g, l.joined, l.at, map[string]any{}, r)
	}
	log.members[id] = l.joined
}

// absorbLeft forgets a member of a KIP-848 group. Who it was is known when it was seen to join, or is told by its id.
func (t *tracker) absorbLeft(g *groupTrack, l *logged, r *round) {
	log := g.logTrack()
	m := &loggedMember{memberState: memberState{id: l.left}}
	for id, x := range log.members {
		if x.id == l.left {
			m, log.former = x, map[string]*loggedMember{id: x}
			delete(log.members, id)
			break
		}
	}
	if l.at.Before(t.started) && m.client != "" {
		t.tellLoggedGone(g, m, l.at, map[string]any{}, r)
	}
}

func (t *tracker) tellLoggedGone(g *groupTrack, m *loggedMember, at time.Time, attrs map[string]any, r *round) {
	g.lose(at)
	slices.SortFunc(g.losses, time.Time.Compare)
	t.tellLogged(g, m, at, "member_gone", "%s is no longer a member of %s", attrs, r)
}

func (t *tracker) tellLoggedSeen(g *groupTrack, m *loggedMember, at time.Time, attrs map[string]any, r *round) {
	t.tellLogged(g, m, at, "member_seen", "%s is a member of %s", attrs, r)
}

func (t *tracker) tellLogged(g *groupTrack, m *loggedMember, at time.Time, kind, text string, attrs map[string]any, r *round) {
	name := memberKey(m.memberState)
	for k, v := range t.memberAttrs(g, &memberTrack{state: m.memberState, key: name}) {
		attrs[k] = v
	}
	m.timeouts(attrs)
	g.commitAgeOf(m.assigned, at, attrs)
	t.tell(r, at, kind, t.entity(streamkeeper.KindGroup, g.name), fmt.Sprintf(text, name, g.name), attrs)
}

func (m *loggedMember) timeouts(attrs map[string]any) {
	if m.session > 0 {
		attrs["session_timeout_s"] = m.session.Seconds()
	}
	if m.rebalance > 0 {
		attrs["rebalance_timeout_s"] = m.rebalance.Seconds()
	}
}

// commitAgeOf tells how long ago something was last committed on any of a member's partitions.
func (g *groupTrack) commitAgeOf(assigned []partition, at time.Time, attrs map[string]any) {
	var last moment
	for _, where := range assigned {
		if gp := g.parts.at(where); gp != nil {
			last = max(last, gp.written)
		}
	}
	if !last.IsZero() && !last.time().After(at) {
		attrs["commit_age_s"] = at.Sub(last.time()).Seconds()
	}
}

// explainLoss adds what the group log tells of a member that is gone.
func (t *tracker) explainLoss(g *groupTrack, id string, m *memberTrack, at time.Time, attrs map[string]any) {
	if g.log == nil || !t.loggedAll {
		return
	}
	if logged := cmp.Or(g.log.members[id], g.log.former[id]); logged != nil {
		logged.timeouts(attrs)
	}
	g.commitAgeOf(m.state.assigned, at, attrs)
}

// timeouts are the longest session and rebalance timeouts of the present members; 0 where one of them is not known.
func (g *groupTrack) timeouts() (session, rebalance time.Duration) {
	if g.log == nil || len(g.members) == 0 {
		return 0, 0
	}
	sessions, rebalances := true, true
	for id := range g.members {
		m := g.log.members[id]
		if m == nil {
			return 0, 0
		}
		session, sessions = max(session, m.session), sessions && m.session > 0
		rebalance, rebalances = max(rebalance, m.rebalance), rebalances && m.rebalance > 0
	}
	if !sessions {
		session = 0
	}
	if !rebalances {
		rebalance = 0
	}
	return session, rebalance
}
