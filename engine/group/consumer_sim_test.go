package group

import (
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// world is the topics of a simulated cluster. Topics asked of it are those of its moment: a change makes another.
type world struct {
	version uint64
	byName  map[string]Topic
	lastID  byte
}

func newWorld() *world { return &world{version: 1, byName: map[string]Topic{}} }

// set makes, grows or, with no partitions, deletes a topic.
func (w *world) set(name string, partitions int32) {
	next := maps.Clone(w.byName)
	t, ok := next[name]
	if !ok {
		w.lastID++
		t = Topic{ID: TopicID{w.lastID}, Name: name}
	}
	t.Partitions = partitions
	if next[name] = t; partitions == 0 {
		delete(next, name)
	}
	w.byName = next
	w.version++
}

func (w *world) Version() uint64                  { return w.version }
func (w *world) ByName(name string) (Topic, bool) { t, ok := w.byName[name]; return t, ok }
func (w *world) All() iter.Seq[Topic]             { return maps.Values(w.byName) }
func (w *world) ByID(id TopicID) (Topic, bool) {
	for _, t := range w.byName {
		if t.ID == id {
			return t, true
		}
	}
	return Topic{}, false
}

// modern drives a Consumer the way the broker does: it stores its records, checks every answer, and can lose everything
// but what was stored.
type modern struct {
	t       *testing.T
	g       *Consumer
	world   *world
	now     time.Time
	stored  map[string][]byte
	token   Token
	replies map[Token]HeartbeatReply
	events  []Event
	hold    bool // keep saves back
	held    []Save
}

var modernOptions = ConsumerOptions{SessionTimeout: 45 * time.Second, HeartbeatInterval: 5 * time.Second}

func newModern(t *testing.T) *modern {
	w := newWorld()
	return &modern{
		t: t, world: w, now: epoch, g: NewConsumer("g", epoch, modernOptions, w),
		stored: map[string][]byte{}, replies: map[Token]HeartbeatReply{},
	}
}

func (s *modern) absorb(e Effects) {
	s.t.Helper()
	for _, r := range e.Beats {
		if _, twice := s.replies[r.To]; twice {
			s.t.Fatalf("token %d answered twice", r.To)
		}
		s.replies[r.To] = r
	}
	s.events = append(s.events, e.Events...)
	for _, save := range e.Saves {
		if s.hold {
			s.held = append(s.held, save)
			continue
		}
		s.save(save)
	}
	s.exclusive()
}

func (s *modern) save(save Save) {
	s.t.Helper()
	for _, r := range save.Records {
		if r.Value == nil {
			delete(s.stored, string(r.Key))
		} else {
			s.stored[string(r.Key)] = r.Value
		}
	}
	s.absorb(s.g.Saved(s.now, save.ID, None))
}

// exclusive checks that no partition is held twice and that the table of holders is what the members hold.
func (s *modern) exclusive() {
	s.t.Helper()
	seen := map[placed]string{}
	for _, m := range s.g.members {
		for _, p := range []Partitions{m.assigned, m.revoking} {
			for id, n := range p.Each() {
				at := placed{id, n}
				if other := seen[at]; other != "" {
					s.t.Fatalf("%s and %s both hold %v", other, m.id, at)
				}
				seen[at] = m.id
			}
		}
	}
	if !maps.Equal(seen, s.g.holders) {
		s.t.Fatalf("holders are %v, members hold %v", s.g.holders, seen)
	}
}

func (s *modern) beat(r HeartbeatRequest) HeartbeatReply {
	s.t.Helper()
	s.token++
	r.Token, r.Topics = s.token, s.world
	if r.ClientID == "" {
		r.ClientID, r.Host = "c", "10.0.0.1"
	}
	s.absorb(s.g.Heartbeat(s.now, r))
	reply, ok := s.replies[s.token]
	if !ok && !s.hold {
		s.t.Fatalf("heartbeat of %s is not answered", r.MemberID)
	}
	return reply
}

func (s *modern) pass(d time.Duration) {
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

// restart loses everything but what was stored.
func (s *modern) restart() {
	s.t.Helper()
	g, err := RestoreConsumer("g", s.now, modernOptions, s.world, maps.Clone(s.stored))
	if err != nil {
		s.t.Fatal(err)
	}
	before := s.g
	s.g = g
	s.exclusive()
	if g.assignmentEpoch != before.assignmentEpoch || g.epoch < before.epoch || len(g.members) != len(before.members) || !maps.Equal(g.static, before.static) {
		s.t.Fatalf("restored as %+v, was %+v", g, before)
	}
	for _, m := range g.members {
		b := before.byID[m.id]
		if m.epoch != b.epoch || m.previousEpoch != b.previousEpoch || m.state != b.state || !m.assigned.equal(b.assigned) ||
			!m.revoking.equal(b.revoking) || !m.target.equal(b.target) || !maps.Equal(m.since, b.since) ||
			m.identity() != b.identity() || !slices.Equal(m.names, b.names) || m.regex != b.regex {
			s.t.Fatalf("member restored as %+v, was %+v", m, b)
		}
	}
}

// actor is a client: it says what it holds, and gives up what it must after a while.
type actor struct {
	id, instance string
	epoch        int32
	names        []string
	regex        *string
	owned        Partitions
	told         Partitions // what it was told to hold; owned follows
	slow         int        // heartbeats until it follows
	alive        bool
}

func (a *actor) request(full bool) HeartbeatRequest {
	r := HeartbeatRequest{MemberID: a.id, InstanceID: a.instance, Epoch: a.epoch, RebalanceTimeout: -1}
	if a.epoch == 0 {
		a.owned, a.told = Partitions{}, Partitions{}
	}
	if full || a.epoch == 0 {
		r.RebalanceTimeout, r.Names, r.Regex, r.Owned = time.Minute, a.names, a.regex, a.owned
	}
	return r
}

func (a *actor) hear(r HeartbeatReply) (fenced bool) {
	switch r.Code {
	case None:
		a.epoch = r.Epoch
		if r.Assignment != nil {
			a.told = r.Assignment
		}
		return false
	case FencedMemberEpoch, UnknownMemberID:
		a.epoch, a.owned, a.told = 0, Partitions{}, Partitions{}
		return true
	}
	return false
}

// follow gives up and takes what it was told to; it tells it with the next heartbeat.
func (a *actor) follow() (changed bool) {
	if a.owned.equal(a.told) {
		return false
	}
	if a.slow > 0 {
		a.slow--
		return false
	}
	a.owned = a.told
	return true
}

// TestConsumer_Random joins, leaves, kills, restarts, resubscribes, grows and deletes at random. At every step no
// partition is held twice, neither in the coordinator's books nor among the clients; and when all is quiet, every
// partition of every subscribed topic has an owner, members are balanced, and everybody is at the group's epoch.
func TestConsumer_Random(t *testing.T) {
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runRandom(t, rand.New(rand.NewPCG(seed, 848))) })
	}
}

