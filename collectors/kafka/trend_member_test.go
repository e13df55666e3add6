package kafka

import (
	"math/rand/v2"
	"testing"
	"time"
)

// inTurn is a member that reads what it has fetched of one partition to the end before it turns to the next, and commits
// after each poll.
type inTurn struct {
	partitions int
	arrive     float64 // records a second, of all partitions
	read       float64
	chunk      int // that a fetch brings at most
	poll       int // records, after which it commits
	late       time.Duration
	look       time.Duration
}

// watch lets records wait for as long as the member is late, then looks at it for some time: the share of looks from half a
// minute on that see more than half of the partitions grow, and that tell nothing.
func (x inTurn) watch(rng *rand.Rand, long time.Duration) (grew, unknown float64) {
	track := newTracker(Options{Cluster: "c"})
	member, g := &memberTrack{}, &groupTrack{name: "g"}
	heads, done := make([]float64, x.partitions), make([]float64, x.partitions)
	for i := range heads {
		heads[i] = x.arrive / float64(x.partitions) * x.late.Seconds() * (.8 + .4*rng.Float64())
	}
	const tick = 50 * time.Millisecond
	var work, polled float64
	reading, left, next := 0, 0, time.Duration(0)
	committed := make([]int64, x.partitions)
	looks, grown, silent := 0, 0, 0
	for now := time.Duration(0); now < long; now += tick {
		for i := range heads {
			heads[i] += x.arrive / float64(x.partitions) * tick.Seconds() * 2 * rng.Float64()
		}
		for work += x.read * tick.Seconds(); work >= 1; work-- {
			for range heads {
				if left > 0 {
					break
				}
				reading = (reading + 1) % x.partitions
				left = min(x.chunk, int(heads[reading]-done[reading]))
			}
			if left <= 0 {
				work = 0 // it has read everything
				break
			}
			left--
			done[reading]++
			polled++
		}
		if polled >= float64(x.poll) || work == 0 {
			for i := range done {
				committed[i] = int64(done[i])
			}
			polled = 0
		}
		if now < next {
			continue
		}
		next += x.look
		at := epoch.Add(now)
		for i := range heads {
			where := partition{"t", int32(i)}
			p := g.parts.at(where)
			if p == nil {
				part := newPartTrack()
				part.head = int64(heads[i])
				part.heads.add(at, part.head)
				g.parts.put(where, newGroupPart(part, at, committed[i]))
				g.parts.at(where).member = member
				continue
			}
			p.part.head = int64(heads[i])
			p.part.heads.add(at, p.part.head)
			if s := p.advance(at, at.Add(-x.look), committed[i], p.part.head); s.gap > 0 {
				g.gaps.add(s.gap)
			}
			p.trend(at, g.gaps.window())
		}
		g.gaps.settle()
		g.members = map[string]*memberTrack{"m": member}
		g.followMembers(at)
		if now < 31*time.Second {
			continue
		}
		m, n, known := meter{t: track, g: g, at: at}, 0, 0
		for _, p := range g.parts.all() {
			grew, ok := m.grew(p)
			n, known = n+int(truth(grew)), known+int(truth(ok))
		}
		looks++
		silent += int(truth(known < x.partitions))
		grown += int(truth(2*n > x.partitions))
	}
	return float64(grown) / float64(looks), float64(silent) / float64(looks)
}

// A member that reads one partition after another falls behind on all of them, though each of them stands still for longer
// than it was watched, and does not if it keeps up.
func TestMembersThatReadInTurn(t *testing.T) {
	slow := inTurn{partitions: 3, arrive: 30, read: 11, chunk: 500, poll: 50, late: 25 * time.Second, look: 2 * time.Second}
	seldom, little, quick, calm, level, batches := slow, slow, slow, slow, slow, slow
	seldom.look = 6 * time.Second
	little.chunk = 30
	quick.late, quick.read = time.Minute, 60
	calm.late, calm.read = 0, 45
	level.late, level.read = 0, 31
	batches.late, batches.read, batches.poll = 0, 40, 400
	for name, test := range map[string]struct {
		inTurn
		long          time.Duration
		grows         bool
		most, unknown float64
	}{
		"a third of what arrives":             {slow, time.Minute, true, 0, .1},
		"looked at each six seconds":          {seldom, 90 * time.Second, true, 0, .2},
		"little of each":                      {little, time.Minute, true, 0, .1},
		"catches up":                          {quick, time.Minute, false, 0, .1},
		"keeps up":                            {calm, 10 * time.Minute, false, 0, .1},
		"keeps up just so":                    {level, 10 * time.Minute, false, .02, .1},
		"keeps up with a commit now and then": {batches, 10 * time.Minute, false, 0, .1},
	} {
		for seed := range uint64(10) {
			grew, unknown := test.watch(rand.New(rand.NewPCG(seed, 7)), test.long)
			if test.grows && grew < .8 || !test.grows && grew > test.most || unknown > test.unknown {
				t.Errorf("%s, seed %d: %.0f %% of the looks see growth, %.0f %% tell nothing", name, seed, 100*grew, 100*unknown)
			}
		}
	}
}
