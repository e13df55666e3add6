package broker

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/group"
)

// tell turns what happened in a group into an event of the ring and keeps the counts. c.mu is held, so that ages are exact
// and a group's events are in order.
func (s *groups) tell(c *coordinated, e *group.Event) {
	switch e.Kind {
	case group.MemberJoined:
		s.tellJoined(c, e)
	case group.MemberLeft:
		s.tellLoss(c, e, "left")
	case group.MemberExpired:
		s.tellLoss(c, e, "expired")
	case group.MemberFenced:
		s.tellFenced(c, e)
	case group.RebalanceStarted:
		s.emit(c, e, e.Reason, attrs{
			"reason": e.Reason, "cause_kind": string(e.Cause), "trigger_member": e.Trigger, "client_reason": e.ClientReason,
		})
	case group.RebalanceCompleted:
		c.track.rebalances++
		c.track.assigned(s, c.machine)
		s.emit(c, e, fmt.Sprintf("generation %d has %d members", e.Generation, e.Size), attrs{
			"seconds": e.Took.Seconds(), "members_same": e.SameMembers,
		})
	case group.SubscriptionChanged:
		a := c.track.memberAttrs(e.Member)
		a["from"], a["to"] = e.From, e.To
		s.emit(c, e, e.Member.Key()+" reads "+e.To+" instead of "+e.From, a)
	case group.AssignmentChanged:
		s.emit(c, e, fmt.Sprintf("%s-%d goes to %s", e.Partition.Topic, e.Partition.Partition, orNobody(e.To)), attrs{
			"topic": e.Partition.Topic, "partition": float64(e.Partition.Partition), "from": e.From, "to": e.To,
		})
	case group.GroupEmptied:
		c.track.assigned(s, c.machine)
		s.emit(c, e, "the group has no members", attrs{})
	case group.GroupDead:
		s.emit(c, e, "the group is gone", attrs{})
	}
}

func orNobody(key string) string {
	if key == "" {
		return "nobody"
	}
	return key
}

// emit adds what all events of a group have.
func (s *groups) emit(c *coordinated, e *group.Event, text string, a attrs) {
	a["generation"] = float64(e.Generation)
	a["members"] = float64(e.Size)
	s.b.telemetry.Emit(groupEvent(e.At, string(e.Kind), c.name, text, a))
}

// memberAttrs are the attributes that all events about a member have.
func (t *groupTrack) memberAttrs(m group.Member) attrs {
	a := attrs{
		"type": "classic", "member": m.Key(), "client_id": m.ClientID, "host": m.Host,
		"instance_id": m.InstanceID, "member_id": m.ID, "library": "", "library_version": "",
	}
	if t.kip848 {
		a["type"] = "consumer"
	}
	if mt := t.members[m.ID]; mt != nil {
		mt.mu.Lock()
		a["library"], a["library_version"] = mt.library, mt.version
		mt.mu.Unlock()
	}
	return a
}

// tellJoined tells of a new member and whether it is an old one coming back.
func (s *groups) tellJoined(c *coordinated, e *group.Event) {
	t, from, key := c.track, c.track.from, e.Member.Key()
	replaced := e.OldMember.ID != ""
	var back *lostMember
	if !replaced { // who takes over a live instance id is another process than the one it replaces
		back = t.comeback(key, from)
	}
	known := back != nil || replaced || t.ghost(key)
	t.join(s, e.Member, from)
	if replaced && (c.consumer() != nil || c.machine.State() == group.Stable) {
		t.assigned(s, c.machine)
	}
	a := t.memberAttrs(e.Member)
	a["reason"], a["rejoin"] = e.Reason, known
	a["same_connection"], a["same_member_id"], a["old_half_open"] = false, false, false
	if from != nil {
		a.age("conn_age_s", e.At, from.openedAt)
	}
	if back != nil {
		a.age("previous_loss_s", e.At, back.at)
		a["same_member_id"] = back.id == e.Member.ID
		if from != nil {
			a["same_connection"] = from.openedAt.Before(back.at)
			a["old_half_open"] = from.openedAt.After(back.at) && s.halfOpen(back)
		}
	}
	s.emit(c, e, key+" joined", a)
}

