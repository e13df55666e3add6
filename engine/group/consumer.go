package group

import (
	"regexp"
	"slices"
	"time"
)

// The states that only groups of the consumer protocol have; they share Empty, Stable and Dead with classic ones.
const (
	Assigning   State = "Assigning"   // something changed and the target assignment is not computed yet
	Reconciling State = "Reconciling" // members are on their way to the target assignment
)

// The epochs that mean something else than an epoch.
const (
	epochJoin  = 0
	epochLeave = -1
	epochAway  = -2 // a static member that will be back
)

// ConsumerOptions are the limits of a group of the consumer protocol. SessionTimeout and HeartbeatInterval must be positive.
type ConsumerOptions struct {
	SessionTimeout    time.Duration // how long a member may be silent
	HeartbeatInterval time.Duration // what members are told
	MaxSize           int           // 0 = no bound
}

// Consumer is one group of the consumer protocol (KIP-848), as Apache Kafka's GroupCoordinator plays it: the coordinator
// computes a target assignment for each group epoch, and every member comes to its part of it at its own pace, giving up
// before anybody receives. Like Group it is pure, and not safe for concurrent use:
//
//	effects := c.Heartbeat(now, request)
//	answer(effects.Beats)       // by their Token: at once, or after Saved when they depend on something not durable yet
//	publish(effects.Events)
//	store(effects.Saves)        // records for __consumer_offsets; report the outcome with Saved
//	wake(c.Deadline())          // call Expire then
//
// Guarantees: no partition is held by two members at once, where a member holds what it was told to consume until it says
// that it gave it up or is removed; epochs never decrease; every Token is answered exactly once.
type Consumer struct {
	name    string
	options ConsumerOptions

	epoch           int32 // rises with every change of members, subscriptions or topics
	assignmentEpoch int32 // the epoch whose target assignment is the current one
	members         []*consumerMember
	byID            map[string]*consumerMember
	static          map[string]string // instance id → member id
	holders         map[placed]string // partition → member id

	topics   Topics
	version  uint64           // of topics when subscriptions were resolved last
	stale    bool             // subscriptions changed since
	resolved map[string]Topic // the subscribed topics that exist
	patterns map[string]*pattern
	names    map[TopicID]string // of the topics that are subscribed or held

	dirty    dirty
	saves    map[uint64][]HeartbeatReply // in flight, with the answers that wait for them
	lastSave uint64
	round    consumerRound

	moves      uint64
	dead       bool
	next       time.Time
	stateSince time.Time
	out        Effects
}

// consumerRound is the rebalance that runs, or ran last: from a new epoch to the moment when every member has come to it.
type consumerRound struct {
	running bool
	started time.Time
	keys    []string
	had     bool
	owners  map[TopicPartition]string
}

// pattern is a regular expression that members subscribe to, with the topics it matches.
type pattern struct {
	re     *regexp.Regexp
	topics []string
}

// reconciliation is how far a member is on its way to the target; the numbers are Kafka's.
type reconciliation int8

const (
	settled    reconciliation = 0 // has what the epoch it is at gives it
	unrevoked  reconciliation = 1 // must give up partitions before it moves on
	unreleased reconciliation = 2 // waits for partitions that others still hold
)

type consumerMember struct {
	id, instance, rack, client, host string
	rebalanceTimeout                 time.Duration
	names                            []string // subscribed by name, sorted
	regex                            string   // "" = none
	assignor                         string   // "" = no wish
	subscribed                       []TopicID

	epoch, previousEpoch int32
	state                reconciliation
	assigned             Partitions       // what it may consume
	revoking             Partitions       // what it was told to give up and has not yet
	target               Partitions       // where it is going
	since                map[placed]int32 // the epoch at which it got each partition it holds

	pulse
	expires, revokeBy     time.Time
	joinedAt, stableSince time.Time
}

// NewConsumer makes an empty group.
func NewConsumer(name string, now time.Time, o ConsumerOptions, t Topics) *Consumer {
	return &Consumer{
		name: name, options: o, byID: map[string]*consumerMember{}, static: map[string]string{}, holders: map[placed]string{},
		topics: t, version: t.Version(), resolved: map[string]Topic{}, patterns: map[string]*pattern{}, names: map[TopicID]string{},
		saves: map[uint64][]HeartbeatReply{}, stateSince: now,
	}
}

// Name is the group's id.
func (g *Consumer) Name() string { return g.name }

// Configure changes the timeouts; they hold from each member's next heartbeat on.
func (g *Consumer) Configure(session, heartbeat time.Duration) {
	g.options.SessionTimeout, g.options.HeartbeatInterval = session, heartbeat
}

// State is the group's state, in Kafka's words.
func (g *Consumer) State() State {
	switch {
	case g.dead:
		return Dead
	case len(g.members) == 0:
		return Empty
	case g.epoch > g.assignmentEpoch:
		return Assigning
	case slices.ContainsFunc(g.members, func(m *consumerMember) bool { return !g.reconciled(m) }):
		return Reconciling
	default:
		return Stable
	}
}