func runRandom(t *testing.T, rnd *rand.Rand) {
	s := newModern(t)
	for i := range 4 {
		s.world.set(fmt.Sprintf("t%d", i), int32(1+rnd.IntN(6)))
	}
	var actors []*actor
	lost := 0
	for range 400 {
		switch n := rnd.IntN(100); {
		case n < 6 && len(actors) < 8:
			lost++
			a := &actor{id: fmt.Sprintf("m%d", lost), owned: Partitions{}, told: Partitions{}, alive: true}
			if rnd.IntN(4) == 0 {
				a.instance = fmt.Sprintf("i%d", lost)
			}
			a.resubscribe(rnd)
			actors = append(actors, a)
		case n < 8 && len(actors) > 0: // dies without a word
			actors[rnd.IntN(len(actors))].alive = false
		case n < 10 && len(actors) > 0: // leaves
			i := rnd.IntN(len(actors))
			s.beat(HeartbeatRequest{MemberID: actors[i].id, InstanceID: actors[i].instance, Epoch: -1})
			actors = slices.Delete(actors, i, i+1)
		case n < 13 && len(actors) > 0: // a static member restarts
			if a := actors[rnd.IntN(len(actors))]; a.instance != "" && a.alive && a.epoch > 0 {
				if r := s.beat(HeartbeatRequest{MemberID: a.id, InstanceID: a.instance, Epoch: -2}); r.Code == None {
					lost++
					a.id, a.epoch = fmt.Sprintf("m%d", lost), 0
				}
			}
		case n < 16 && len(actors) > 0:
			a := actors[rnd.IntN(len(actors))]
			a.resubscribe(rnd)
			a.slow = rnd.IntN(4)
			s.turn(a, actors, true)
		case n < 18:
			s.world.set(fmt.Sprintf("t%d", rnd.IntN(5)), int32(rnd.IntN(8)))
		case n < 19:
			s.restart()
		case n < 21: // an answer gets lost
			if len(actors) > 0 {
				if a := actors[rnd.IntN(len(actors))]; a.alive {
					s.beat(a.request(true))
				}
			}
		default:
			if len(actors) > 0 {
				s.turn(actors[rnd.IntN(len(actors))], actors, rnd.IntN(3) == 0)
			}
		}
		s.pass(time.Duration(rnd.IntN(2000)) * time.Millisecond)
	}
	s.quiet(actors)
}

