package kafka

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// groupTrack is one consumer group over time.
type groupTrack struct {
	name      string
	first     time.Time // when watching it began
	state     *groupState
	makeup    makeup
	described bool // in this round
	committed bool // in this round

	parts    table[*groupPart]
	members  map[string]*memberTrack // by member id
	size     int                     // how many members it has
	nameless bool                    // they are only counted
	log      *groupLogTrack          // nil while nothing was read of it
	shown    map[string]shown        // by member id, where the log is read
	holders  map[string]*holder      // by instance id, of those that changed hands
	gaps     gapRing

	committedTotal, producedTotal float64
	lastCommit                    time.Time // when any committed offset was last seen to move
	behind                        time.Time // since when some partition is behind; zero when all are caught up
	empty                         time.Time // since when it has no members; zero when it has some, or that is not known
	memberSeen                    time.Time
	losses                        []time.Time             // of members, within lossWindow
	stray                         [2]time.Time            // the last two rounds in which a commit moved while there were no members
	ownerChanged                  time.Time               // of a stalled partition
	info                          streamkeeper.GroupInfo  // as last told
	work                          work                    // of this round
	detailed                      time.Time               // when it was last worth all its series
	uncommitted                   map[partition]time.Time // since when members own a partition that the group never committed on
	labels                        map[string]string
}

// groupPart is a group on one partition.
type groupPart struct {
	progress
	part       *partTrack
	member     *memberTrack // to whom the last description gave it
	owner      *owner       // who had it last
	oldOwner   *owner       // the one before, while the stall that it had is not over
	ownerSince moment
	written    moment // when the coordinator last wrote down a commit; zero when that was not read
	stall      *stall
	pace       *pace   // of a late group; nil while it is not
	heldTold   *string // what was last told of the transaction that holds it up
}

// owner is who has partitions: what tells members apart, and what people know them by.
type owner struct{ id, name string }

// memberTrack is one member.
type memberTrack struct {
	state      memberState
	key        string
	owner      *owner
	frozenSeen int // rounds in a row in which all its partitions with moving heads stood still
	sum        memberSum
	trend      memberTrend
}

