package group

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxAssignmentEvents bounds the assignment_changed events of one round.
const maxAssignmentEvents = 64

// SyncRequest is a SyncGroup. ProtocolType and Protocol are "" when the client did not say (before v5).
type SyncRequest struct {
	Token                  Token
	MemberID, InstanceID   string
	Generation             int32
	ProtocolType, Protocol string
	Assignments            map[string][]byte // by member id; the leader's, empty otherwise. Kept, not copied.
}

// Sync handles a SyncGroup. The answer may come with a later step.
func (g *Group) Sync(now time.Time, r SyncRequest) Effects {
	if code := g.sync(now, &r); code != None {
		g.out.Syncs = append(g.out.Syncs, SyncReply{To: r.Token, Code: code})
	}
	return g.take()
}

func (g *Group) sync(now time.Time, r *SyncRequest) Code {
	if g.state == Dead {
		return CoordinatorNotAvailable
	}
	if code := g.validate(r.MemberID, r.InstanceID); code != None {
		return code
	}
	switch {
	case r.Generation != g.generation:
		return IllegalGeneration
	case r.ProtocolType != "" && r.ProtocolType != g.protocolType, r.Protocol != "" && r.Protocol != g.protocol:
		return InconsistentGroupProtocol
	}
	m := g.find(r.MemberID)
	switch g.state {
	case PreparingRebalance:
		return RebalanceInProgress
	case CompletingRebalance:
		m.beat(now, false)
		g.parkSync(m, r.Token)
		g.synced(m)
		if g.isLeader(m.id) {
			g.storeAssignments(m, r.Assignments)
		}
	case Stable:
		m.beat(now, false)
		g.parkSync(m, r.Token)
		g.synced(m)
		g.answerAssignment(m)
		g.startSession(now, m)
	default:
		return UnknownMemberID
	}
	return None
}

// synced strikes m off the list of those who owe a SyncGroup; the timer ends with the last.
func (g *Group) synced(m *member) {
	delete(g.pendingSync, m.id)
	if len(g.pendingSync) == 0 {
		g.syncTimer = timer{}
	}
}

// storeAssignments asks to persist the generation; nobody is answered before that (Saved). Members the leader forgot get
// nothing.
func (g *Group) storeAssignments(leader *member, assignments map[string][]byte) {
	snapshot := g.Snapshot()
	for i := range snapshot.Members {
		snapshot.Members[i].Assignment = assignments[snapshot.Members[i].ID]
	}
	g.save(pendingSave{
		kind: saveAssignments, generation: g.generation, member: leader.id, assignments: assignments,
	}, snapshot)
}

// assignmentsSaved makes the group stable, unless it went on to another generation meanwhile.
func (g *Group) assignmentsSaved(now time.Time, s pendingSave, code Code) {
	if g.state != CompletingRebalance || s.generation != g.generation {
		return
	}
	if code != None {
		g.resetAssignments(now, code)
		trigger := ""
		if m := g.find(s.member); m != nil {
			trigger = m.key()
		}
		g.rebalanceOrComplete(now, cause{
			fmt.Sprintf("Error %s when storing group assignment during SyncGroup (member: %s).", code, s.member),
			CauseOther, trigger, "",
		})
		return
	}
	g.transition(now, Stable)
	for _, m := range g.members {
		m.assignment = s.assignments[m.id]
		m.stableSince = now
		if g.answerAssignment(m) {
			g.startSession(now, m)
		}
	}
	g.completed(now)
}

func (g *Group) answerAssignment(m *member) bool {
	return g.answerSync(m, SyncReply{ProtocolType: g.protocolType, Protocol: g.protocol, Assignment: m.assignment})
}

// resetAssignments sends everybody who waits in SyncGroup away with code.
func (g *Group) resetAssignments(now time.Time, code Code) {
	for _, m := range g.members {
		m.assignment = nil
		waited := m.sync.waiting
		g.answerSyncError(m, code)
		if waited {
			g.startSession(now, m)
		}
	}
}

// completed tells about the generation that has just become stable.
func (g *Group) completed(now time.Time) {
	keys := make([]string, len(g.members))
	for i, m := range g.members {
		keys[i] = m.key()
	}
	slices.Sort(keys)
	g.emit(Event{
		Kind: RebalanceCompleted, At: now, Took: now.Sub(g.round.started),
		SameMembers: g.round.had && slices.Equal(keys, g.round.keys), SameKnown: g.round.had,
	})
	g.round.keys, g.round.had = keys, true
	g.compareOwners(now)
}

// compareOwners emits who lost which partition to whom, at most maxAssignmentEvents of them, in order of the partitions.
func (g *Group) compareOwners(now time.Time) {
	if g.protocolType != ConsumerProtocol {
		return
	}
	owners := g.currentOwners()
	g.out.Events = append(g.out.Events, moves(g.owners, owners, Event{
		Kind: AssignmentChanged, At: now, Generation: g.generation, Size: len(g.members),
	})...)
	g.owners = owners
}

// moves lists what changed from one table of owners to another, as events like e.
func moves(from, to map[TopicPartition]string, e Event) (events []Event) {
	var changed []TopicPartition
	for tp, key := range to {
		if from[tp] != key {
			changed = append(changed, tp)
		}
	}
	for tp := range from {
		if _, ok := to[tp]; !ok {
			changed = append(changed, tp)
		}
	}
	slices.SortFunc(changed, ComparePartitions)
	for _, tp := range changed[:min(len(changed), maxAssignmentEvents)] {
		e.Partition, e.From, e.To = tp, from[tp], to[tp]
		events = append(events, e)
	}
	return events
}

func (g *Group) currentOwners() map[TopicPartition]string {
	owners := map[TopicPartition]string{}
	for _, m := range g.members {
		assigned, err := AssignedPartitions(m.assignment)
		if err != nil {
			continue
		}
		for _, tp := range assigned {
			owners[tp] = m.key()
		}
	}
	return owners
}

// ComparePartitions orders by topic, then partition.
func ComparePartitions(a, b TopicPartition) int {
	if c := strings.Compare(a.Topic, b.Topic); c != 0 {
		return c
	}
	return int(a.Partition) - int(b.Partition)
}
