package kafka

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// counted adds how the work spreads over members that are only counted, where it follows from numbers: every assignor
// spreads the partitions of one topic evenly. Of several topics, or of partitions without work, nothing follows.
func (m meter) counted() {
	topics := m.g.topics()
	if m.g.size == 0 || len(topics) != 1 || m.t.topics[topics[0]] == nil {
		return
	}
	parts := len(m.t.topics[topics[0]].parts)
	m.countedFreezes(parts)
	if m.g.parts.n < parts {
		return
	}
	for _, p := range m.g.parts.all() {
		if !m.t.busy(p, m.at) {
			return
		}
	}
	busy := min(m.g.size, parts)
	m.add("busy_members", float64(busy))
	m.add("idle_members", float64(m.g.size-busy))
	m.add("partitions_per_busy_member_max", float64((parts+busy-1)/busy))
}

// countedFreezes adds the two shapes of standing still, where numbers tell them. Who has two partitions at least has
// another one besides the one that stands still alone. As many as one member has, which stopped together while all
// others go on, are one member's. Of anything else the shape is not known.
func (m meter) countedFreezes(parts int) {
	first, last, frozen, going := moment(0), moment(0), 0, 0
	stuck, lag := share{}, int64(0)
	for _, p := range m.g.parts.all() {
		n := p.lag(p.part.start)
		lag += n
		switch {
		case !p.fresh:
			return
		case m.stoodLong(p):
			frozen++
			stuck.lag, stuck.lags = stuck.lag+n, append(stuck.lags, n)
			if first.IsZero() || p.frozen < first {
				first = p.frozen
			}
			last = max(last, p.frozen)
		case !p.moved.IsZero() && p.moved.before(m.at) < movingWindow(m.t.every):
			going++
		}
	}
	least, most := parts/m.g.size, (parts+m.g.size-1)/m.g.size
	apart := last.after(first) > max(3*m.t.every, m.g.usuallyBy(m.t.every))
	switch {
	case frozen == 0:
		m.add("frozen_alone", 0)
		m.add("frozen_members", 0)
	case least < 2 || frozen+going < parts:
	case frozen == 1:
		m.add("frozen_alone", 1)
		m.add("frozen_members", 0)
	case m.g.size > 1 && frozen >= least && frozen <= most && !apart:
		m.add("frozen_alone", 0)
		m.add("frozen_members", 1)
		if lag > 0 && 2*stuck.lag > lag {
			m.add("top_member_lag_share", float64(stuck.lag)/float64(lag))
			m.add("top_member_partitions", float64(stuck.loaded()))
		}
	}
}

// stoodLong reports whether a partition was seen to stall, and has stood still for frozenLong.
func (m meter) stoodLong(p *groupPart) bool {
	return p.frozenFor(m.at) >= m.g.gaps.stallAfter(m.t.every) && m.stood(p, &m.g.work) >= frozenLong
}

// share is what one member has of a group's work.
type share struct {
	assigned, busy int
	lag            int64
	lags           []int64
	frozenLong     int // partitions that stood still for frozenLong
	pinned         int // of those, the ones at the stable offset: an open transaction holds them
	moving         int
}

// sharing adds how work and trouble spread over the members. It needs both the description and the offsets.
func (m meter) sharing() {
	g := m.g
	shares, lag := m.shares()
	busyMembers, mostBusy, multi := 0, 0, false
	for _, s := range shares {
		if s.busy > 0 {
			busyMembers++
		}
		mostBusy = max(mostBusy, s.busy)
		multi = multi || s.assigned >= 2
	}
	m.add("busy_members", float64(busyMembers))
	m.add("idle_members", float64(len(g.members)-busyMembers))
	m.add("partitions_per_busy_member_max", float64(mostBusy))
	m.add("multi_parts", truth(multi))
	alone, frozenMembers := m.freezes(shares)
	m.add("frozen_alone", truth(alone))
	m.add("frozen_members", float64(frozenMembers))
	if lag == 0 || len(shares) == 0 {
		return
	}
	var top *share
	for _, id := range slices.Sorted(maps.Keys(shares)) {
		if s := shares[id]; top == nil || s.lag > top.lag {
			top = s
		}
	}
	m.add("top_member_lag_share", float64(top.lag)/float64(lag))
	m.add("top_member_partitions", float64(top.loaded()))
}

