package broker

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/group"
)

const (
	maxLost  = 256 // lost members remembered per group
	maxThink = 64  // fetch samples remembered per member
	maxGone  = 16  // lost members whose speed is remembered per group
)

// groupTrack is what is observed about one group. Guarded by its coordinated.mu, except fetch and what lies under the
// locks of memberTrack and partitionTrack.
type groupTrack struct {
	name       string
	moves      uint64 // of the machine when it was asked who owns what
	kip848     bool   // of the consumer protocol
	from       *conn  // whose request is being handled; nil in a timer's step
	members    map[string]*memberTrack
	partitions map[group.TopicPartition]*partitionTrack
	lost       []lostMember   // oldest first
	gone       []*memberTrack // lost lately, oldest first: the batch that cost one its place ends after its loss

	unstable      time.Duration
	unstableSince time.Time // zero while stable or empty
	rebalances    int64
	losses        map[string]int64 // by kind
	commits       *commitStats
	fenced        map[string]int64 // by code
	lastReject    time.Time
	lastConflict  time.Time
	active        time.Time // when it last had members
	fetch         *groupFetch
}

func newGroupTrack(name string, now time.Time) *groupTrack {
	return &groupTrack{
		name: name, members: map[string]*memberTrack{}, partitions: map[group.TopicPartition]*partitionTrack{},
		losses: map[string]int64{"left": 0, "expired": 0, "fenced": 0}, commits: newCommitStats(),
		fenced: map[string]int64{group.FencedInstanceID.String(): 0, group.UnreleasedInstanceID.String(): 0}, active: now, fetch: &groupFetch{group: name},
	}
}

// commitStats counts OffsetCommits by answer. Safe for concurrent use.
type commitStats struct {
	mu     sync.Mutex
	counts map[string]int64
	last   time.Time
}

func newCommitStats() *commitStats {
	return &commitStats{counts: map[string]int64{group.None.String(): 0}}
}

func (s *commitStats) add(now time.Time, code group.Code) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[code.String()]++
	s.last = now
}

func (s *commitStats) read() (map[string]int64, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.counts), s.last
}

// alive is the group's last sign of life: members or commits.
func (t *groupTrack) alive() time.Time {
	if _, last := t.commits.read(); last.After(t.active) {
		return last
	}
	return t.active
}

// memberTrack is what is observed about one member. The identity is fixed; the rest is under mu.
type memberTrack struct {
	group, id, key, clientID, host, instance string
	session                                  time.Duration

	mu            sync.Mutex
	conn          *conn // that carried its last group request; nil once closed or never seen
	connID        uint64
	connOpened    time.Time // zero = unknown
	connClosed    string
	connClosedAt  time.Time
	library       string
	version       string
	lastHeartbeat time.Time
	interval      time.Duration
	lastFetch     time.Time
	lastRecords   int64 // in the last response that had any
	lastCommit    time.Time
	assigned      map[group.TopicPartition]*partitionTrack // replaced, never changed
	think         [maxThink]thinkSample
	thinkCount    int
}

// thinkSample is one pause of a client between a response and its next Fetch.
type thinkSample struct {
	at      time.Time
	pause   time.Duration
	records int64
}

// lostMember is a member that was lost, for recognising it when it is back.
type lostMember struct {
	key, id      string
	at           time.Time
	connID       uint64
	clientID     string
	host         string
	back         bool // a later join was matched with it
	connOpenedAt time.Time
}

// join starts to track a member; c is nil after a restart, until the member speaks.
func (t *groupTrack) join(s *groups, m group.Member, c *conn) *memberTrack {
	mt := &memberTrack{
		group: t.name, id: m.ID, key: m.Key(), clientID: m.ClientID, host: m.Host, instance: m.InstanceID,
		session: m.SessionTimeout, lastHeartbeat: m.LastHeartbeat,
	}
	mt.speaksOn(c)
	t.members[m.ID] = mt
	s.hosts.add(mt)
	s.fetchers.add(mt)
	return mt
}

// How a member's tracking ends: lost, to be recognised when it comes back, or replaced by its own restart.
const (
	endReplaced = false
	endLost     = true
)

// drop ends the tracking of a member.
func (t *groupTrack) drop(s *groups, id string, now time.Time, lost bool) {
	mt := t.members[id]
	if mt == nil {
		return
	}
	delete(t.members, id)
	for _, p := range t.partitions {
		p.release(mt)
	}
	s.hosts.remove(mt)
	s.fetchers.remove(mt)
	if lost {
		if len(t.lost) == maxLost {
			t.lost = t.lost[1:]
		}
		if len(t.gone) == maxGone {
			t.gone = slices.Delete(t.gone, 0, 1)
		}
		t.gone = append(t.gone, mt)
		mt.mu.Lock()
		t.lost = append(t.lost, lostMember{
			key: mt.key, id: mt.id, at: now, connID: mt.connID, clientID: mt.clientID, host: mt.host, connOpenedAt: mt.connOpened,
		})
		mt.mu.Unlock()
	}
}

