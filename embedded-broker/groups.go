package broker

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/group"
)

// GroupOptions bound what members may ask for.
type GroupOptions struct {
	MinSessionTimeout time.Duration // 0 = 6 s, as Kafka
	MaxSessionTimeout time.Duration // 0 = 30 min, as Kafka
	// InitialRebalanceDelay is how long an empty group waits for more members. 0 = 500 ms, negative = none. Kafka waits
	// 3 s, which suits fleets; here a laptop's consumer should start quickly.
	InitialRebalanceDelay time.Duration
	MaxSize               int // members per group; 0 = no bound

	// Of groups of the consumer protocol (KIP-848), where the broker decides; configs of the cluster
	// (group.consumer.session.timeout.ms) and of a group (consumer.session.timeout.ms) come first.
	ConsumerSessionTimeout    time.Duration // 0 = 45 s, as Kafka
	ConsumerHeartbeatInterval time.Duration // 0 = 5 s, as Kafka
}

func (o GroupOptions) machine() group.Options {
	setDefault(&o.MinSessionTimeout, 6*time.Second)
	setDefault(&o.MaxSessionTimeout, 30*time.Minute)
	setDefault(&o.InitialRebalanceDelay, 500*time.Millisecond)
	return group.Options{
		MinSessionTimeout: o.MinSessionTimeout, MaxSessionTimeout: o.MaxSessionTimeout,
		InitialRebalanceDelay: max(o.InitialRebalanceDelay, 0), MaxSize: o.MaxSize,
	}
}

// groups coordinates consumer groups: requests drive the state machines of package group under one lock per group, and
// one goroutine serves all their deadlines. Safe for concurrent use.
//
// Lock order: coordinated.mu, then hosts.mu, fetchers.mu and positions' locks, then the connections' locks. Answers and
// saves happen after coordinated.mu is released.
type groups struct {
	b       *Broker
	engine  *engine.Engine
	now     func() time.Time
	options group.Options

	consumerSession, consumerHeartbeat time.Duration

	mu     sync.RWMutex
	byName map[string]*coordinated

	closed atomic.Bool

	clock    *groupClock
	hosts    *hostIndex
	leavers  leavers
	fetchers *fetchers
	heads    *headLog
	descs    *groupDescs
}

// coordinated is one group with what the broker keeps beside the state machine.
type coordinated struct {
	name string

	mu      sync.Mutex
	machine machine
	gone    bool // deleted: look the name up again
	token   group.Token
	joins   map[group.Token]func(group.JoinReply)
	syncs   map[group.Token]func(group.SyncReply)
	beats   map[group.Token]func(group.HeartbeatReply)
	saves   []group.Save // waiting to be handed to the engine, in order
	saving  bool
	track   *groupTrack
	spoke   string // id of the member whose request is being handled, until it is told

	deadline time.Time // what the clock knows; owned by groupClock.mu
	slot     int       // place in the clock's heap, -1 = not in it
}

func newGroups(b *Broker, o GroupOptions) *groups {
	g := &groups{
		b: b, engine: b.engine, now: b.now, options: o.machine(),
		byName: map[string]*coordinated{},
		hosts:  newHostIndex(), fetchers: newFetchers(), heads: newHeadLog(),
		descs: newGroupDescs(strconv.Itoa(int(b.o.NodeID))),
	}
	setDefault(&o.ConsumerSessionTimeout, 45*time.Second)
	setDefault(&o.ConsumerHeartbeatInterval, 5*time.Second)
	g.consumerSession, g.consumerHeartbeat = o.ConsumerSessionTimeout, o.ConsumerHeartbeatInterval
	g.clock = newGroupClock(g)
	g.load()
	g.clock.start()
	return g
}

// close stops the deadlines and sends away who waits for a round to end, so that connections can drain. Members stay: after
// a restart they are members still.
func (s *groups) close() {
	s.closed.Store(true)
	s.clock.stop()
	for _, c := range s.all() {
		c.mu.Lock()
		joins, syncs, beats := c.joins, c.syncs, c.beats
		c.waitForNobody()
		c.mu.Unlock()
		for _, f := range joins {
			f(group.JoinReply{Code: group.NotCoordinator, Generation: -1})
		}
		for _, f := range syncs {
			f(group.SyncReply{Code: group.NotCoordinator})
		}
		for _, f := range beats {
			f(group.HeartbeatReply{Code: group.NotCoordinator})
		}
	}
}

func (c *coordinated) waitForNobody() {
	c.joins, c.syncs = map[group.Token]func(group.JoinReply){}, map[group.Token]func(group.SyncReply){}
	c.beats = map[group.Token]func(group.HeartbeatReply){}
}

// find returns the group, or nil. A group that only has offsets is found, as an empty one.
func (s *groups) find(name string) *coordinated {
	s.mu.RLock()
	c := s.byName[name]
	s.mu.RUnlock()
	if c == nil && name != "" && len(s.engine.CommittedOffsets(name)) > 0 {
		return s.obtain(name)
	}
	return c
}

// obtain returns the group, made when there is none.
func (s *groups) obtain(name string) *coordinated {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.byName[name]; c != nil {
		return c
	}
	c := s.insertLocked(group.New(name, s.now(), s.options))
	return c
}

