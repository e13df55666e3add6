package group

import (
	"slices"
	"time"
)

// bump starts a new epoch. A round that members have had the time to hear of is over then, whoever did not come to it;
// changes that come in one heartbeat interval are one rebalance.
func (g *Consumer) bump(now time.Time, why cause) {
	if g.round.running && now.Sub(g.round.started) >= g.options.HeartbeatInterval {
		g.completed(now)
	}
	g.epoch++
	g.dirty.epoch = true
	if g.round.running {
		return
	}
	g.round.running, g.round.started = true, now
	g.emit(Event{
		Kind: RebalanceStarted, At: now, Reason: why.reason, Cause: why.kind, Trigger: why.trigger, ClientReason: why.client,
	})
}

// retarget computes the target assignment of a new epoch.
func (g *Consumer) retarget() {
	if g.epoch <= g.assignmentEpoch || len(g.members) == 0 {
		return
	}
	list := make([]subscriber, len(g.members))
	for i, m := range g.members {
		list[i] = subscriber{id: m.id, instance: m.instance, topics: m.subscribed, has: m.target}
	}
	counts := make(map[TopicID]int32, len(g.resolved))
	for _, t := range g.resolved {
		counts[t.ID] = t.Partitions
	}
	for id, target := range assign(g.assignor(), list, counts) {
		m := g.byID[id]
		if !m.target.equal(target) {
			m.target = target
			g.dirty.target(id)
		}
	}
	g.assignmentEpoch = g.epoch
	g.dirty.assignment = true
}

// assignor is the one most members ask for; ties and no wishes go to the first we have.
func (g *Consumer) assignor() string {
	votes := map[string]int{}
	for _, m := range g.members {
		if m.assignor != "" {
			votes[m.assignor]++
		}
	}
	best := Assignors()[0]
	for _, name := range Assignors() {
		if votes[name] > votes[best] {
			best = name
		}
	}
	return best
}

func (g *Consumer) reconciled(m *consumerMember) bool {
	return m.state == settled && m.epoch == g.assignmentEpoch
}

// reconcile brings a member a step nearer to its target. owned is what the member says it holds, nil when it does not say.
func (g *Consumer) reconcile(now time.Time, m *consumerMember, owned Partitions) {
	switch {
	case g.reconciled(m):
		return
	case m.state == unrevoked && (owned == nil || owned.touches(m.revoking)):
		return // it does not move on before it gave up what it was told to
	}
	kept := m.assigned.and(m.target)
	give, want := m.assigned.minus(kept), m.target.minus(kept)
	if give.Len() > 0 && (owned == nil || owned.touches(give)) {
		g.hold(m, kept, give)
		m.state = unrevoked
		m.revokeBy = now.Add(m.rebalanceTimeout)
		g.schedule(m.revokeBy)
		return
	}
	free := want.filter(func(id TopicID, number int32) bool {
		holder := g.holders[placed{id, number}]
		return holder == "" || holder == m.id
	})
	m.moveTo(g.assignmentEpoch)
	g.hold(m, kept.plus(free), Partitions{})
	m.state, m.revokeBy = settled, time.Time{}
	if free.Len() < want.Len() {
		m.state = unreleased
	} else {
		m.stableSince = now
	}
}

func (m *consumerMember) moveTo(epoch int32) {
	if m.epoch != epoch {
		m.previousEpoch, m.epoch = m.epoch, epoch
	}
}

// hold sets what m has and has yet to give up; what is in neither is free from now on.
func (g *Consumer) hold(m *consumerMember, assigned, revoking Partitions) {
	if !m.assigned.equal(assigned) {
		m.assigned = assigned
	}
	m.revoking = revoking
	g.moves++
	for p := range m.since {
		if !assigned.has(p.topic, p.number) && !revoking.has(p.topic, p.number) {
			delete(m.since, p)
			delete(g.holders, p)
		}
	}
	for id, number := range assigned.Each() {
		p := placed{id, number}
		if _, ok := m.since[p]; !ok {
			m.since[p] = m.epoch
			g.holders[p] = m.id
		}
	}
	g.dirty.current(m.id)
}

// drop takes a member out; its partitions are free.
func (g *Consumer) drop(m *consumerMember) {
	g.moves++
	for p := range m.since {
		delete(g.holders, p)
	}
	g.members = slices.DeleteFunc(g.members, func(o *consumerMember) bool { return o == m })
	delete(g.byID, m.id)
	if m.instance != "" && g.static[m.instance] == m.id {
		delete(g.static, m.instance)
	}
	g.stale = true
	g.dirty.gone(m.id)
}

// settle sees whether the running round is over.
func (g *Consumer) settle(now time.Time) {
	switch {
	case !g.round.running:
	case len(g.members) == 0:
		g.round = consumerRound{}
		g.stateSince = now
		g.emit(Event{Kind: GroupEmptied, At: now})
	case g.epoch == g.assignmentEpoch && !slices.ContainsFunc(g.members, func(m *consumerMember) bool {
		return m.epoch != epochAway && !g.reconciled(m)
	}):
		g.completed(now)
	}
}

// completed tells about the round that is over.
func (g *Consumer) completed(now time.Time) {
	keys := make([]string, len(g.members))
	owners := map[TopicPartition]string{}
	for i, m := range g.members {
		keys[i] = m.key()
		for _, tp := range g.named(m.assigned) {
			owners[tp] = keys[i]
		}
	}
	slices.Sort(keys)
	r := &g.round
	g.emit(Event{
		Kind: RebalanceCompleted, At: now, Took: now.Sub(r.started),
		SameMembers: r.had && slices.Equal(keys, r.keys), SameKnown: r.had,
	})
	g.out.Events = append(g.out.Events, moves(r.owners, owners, Event{
		Kind: AssignmentChanged, At: now, Generation: g.epoch, Size: len(g.members),
	})...)
	g.round = consumerRound{keys: keys, had: true, owners: owners}
}
