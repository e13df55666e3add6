package kafka

import "time"

// Of a cluster with more than manyGroups groups those that are well have only the series that symptoms are judged by and
// that show what is usual: a fleet of ten thousand would have half a million of them. A group has them all from the round on
// in which something is not well, and for detailFor after it.
const (
	manyGroups = 2_000
	detailFor  = 15 * time.Minute

	lateEnough   = 10.0 // seconds
	frozenEnough = 30 * time.Second
	settling     = 2 * time.Minute // within which it is no wonder that the lag in seconds is not known
)

// detail sums up the group's work and notes whether all its series are worth keeping.
func (m meter) detail() {
	g := m.g
	if g.committed {
		g.work = m.work()
	}
	if !m.calm() {
		g.detailed = m.at
	}
}

// calm reports whether nothing of what was read is worth a look. What was not read says nothing: a round that was cut, or a
// broker that is gone, must not give all groups of a fleet all series.
func (m meter) calm() bool {
	g, w := m.g, m.g.work
	if !g.described || !g.committed {
		return true
	}
	losses, _, _ := g.lost(m.at)
	switch {
	case !w.lateKnown && m.at.Sub(g.first) > settling, w.lateKnown && w.late > lateEnough || w.stalled > 0 || w.frozen > frozenEnough || w.unread > 0:
		return false
	case g.size == 0 && w.lag > 0, losses > 0, !g.stray[1].IsZero():
		return false
	}
	for _, p := range g.parts.all() {
		if p.heldFor(m.at) > 0 {
			return false
		}
	}
	return true
}

// brief adds the series of a group that is well. What they leave out is unknown, not zero.
func (m meter) brief() {
	g, w := m.g, m.g.work
	if g.described {
		m.add("members", float64(g.size))
		empty := 0.0
		if !g.empty.IsZero() {
			empty = m.at.Sub(g.empty).Seconds()
		}
		m.add("empty_seconds", empty)
	}
	if !g.committed || 10*w.fresh < 9*g.parts.n {
		return
	}
	m.add("partitions", float64(g.partitions()))
	m.add("committed_total", g.committedTotal)
	m.add("produced_total", g.producedTotal)
	if w.fresh == 0 {
		return
	}
	m.add("lag_messages", float64(w.lag))
	if w.lateKnown {
		m.add("lag_seconds", w.late)
	}
	m.add("stalled_partitions", 0)
	m.add("commit_age_seconds", m.commitAge(w))
	if spare := g.size - g.partitions(); g.described && spare > 0 {
		m.add("idle_members", float64(spare)) // at the least
	}
}