func (s *groups) insertLocked(m machine) *coordinated {
	c := &coordinated{name: m.Name(), machine: m, slot: -1, track: newGroupTrack(m.Name(), s.now())}
	c.track.kip848 = c.consumer() != nil
	c.waitForNobody()
	s.byName[c.name] = c
	return c
}

// all lists the groups; their order is random.
func (s *groups) all() []*coordinated {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]*coordinated, 0, len(s.byName))
	for _, c := range s.byName {
		list = append(list, c)
	}
	return list
}

// act runs one step of a group and does what it asks for. It reports false when the group was deleted meanwhile.
func (s *groups) act(c *coordinated, step func(m machine, now time.Time) group.Effects) bool {
	c.mu.Lock()
	if c.gone {
		c.mu.Unlock()
		return false
	}
	now := s.now()
	effects := step(c.machine, now)
	answers := s.absorb(c, now, effects)
	c.mu.Unlock()
	for _, answer := range answers {
		answer()
	}
	s.store(c)
	return true
}

// actOn is act on the group of that name, found anew when it was deleted between. create makes a missing group; without
// it actOn reports false when there is none.
func (s *groups) actOn(name string, create bool, step func(c *coordinated, now time.Time) group.Effects) bool {
	for {
		c := s.find(name)
		if c == nil && create {
			c = s.obtain(name)
		}
		if c == nil {
			return false
		}
		if s.act(c, func(_ machine, now time.Time) group.Effects { return step(c, now) }) {
			return true
		}
	}
}

// park makes a token for a request that may have to wait. c.mu is held.
func (c *coordinated) park() group.Token {
	c.token++
	return c.token
}

// heard notes that a member has just spoken, once the step it caused is told.
func (c *coordinated) heard(id string) { c.spoke = id }

// absorb tells the events, queues the saves, sets the clock and returns the answers to give once c.mu is free.
func (s *groups) absorb(c *coordinated, now time.Time, e group.Effects) (answers []func()) {
	for _, r := range e.Joins {
		if f := c.joins[r.To]; f != nil {
			delete(c.joins, r.To)
			answers = append(answers, func() { f(r) })
		}
		c.track.answered(r.Code)
	}
	for _, r := range e.Syncs {
		if f := c.syncs[r.To]; f != nil {
			delete(c.syncs, r.To)
			answers = append(answers, func() { f(r) })
		}
		c.track.answered(r.Code)
	}
	for _, r := range e.Beats {
		if f := c.beats[r.To]; f != nil {
			delete(c.beats, r.To)
			answers = append(answers, func() { f(r) })
		}
		c.track.answered(r.Code)
	}
	c.track.observe(now, c.machine.Unsettled(), c.machine.Size())
	for i := range e.Events {
		s.tell(c, &e.Events[i])
	}
	if m := c.consumer(); m != nil && m.Moves() != c.track.moves {
		c.track.moves = m.Moves()
		c.track.assigned(s, m) // members come to their new partitions one by one, also within a round
	}
	if c.spoke != "" {
		c.track.seen(c.machine, c.spoke, now)
		c.spoke = ""
	}
	c.track.from = nil
	c.saves = append(c.saves, e.Saves...)
	if at, ok := c.machine.Deadline(); ok {
		s.clock.set(c, at)
	}
	return answers
}

// store hands queued saves to the engine in their order, one caller at a time.
func (s *groups) store(c *coordinated) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.saving {
		return
	}
	c.saving = true
	for len(c.saves) > 0 && !c.gone {
		save := c.saves[0]
		c.saves = c.saves[1:]
		c.mu.Unlock()
		done := func(err error) { s.clock.saved(c, save.ID, storeCode(err)) }
		if save.Records != nil {
			s.engine.SaveGroupRecords(c.name, engineRecords(save.Records), done)
		} else {
			s.engine.SaveGroup(c.name, encodeGroup(save.Snapshot), done)
		}
		c.mu.Lock()
	}
	c.saving = false
}

// storeCode is what a client is told when the coordinator could not store something.
func storeCode(err error) group.Code {
	switch {
	case err == nil:
		return group.None
	case errors.Is(err, engine.ErrStorage), errors.Is(err, engine.ErrClosed):
		return group.NotCoordinator
	default:
		return group.CoordinatorNotAvailable
	}
}

// newMemberID makes a member id as Kafka does: the client id (or instance id), a dash and a UUID.
func newMemberID(prefix string) string {
	var u [16]byte
	rand.Read(u[:]) //nolint:errcheck // never fails
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	h := hex.EncodeToString(u[:])
	return prefix + "-" + h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func text(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

func textOrNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// groupAPIs are the rows of the group APIs.
func groupAPIs() []api {
	return []api{
		offsetCommitAPI(), offsetFetchAPI(), findCoordinatorAPI(), joinGroupAPI(), heartbeatAPI(), leaveGroupAPI(),
		syncGroupAPI(), describeGroupsAPI(), listGroupsAPI(), deleteGroupsAPI(), offsetDeleteAPI(),
		consumerGroupHeartbeatAPI(), consumerGroupDescribeAPI(),
	}
}
