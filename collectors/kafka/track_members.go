package kafka

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// memberKey names a member as people know it: its instance id, or client id and host.
func memberKey(m memberState) string {
	if m.instance != "" {
		return m.instance
	}
	return m.client + "@" + m.host
}

// absorbMembers tells who is new and who is gone. A member is gone when its id is: a process that was
// thrown out and came back has a new one. A static member that came back is the same member, by another process.
func (t *tracker) absorbMembers(g *groupTrack, members []memberState, r *round) {
	known := g.members != nil
	now := make(map[string]*memberTrack, len(members))
	keys := map[string]int{}
	for _, m := range members {
		id := identityOf(m)
		track := g.members[id]
		if track == nil {
			track = &memberTrack{}
		}
		if known && track.state.id != m.id && track.state.id != "" {
			t.replaced(g, track.state, m, r.at, r)
		}
		if !slices.Equal(track.state.assigned, m.assigned) {
			track.trend = memberTrend{} // it has other work now
		}
		track.state, track.key = m, memberKey(m)
		now[id] = track
		keys[track.key]++
	}
	if known {
		t.tellMembers(g, now, keys, r)
	}
	t.resize(g, len(now), known, r)
	g.members, g.nameless = now, false
	g.own()
	g.followMembers(r.at)
	t.watchFrozenMembers(g, r.at)
}

// resize keeps how many members the group has, and since when it has none; known says that it was watched before.
func (t *tracker) resize(g *groupTrack, size int, known bool, r *round) {
	switch {
	case size > 0:
		g.empty, g.memberSeen = time.Time{}, r.at
	case g.empty.IsZero():
		g.empty = r.at
		if known && g.size > 0 {
			t.tell(r, r.at, "group_became_empty", t.entity(streamkeeper.KindGroup, g.name), g.name+" has no members left",
				map[string]any{"group": g.name})
		}
	}
	g.size = size
}

// absorbCount takes members that are only counted: a number that fell is a loss and one that rose a new member, and who
// it was is not known. One that was replaced between two rounds is not seen.
func (t *tracker) absorbCount(g *groupTrack, count int, r *round) {
	known, entity := g.nameless, t.entity(streamkeeper.KindGroup, g.name)
	attrs := map[string]any{"group": g.name, "members": float64(count)}
	switch change := count - g.size; {
	case !known:
	case change < 0:
		for range min(-change, maxLosses) {
			g.lose(r.at)
		}
		t.tell(r, r.at, "member_gone", entity, fmt.Sprintf("%s has %d members instead of %d", g.name, count, g.size), attrs)
	case change > 0:
		t.tell(r, r.at, "member_seen", entity, fmt.Sprintf("%s has %d members instead of %d", g.name, count, g.size), attrs)
	}
	t.resize(g, count, known, r)
	g.nameless = true
}

// identityOf is what a member keeps as long as it is the same member.
func identityOf(m memberState) string {
	if m.instance != "" {
		return "instance " + m.instance
	}
	return m.id
}

func (t *tracker) tellMembers(g *groupTrack, now map[string]*memberTrack, keys map[string]int, r *round) {
	g.forgetShown(r.at)
	entity := t.entity(streamkeeper.KindGroup, g.name)
	for _, id := range slices.Sorted(maps.Keys(g.members)) {
		if now[id] != nil {
			continue
		}
		m := g.members[id]
		g.lose(r.at)
		t.show(g, m.state.id, true, r.at)
		attrs := g.memberAttrs(m.state)
		attrs["members"] = float64(len(now))
		attrs["listed_while_frozen"] = m.frozenSeen >= 2
		attrs["replaced"] = keys[m.key] > 0
		t.explainLoss(g, id, m, r.at, attrs)
		t.tell(r, r.at, "member_gone", entity, fmt.Sprintf("%s is no longer a member of %s", m.key, g.name), attrs)
	}
	for _, id := range slices.Sorted(maps.Keys(now)) {
		if g.members[id] != nil {
			continue
		}
		m := now[id]
		t.show(g, m.state.id, false, r.at)
		attrs := g.memberAttrs(m.state)
		attrs["members"] = float64(len(now))
		t.tell(r, r.at, "member_seen", entity, fmt.Sprintf("%s is a member of %s", m.key, g.name), attrs)
	}
}

const (
	lossWindow = 15 * time.Minute
	maxLosses  = 64
)

// lose remembers when a member was lost, in order; a group that loses more than maxLosses does not lose its newest.
func (g *groupTrack) lose(at time.Time) {
	if len(g.losses) == maxLosses {
		g.losses = slices.Delete(g.losses, 0, 1)
	}
	g.losses = append(g.losses, at)
	slices.SortFunc(g.losses, time.Time.Compare)
}

// lost counts the members lost within lossWindow, and since when the last is gone; ok is false without any.
func (g *groupTrack) lost(at time.Time) (n int, since time.Duration, ok bool) {
	for len(g.losses) > 0 && at.Sub(g.losses[0]) > lossWindow {
		g.losses = slices.Delete(g.losses, 0, 1)
	}
	if n = len(g.losses); n == 0 {
		return 0, 0, false
	}
	return n, at.Sub(g.losses[n-1]), true
}

func (g *groupTrack) memberAttrs(m memberState) map[string]any {
	attrs := map[string]any{
		"group": g.name, "member": memberKey(m), "member_id": m.id, "client_id": m.client, "host": m.host,
	}
	if m.instance != "" {
		attrs["instance_id"] = m.instance
	}
	return attrs
}

// watchFrozenMembers counts the rounds in which a listed member did nothing though it had work: one that
// then vanishes has expired, one that worked until it vanished has left.
func (t *tracker) watchFrozenMembers(g *groupTrack, at time.Time) {
	for _, m := range g.members {
		busy, frozen := 0, 0
		for _, where := range m.state.assigned {
			gp := g.parts.at(where)
			if gp == nil || !gp.fresh || gp.member != m || !t.headMoves(at, gp.part) {
				continue
			}
			busy++
			if gp.frozenFor(at) >= g.usuallyBy(t.every) {
				frozen++
			}
		}
		if busy > 0 && frozen == busy {
			m.frozenSeen++
		} else if busy > 0 {
			m.frozenSeen = 0
		}
	}
}

// usuallyBy is by when a partition of the group has usually committed again.
func (g *groupTrack) usuallyBy(round time.Duration) time.Duration {
	d := 2 * round
	if g.gaps.known {
		d = max(d, time.Duration(1.5*g.gaps.p95*float64(time.Second)))
	}
	return d
}

// own gives each partition that is assigned to its member.
func (g *groupTrack) own() {
	for _, gp := range g.parts.all() {
		gp.member = nil
	}
	for _, m := range g.members {
		for _, where := range m.state.assigned {
			if gp := g.parts.at(where); gp != nil {
				gp.member = m
			}
		}
	}
}