// speaksOn notes the connection of the member's latest group request.
func (m *memberTrack) speaksOn(c *conn) {
	if c == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn == c {
		return
	}
	m.conn, m.connID, m.connOpened = c, c.id, c.openedAt
	m.connClosed, m.connClosedAt = connOpen, time.Time{}
	if name, version := c.library(); name != "" {
		m.library, m.version = name, version
	}
}

// seen notes a sign of life of a member: a join, sync or heartbeat that was not refused.
func (t *groupTrack) seen(machine machine, id string, now time.Time) {
	mt := t.members[id]
	if mt == nil {
		return
	}
	mt.speaksOn(t.from)
	interval := machine.HeartbeatInterval(id)
	mt.mu.Lock()
	mt.lastHeartbeat, mt.interval = now, interval
	mt.mu.Unlock()
}

// overdue says that the member's heartbeat is late; false while its interval is not known.
func (m *memberTrack) overdue(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.interval > 0 && !m.lastHeartbeat.IsZero() && now.Sub(m.lastHeartbeat) > time.Duration(staleFactor*float64(m.interval))
}

// observe keeps the time the group was not stable.
func (t *groupTrack) observe(now time.Time, unsettled bool, size int) {
	unstable := size > 0 && unsettled
	switch {
	case unstable && t.unstableSince.IsZero():
		t.unstableSince = now
	case !unstable && !t.unstableSince.IsZero():
		t.unstable += now.Sub(t.unstableSince)
		t.unstableSince = time.Time{}
	}
	if size > 0 {
		t.active = now
	}
}

// answered counts answers that fence a client.
func (t *groupTrack) answered(c group.Code) {
	if c == group.FencedInstanceID {
		t.fenced[c.String()]++
	}
}

// assigned takes over who owns what in the generation that has just become stable.
func (t *groupTrack) assigned(s *groups, machine machine) {
	if machine.ProtocolType() != group.ConsumerProtocol {
		return
	}
	now := s.now()
	owned := map[group.TopicPartition]bool{}
	for id, tps := range machine.Owned() {
		mt := t.members[id]
		if mt == nil {
			continue
		}
		assigned := make(map[group.TopicPartition]*partitionTrack, len(tps))
		for _, tp := range tps {
			p := t.partitions[tp]
			if p == nil {
				p = &partitionTrack{group: t.fetch, tp: tp, position: -1, lastStart: -1, highest: -1}
				t.partitions[tp] = p
			}
			p.own(mt, now)
			assigned[tp], owned[tp] = p, true
		}
		mt.mu.Lock()
		mt.assigned = assigned
		mt.mu.Unlock()
	}
	for tp, p := range t.partitions {
		if !owned[tp] && p.forgotten(now) {
			delete(t.partitions, tp)
		}
	}
	s.fetchers.changed()
	s.heads.outdated()
}

// wasLost says whether a member id or, lately, a member key was lost.
func (t *groupTrack) wasLost(id, key string, now time.Time) bool {
	for i := len(t.lost) - 1; i >= 0; i-- {
		l := &t.lost[i]
		if l.id == id || l.key == key && now.Sub(l.at) < 10*time.Minute {
			return true
		}
	}
	return false
}

// comeback finds the loss that a joining member follows: the one on the same connection, else the latest unmatched one of
// its key.
func (t *groupTrack) comeback(key string, c *conn) *lostMember {
	var best *lostMember
	for i := len(t.lost) - 1; i >= 0; i-- {
		l := &t.lost[i]
		if l.key != key || l.back {
			continue
		}
		if c != nil && l.connID == c.id {
			best = l
			break
		}
		if best == nil {
			best = l
		}
	}
	if best != nil {
		best.back = true
	}
	return best
}

// connClosed notes the end of a connection on the members it carried. It keeps the connection's memory from being held.
func (s *groups) connClosed(c *conn) {
	s.fetchers.closed(c)
	c.mu.Lock()
	how := c.how
	c.mu.Unlock()
	now := s.now()
	for _, m := range s.fetchers.of(c.client(), c.host) {
		m.mu.Lock()
		if m.conn == c {
			m.conn, m.connClosed, m.connClosedAt = nil, how, now
		}
		m.mu.Unlock()
	}
}