func (a *actor) resubscribe(rnd *rand.Rand) {
	a.names, a.regex = []string{}, nil
	for i := range 4 {
		if rnd.IntN(2) == 0 {
			a.names = append(a.names, fmt.Sprintf("t%d", i))
		}
	}
	if rnd.IntN(5) == 0 {
		re := "t[12].*"
		a.regex = &re
	} else {
		none := ""
		a.regex = &none
	}
}

// turn is one heartbeat of a client. What it holds must be held by no other client.
func (s *modern) turn(a *actor, all []*actor, full bool) {
	s.t.Helper()
	if !a.alive {
		return
	}
	full = a.follow() || full
	a.hear(s.beat(a.request(full)))
	a.follow()
	if !a.owned.within(a.told) || a.epoch <= 0 {
		return
	}
	for _, b := range all {
		// Who was fenced holds nothing; it learns so with its next heartbeat.
		if m := s.g.byID[b.id]; b != a && b.alive && m != nil && m.epoch == b.epoch && b.owned.touches(a.owned) {
			s.t.Fatalf("%s (epoch %d) and %s (epoch %d) both consume %v", a.id, a.epoch, b.id, b.epoch, a.owned.and(b.owned))
		}
	}
}

// quiet lets everybody go on without changes until all have settled.
func (s *modern) quiet(actors []*actor) {
	s.t.Helper()
	for range 30 {
		for _, a := range actors {
			a.slow = 0
			s.turn(a, actors, true)
		}
		s.pass(5 * time.Second)
	}
	var live []*actor
	for _, a := range actors {
		if a.alive {
			live = append(live, a)
		}
	}
	if len(s.g.members) != len(live) {
		s.t.Fatalf("%d members, %d clients live", len(s.g.members), len(live))
	}
	if len(live) == 0 {
		if s.g.State() != Empty {
			s.t.Fatalf("state %s of an empty group", s.g.State())
		}
		return
	}
	if s.g.State() != Stable || s.g.Unsettled() || s.g.round.running {
		s.t.Fatalf("state %s (unsettled %v, round running %v) when all is quiet", s.g.State(), s.g.Unsettled(), s.g.round.running)
	}
	owned := map[placed]bool{}
	for _, a := range live {
		if a.epoch != s.g.epoch {
			s.t.Errorf("%s is at epoch %d, the group at %d", a.id, a.epoch, s.g.epoch)
		}
		for id, n := range a.owned.Each() {
			owned[placed{id, n}] = true
			if m := s.g.byID[a.id]; !slices.Contains(m.subscribed, id) {
				s.t.Errorf("%s consumes %v, to which it does not subscribe", a.id, id)
			}
		}
	}
	want := 0
	for _, topic := range s.g.resolved {
		want += int(topic.Partitions)
	}
	if len(owned) != want {
		s.t.Errorf("%d partitions are consumed, %d exist", len(owned), want)
	}
}
