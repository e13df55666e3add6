package kafka

import (
	"math"
	"slices"
	"time"
)

// progress is how one group moves on one partition. All of it comes from pairs of (committed, head) where
// committed was read before head, so it is never ahead by accident.
type progress struct {
	committed int64
	head      int64  // of the same round
	moved     moment // when committed was last seen to move; zero when it never was
	frozen    moment // since when committed has stood still below the head; zero when caught up
	lags      trend
	fresh     bool // updated in this round
	unread    bool // in the round before, the log began after what was committed: records were deleted unread
	assumed   bool // nothing was ever committed: it begins where the log ended when that began to count
	shown     bool // it has series of its own
}

// step is what one round changed.
type step struct {
	from, to int64
	forward  int64         // 0 when it stood still or went back
	rewound  bool          // committed went back
	gap      time.Duration // how long a move was waited for; 0 when nothing moved
}

// newProgress begins to watch. What happened before is not known: a partition that is behind counts as
// frozen from now on only.
func newProgress(at time.Time, committed, head int64) progress {
	p := progress{committed: committed, head: head, fresh: true}
	if committed < head {
		p.frozen = momentOf(at)
	}
	return p
}

// advance takes the next reading; last is the time of the one before.
func (p *progress) advance(at, last time.Time, committed, head int64) step {
	s := step{from: p.committed, to: committed}
	switch {
	case committed == p.committed:
		switch {
		case committed >= head:
			p.frozen = 0
		case p.frozen.IsZero():
			p.frozen = momentOf(at)
		}
	default:
		since := p.frozen.time()
		if since.IsZero() {
			since = last
		}
		s.gap = at.Sub(since)
		s.rewound = committed < p.committed
		if s.rewound {
			p.lags = p.lags[:0]
		} else {
			s.forward = committed - p.committed
		}
		p.moved, p.frozen = momentOf(at), 0
		if committed < head {
			p.frozen = momentOf(at)
		}
	}
	p.committed, p.head, p.fresh = committed, head, true
	return s
}

// lag is in messages, and never counts what retention has deleted. start may be unset.
func (p *progress) lag(start int64) int64 { return max(0, p.head-max(p.committed, start)) }

// frozenFor is how long committed has stood still below the head; 0 when it moves or is caught up.
func (p *progress) frozenFor(at time.Time) time.Duration {
	if p.frozen.IsZero() {
		return 0
	}
	return p.frozen.before(at)
}

// gapRing holds a group's newest waits for a commit.
type gapRing struct {
	ms    []uint32
	next  int
	added bool // since the last settle
	p95   float64
	known bool
}

const maxGaps = 256

func (g *gapRing) add(d time.Duration) {
	ms := uint32(min(max(0, d.Milliseconds()), math.MaxUint32))
	g.added = true
	if len(g.ms) < maxGaps {
		g.ms = append(g.ms, ms)
		return
	}
	g.ms[g.next] = ms
	g.next = (g.next + 1) % maxGaps
}

// settle computes the 95th percentile once a round. It is unknown without any; one is enough: a group that commits once a
// minute must not be late before it has committed five times.
func (g *gapRing) settle() {
	if !g.added {
		return
	}
	var sorted [maxGaps]uint32 // of ten thousand groups each round: no garbage
	n := copy(sorted[:], g.ms)
	slices.Sort(sorted[:n])
	g.p95, g.known, g.added = float64(sorted[(n*95-1)/100])/1000, true, false
}

// stallAfter is how long a partition must stand still to count as stalled: three usual gaps, thirty
// seconds and four rounds at least.
func (g *gapRing) stallAfter(round time.Duration) time.Duration {
	d := max(30*time.Second, 4*round)
	if g.known {
		d = max(d, time.Duration(3*g.p95*float64(time.Second)))
	}
	return d
}