// loaded counts the partitions that carry the member's lag: at least a quarter of an even part each.
func (s *share) loaded() int {
	n := 0
	for _, lag := range s.lags {
		if 4*lag*int64(len(s.lags)) >= s.lag && lag > 0 {
			n++
		}
	}
	return n
}

func (m meter) shares() (shares map[string]*share, lag int64) {
	shares = make(map[string]*share, len(m.g.members))
	for id, member := range m.g.members {
		s := &share{assigned: len(member.state.assigned)}
		for _, where := range member.state.assigned {
			p := m.g.parts.at(where)
			if p == nil || !p.fresh {
				continue
			}
			n := p.lag(p.part.start)
			s.lag += n
			s.lags = append(s.lags, n)
			if m.t.busy(p, m.at) {
				s.busy++
			}
			if m.stoodLong(p) {
				s.frozenLong++
				if p.heldFor(m.at) > 0 {
					s.pinned++
				}
			}
			if !p.moved.IsZero() && p.moved.before(m.at) < movingWindow(m.t.every) {
				s.moving++
			}
		}
		shares[id] = s
		lag += s.lag
	}
	return shares, lag
}

// movingWindow is within which something must have moved to be moving: a minute, or four rounds if longer.
func movingWindow(round time.Duration) time.Duration { return max(moving, 4*round) }

// freezes tells the two shapes of standing still: one partition alone while its owner works on others, and
// members all of whose partitions (two or more) stand while other members work.
func (m meter) freezes(shares map[string]*share) (alone bool, members int) {
	frozen, aloneIn, movingMembers := 0, 0, 0
	for _, s := range shares {
		frozen += s.frozenLong
		if s.frozenLong == 1 && s.pinned == 0 && s.moving > 0 {
			aloneIn++
		}
		if s.moving > 0 {
			movingMembers++
		}
	}
	for _, s := range shares {
		if s.assigned >= 2 && s.frozenLong == s.assigned && s.moving == 0 && movingMembers > 0 {
			members++
		}
	}
	return frozen == 1 && aloneIn == 1, members
}

// facts adds the group's context atoms; what is not known is left out.
func (m meter) facts() {
	facts := m.t.groupFacts(m.g, m.at)
	for _, name := range slices.Sorted(maps.Keys(facts)) {
		labels := map[string]string{"cluster": m.t.cluster, "group": m.g.name, "fact": name}
		m.r.add("streamkeeper_group_fact", labels, truth(facts[name]))
	}
}

func (t *tracker) groupFacts(g *groupTrack, at time.Time) map[string]bool {
	facts := map[string]bool{}
	if !t.exported {
		facts["owner_changed"] = !g.ownerChanged.IsZero() && at.Sub(g.ownerChanged) <= ownerFactFor
	}
	if !g.described {
		return facts
	}
	if g.nameless {
		if parts := g.partitions(); g.size > 0 && parts > g.size {
			facts["multi_parts"] = true
		} else if g.size > 0 && parts > 0 && len(g.topics()) == 1 {
			facts["multi_parts"] = false
		}
		return facts
	}
	facts["classic"], facts["kip848"] = !g.state.kip848, g.state.kip848
	if len(g.members) == 0 {
		return facts
	}
	limits := map[string]bool{}
	multi, static, dynamic := false, false, false
	for _, m := range g.members {
		multi = multi || len(m.state.assigned) >= 2
		static = static || m.state.instance != ""
		dynamic = dynamic || m.state.instance == ""
		limits[pollLimit(m.state.client, g.name)] = true
	}
	facts["multi_parts"], facts["static"], facts["dynamic"] = multi, static, dynamic
	if t.kind != "embedded" && len(limits) == 1 { // an embedded broker knows its clients' libraries itself
		switch {
		case limits["yes"]:
			facts["poll_limit"] = true
		case limits["no"]:
			facts["poll_limit"] = false
		}
	}
	return facts
}

// pollLimit guesses from a client id left at its library's default whether that library enforces
// max.poll.interval: "yes", "no", or "" when the id says nothing.
func pollLimit(client, group string) string {
	switch {
	case strings.HasPrefix(client, "consumer-"+group+"-"), strings.HasPrefix(client, "rdkafka"), strings.HasPrefix(client, "kafka-python"):
		return "yes"
	case client == "kgo", client == "sarama", client == "kafkajs", strings.HasPrefix(client, "segmentio"):
		return "no"
	}
	return ""
}
