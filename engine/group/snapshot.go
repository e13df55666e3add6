package group

import (
	"fmt"
	"time"
)

// Snapshot is what of a group survives a restart: Kafka's GroupMetadataValue.
type Snapshot struct {
	ProtocolType string
	Generation   int32
	Protocol     string // "" = none
	Leader       string // "" = none
	StateSince   time.Time
	Members      []SnapshotMember
}

// SnapshotMember is a member in a Snapshot.
type SnapshotMember struct {
	ID, InstanceID, ClientID, Host   string
	SessionTimeout, RebalanceTimeout time.Duration
	Subscription, Assignment         []byte // under the selected protocol
}

type saveKind uint8

const (
	saveAssignments saveKind = iota
	saveStatic
	saveEmpty
)

// pendingSave is what to do once a snapshot is stored.
type pendingSave struct {
	kind        saveKind
	generation  int32
	member      string // id of the leader, or of the replacement
	assignments map[string][]byte
	undo        *member // the replaced static member
	leader      string  // the leader before the replacement
}

func (g *Group) save(p pendingSave, s Snapshot) {
	g.lastSave++
	g.saves[g.lastSave] = p
	g.out.Saves = append(g.out.Saves, Save{ID: g.lastSave, Snapshot: s})
}

// Saved reports the outcome of a Save; code is what clients should be told, None when it is durable.
func (g *Group) Saved(now time.Time, id uint64, code Code) Effects {
	p, ok := g.saves[id]
	if !ok || g.state == Dead {
		return g.take()
	}
	delete(g.saves, id)
	switch p.kind {
	case saveAssignments:
		g.assignmentsSaved(now, p, code)
	case saveStatic:
		g.staticSaved(now, p, code)
	case saveEmpty: // nobody waits; an older generation on disk is only a little wrong
	}
	return g.take()
}

// Snapshot is the group's metadata as of now.
func (g *Group) Snapshot() Snapshot {
	s := Snapshot{
		ProtocolType: g.protocolType, Generation: g.generation, Protocol: g.protocol, Leader: g.leader,
		StateSince: g.stateSince, Members: make([]SnapshotMember, len(g.members)),
	}
	for i, m := range g.members {
		s.Members[i] = SnapshotMember{
			ID: m.id, InstanceID: m.instance, ClientID: m.client, Host: m.host,
			SessionTimeout: m.session, RebalanceTimeout: m.rebalanceTimeout,
			Subscription: m.metadata(g.protocol), Assignment: m.assignment,
		}
	}
	return s
}

// Restore makes a group from what was stored. Members get a full session timeout from now to show that they live.
func Restore(name string, now time.Time, o Options, s Snapshot) (*Group, error) {
	g := New(name, now, o)
	g.generation, g.protocolType = s.Generation, s.ProtocolType
	if !s.StateSince.IsZero() {
		g.stateSince, g.emptySince = s.StateSince, s.StateSince
	}
	if len(s.Members) == 0 {
		return g, nil
	}
	g.protocol, g.leader = s.Protocol, s.Leader
	for _, sm := range s.Members {
		if g.find(sm.ID) != nil {
			return nil, fmt.Errorf("group %s: member %s is stored twice", name, sm.ID)
		}
		m := &member{
			id: sm.ID, instance: sm.InstanceID, client: sm.ClientID, host: sm.Host,
			session: sm.SessionTimeout, rebalanceTimeout: sm.RebalanceTimeout,
			protocols: []Protocol{{s.Protocol, sm.Subscription}}, assignment: sm.Assignment,
			joinedAt: now,
		}
		if m.rebalanceTimeout <= 0 {
			m.rebalanceTimeout = m.session
		}
		g.members = append(g.members, m)
		if m.instance != "" {
			g.static[m.instance] = m.id
		}
		g.startSession(now, m)
	}
	if g.find(g.leader) == nil {
		return nil, fmt.Errorf("group %s: leader %q is not among the stored members", name, g.leader)
	}
	g.state, g.previous = Stable, Stable
	g.computeTopics()
	if g.protocolType == ConsumerProtocol {
		g.owners = g.currentOwners()
	}
	return g, nil
}
