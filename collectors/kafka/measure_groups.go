package kafka

import (
	"maps"
	"slices"
	"time"
)

// Of a cluster with up to fewRows (group, partition) rows each has series of its own; of larger ones the worst of each
// group, up to worstRows: the rest is in the group's sums and maxima.
const (
	fewRows   = 4_000
	worstRows = 10
)

// measureGroups adds the series of every group that was read in this round.
func (t *tracker) measureGroups(r *round) {
	most, many := t.perGroup(), len(t.groups) > manyGroups
	for _, name := range slices.Sorted(maps.Keys(t.groups)) {
		g := t.groups[name]
		if !g.described && !g.committed {
			continue
		}
		m := meter{t: t, g: g, r: r, at: r.at}
		if m.detail(); many && r.at.Sub(g.detailed) > detailFor {
			m.brief()
			continue
		}
		m.add("watched_seconds", r.at.Sub(g.first).Seconds())
		if g.described {
			m.membership()
		}
		if g.committed {
			m.offsets()
			m.partitions(most)
		}
		switch {
		case g.described && g.committed && g.nameless:
			m.counted()
		case g.described && g.committed:
			m.sharing()
		}
		m.facts()
	}
}

// meter writes one group's series of one round.
type meter struct {
	t  *tracker
	g  *groupTrack
	r  *round
	at time.Time
}

func (m meter) add(name string, v float64) { m.r.add("streamkeeper_group_"+name, m.g.labels, v) }

// membership needs the group's description.
func (m meter) membership() {
	g := m.g
	m.add("members", float64(g.size))
	session, rebalance := g.timeouts()
	if session > 0 {
		m.add("session_timeout_seconds", session.Seconds())
	}
	if rebalance > 0 {
		m.add("rebalance_timeout_seconds", rebalance.Seconds())
	}
	if g.state.state != "" {
		m.add("stable", truth(g.state.state == "Stable"))
	}
	m.epochs()
	empty := 0.0
	if !g.empty.IsZero() {
		empty = m.at.Sub(g.empty).Seconds()
	}
	m.add("empty_seconds", empty)
	losses, since, ok := g.lost(m.at)
	m.add("losses_watched", float64(losses))
	if ok {
		m.add("last_loss_seconds", since.Seconds())
	}
	if !g.memberSeen.IsZero() {
		m.add("members_seen_seconds", m.at.Sub(g.memberSeen).Seconds())
	}
	// Two rounds of them: a single one is an administrator setting offsets.
	m.add("commits_without_members", truth(!g.stray[0].IsZero() && m.at.Sub(g.stray[0]) <= 10*time.Minute))
	for _, topic := range g.topics() {
		labels := map[string]string{"cluster": m.t.cluster, "group": g.name, "topic": topic}
		m.r.add("streamkeeper_group_topic", labels, 1)
	}
}

// epochs tell how often the group has changed, and of a KIP-848 group how far its members are behind that.
func (m meter) epochs() {
	g := m.g
	switch s := g.state; {
	case s.kip848 && s.epoch > 0:
		m.add("epoch", float64(s.epoch))
		m.add("assignment_epoch", float64(s.assigned))
		m.add("members_behind", float64(s.behind))
		m.add("partitions_moving", float64(s.moving))
	case !s.kip848 && g.log != nil && g.log.epoch > 0 && m.t.loggedAll:
		m.add("epoch", float64(g.log.epoch))
	}
}

// work is what the committed offsets of a group show of it.
type work struct {
	fresh                                  int // partitions that were read
	lag, top, unread                       int64
	late                                   float64 // seconds; lateKnown says whether
	lateKnown                              bool
	stalled, going, growing, trended, busy int
	frozen                                 time.Duration
	peers                                  float64       // how late those that go on are at the most, in seconds
	loss                                   time.Duration // until records are deleted unread; lossKnown says whether
	lossKnown                              bool
}