// ghost says whether a member with this key is still listed although its connection is closed: its process was replaced
// before its session ended.
func (t *groupTrack) ghost(key string) bool {
	for _, m := range t.members {
		if m.key == key {
			m.mu.Lock()
			closed := m.conn == nil && m.connClosed != connOpen
			m.mu.Unlock()
			if closed {
				return true
			}
		}
	}
	return false
}

// halfOpen says that the lost member's connection was never closed by its peer and has been silent since: the peer, or the
// way to it, was gone without a word.
func (s *groups) halfOpen(l *lostMember) bool {
	for _, c := range s.b.conns.byClient(l.clientID, l.host) {
		if c.id == l.connID {
			return c.closed != connFIN && c.closed != connRST && !c.lastRequest.After(l.at)
		}
	}
	return false
}

// tellLoss tells of a member that left or expired, with its autopsy.
func (s *groups) tellLoss(c *coordinated, e *group.Event, kind string) {
	t := c.track
	mt := t.members[e.Member.ID]
	a := t.memberAttrs(e.Member)
	a["reason"], a["admin"] = e.Reason, e.Admin
	if mt != nil {
		s.autopsy(e.At, e.Member, mt, a)
	}
	t.losses[kind]++
	t.drop(s, e.Member.ID, e.At, endLost)
	if mt != nil && (kind == "expired" || strings.Contains(e.Reason, "poll timeout")) {
		s.hosts.lost(mt, e.At) // who closes in order says nothing about its neighbours
	}
	if mt != nil && kind == "left" && !e.Admin {
		mt.mu.Lock()
		s.leavers.add(leaver{at: e.At, group: c.name, member: mt.key, connID: mt.connID, clientID: mt.clientID, host: mt.host, attrs: maps.Clone(a)})
		mt.mu.Unlock()
	}
	verb := "left"
	if kind == "expired" {
		verb = "expired"
	}
	s.emit(c, e, fmt.Sprintf("%s %s: %s", e.Member.Key(), verb, e.Reason), a)
}

// tellFenced tells that an instance id changed hands. It counts as a loss only when the old holder was connected and
// alive: a restart of the same process takes its own place.
func (s *groups) tellFenced(c *coordinated, e *group.Event) {
	t := c.track
	old := t.members[e.OldMember.ID]
	a := t.memberAttrs(e.OldMember)
	a["reason"], a["code"], a["admin"] = e.Reason, e.Reason, false
	a["old_host"], a["new_host"] = e.OldMember.Host, e.Member.Host
	a["old_member_id"], a["new_member_id"] = e.OldMember.ID, e.Member.ID
	conflict := false
	if old != nil {
		s.autopsy(e.At, e.OldMember, old, a)
		alive := old.alive(e.At)
		old.mu.Lock()
		conflict = alive && old.conn != nil && old.conn != t.from
		old.mu.Unlock()
	}
	a["conflict"] = conflict
	if conflict {
		t.losses["fenced"]++
	}
	end := endReplaced
	if conflict {
		end = endLost
	}
	t.drop(s, e.OldMember.ID, e.At, end)
	s.emit(c, e, fmt.Sprintf("instance %s is taken over by %s", e.OldMember.InstanceID, e.Member.Host), a)
}

