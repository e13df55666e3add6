package kafka

import (
	"slices"
	"time"
)

const (
	memberWaits = 8 // the newest waits of a member for a commit
	wavesApart  = 2 // commits of one partition may come together and those of the next a wait later
)

// memberTrend is how the work of a member with several partitions grows: of all that it owns.
//
// A member that is late may read what it has fetched of one partition to the end before it turns to the next (Java clients
// do): each stands still for many times what a commit takes, the longer the more waits, and no wait of one of them is known
// before they were watched for minutes. Together they are read evenly, and something of them is committed all the time.
type memberTrend struct {
	lags  trend
	waits []time.Duration
	moved moment // when it was last seen to commit anything
}

// wait is the longest that the member was seen to take for a commit of anything, up to now; ok is false before it has
// committed twice.
func (m *memberTrend) wait(at time.Time) (wait time.Duration, ok bool) {
	if len(m.waits) == 0 {
		return 0, false
	}
	return max(slices.Max(m.waits), m.moved.before(at)), true
}

// add takes what a round saw: how much waits on the member's partitions, and whether it committed anything.
func (m *memberTrend) add(at time.Time, lag int64, moved bool) {
	if moved {
		if !m.moved.IsZero() {
			if m.waits = append(m.waits, m.moved.before(at)); len(m.waits) > memberWaits {
				m.waits = m.waits[1:]
			}
		}
		m.moved = momentOf(at)
	}
	m.lags.add(at, lag, m.window(at))
}

func (m *memberTrend) window(at time.Time) time.Duration {
	wait, _ := m.wait(at)
	return min(max(trendWindow, windowGaps*wait), longTrendWindow)
}

// followMembers keeps the trends of members with several partitions.
func (g *groupTrack) followMembers(at time.Time) {
	now := momentOf(at)
	for _, m := range g.members {
		m.sum = memberSum{}
	}
	for _, p := range g.parts.all() {
		if p.member == nil {
			continue
		}
		s := &p.member.sum
		s.parts, s.missed = s.parts+1, s.missed || !p.fresh
		s.lag += max(0, p.head-p.progress.committed)
		s.moved = s.moved || p.moved == now
	}
	for _, m := range g.members {
		if m.sum.parts > 1 && !m.sum.missed {
			m.trend.add(at, m.sum.lag, m.sum.moved)
		}
	}
}

// memberSum is one round of a member.
type memberSum struct {
	parts  int
	lag    int64
	moved  bool // something was committed
	missed bool // a partition could not be read

	judged, grew, known bool // whether it grew, once that was asked
}

// grewAt is grew, which is worked out once a round for all partitions of the member.
func (m *memberTrack) grewAt(g *groupTrack, at time.Time) (grew, ok bool) {
	if s := &m.sum; !s.judged {
		s.judged = true
		s.grew, s.known = m.grew(g, at)
	}
	return m.sum.grew, m.sum.known
}

// grew reports whether the work of a member grew, as groupPart.grew does: by more than what arrived within its waits.
func (m *memberTrack) grew(g *groupTrack, at time.Time) (grew, ok bool) {
	wait, ok := m.trend.wait(at)
	if !ok || m.sum.parts < 2 || m.sum.missed || !m.trend.lags.covers(at, m.trend.window(at), wavesApart*wait) {
		return false, false
	}
	var due int64
	for _, p := range g.parts.all() {
		if p.member != m {
			continue
		}
		head, ok := p.part.heads.headBefore(at.Add(-wavesApart * wait))
		if !ok {
			return false, false
		}
		due += head - p.progress.committed
	}
	return due > m.trend.lags.least()+1, true
}
