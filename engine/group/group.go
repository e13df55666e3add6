package group

import (
	"slices"
	"time"
)

// State is a group's state; its text is what DescribeGroups and ListGroups say.
type State string

// The states of Kafka's coordinator.
const (
	Empty               State = "Empty"
	PreparingRebalance  State = "PreparingRebalance"
	CompletingRebalance State = "CompletingRebalance"
	Stable              State = "Stable"
	Dead                State = "Dead"
)

// noGeneration is the generation of a client that is not a member.
const noGeneration = -1

// NewMemberJoinTimeout is how long a new member may wait in its first JoinGroup. It has no session yet: without this
// bound clients that gave up waiting would pile up in a long rebalance (Kafka's classicGroupNewMemberJoinTimeoutMs).
const NewMemberJoinTimeout = 5 * time.Minute

// Options are a group's limits. The zero value is usable: no limits, no initial delay.
type Options struct {
	// MinSessionTimeout and MaxSessionTimeout bound what a member may ask for; 0 = no bound.
	MinSessionTimeout, MaxSessionTimeout time.Duration
	// InitialRebalanceDelay is how long an empty group waits for more members before its first generation, prolonged by
	// as much for each member that comes meanwhile, up to the rebalance timeout (group.initial.rebalance.delay.ms).
	InitialRebalanceDelay time.Duration
	// MaxSize bounds the members; 0 = no bound (group.max.size).
	MaxSize int
}

// Token names a parked request; the caller chooses it and finds it again in the effects.
type Token uint64

// Group is one consumer group. It is not safe for concurrent use.
type Group struct {
	name    string
	options Options

	state        State
	previous     State
	generation   int32
	protocolType string
	protocol     string
	leader       string // member id, "" when there is none
	members      []*member
	static       map[string]string    // instance id → member id
	pending      map[string]time.Time // member ids given but not used yet → when they are forgotten
	pendingSync  map[string]bool      // members that were answered their JoinGroup and owe a SyncGroup
	topics       []string             // subscribed topics, sorted
	topicsKnown  bool

	joinTimer, syncTimer timer
	newMemberAdded       bool          // a member came during the initial delay
	initialDelay         time.Duration // the running initial delay, 0 when it is over
	initialRemaining     time.Duration // how much longer it may be prolonged

	round      round
	owners     map[TopicPartition]string // partition → member key, of the last stable generation
	saves      map[uint64]pendingSave
	lastSave   uint64
	next       time.Time // nothing is due before it; zero = nothing scheduled
	stateSince time.Time
	emptySince time.Time
	out        Effects
}

// timer is a group-wide deadline; the zero time is "not set".
type timer struct{ at time.Time }

// round is the rebalance that runs, or ran last.
type round struct {
	started time.Time
	keys    []string // member keys of the last completed generation, sorted
	had     bool     // keys is known: this process saw that generation
}

// New makes an empty group.
func New(name string, now time.Time, o Options) *Group {
	return &Group{
		name: name, options: o, state: Empty, previous: Empty,
		static: map[string]string{}, pending: map[string]time.Time{}, pendingSync: map[string]bool{},
		owners: map[TopicPartition]string{}, saves: map[uint64]pendingSave{},
		topicsKnown: true, stateSince: now, emptySince: now,
	}
}

// Name is the group's id.
func (g *Group) Name() string { return g.name }

// State is the group's state.
func (g *Group) State() State { return g.state }

// Generation is the number of the current generation; 0 before the first.
func (g *Group) Generation() int32 { return g.generation }

// ProtocolType is "consumer" for consumers, "" for a group that never had members.
func (g *Group) ProtocolType() string { return g.protocolType }

// Protocol is the selected assignor's name, "" while none is selected.
func (g *Group) Protocol() string { return g.protocol }

// Leader is the leader's member id, "" when there is none.
func (g *Group) Leader() string { return g.leader }

// Size is the number of members; ids that were handed out but not used are no members.
func (g *Group) Size() int { return len(g.members) }

// StateSince is when the group entered its state.
func (g *Group) StateSince() time.Time { return g.stateSince }

// Idle says that the group has no members, none announced and no unfinished save: it can be forgotten without harm when
// it has no offsets either.
func (g *Group) Idle() bool {
	return (g.state == Empty || g.state == Dead) && len(g.members) == 0 && len(g.pending) == 0 && len(g.saves) == 0
}

// Topics are the topics the members subscribe to, sorted; ok is false when a member's metadata is not a consumer's.
func (g *Group) Topics() (topics []string, ok bool) { return slices.Clone(g.topics), g.topicsKnown }

// Unsettled says that a rebalance runs, in which nobody consumes.
func (g *Group) Unsettled() bool {
	return g.state == PreparingRebalance || g.state == CompletingRebalance
}

// Owned are the partitions each member is assigned, by member id. A member whose assignment is no consumer's is left out, and
// all are when the group is of another protocol type.
func (g *Group) Owned() map[string][]TopicPartition {
	out := make(map[string][]TopicPartition, len(g.members))
	if g.protocolType != ConsumerProtocol {
		return out
	}
	for _, m := range g.members {
		if tps, err := AssignedPartitions(m.assignment); err == nil {
			out[m.id] = tps
		}
	}
	return out
}

// Members lists the members in the order they joined.
func (g *Group) Members() []Member {
	views := make([]Member, len(g.members))
	for i, m := range g.members {
		views[i] = m.view(g.protocol)
	}
	return views
}

// Member finds a member by id.
func (g *Group) Member(id string) (Member, bool) {
	if m := g.find(id); m != nil {
		return m.view(g.protocol), true
	}
	return Member{}, false
}

// HasMember says whether id is a member, without copying it.
func (g *Group) HasMember(id string) bool { return g.find(id) != nil }

// HeartbeatInterval is the member's measured interval, 0 while unknown; without the cost of Member.
func (g *Group) HeartbeatInterval(id string) time.Duration {
	if m := g.find(id); m != nil {
		return m.heartbeatInterval()
	}
	return 0
}

func (g *Group) find(id string) *member {
	for _, m := range g.members {
		if m.id == id {
			return m
		}
	}
	return nil
}

func (g *Group) isLeader(id string) bool { return g.leader != "" && g.leader == id }

func (g *Group) transition(now time.Time, to State) {
	g.previous, g.state, g.stateSince = g.state, to, now
	if to == Empty {
		g.emptySince = now
	}
}

func (g *Group) rebalanceTimeout() time.Duration {
	var longest time.Duration
	for _, m := range g.members {
		longest = max(longest, m.rebalanceTimeout)
	}
	return longest
}

// validate tells whether id (and the instance id, if any) names a member: Kafka's validateMember.
func (g *Group) validate(id, instance string) Code {
	if instance != "" {
		current, ok := g.static[instance]
		switch {
		case !ok:
			return UnknownMemberID
		case current != id:
			return FencedInstanceID
		}
	}
	if g.find(id) == nil {
		return UnknownMemberID
	}
	return None
}

// Kill ends the group: every parked request is answered COORDINATOR_NOT_AVAILABLE and no step changes it any more. The
// caller deletes the stored metadata and makes a new Group when the name is used again.
func (g *Group) Kill(now time.Time) Effects {
	for _, m := range g.members {
		g.answerJoinError(m, CoordinatorNotAvailable)
		g.answerSyncError(m, CoordinatorNotAvailable)
	}
	if g.state != Dead {
		g.transition(now, Dead)
		g.emit(Event{Kind: GroupDead, At: now})
	}
	g.joinTimer, g.syncTimer, g.next = timer{}, timer{}, time.Time{}
	return g.take()
}
