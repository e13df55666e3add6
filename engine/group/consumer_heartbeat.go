package group

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// HeartbeatRequest is a ConsumerGroupHeartbeat. Nil pointers, slices and sets mean "as before".
type HeartbeatRequest struct {
	Token            Token
	MemberID         string
	NewMemberID      string // for a member that comes without an id (before v1)
	Epoch            int32
	InstanceID       string
	Rack             string
	ClientID, Host   string
	RebalanceTimeout time.Duration // negative = as before
	Names            []string
	Regex            *string
	Assignor         *string
	Owned            Partitions
	Topics           Topics

	compiled *regexp.Regexp // Regex, when it is one the group has not seen
}

// HeartbeatReply answers a ConsumerGroupHeartbeat.
type HeartbeatReply struct {
	To         Token
	Code       Code
	Message    string
	MemberID   string
	Epoch      int32
	Interval   time.Duration
	Assignment Partitions // nil = as before; an empty set is nothing
}

// refusal is an answer that changes nothing.
type refusal struct {
	code Code
	text string
}

func refuse(code Code, format string, args ...any) *refusal {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// Heartbeat handles a ConsumerGroupHeartbeat. The answer comes when what it tells is durable.
func (g *Consumer) Heartbeat(now time.Time, r HeartbeatRequest) Effects {
	reply, no := g.heartbeat(now, &r)
	if no != nil {
		reply = HeartbeatReply{Code: no.code, Message: no.text, MemberID: r.MemberID, Epoch: r.Epoch}
	}
	reply.To = r.Token
	g.finish(now, &reply)
	return g.take()
}

func (g *Consumer) heartbeat(now time.Time, r *HeartbeatRequest) (HeartbeatReply, *refusal) {
	if g.dead {
		return HeartbeatReply{}, refuse(CoordinatorNotAvailable, "the group is being deleted")
	}
	if no := r.check(); no != nil {
		return HeartbeatReply{}, no
	}
	g.topics = r.Topics
	if r.Epoch == epochLeave || r.Epoch == epochAway {
		return g.leaveBeat(now, r)
	}
	if no := g.compile(r); no != nil {
		return HeartbeatReply{}, no
	}
	m, came, no := g.admit(now, r)
	if no != nil {
		return HeartbeatReply{}, no
	}
	m.beat(now, came == continues)
	why := g.update(now, m, r, came)
	if g.resolve() && why.kind == "" {
		why = cause{reason: "The topics that the members subscribe to changed.", kind: CauseMetadata}
	}
	if why.kind != "" {
		g.bump(now, why)
	}
	g.retarget()
	before := m.assigned
	g.reconcile(now, m, r.Owned)
	g.expireAt(m, now.Add(g.options.SessionTimeout))
	reply := HeartbeatReply{MemberID: m.id, Epoch: m.epoch, Interval: g.options.HeartbeatInterval}
	if r.full() || !before.equal(m.assigned) {
		reply.Assignment = m.assigned
	}
	return reply, nil
}

// full says that the member tells everything of itself, and so wants to hear everything: after a join, or after an answer
// it may not have got.
func (r *HeartbeatRequest) full() bool {
	return r.Epoch == epochJoin || r.RebalanceTimeout >= 0 && (r.Names != nil || r.Regex != nil) && r.Owned != nil
}

func (r *HeartbeatRequest) check() *refusal {
	switch {
	case r.Epoch < epochAway:
		return refuse(InvalidRequest, "MemberEpoch is invalid.")
	case r.MemberID == "" && (r.Epoch != epochJoin || r.NewMemberID == ""):
		return refuse(InvalidRequest, "MemberId can't be empty.")
	case r.Epoch == epochAway && r.InstanceID == "":
		return refuse(InvalidRequest, "InstanceId can't be null.")
	case r.Epoch == epochJoin && r.RebalanceTimeout < 0:
		return refuse(InvalidRequest, "RebalanceTimeoutMs must be provided in first request.")
	case r.Epoch == epochJoin && (r.Owned == nil || len(r.Owned) > 0):
		return refuse(InvalidRequest, "TopicPartitions must be empty when (re-)joining.")
	case r.Epoch == epochJoin && r.Names == nil && r.Regex == nil:
		return refuse(InvalidRequest, "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")
	case r.Assignor != nil && *r.Assignor != "" && !slices.Contains(Assignors(), *r.Assignor):
		return refuse(UnsupportedAssignor, "ServerAssignor %s is not supported. Supported assignors: %s.", *r.Assignor, strings.Join(Assignors(), ", "))
	}
	return nil
}

// arrival is how a member comes to a heartbeat.
type arrival uint8

const (
	continues arrival = iota // it was here
	restarts                 // it was here and starts anew with what it has been given
	succeeds                 // it takes the place of a static member that was away
	arrives                  // it is new
)

// admit finds the member that speaks, or makes it.
func (g *Consumer) admit(now time.Time, r *HeartbeatRequest) (*consumerMember, arrival, *refusal) {
	m := g.byID[r.MemberID]
	if r.InstanceID != "" {
		m = g.byID[g.static[r.InstanceID]]
	}
	switch {
	case m == nil && r.Epoch != epochJoin:
		return nil, 0, refuse(UnknownMemberID, "Member %s is not a member of group %s.", r.MemberID, g.name)
	case m == nil:
		return g.add(now, r)
	case m.id != r.MemberID && r.Epoch != epochJoin:
		return nil, 0, refuse(FencedInstanceID, "Static member %s with instance id %s was fenced by member %s.", r.MemberID, r.InstanceID, m.id)
	case m.id != r.MemberID && m.epoch != epochAway:
		return nil, 0, refuse(UnreleasedInstanceID,
			"Static member %s with instance id %s cannot join the group because the instance id is owned by member %s.", r.MemberID, r.InstanceID, m.id)
	case m.id != r.MemberID:
		return g.succeed(now, m, r), succeeds, nil
	case r.Epoch == epochJoin:
		return m, restarts, nil
	}
	return m, continues, m.checkEpoch(r)
}

// checkEpoch fences who lives in another time. A member may come with its previous epoch, when the answer with the new one
// was lost, as long as it holds nothing that was not given to it.
func (m *consumerMember) checkEpoch(r *HeartbeatRequest) *refusal {
	switch {
	case r.Epoch == m.epoch:
		return nil
	case r.Epoch > m.epoch:
		return refuse(FencedMemberEpoch, "The consumer group member has a greater member epoch (%d) than the one known by the group coordinator (%d). "+
			"The member must abandon all its partitions and rejoin.", r.Epoch, m.epoch)
	case r.Epoch == m.previousEpoch && r.Owned != nil && r.Owned.within(m.assigned):
		return nil
	}
	return refuse(FencedMemberEpoch, "The consumer group member has a smaller member epoch (%d) than the one known by the group coordinator (%d). "+
		"The member must abandon all its partitions and rejoin.", r.Epoch, m.epoch)
}

func (g *Consumer) add(now time.Time, r *HeartbeatRequest) (*consumerMember, arrival, *refusal) {
	id := r.MemberID
	if id == "" {
		id = r.NewMemberID
	}
	old := g.byID[id] // the same member with another instance id, or none: it starts anew
	if old == nil && g.options.MaxSize > 0 && len(g.members) >= g.options.MaxSize {
		return nil, 0, refuse(GroupMaxSizeReached, "The consumer group has reached its maximum capacity of %d members.", g.options.MaxSize)
	}
	if old != nil {
		g.drop(old)
		g.emit(Event{Kind: MemberLeft, At: now, Member: g.view(old), Reason: ReasonNotProvided})
	}
	m := &consumerMember{
		id: id, instance: r.InstanceID, joinedAt: now,
		assigned: Partitions{}, revoking: Partitions{}, target: Partitions{}, since: map[placed]int32{},
	}
	g.insert(m)
	return m, arrives, nil
}

func (g *Consumer) insert(m *consumerMember) {
	g.members = append(g.members, m)
	g.byID[m.id] = m
	if m.instance != "" {
		g.static[m.instance] = m.id
	}
	g.dirty.member(m.id)
	g.dirty.target(m.id)
	g.dirty.current(m.id)
}

// succeed gives the place and the partitions of a static member that is away to the one that comes in its stead.
func (g *Consumer) succeed(now time.Time, old *consumerMember, r *HeartbeatRequest) *consumerMember {
	before := g.view(old)
	m := *old
	m.id, m.client, m.host = r.MemberID, r.ClientID, r.Host
	if m.id == "" {
		m.id = r.NewMemberID
	}
	m.epoch, m.previousEpoch, m.joinedAt, m.pulse = epochJoin, epochJoin, now, pulse{}
	m.state = settled
	g.drop(old)
	g.insert(&m)
	for p := range m.since {
		g.holders[p] = m.id
	}
	g.emit(Event{Kind: MemberFenced, At: now, Member: g.view(&m), OldMember: before, Reason: FencedInstanceID.String()})
	g.emit(Event{Kind: MemberJoined, At: now, Member: g.view(&m), OldMember: before, Reason: ReasonNotProvided})
	return &m
}

// update takes over what the member tells of itself and returns the cause for a new epoch, if it is one.
func (g *Consumer) update(now time.Time, m *consumerMember, r *HeartbeatRequest, came arrival) cause {
	before := *m
	if came != continues || r.Rack != "" {
		m.rack = r.Rack
	}
	m.client, m.host = r.ClientID, r.Host
	if r.RebalanceTimeout >= 0 {
		m.rebalanceTimeout = r.RebalanceTimeout
	}
	if r.Assignor != nil {
		m.assignor = *r.Assignor
	}
	if r.Names != nil || came != continues {
		m.names = slices.Compact(slices.Sorted(slices.Values(r.Names)))
	}
	if r.Regex != nil || came != continues {
		m.regex = text(r.Regex)
	}
	if r.compiled != nil {
		g.patterns[m.regex] = &pattern{re: r.compiled}
	}
	resubscribed := !slices.Equal(before.names, m.names) || before.regex != m.regex
	g.stale = g.stale || resubscribed
	if came == arrives || resubscribed || before.identity() != m.identity() {
		g.dirty.member(m.id)
	}
	switch {
	case came == arrives:
		g.emit(Event{Kind: MemberJoined, At: now, Member: g.view(m), Reason: ReasonNotProvided})
		return cause{"Member " + m.id + " joined the group.", CauseMemberJoined, m.key(), ReasonNotProvided}
	case resubscribed:
		g.emit(Event{
			Kind: SubscriptionChanged, At: now, Member: g.view(m), Reason: ReasonNotProvided,
			From: before.subscription(), To: m.subscription(),
		})
		return cause{"Member " + m.id + " changed its subscription.", CauseMetadata, m.key(), ReasonNotProvided}
	case before.assignor != m.assignor:
		return cause{"Member " + m.id + " changed its assignor.", CauseMetadata, m.key(), ReasonNotProvided}
	}
	return cause{}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// identity is what a member's record says besides its subscription.
func (m *consumerMember) identity() [6]string {
	return [6]string{m.instance, m.rack, m.client, m.host, m.assignor, m.rebalanceTimeout.String()}
}

// subscription is a text for people.
func (m *consumerMember) subscription() string {
	if m.regex == "" {
		return strings.Join(m.names, ",")
	}
	return strings.Join(append(slices.Clone(m.names), "/"+m.regex+"/"), ",")
}