// Generation is the group epoch.
func (g *Consumer) Generation() int32 { return g.epoch }

// AssignmentEpoch is the epoch of the target assignment.
func (g *Consumer) AssignmentEpoch() int32 { return g.assignmentEpoch }

// ProtocolType is "consumer".
func (*Consumer) ProtocolType() string { return ConsumerProtocol }

// Assignor is the assignor in use.
func (g *Consumer) Assignor() string { return g.assignor() }

// Moves rises when a member gets or gives up partitions.
func (g *Consumer) Moves() uint64 { return g.moves }

// Size is the number of members, those included that are away for a moment.
func (g *Consumer) Size() int { return len(g.members) }

// StateSince is when the group became empty, or was made.
func (g *Consumer) StateSince() time.Time { return g.stateSince }

// Idle says that the group has no members and no unfinished save.
func (g *Consumer) Idle() bool { return len(g.members) == 0 && len(g.saves) == 0 }

// Unsettled says that some partition waits for its new owner. Not every way to a new epoch stops anybody's work: a member
// that keeps what it has is only told the epoch.
func (g *Consumer) Unsettled() bool {
	return len(g.members) > 0 && (g.assignmentEpoch < g.epoch || slices.ContainsFunc(g.members, func(m *consumerMember) bool {
		return m.epoch != epochAway && (m.state != settled || m.assigned.Len() != m.target.Len())
	}))
}

// Members lists the members in the order they joined.
func (g *Consumer) Members() []Member {
	views := make([]Member, len(g.members))
	for i, m := range g.members {
		views[i] = g.view(m)
	}
	return views
}

// HasMember says whether id is a member.
func (g *Consumer) HasMember(id string) bool { return g.byID[id] != nil }

// HeartbeatInterval is the member's measured interval, 0 while unknown.
func (g *Consumer) HeartbeatInterval(id string) time.Duration {
	if m := g.byID[id]; m != nil {
		return m.heartbeatInterval()
	}
	return 0
}

// Owned are the partitions each member holds, by member id, as far as their topics' names are known.
func (g *Consumer) Owned() map[string][]TopicPartition {
	out := make(map[string][]TopicPartition, len(g.members))
	for _, m := range g.members {
		out[m.id] = g.named(m.assigned.plus(m.revoking))
	}
	return out
}

func (g *Consumer) named(p Partitions) (list []TopicPartition) {
	for id, number := range p.Each() {
		if name := g.names[id]; name != "" {
			list = append(list, TopicPartition{name, number})
		}
	}
	return list
}

// Topics are the subscribed topics that exist, sorted.
func (g *Consumer) Topics() (topics []string, ok bool) {
	for name := range g.resolved {
		topics = append(topics, name)
	}
	slices.Sort(topics)
	return topics, true
}

// ConsumerView is what ConsumerGroupDescribe tells of a member.
type ConsumerView struct {
	Member
	Rack             string
	Epoch            int32
	Names            []string
	Regex            string
	Assigned, Target Partitions
}

// Describe lists the members in the order of their ids.
func (g *Consumer) Describe() []ConsumerView {
	views := make([]ConsumerView, len(g.members))
	for i, m := range g.members {
		views[i] = ConsumerView{
			Member: g.view(m), Rack: m.rack, Epoch: m.epoch, Names: m.names, Regex: m.regex, Assigned: m.assigned, Target: m.target,
		}
	}
	return views
}

// TopicName is the name of a topic that the group knows; "" when it does not.
func (g *Consumer) TopicName(id TopicID) string { return g.names[id] }

func (g *Consumer) view(m *consumerMember) Member {
	return Member{
		ID: m.id, InstanceID: m.instance, ClientID: m.client, Host: m.host,
		SessionTimeout: g.options.SessionTimeout, RebalanceTimeout: m.rebalanceTimeout, Topics: m.names,
		LastHeartbeat: m.lastHeartbeat, HeartbeatInterval: m.heartbeatInterval(), StableSince: m.stableSince, JoinedAt: m.joinedAt,
	}
}

func (m *consumerMember) key() string {
	return Member{InstanceID: m.instance, ClientID: m.client, Host: m.host}.Key()
}

func (g *Consumer) emit(e Event) {
	e.Generation, e.Size = g.epoch, len(g.members)
	g.out.Events = append(g.out.Events, e)
}

// Kill ends the group: who waits is answered COORDINATOR_NOT_AVAILABLE and no step changes it any more. The caller deletes
// what is stored.
func (g *Consumer) Kill(now time.Time) Effects {
	for id := range g.saves {
		g.release(id, CoordinatorNotAvailable)
	}
	if !g.dead {
		g.dead = true
		g.emit(Event{Kind: GroupDead, At: now})
	}
	g.next = time.Time{}
	return g.take()
}

func (g *Consumer) take() Effects {
	out := g.out
	g.out = Effects{}
	return out
}
