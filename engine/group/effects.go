package group

import "time"

// Effects is what a step asks the caller to do. Its slices belong to the caller.
type Effects struct {
	Joins  []JoinReply
	Syncs  []SyncReply
	Beats  []HeartbeatReply
	Events []Event
	Saves  []Save
}

// Save asks to persist the group's metadata; the caller reports the outcome with Saved(ID). Saves are stored in the order
// they were asked for.
type Save struct {
	ID       uint64
	Snapshot Snapshot // of a classic group
	Records  []Record // of a group of the consumer protocol; nil for a classic one
}

// JoinReply answers a JoinGroup.
type JoinReply struct {
	To             Token
	Code           Code
	MemberID       string
	Generation     int32 // -1 with an error
	ProtocolType   string
	Protocol       string
	Leader         string
	SkipAssignment bool
	Members        []Member // for the leader only; Metadata is the selected protocol's
}

// SyncReply answers a SyncGroup.
type SyncReply struct {
	To           Token
	Code         Code
	ProtocolType string
	Protocol     string
	Assignment   []byte
}

// EventKind names what happened.
type EventKind string

// The kinds of events. Left, expired and fenced members are gone when the event is read.
const (
	MemberJoined        EventKind = "member_joined"
	MemberLeft          EventKind = "member_left"
	MemberExpired       EventKind = "member_expired"
	MemberFenced        EventKind = "member_fenced"
	RebalanceStarted    EventKind = "rebalance_started"
	RebalanceCompleted  EventKind = "rebalance_completed"
	SubscriptionChanged EventKind = "subscription_changed"
	AssignmentChanged   EventKind = "assignment_changed"
	GroupEmptied        EventKind = "group_emptied"
	GroupDead           EventKind = "group_dead"
)

// Cause classifies what started a rebalance.
type Cause string

// The causes of rebalances.
const (
	CauseMemberJoined   Cause = "member_joined"
	CauseMemberLeft     Cause = "member_left"
	CauseMemberExpired  Cause = "member_expired"
	CauseMetadata       Cause = "metadata"
	CauseLeaderRejoin   Cause = "leader_rejoin"
	CauseStaticReplaced Cause = "static_replaced"
	CauseSyncExpired    Cause = "sync_expired"
	CauseOther          Cause = "other"
)

// Why a member expired, was fenced, or that a client gave no reason.
const (
	ReasonSession     = "session expired"
	ReasonRebalance   = "rebalance timeout"
	ReasonJoinTimeout = "join timeout"
	ReasonNotProvided = "not provided"
)

// Event is one thing that happened. Only the fields of its kind are set.
type Event struct {
	Kind       EventKind
	At         time.Time
	Generation int32
	Size       int // members after it

	Member Member // of member events
	Reason string // client's or coordinator's, in Kafka's wording
	Admin  bool   // a leave without a member id: an operator's tool removed the member

	Cause        Cause // of a rebalance that started
	Trigger      string
	ClientReason string

	Took        time.Duration // of a rebalance that completed
	SameMembers bool
	SameKnown   bool // there was a generation before to compare with

	OldMember Member // the one a new static member replaced
	From, To  string // of a changed subscription (topics) or assignment (member keys, "" = nobody)
	Partition TopicPartition
}

func (g *Group) emit(e Event) {
	e.Generation, e.Size = g.generation, len(g.members)
	g.out.Events = append(g.out.Events, e)
}

func (g *Group) take() Effects {
	out := g.out
	g.out = Effects{}
	return out
}

func (g *Group) answerJoin(m *member, r JoinReply) {
	if m.join.waiting {
		r.To, m.join = m.join.token, parked{}
		g.out.Joins = append(g.out.Joins, r)
	}
}

func (g *Group) answerJoinError(m *member, c Code) {
	g.answerJoin(m, JoinReply{Code: c, MemberID: m.id, Generation: noGeneration})
}

func (g *Group) answerSync(m *member, r SyncReply) bool {
	if !m.sync.waiting {
		return false
	}
	r.To, m.sync = m.sync.token, parked{}
	g.out.Syncs = append(g.out.Syncs, r)
	return true
}

func (g *Group) answerSyncError(m *member, c Code) { g.answerSync(m, SyncReply{Code: c}) }

// parkJoin keeps the request until the round is over. A request of the same member that still waits was given up by its
// client; it is told to come again.
func (g *Group) parkJoin(m *member, t Token, skip bool) {
	g.answerJoinError(m, RebalanceInProgress)
	m.join, m.skipAssignment = parked{t, true}, skip
}

func (g *Group) parkSync(m *member, t Token) {
	g.answerSyncError(m, RebalanceInProgress)
	m.sync = parked{t, true}
}