func (t *tracker) absorbGroups(s *snapshot, r *round) {
	for _, name := range slices.Sorted(maps.Keys(s.groups)) {
		g := t.groups[name]
		if g == nil {
			g = &groupTrack{
				name: name, first: s.at,
				labels: map[string]string{"cluster": t.cluster, "group": name},
			}
			t.groups[name] = g
			if t.new(streamkeeper.KindGroup, name) {
				t.tellGroup(r, "group_created", name, "group %s is new")
			}
		}
		t.absorbGroup(g, s.groups[name], r)
	}
	var gone []string
	for name, g := range t.groups {
		if _, ok := s.groups[name]; ok {
			continue
		}
		g.described, g.committed = false, false
		if s.groupsRead {
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	for _, name := range gone {
		if t.gone(s, streamkeeper.KindGroup, name) {
			t.tellGroup(r, "group_deleted", name, "group %s is gone, with its place on every topic")
		}
		delete(t.groups, name)
	}
}

func (t *tracker) tellGroup(r *round, kind, name, text string) {
	t.tell(r, r.at, kind, t.entity(streamkeeper.KindGroup, name), fmt.Sprintf(text, name), map[string]any{"group": name})
}

func (t *tracker) absorbGroup(g *groupTrack, state *groupState, r *round) {
	g.described, g.committed = state.described, state.committedRead
	if g.described {
		g.state = state
	}
	if g.committed {
		t.absorbOffsets(g, state, r)
	} else {
		for _, p := range g.parts.all() {
			p.fresh = false
		}
	}
	switch {
	case g.described && state.nameless:
		t.absorbCount(g, state.count, r)
	case g.described:
		t.absorbMembers(g, state.members, r)
		t.settle(g, r)
		t.absorbMakeup(g, state, r)
		t.absorbOwners(g, r)
	}
	if g.committed {
		g.gaps.settle()
		t.followStalls(g, r)
		t.followHolds(g, r)
		g.settleBehind(r.at)
	}
	state.committed = table[position]{} // what is remembered of it is in g.parts
}

// absorbOffsets advances every partition that the group has a committed offset on.
func (t *tracker) absorbOffsets(g *groupTrack, state *groupState, r *round) {
	for _, p := range g.parts.all() {
		p.progress.fresh = false
	}
	for where, at := range state.committed.all() {
		t.absorbOffset(g, where, at.offset(), r)
	}
	for where, gp := range g.parts.all() {
		if state.committed.at(where) == 0 && !gp.assumed || t.part(where) == nil {
			g.parts.put(where, nil) // the offset expired, or the topic is gone
		}
	}
	t.assume(g, state, r)
}

func (t *tracker) absorbOffset(g *groupTrack, where partition, committed int64, r *round) {
	part, gp := t.part(where), g.parts.at(where)
	switch {
	case part == nil || !part.fresh:
	case committed > part.head: // an offset of a topic that was made anew since
		g.parts.put(where, nil)
	case gp == nil || gp.part != part || gp.assumed:
		if gp != nil && gp.assumed {
			t.firstCommit(g, where, gp, r)
		}
		g.parts.put(where, newGroupPart(part, r.at, committed))
	default:
		t.step(g, where, gp, committed, r)
	}
}

// firstCommit learns from a first commit how long this group may take for one: since its members own the partition, or
// since records came, if they came later.
func (t *tracker) firstCommit(g *groupTrack, where partition, gp *groupPart, r *round) {
	g.lastCommit = r.at
	if gp.stall != nil {
		t.tellStall(g, where, gp, "stall_cleared", r, "%s goes on on %s-%d after %d", nil)
	}
	if gp.frozen.IsZero() {
		return
	}
	since := gp.frozen.time()
	if owned := g.uncommitted[where]; !owned.IsZero() && since.Sub(owned) <= uncommittedFor+2*t.every {
		since = owned
	}
	g.gaps.add(r.at.Sub(since))
}

func newGroupPart(part *partTrack, at time.Time, committed int64) *groupPart {
	gp := &groupPart{progress: newProgress(at, committed, part.head), part: part}
	gp.trend(at, trendWindow)
	return gp
}

// uncommittedFor is how long records may come to members that own a partition before it counts that nothing was ever
// committed on it. Nobody knows yet how often the group commits: once a minute is common (sinks of Kafka Connect do), and
// its first commit may take two of them.
const uncommittedFor = 150 * time.Second

// assume gives the partitions that members own, and that the group never committed on, a position: the end of the log at
// the time when it began to count. It is late from there at the least, whatever it has read.
func (t *tracker) assume(g *groupTrack, state *groupState, r *round) {
	var owned map[partition]time.Time // most groups have none: it is made when there is one
	for _, m := range g.members {
		for _, where := range m.state.assigned {
			if state.committed.at(where) != 0 {
				continue
			}
			since := g.uncommitted[where]
			if part := t.part(where); since.IsZero() || part == nil || !part.headMoved.time().After(since) {
				since = r.at // no record came yet: there was nothing to commit
			}
			if owned == nil {
				owned = map[partition]time.Time{}
			}
			owned[where] = since
		}
	}
	g.uncommitted = owned
	for where, gp := range g.parts.all() {
		if _, still := owned[where]; gp.assumed && !still {
			g.parts.put(where, nil)
		}
	}
	for where, since := range owned {
		part := t.part(where)
		if part == nil || !part.fresh || r.at.Sub(since) < uncommittedFor {
			continue
		}
		gp := g.parts.at(where)
		if gp == nil || gp.part != part || gp.progress.committed > part.head {
			gp = newGroupPart(part, r.at, part.head)
			gp.assumed = true
			g.parts.put(where, gp)
			continue
		}
		t.step(g, where, gp, gp.progress.committed, r)
	}
}

// step advances one partition and tells of positions that jumped.
func (t *tracker) step(g *groupTrack, where partition, gp *groupPart, committed int64, r *round) {
	previousHead := gp.head
	defer func() { gp.unread = gp.part.start != unset && gp.part.start > committed }()
	s := gp.advance(r.at, t.last, committed, gp.part.head)
	gp.trend(r.at, g.gaps.window())
	if produced := gp.part.head - previousHead; produced > 0 {
		g.producedTotal += float64(produced)
	}
	if s.gap == 0 {
		return
	}
	g.lastCommit = r.at
	if g.idle() && !g.stray[1].Equal(r.at) {
		g.stray = [2]time.Time{g.stray[1], r.at}
	}
	switch {
	case s.rewound:
		gp.pace = nil
		t.tell(r, r.at, "offset_rewound", t.entity(streamkeeper.KindGroup, g.name),
			fmt.Sprintf("%s went back on %s-%d from %d to %d", g.name, where.topic, where.index, s.from, s.to),
			t.jumpAttrs(g, where, gp, s, previousHead))
		return
	case t.isJump(g, gp, s):
		gp.pace = nil
		t.tell(r, r.at, "offset_jumped", t.entity(streamkeeper.KindGroup, g.name),
			fmt.Sprintf("%s jumped on %s-%d from %d to %d", g.name, where.topic, where.index, s.from, s.to),
			t.jumpAttrs(g, where, gp, s, previousHead))
	default:
		g.committedTotal += float64(s.forward)
		t.fetch(gp, s.forward, r.at)
		g.gaps.add(s.gap)
	}
}

const (
	jumpMin       = 1000    // offsets
	jumpRates     = 10      // times what is produced in a round
	plausibleRate = 500_000 // records a second that a consumer may well take from a partition
)

// isJump tells a position that was set from one that was worked to: a big step is a jump when the records
// between were gone, when nobody was there to read them, or when no consumer could have read them. A
// consumer that catches up makes big steps too, so size alone proves nothing.
func (t *tracker) isJump(g *groupTrack, gp *groupPart, s step) bool {
	deleted := gp.part.start != unset && gp.part.start > s.from && s.to >= gp.part.start
	rate, _ := t.produceRate(gp.part)
	if float64(s.forward) <= max(jumpMin, jumpRates*rate*t.every.Seconds()) {
		// An application that deletes what it has done with (Kafka Streams does) moves both in one round; one whose
		// records were deleted unread was seen below the start of the log. What it commits below that it has
		// fetched before.
		return deleted && gp.unread
	}
	return deleted || g.idle() || float64(s.forward)/max(1, t.every.Seconds()) > plausibleRate
}

func (t *tracker) jumpAttrs(g *groupTrack, where partition, gp *groupPart, s step, previousHead int64) map[string]any {
	attrs := map[string]any{
		"group": g.name, "topic": where.topic, "partition": float64(where.index),
		"from": float64(s.from), "to": float64(s.to), "head": float64(gp.part.head), "gap_s": s.gap.Seconds(),
	}
	if s.to >= previousHead && s.to > s.from {
		attrs["head"] = float64(s.to) // it was set to the head, which moved on before we read it
	}
	if gp.part.start != unset {
		attrs["log_start"] = float64(gp.part.start)
		attrs["log_start_passed"] = gp.part.start > s.from
		if lost := min(gp.part.start, s.to) - s.from; lost > 0 && s.forward > 0 {
			attrs["deleted_unread"] = float64(lost)
		}
	}
	if rate, ok := t.produceRate(gp.part); ok {
		attrs["rate"] = rate
	}
	if g.described {
		attrs["members"] = float64(g.size)
	}
	return attrs
}

// idle reports whether the group had no members in the last round and has none in this: only then was
// a commit not made by one. Members are absorbed after offsets, so g.size is the last round's.
func (g *groupTrack) idle() bool {
	return g.described && g.size == 0 && len(g.state.members) == 0 && g.state.count == 0
}

// settleBehind keeps since when the group has had something to commit.
func (g *groupTrack) settleBehind(at time.Time) {
	for _, p := range g.parts.all() {
		if p.fresh && p.progress.committed < p.head {
			if g.behind.IsZero() {
				g.behind = at
			}
			return
		}
	}
	g.behind = time.Time{}
}

// stalled reports whether a partition stands still although records arrive: some must have come well after
// it stopped, else a producer that pauses (and the marker of its last transaction) would look like a stall.
func (t *tracker) stalled(g *groupTrack, p *groupPart, at time.Time) bool {
	after := g.gaps.stallAfter(t.every)
	return p.frozenFor(at) >= after && t.headMoves(at, p.part) && p.part.headMoved.after(p.frozen) >= after/2
}

// produceRate is what a partition lately received before this round, records a second.
func (t *tracker) produceRate(p *partTrack) (float64, bool) {
	if rate, ok := p.heads.rate(t.last, 5*time.Minute); ok {
		return rate, true
	}
	return p.heads.rate(t.last, time.Minute)
}

func comparePartitions(a, b partition) int {
	return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.index, b.index))
}
