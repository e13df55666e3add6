package kafka

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// groupLogTrack is what the group log told of a group.
type groupLogTrack struct {
	members   map[string]*loggedMember // by what identifies them; of a KIP-848 group those that joined since it is read
	former    map[string]*loggedMember // before the last rebalance
	whole     bool                     // members are all there are
	epoch     int32                    // of a classic group its generation; 0 while not read
	unsettled []loggedChange           // descriptions may yet tell of them, in order
}

// loggedChange is a member that came, or one that is gone, as the group log has it.
type loggedChange struct {
	gone   bool
	member *loggedMember
	at     time.Time
	read   time.Time // the round in which it was read
	late   bool      // it was written when a rebalance was over, which may be long after it happened
	attrs  map[string]any
}

const (
	maxUnsettled = 256             // changes of a group that wait for its next description: what is beyond is left out
	maxShown     = 4_096           // members of a group whose changes were shown: with as many nothing is told from the log
	logSkew      = 2 * time.Second // how far a coordinator's clock may be ahead of ours for a change not to be told twice
)

// absorbLogged takes what coordinators wrote of groups. Who came and went before the first round is told from it, with the time
// at which it was written. Later changes are told from descriptions, which do not wait for a rebalance to end, and from the
// log where no description showed them. It returns what is of groups that are not known.
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
	if l.forgotten { // it was empty, or goes on by the other protocol
		log.members, log.whole = map[string]*loggedMember{}, false
		return
	}
	now, names := make(map[string]*loggedMember, len(l.roster)), map[string]int{}
	for i := range l.roster {
		m := &l.roster[i]
		now[identityOf(m.memberState)] = m
		names[memberKey(m.memberState)]++
	}
	// A group that goes back to the classic protocol ends all its KIP-848 members, which stay.
	log.unsettled = slices.DeleteFunc(log.unsettled, func(c loggedChange) bool {
		m := now[identityOf(c.member.memberState)]
		return c.gone && !c.late && m != nil && m.id == c.member.id
	})
	if log.whole {
		t.compareRosters(g, now, names, l.at, r)
	}
	log.former, log.members, log.whole, log.epoch = log.members, now, true, l.generation
}

func (t *tracker) compareRosters(g *groupTrack, now map[string]*loggedMember, names map[string]int, at time.Time, r *round) {
	before := g.log.members
	for _, id := range sortedKeys(before) {
		switch m := before[id]; {
		case now[id] == nil:
			attrs := map[string]any{"members": float64(len(now)), "replaced": names[memberKey(m.memberState)] > 0}
			t.change(g, loggedChange{gone: true, member: m, at: at, late: true, attrs: attrs}, r)
		case now[id].id != m.id:
			t.replaced(g, m.memberState, now[id].memberState, at, r)
		}
	}
	for _, id := range sortedKeys(now) {
		if before[id] == nil {
			t.change(g, loggedChange{member: now[id], at: at, late: true, attrs: map[string]any{"members": float64(len(now))}}, r)
		}
	}
}

func (t *tracker) absorbJoined(g *groupTrack, l *logged, r *round) {
	log, id := g.logTrack(), identityOf(l.joined.memberState)
	old := log.members[id]
	log.members[id] = l.joined
	if old != nil && old.id == l.joined.id { // something of it changed
		return
	}
	if i := slices.IndexFunc(log.unsettled, func(c loggedChange) bool { return c.gone && identityOf(c.member.memberState) == id }); i >= 0 {
		if last := log.unsettled[i].member; last.id != l.joined.id { // a static member that is taken over ends first
			old, log.unsettled = last, slices.Delete(log.unsettled, i, i+1)
		}
	} else if g.members[id] != nil && g.members[id].state.id == l.joined.id {
		return // it joined long ago, and something of it changed
	}
	if old != nil {
		t.replaced(g, old.memberState, l.joined.memberState, l.at, r)
		return
	}
	t.change(g, loggedChange{member: l.joined, at: l.at, attrs: map[string]any{}}, r)
}

// absorbLeft forgets a member of a KIP-848 group. Who it was is known when it was seen to join, or is listed.
func (t *tracker) absorbLeft(g *groupTrack, l *logged, r *round) {
	log := g.logTrack()
	var m *loggedMember
	for id, x := range log.members {
		if x.id == l.left {
			m, log.former = x, map[string]*loggedMember{id: x}
			delete(log.members, id)
			break
		}
	}
	if listed := g.members[l.left]; m == nil && listed != nil {
		m = &loggedMember{memberState: listed.state}
	}
	if m != nil {
		t.change(g, loggedChange{gone: true, member: m, at: l.at, attrs: map[string]any{}}, r)
	}
}

// change takes what the log has of a member: what was before the first round is told at once, and what follows when the next
// description did not. What was last committed before it is known now only.
func (t *tracker) change(g *groupTrack, c loggedChange, r *round) {
	assigned := c.member.assigned
	if listed := g.members[identityOf(c.member.memberState)]; len(assigned) == 0 && listed != nil {
		assigned = listed.state.assigned
	}
	c.member.timeouts(c.attrs)
	g.commitAgeOf(assigned, c.at, c.attrs)
	if c.at.Before(t.started) && (!c.gone || c.member.instance == "" || c.late) {
		t.tellChange(g, &c, r)
		return
	}
	c.read = r.at
	if log := g.logTrack(); len(log.unsettled) < maxUnsettled {
		log.unsettled = append(log.unsettled, c)
	}
}

// settle tells of changes that were read before this description, and that none has shown.
func (t *tracker) settle(g *groupTrack, r *round) {
	if g.log == nil || len(g.log.unsettled) == 0 {
		return
	}
	all := g.log.unsettled
	g.log.unsettled = nil
	for i := range all {
		switch c := &all[i]; {
		case !c.read.Before(r.at):
			g.log.unsettled = append(g.log.unsettled, *c)
		case len(g.shown) < maxShown && !g.shown[c.member.id].tells(c):
			t.tellChange(g, c, r)
		}
	}
}

func (t *tracker) tellChange(g *groupTrack, c *loggedChange, r *round) {
	kind, text := "member_seen", "%s is a member of %s"
	if c.gone {
		kind, text = "member_gone", "%s is no longer a member of %s"
		g.lose(c.at)
	}
	maps.Copy(c.attrs, g.memberAttrs(c.member.memberState))
	t.tell(r, c.at, kind, t.entity(streamkeeper.KindGroup, g.name), fmt.Sprintf(text, memberKey(c.member.memberState), g.name), c.attrs)
}

// shown is when descriptions last told that a member had come, and that it was gone.
type shown struct{ seen, gone time.Time }

// tells reports whether what was shown of a member is this change. Of a classic group no id comes twice.
func (s shown) tells(c *loggedChange) bool {
	when := s.seen
	if c.gone {
		when = s.gone
	}
	return !when.IsZero() && (c.late || !when.Before(c.at.Add(-logSkew)))
}

// show remembers what a description told of a member, for as long as the log may tell it again.
func (t *tracker) show(g *groupTrack, id string, gone bool, at time.Time) {
	if !t.logs || len(g.shown) >= maxShown {
		return
	}
	if g.shown == nil {
		g.shown = map[string]shown{}
	}
	s := g.shown[id]
	if gone {
		s.gone = at
	} else {
		s.seen = at
	}
	g.shown[id] = s
}

// forgetShown drops what the log has told by now, or never will.
func (g *groupTrack) forgetShown(at time.Time) {
	maps.DeleteFunc(g.shown, func(_ string, s shown) bool { return at.Sub(later(s.seen, s.gone)) > logBehind*logBack })
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