func (m meter) work() work {
	g, w := m.g, work{lossKnown: true, loss: lossHorizon}
	least, most := 0., 0. // that the latest partition is late
	for where, p := range g.parts.all() {
		if !p.fresh {
			continue
		}
		w.fresh++
		n := p.lag(p.part.start)
		w.lag, w.top = w.lag+n, max(w.top, n)
		if p.part.start != unset && !p.assumed {
			w.unread += max(0, p.part.start-p.progress.committed)
		}
		from, to := p.late(m.at)
		least, most = max(least, from), max(most, to)
		p.stride(m.at, from, to)
		left, ok := m.t.lossIn(g, m.t.topics[where.topic], p, m.at, from, to)
		w.loss, w.lossKnown = min(w.loss, left), w.lossKnown && ok
		switch {
		case m.t.stalled(g, p, m.at):
			w.stalled++
		case !p.moved.IsZero() && p.moved.before(m.at) <= g.gaps.stallAfter(m.t.every):
			w.going++
			w.peers = max(w.peers, to)
		}
		if m.t.busy(p, m.at) {
			w.busy++
			if grew, ok := m.grew(p); ok {
				w.trended++
				w.growing += int(truth(grew))
			}
		}
	}
	w.late, w.lateKnown = latest(least, most)
	for _, p := range g.parts.all() {
		if p.fresh {
			w.frozen = max(w.frozen, m.stood(p, &w))
		}
	}
	return w
}

// stood is how long a partition has stood still. One that was behind when we came, and has stood since, did so before: what it
// goes on with is older than what the others of the group go on with by as much. Where none of them goes on nothing says since
// when.
func (m meter) stood(p *groupPart, w *work) time.Duration {
	seen := p.frozenFor(m.at)
	if p.frozen != momentOf(m.g.first) || w.going == 0 || p.assumed {
		return seen
	}
	late, _ := p.late(m.at)
	return max(seen, time.Duration((late-w.peers)*float64(time.Second)))
}

// grew reports whether the lag of a partition grew: by itself, or as part of what its member does not get done, while it does
// not shrink itself.
func (m meter) grew(p *groupPart) (grew, ok bool) {
	if grew, ok = p.grew(m.at, &m.g.gaps); grew || p.member == nil || len(p.lags) == 0 {
		return grew, ok
	}
	together, known := p.member.grewAt(m.g, m.at)
	if !known {
		return grew, ok
	}
	return together && max(0, p.head-p.progress.committed) > p.lags.least()+1, true
}

// offsets needs the committed offsets. A group of which a tenth of the partitions could not be read has
// none of these: a sum over the rest would be a smaller number, not an unknown one.
func (m meter) offsets() {
	g, w := m.g, m.g.work
	if 10*w.fresh < 9*g.parts.n {
		return
	}
	m.add("partitions", float64(g.partitions()))
	m.add("committed_total", g.committedTotal)
	m.add("produced_total", g.producedTotal)
	if w.fresh == 0 {
		return // it has never committed: there is no position to be late from
	}
	m.transactions()
	m.add("lag_messages", float64(w.lag))
	m.add("busy_partitions", float64(w.busy))
	m.add("stalled_partitions", float64(w.stalled))
	m.add("moving_partitions", float64(w.going))
	m.add("frozen_seconds", w.frozen.Seconds())
	m.add("deleted_unread_messages", float64(w.unread))
	if w.lateKnown {
		m.add("lag_seconds", w.late)
	}
	if w.lossKnown {
		m.add("loss_seconds", w.loss.Seconds())
	}
	if w.lag > 0 {
		m.add("top_partition_lag_share", float64(w.top)/float64(w.lag))
	}
	if w.trended > 0 {
		m.add("growing_partitions_share", float64(w.growing)/float64(w.trended))
	} else if w.busy == 0 {
		m.add("growing_partitions_share", 0)
	}
	if g.gaps.known {
		m.add("commit_gap_seconds", g.gaps.p95)
	}
	m.add("commit_age_seconds", m.commitAge(w))
	m.add("idle_commit_seconds", m.at.Sub(later(g.lastCommit, g.first)).Seconds())
}

