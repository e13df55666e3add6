package group

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// JoinRequest is a JoinGroup.
type JoinRequest struct {
	Token Token
	// MemberID is "" for a newcomer, who then gets NewMemberID; the caller makes it unique (client or instance id, "-", UUID).
	MemberID, NewMemberID string
	InstanceID            string // "" for a dynamic member
	ClientID, Host        string
	SessionTimeout        time.Duration
	RebalanceTimeout      time.Duration
	ProtocolType          string
	Protocols             []Protocol // by preference; kept, not copied
	Reason                string     // "" when the client gave none
	// MemberIDRequired makes a dynamic newcomer come again with its id before it counts (JoinGroup v4).
	MemberIDRequired bool
	// SkipAssignment says that the client understands skip_assignment (JoinGroup v9).
	SkipAssignment bool
}

func (r *JoinRequest) reason() string {
	if r.Reason == "" {
		return ReasonNotProvided
	}
	return r.Reason
}

// Join handles a JoinGroup. The answer may come with a later step.
func (g *Group) Join(now time.Time, r JoinRequest) Effects {
	if code := g.join(now, &r); code != None {
		g.out.Joins = append(g.out.Joins, JoinReply{To: r.Token, Code: code, MemberID: r.MemberID, Generation: noGeneration})
	}
	return g.take()
}

// turnAway removes a member, if id is one, that found its group full.
func (g *Group) turnAway(now time.Time, id string) {
	if m := g.find(id); m != nil {
		g.drop(id)
		g.emit(Event{Kind: MemberExpired, At: now, Member: m.view(""), Reason: GroupMaxSizeReached.String()})
		g.maybeComplete(now)
	}
}

// join answers or parks the request and returns None, or returns the code to answer.
func (g *Group) join(now time.Time, r *JoinRequest) Code {
	o := g.options
	if r.RebalanceTimeout <= 0 {
		r.RebalanceTimeout = r.SessionTimeout // JoinGroup v0 has none
	}
	switch {
	case g.name == "":
		return InvalidGroupID
	case r.SessionTimeout <= 0 || r.SessionTimeout < o.MinSessionTimeout,
		o.MaxSessionTimeout > 0 && r.SessionTimeout > o.MaxSessionTimeout:
		return InvalidSessionTimeout
	case g.state == Dead:
		return CoordinatorNotAvailable
	case !g.accepts(r.MemberID):
		g.turnAway(now, r.MemberID)
		return GroupMaxSizeReached
	case !g.supportsProtocols(r):
		return InconsistentGroupProtocol
	case r.MemberID == "":
		return g.joinNew(now, r)
	default:
		return g.joinAgain(now, r)
	}
}

// accepts keeps the group within MaxSize. In a rebalance those who already wait count, not the members: so the last to
// rejoin a group that is too big are turned away.
func (g *Group) accepts(id string) bool {
	limit := g.options.MaxSize
	if limit <= 0 {
		return true
	}
	m := g.find(id)
	switch g.state {
	case PreparingRebalance:
		return m != nil && m.join.waiting || g.joining() < limit
	case CompletingRebalance, Stable:
		return m != nil || len(g.members) < limit
	default:
		return true
	}
}

func (g *Group) joining() (n int) {
	for _, m := range g.members {
		if m.join.waiting {
			n++
		}
	}
	return n
}

func (g *Group) joinNew(now time.Time, r *JoinRequest) Code {
	if r.InstanceID != "" {
		if old, ok := g.static[r.InstanceID]; ok {
			return g.replaceStatic(now, old, r)
		}
		g.add(now, r.NewMemberID, r)
		return None
	}
	if r.MemberIDRequired {
		g.pending[r.NewMemberID] = now.Add(r.SessionTimeout)
		g.schedule(now.Add(r.SessionTimeout))
		g.out.Joins = append(g.out.Joins, JoinReply{
			To: r.Token, Code: MemberIDRequired, MemberID: r.NewMemberID, Generation: noGeneration,
		})
		return None
	}
	g.add(now, r.NewMemberID, r)
	return None
}

