package group

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// sim drives a group the way the broker does and keeps what came out. Saves succeed at once unless holdSaves is set.
type sim struct {
	t         *testing.T
	g         *Group
	now       time.Time
	joins     map[Token]JoinReply
	syncs     map[Token]SyncReply
	events    []Event
	saves     []Save
	holdSaves bool
	token     Token
	ids       int
	asked     map[Token]string // every token ever given, with what it was
}

func newSim(t *testing.T, o Options) *sim {
	return &sim{
		t: t, g: New("g", epoch, o), now: epoch,
		joins: map[Token]JoinReply{}, syncs: map[Token]SyncReply{}, asked: map[Token]string{},
	}
}

func (s *sim) absorb(e Effects) {
	s.t.Helper()
	for _, r := range e.Joins {
		s.answered(r.To, "join")
		s.joins[r.To] = r
	}
	for _, r := range e.Syncs {
		s.answered(r.To, "sync")
		s.syncs[r.To] = r
	}
	s.events = append(s.events, e.Events...)
	for _, save := range e.Saves {
		if s.holdSaves {
			s.saves = append(s.saves, save)
		} else {
			s.absorb(s.g.Saved(s.now, save.ID, None))
		}
	}
}

func (s *sim) answered(t Token, kind string) {
	s.t.Helper()
	if s.asked[t] != kind {
		s.t.Fatalf("token %d answered as %s, asked as %q", t, kind, s.asked[t])
	}
	_, j := s.joins[t]
	_, y := s.syncs[t]
	if j || y {
		s.t.Fatalf("token %d answered twice", t)
	}
}

func (s *sim) ask(kind string) Token {
	s.token++
	s.asked[s.token] = kind
	return s.token
}

func (s *sim) newID(client string) string {
	s.ids++
	return fmt.Sprintf("%s-%d", client, s.ids)
}

// joining is a request with everyday values, for changing.
func (s *sim) joining(client, id string) JoinRequest {
	return JoinRequest{
		MemberID: id, NewMemberID: s.newID(client), ClientID: client, Host: "10.0.0.1",
		SessionTimeout: 10 * time.Second, RebalanceTimeout: 30 * time.Second,
		ProtocolType: ConsumerProtocol, Protocols: []Protocol{{"range", subscription("t")}},
	}
}

func (s *sim) join(r JoinRequest) Token {
	s.t.Helper()
	r.Token = s.ask("join")
	s.absorb(s.g.Join(s.now, r))
	return r.Token
}

func (s *sim) sync(id string, generation int32, assignments map[string][]byte) Token {
	s.t.Helper()
	t := s.ask("sync")
	s.absorb(s.g.Sync(s.now, SyncRequest{Token: t, MemberID: id, Generation: generation, Assignments: assignments}))
	return t
}

func (s *sim) beat(id string, generation int32) Code {
	s.t.Helper()
	c, e := s.g.Heartbeat(s.now, id, "", generation)
	s.absorb(e)
	return c
}

func (s *sim) leave(l ...Leaving) []Code {
	s.t.Helper()
	c, e := s.g.Leave(s.now, l)
	s.absorb(e)
	return c
}

// pass lets time go by, firing timers when they are due.
func (s *sim) pass(d time.Duration) {
	s.t.Helper()
	end := s.now.Add(d)
	for {
		at, ok := s.g.Deadline()
		if !ok || at.After(end) {
			break
		}
		s.now = at
		s.absorb(s.g.Expire(s.now))
		if next, ok := s.g.Deadline(); ok && !next.After(s.now) {
			s.t.Fatalf("after Expire(%v) the deadline is %v", s.now, next)
		}
	}
	s.now = end
}

// stable brings clients into a stable group and returns their member ids.
func (s *sim) stable(clients ...string) []string {
	s.t.Helper()
	tokens := map[string]Token{}
	var ids []string
	for _, m := range s.g.Members() {
		r := s.joining(m.ClientID, m.ID)
		r.InstanceID = m.InstanceID
		tokens[m.ID] = s.join(r)
	}
	for _, c := range clients {
		r := s.joining(c, "")
		tokens[r.NewMemberID] = s.join(r)
		ids = append(ids, r.NewMemberID)
	}
	for _, m := range s.g.Members() { // those who were there before the newcomers came
		if _, ok := s.joins[tokens[m.ID]]; ok && s.g.State() == PreparingRebalance {
			s.join(s.joining(m.ClientID, m.ID))
		}
	}
	s.pass(s.g.options.InitialRebalanceDelay * 2)
	s.syncAll(nil)
	if s.g.State() != Stable {
		s.t.Fatalf("state %s, want Stable", s.g.State())
	}
	return ids
}

func (s *sim) syncAll(assignments map[string][]byte) {
	s.t.Helper()
	for _, m := range s.g.Members() {
		if m.ID == s.g.Leader() {
			s.sync(m.ID, s.g.Generation(), assignments)
		} else {
			s.sync(m.ID, s.g.Generation(), nil)
		}
	}
}

// last is the latest event of a kind.
func (s *sim) last(kind EventKind) Event {
	s.t.Helper()
	for i := len(s.events) - 1; i >= 0; i-- {
		if s.events[i].Kind == kind {
			return s.events[i]
		}
	}
	s.t.Fatalf("no %s event in %v", kind, s.kinds())
	return Event{}
}

func (s *sim) count(kind EventKind) (n int) {
	for _, e := range s.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

func (s *sim) kinds() (k []EventKind) {
	for _, e := range s.events {
		k = append(k, e.Kind)
	}
	return k
}

func subscription(topics ...string) []byte {
	b := []byte{0, 1}
	b = binary.BigEndian.AppendUint32(b, uint32(len(topics)))
	for _, t := range topics {
		b = binary.BigEndian.AppendUint16(b, uint16(len(t)))
		b = append(b, t...)
	}
	return binary.BigEndian.AppendUint32(b, 0xffffffff) // null user data
}

func assignment(topic string, partitions ...int32) []byte {
	b := []byte{0, 1, 0, 0, 0, 1}
	b = binary.BigEndian.AppendUint16(b, uint16(len(topic)))
	b = append(b, topic...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(partitions)))
	for _, p := range partitions {
		b = binary.BigEndian.AppendUint32(b, uint32(p))
	}
	return binary.BigEndian.AppendUint32(b, 0xffffffff)
}