// commitAge is how long no commit has moved although there was something to commit; 0 when caught up. What stood when we came
// stood since the group log tells of a commit, or since the oldest record waits, whichever is later.
func (m meter) commitAge(w work) float64 {
	g := m.g
	if g.behind.IsZero() {
		return 0
	}
	since := later(g.lastCommit, g.behind)
	if since.Equal(g.first) && w.lateKnown && m.t.loggedAll {
		written := later(g.written(), g.first.Add(-logBack))
		if before := later(written, m.at.Add(-time.Duration(w.late*float64(time.Second)))); before.Before(since) {
			since = before
		}
	}
	return m.at.Sub(since).Seconds()
}

// written is when the group log last told of a commit; zero when it told of none.
func (g *groupTrack) written() time.Time {
	var last moment
	for _, p := range g.parts.all() {
		last = max(last, p.written)
	}
	return last.time()
}

// partitions adds the series per partition: of all while a cluster has few, else of the worst of each group. What asks
// for all of them (sums, the most frozen) is measured per group.
func (m meter) partitions(most int) {
	shown := m.worst(most)
	for where, p := range m.g.parts.all() {
		if p.shown = p.fresh && (shown == nil || shown[p]); !p.shown {
			continue
		}
		labels := map[string]string{"cluster": m.t.cluster, "group": m.g.name, "topic": where.topic, "partition": itoa(where.index)}
		m.r.add("streamkeeper_group_partition_committed_offset", labels, float64(p.progress.committed))
		m.r.add("streamkeeper_group_partition_lag_messages", labels, float64(p.lag(p.part.start)))
		m.r.add("streamkeeper_group_partition_frozen_seconds", labels, p.frozenFor(m.at).Seconds())
		if seconds, ok := p.lagSeconds(m.at); ok {
			m.r.add("streamkeeper_group_partition_lag_seconds", labels, seconds)
		}
	}
}

// worst picks the partitions that lag most; those that have series already are kept while they lag half as much, so
// that series do not come and go. nil means all.
func (m meter) worst(most int) map[*groupPart]bool {
	if m.g.parts.n <= most {
		return nil
	}
	order := make([]*groupPart, 0, most+1)
	for _, p := range m.g.parts.all() {
		rank := p.rank()
		if len(order) == most && order[most-1].rank() >= rank {
			continue
		}
		at := len(order)
		for at > 0 && order[at-1].rank() < rank {
			at--
		}
		if order = slices.Insert(order, at, p); len(order) > most {
			order = order[:most]
		}
	}
	worst := make(map[*groupPart]bool, most)
	for _, p := range order {
		worst[p] = true
	}
	return worst
}

// rank orders partitions by lag; one that is shown counts for twice of what it lags.
func (p *groupPart) rank() int64 {
	lag := 2 * p.lag(p.part.start)
	if p.shown {
		lag = 2*lag + 1
	}
	return lag
}

// perGroup is how many partitions of each group have series of their own.
func (t *tracker) perGroup() int {
	rows := t.rows()
	if rows <= fewRows {
		return rows
	}
	return max(1, min(worstRows, t.maxPart/(4*len(t.groups))))
}

// rows counts what groups read, each partition for each group.
func (t *tracker) rows() (n int) {
	for _, g := range t.groups {
		n += g.parts.n
	}
	return n
}

// busy reports whether a partition has work: records arrive or are left.
func (t *tracker) busy(p *groupPart, at time.Time) bool {
	return p.lag(p.part.start) > 0 || t.headMoves(at, p.part)
}

// partitions counts what the group reads: by commits and by assignment.
func (g *groupTrack) partitions() int {
	n, more := g.parts.n, map[partition]bool(nil)
	for _, m := range g.members {
		for _, p := range m.state.assigned {
			if g.parts.at(p) != nil || more[p] {
				continue
			}
			if more == nil {
				more = map[partition]bool{}
			}
			more[p] = true
		}
	}
	return n + len(more)
}

// topics lists what the group reads: by commits and by assignment.
func (g *groupTrack) topics() []string {
	var names []string
	add := func(name string) {
		if at, found := slices.BinarySearch(names, name); !found {
			names = slices.Insert(names, at, name)
		}
	}
	for name := range g.parts.names() {
		add(name)
	}
	for _, m := range g.members {
		for _, p := range m.state.assigned {
			add(p.topic)
		}
	}
	return names
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