// unreleased counts a newcomer that was refused because a living process holds its instance id, and tells of it, at most once
// a second. Of a holder that is silent it is a restart that waits for the session of the process before. c.mu is held.
func (s *groups) unreleased(c *coordinated, now time.Time, r group.HeartbeatRequest, e group.Effects) {
	t := c.track
	refused := slices.ContainsFunc(e.Beats, func(b group.HeartbeatReply) bool { return b.To == r.Token && b.Code == group.UnreleasedInstanceID })
	if !refused {
		return
	}
	for _, m := range c.machine.Members() {
		holder := t.members[m.ID]
		if m.InstanceID != r.InstanceID || holder == nil || !holder.alive(now) {
			continue
		}
		holder.mu.Lock()
		conflict := holder.conn != nil && holder.conn != t.from
		holder.mu.Unlock()
		if !conflict {
			continue
		}
		t.fenced[group.UnreleasedInstanceID.String()]++
		if now.Sub(t.lastConflict) < time.Second {
			return
		}
		t.lastConflict = now
		a := t.memberAttrs(m)
		a["reason"], a["code"] = group.UnreleasedInstanceID.String(), group.UnreleasedInstanceID.String()
		a["old_host"], a["new_host"], a["old_member_id"], a["new_member_id"] = m.Host, r.Host, m.ID, r.MemberID
		a["conflict"], a["admin"] = true, false
		a["generation"], a["members"] = float64(c.machine.Generation()), float64(c.machine.Size())
		s.b.telemetry.Emit(groupEvent(now, string(group.MemberFenced), c.name, "instance "+m.InstanceID+" is wanted by "+r.Host+" and held by "+m.Host, a))
		return
	}
}

// rejected counts a refused OffsetCommit and, at most once a second, tells of it. c.mu is held.
func (s *groups) rejected(c *coordinated, now time.Time, memberID, clientID, host string, code group.Code) {
	t := c.track
	t.commits.add(now, code)
	t.answered(code)
	if now.Sub(t.lastReject) < time.Second {
		return
	}
	t.lastReject = now
	key := clientID + "@" + host
	if mt := t.members[memberID]; mt != nil {
		key = mt.key
	}
	s.b.telemetry.Emit(groupEvent(now, "commit_rejected", c.name, "a commit of "+key+" was answered "+code.String(), attrs{
		"member": key, "member_id": memberID, "client_id": clientID, "host": host, "code": code.String(),
		"was_lost":   t.wasLost(memberID, key, now),
		"generation": float64(c.machine.Generation()), "members": float64(c.machine.Size()),
	}))
}

// leaveReasons says whether a library sends reasons with JoinGroup and LeaveGroup that mean something; known is false for
// a library we know nothing about.
func leaveReasons(library, version string) (sends, known bool) {
	switch {
	case library == "":
		return false, false
	case library == "apache-kafka-java":
		return atLeast(version, 3, 2)
	case library == "streamkeeper-worker":
		return true, true
	case isAny(library, "librdkafka", "confluent", "kgo", "sarama", "kafkajs", "segmentio", "kafka-python", "aiokafka"):
		return false, true
	default:
		return false, false
	}
}

// readsAhead says whether a library fetches on a thread of its own, far ahead of what the application asks for: how often it
// fetches then says nothing about how fast the application is, or whether it works at all. Such libraries name themselves.
func readsAhead(library string) bool { return isAny(library, "librdkafka", "confluent") }

// pollLimit says whether a library leaves the group when the application does not poll within the rebalance timeout.
func pollLimit(library string) (enforces, known bool) {
	switch {
	case library == "":
		return false, false
	case isAny(library, "apache-kafka-java", "librdkafka", "confluent", "kafka-python", "streamkeeper-worker"):
		return true, true
	case isAny(library, "kgo", "sarama", "kafkajs", "segmentio"):
		return false, true
	default:
		return false, false
	}
}

func isAny(library string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(strings.ToLower(library), p) {
			return true
		}
	}
	return false
}

// atLeast compares a version's first two numbers; known is false when it has none.
func atLeast(version string, major, minor int) (is, known bool) {
	var a, b int
	if n, _ := fmt.Sscanf(version, "%d.%d", &a, &b); n < 2 {
		return false, false
	}
	return a > major || a == major && b >= minor, true
}
