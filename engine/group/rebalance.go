package group

import (
	"slices"
	"time"
)

// cause is why a rebalance starts: the coordinator's sentence, its class, the member behind it and what it said.
type cause struct {
	reason  string
	kind    Cause
	trigger string // member key
	client  string // the client's own reason
}

// rebalanceOrComplete starts a rebalance, or, when one is already collecting members, sees whether that was the last.
func (g *Group) rebalanceOrComplete(now time.Time, why cause) {
	switch g.state {
	case Empty, CompletingRebalance, Stable:
		g.prepare(now, why)
	case PreparingRebalance:
		g.maybeComplete(now)
	}
}

func (g *Group) prepare(now time.Time, why cause) {
	if g.state == CompletingRebalance {
		g.resetAssignments(now, RebalanceInProgress)
	}
	g.syncTimer = timer{}
	clear(g.pendingSync)
	first := g.state == Empty
	if g.state == Empty || g.state == Stable {
		g.round.started = now
	}
	g.transition(now, PreparingRebalance)
	g.emit(Event{
		Kind: RebalanceStarted, At: now, Reason: why.reason, Cause: why.kind, Trigger: why.trigger, ClientReason: why.client,
	})
	switch {
	case first:
		g.initialDelay = g.options.InitialRebalanceDelay
		g.initialRemaining = max(g.rebalanceTimeout()-g.initialDelay, 0)
		g.newMemberAdded = false
		g.setJoinTimer(now.Add(g.initialDelay))
		if g.initialDelay <= 0 {
			g.completeJoin(now)
		}
	case g.allJoined():
		g.completeJoin(now)
	default:
		g.initialDelay = 0
		g.setJoinTimer(now.Add(g.rebalanceTimeout()))
	}
}

func (g *Group) setJoinTimer(at time.Time) {
	g.joinTimer.at = at
	g.schedule(at)
}

func (g *Group) allJoined() bool { return g.joining() == len(g.members) && len(g.pending) == 0 }

// maybeComplete ends the join phase when everybody is there; the initial delay always runs out.
func (g *Group) maybeComplete(now time.Time) {
	if g.state == PreparingRebalance && g.previous != Empty && g.allJoined() {
		g.completeJoin(now)
	}
}

// joinTimeout ends the initial delay (or prolongs it once more when members keep coming) or the rebalance timeout.
func (g *Group) joinTimeout(now time.Time) {
	if g.initialDelay > 0 && g.newMemberAdded && g.initialRemaining > 0 {
		g.newMemberAdded = false
		delay := min(g.options.InitialRebalanceDelay, g.initialRemaining)
		g.initialRemaining = max(g.initialRemaining-g.initialDelay, 0)
		g.initialDelay = delay
		g.setJoinTimer(now.Add(delay))
		return
	}
	g.completeJoin(now)
}

func (g *Group) completeJoin(now time.Time) {
	g.joinTimer, g.initialDelay = timer{}, 0
	if g.state == Dead {
		return
	}
	g.dropNotRejoined(now)
	if !g.electLeader() && len(g.members) > 0 {
		// Only static members are left and none came back: wait for one, or for their sessions to end.
		g.setJoinTimer(now.Add(g.rebalanceTimeout()))
		return
	}
	g.generation++
	clear(g.pendingSync)
	if len(g.members) == 0 {
		g.becomeEmpty(now)
		return
	}
	g.protocol = g.selectProtocol()
	g.computeTopics()
	g.transition(now, CompletingRebalance)
	for _, m := range g.members {
		m.isNew = false
		g.pendingSync[m.id] = true
		g.answerJoin(m, g.joined(m))
		g.startSession(now, m)
	}
	g.syncTimer.at = now.Add(g.rebalanceTimeout())
	g.schedule(g.syncTimer.at)
}

// dropNotRejoined removes the dynamic members that did not come back in time; static ones keep their place until their
// session ends.
func (g *Group) dropNotRejoined(now time.Time) {
	for _, m := range slices.Clone(g.members) {
		if !m.join.waiting && m.instance == "" {
			g.drop(m.id)
			g.emit(Event{Kind: MemberExpired, At: now, Member: m.view(""), Reason: ReasonRebalance})
		}
	}
}

// electLeader makes sure that the leader is a member that rejoined; false when there is none.
func (g *Group) electLeader() bool {
	if m := g.find(g.leader); m != nil && m.join.waiting {
		return true
	}
	for _, m := range g.members {
		if m.join.waiting {
			g.leader = m.id
			return true
		}
	}
	return false
}

func (g *Group) becomeEmpty(now time.Time) {
	g.protocol, g.leader = "", ""
	g.topics, g.topicsKnown = nil, true
	clear(g.owners)
	g.round.keys, g.round.had = nil, false
	g.transition(now, Empty)
	g.emit(Event{Kind: GroupEmptied, At: now})
	g.save(pendingSave{kind: saveEmpty, generation: g.generation}, g.Snapshot())
}

// selectProtocol lets every member vote for the first of its protocols that all support. Ties go to the protocol that the
// longest-standing member prefers.
func (g *Group) selectProtocol() string {
	var order []string
	votes := map[string]int{}
	for _, m := range g.members {
		for _, p := range m.protocols {
			if g.allSupport(p.Name) {
				if votes[p.Name] == 0 {
					order = append(order, p.Name)
				}
				votes[p.Name]++
				break
			}
		}
	}
	best := ""
	for _, name := range order {
		if best == "" || votes[name] > votes[best] {
			best = name
		}
	}
	return best
}

func (g *Group) allSupport(protocol string) bool {
	return !slices.ContainsFunc(g.members, func(m *member) bool { return !m.supports(protocol) })
}

// computeTopics unites the members' subscriptions; unknown as soon as one member's metadata cannot be read.
func (g *Group) computeTopics() {
	g.topics, g.topicsKnown = nil, g.protocolType == ConsumerProtocol
	if !g.topicsKnown {
		return
	}
	for _, m := range g.members {
		topics, err := SubscribedTopics(m.metadata(g.protocol))
		if err != nil {
			g.topics, g.topicsKnown = nil, false
			return
		}
		g.topics = append(g.topics, topics...)
	}
	slices.Sort(g.topics)
	g.topics = slices.Compact(g.topics)
}