func (g *Group) joinAgain(now time.Time, r *JoinRequest) Code {
	if _, ok := g.pending[r.MemberID]; ok && r.InstanceID == "" {
		g.add(now, r.MemberID, r)
		return None
	}
	if code := g.validate(r.MemberID, r.InstanceID); code != None {
		return code
	}
	m := g.find(r.MemberID)
	during := " during " + string(g.state) + "; client reason: " + r.reason()
	updating := cause{"Updating metadata for member " + m.id + during, CauseMetadata, m.key(), r.reason()}
	switch g.state {
	case PreparingRebalance:
		g.update(now, m, r)
		why := cause{"Member " + m.id + " joining group" + during, CauseOther, m.key(), r.reason()}
		g.rebalanceOrComplete(now, why)
	case CompletingRebalance:
		if m.matches(r.Protocols) {
			// It may have missed the answer to its JoinGroup: tell it again.
			g.answerCurrent(now, m, r)
			return None
		}
		g.update(now, m, r)
		g.rebalanceOrComplete(now, updating)
	case Stable:
		switch {
		case g.isLeader(m.id):
			g.update(now, m, r)
			why := cause{"Leader " + m.id + " re-joining group" + during, CauseLeaderRejoin, m.key(), r.reason()}
			g.rebalanceOrComplete(now, why)
		case !m.matches(r.Protocols):
			g.update(now, m, r)
			g.rebalanceOrComplete(now, updating)
		default:
			g.answerCurrent(now, m, r)
		}
	default: // an Empty group has no members
		return UnknownMemberID
	}
	return None
}

// answerCurrent tells a member about the generation that exists already.
func (g *Group) answerCurrent(now time.Time, m *member, r *JoinRequest) {
	m.beat(now, false)
	g.parkJoin(m, r.Token, r.SkipAssignment)
	g.answerJoin(m, g.joined(m))
}

// joined is the answer to m's JoinGroup for the current generation.
func (g *Group) joined(m *member) JoinReply {
	reply := JoinReply{
		MemberID: m.id, Generation: g.generation, ProtocolType: g.protocolType, Protocol: g.protocol, Leader: g.leader,
	}
	if g.isLeader(m.id) {
		reply.Members = g.Members()
	}
	return reply
}

func (g *Group) add(now time.Time, id string, r *JoinRequest) {
	delete(g.pending, id)
	m := &member{
		id: id, instance: r.InstanceID, client: r.ClientID, host: r.Host,
		session: r.SessionTimeout, rebalanceTimeout: r.RebalanceTimeout, protocols: r.Protocols,
		isNew: true, joinedAt: now,
	}
	m.beat(now, false)
	if g.state == PreparingRebalance && g.previous == Empty {
		g.newMemberAdded = true
	}
	if len(g.members) == 0 {
		g.protocolType = r.ProtocolType
	}
	g.members = append(g.members, m)
	if m.instance != "" {
		g.static[m.instance] = id
	}
	if g.leader == "" {
		g.leader = id
	}
	g.parkJoin(m, r.Token, r.SkipAssignment)
	g.expireAt(m, now.Add(NewMemberJoinTimeout))
	g.emit(Event{Kind: MemberJoined, At: now, Member: m.view(""), Reason: r.reason()})
	instance := "null"
	if m.instance != "" {
		instance = m.instance
	}
	g.rebalanceOrComplete(now, cause{
		fmt.Sprintf("Adding new member %s with group instance id %s; client reason: %s", id, instance, r.reason()),
		CauseMemberJoined, m.key(), r.reason(),
	})
}

// update takes over what a member says in its new JoinGroup and parks it.
func (g *Group) update(now time.Time, m *member, r *JoinRequest) {
	before := m.topics()
	m.protocols, m.session, m.rebalanceTimeout = r.Protocols, r.SessionTimeout, r.RebalanceTimeout
	m.beat(now, false)
	g.parkJoin(m, r.Token, r.SkipAssignment)
	if after := m.topics(); !slices.Equal(before, after) {
		g.emit(Event{
			Kind: SubscriptionChanged, At: now, Member: m.view(""),
			From: strings.Join(before, ","), To: strings.Join(after, ","), Reason: r.reason(),
		})
	}
}

// supportsProtocols says whether the newcomer shares a protocol with every member.
func (g *Group) supportsProtocols(r *JoinRequest) bool {
	if r.ProtocolType == "" || len(r.Protocols) == 0 {
		return false
	}
	if len(g.members) == 0 {
		return true
	}
	return g.protocolType == r.ProtocolType && slices.ContainsFunc(r.Protocols, func(p Protocol) bool {
		return !slices.ContainsFunc(g.members, func(m *member) bool { return !m.supports(p.Name) })
	})
}
