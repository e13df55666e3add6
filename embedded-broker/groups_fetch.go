package broker

import (
	"sync"
	"sync/atomic"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/group"
)

// refetchFloor is how often data must have been served from one place before it is called a refetch: once by everybody,
// twice after a rebalance.
const refetchFloor = 3

// groupFetch counts what a group fetched. Safe for concurrent use.
type groupFetch struct {
	group                     string
	hot, warm, cold           atomic.Int64 // bytes by tier
	records, refetches, moved atomic.Int64
}

// partitionTrack is how far a group's owner of a partition has fetched.
type partitionTrack struct {
	group *groupFetch
	tp    group.TopicPartition

	mu        sync.Mutex
	owner     *memberTrack
	since     time.Time // when owner got it
	position  int64     // offset of the owner's latest Fetch; -1 = it has not asked yet
	lastFetch time.Time // of the owner; zero = never
	lastStart int64     // where the last served Fetch started
	highest   int64     // the highest lastStart
	servedAt  time.Time
	repeats   int64 // times data was served from the same place or after falling back, since highest last rose
}

func (p *partitionTrack) own(m *memberTrack, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.owner != m {
		p.owner, p.since, p.position, p.lastFetch = m, now, -1, time.Time{}
	}
}

func (p *partitionTrack) release(m *memberTrack) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.owner == m {
		p.owner, p.position, p.lastFetch = nil, -1, time.Time{}
	}
}

// forgotten says that a partition without an owner need not be remembered. Its past is kept for a while: a consumer that
// crashes over a record leaves its group empty each time.
func (p *partitionTrack) forgotten(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owner, p.position = nil, -1
	return now.Sub(p.servedAt) > groupIdle
}

func (p *partitionTrack) arrived(offset int64, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.position >= 0 && offset > p.position {
		p.group.moved.Add(offset - p.position)
	}
	p.position, p.lastFetch = offset, now
}

// served notes where data was served from and returns how often it was from the same place, 0 when that is no refetch.
func (p *partitionTrack) served(offset int64, now time.Time) (times int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case offset > p.highest:
		p.highest, p.repeats = offset, 1
	case offset <= p.lastStart:
		p.repeats++
		times = p.repeats
	}
	p.lastStart, p.servedAt = offset, now
	if times < refetchFloor {
		return 0
	}
	return times
}

// fetchers attributes fetches to members by client id, host and assigned partition. Safe for concurrent use.
type fetchers struct {
	epoch atomic.Uint64 // rises when members or assignments change

	mu      sync.RWMutex
	members map[clientKey][]*memberTrack
	conns   map[*conn]*connFetch
}

type clientKey struct{ client, host string }

// connFetch is what a connection's fetches were found to be.
type connFetch struct {
	mu      sync.Mutex
	epoch   uint64
	targets map[group.TopicPartition]fetchTarget
	bound   *memberTrack // found beyond doubt before; decides when several members fit

	member     *memberTrack // served in the last response
	answeredAt time.Time
	records    int64 // in the last response, 0 = none
	backlog    bool
}

// fetchTarget is the member a fetch belongs to; the zero one means none.
type fetchTarget struct {
	member *memberTrack
	part   *partitionTrack
}

func newFetchers() *fetchers {
	return &fetchers{members: map[clientKey][]*memberTrack{}, conns: map[*conn]*connFetch{}}
}

func (f *fetchers) changed() { f.epoch.Add(1) }

func (f *fetchers) add(m *memberTrack) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := clientKey{m.clientID, m.host}
	f.members[k] = append(f.members[k], m)
	f.changed()
}

func (f *fetchers) remove(m *memberTrack) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := clientKey{m.clientID, m.host}
	var rest []*memberTrack
	for _, o := range f.members[k] {
		if o != m {
			rest = append(rest, o)
		}
	}
	if len(rest) == 0 {
		delete(f.members, k)
	} else {
		f.members[k] = rest
	}
	f.changed()
}

// of lists the members of a client on a host; do not change it.
func (f *fetchers) of(client, host string) []*memberTrack {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.members[clientKey{client, host}]
}

func (f *fetchers) conn(c *conn) *connFetch {
	f.mu.RLock()
	cf := f.conns[c]
	f.mu.RUnlock()
	if cf != nil {
		return cf
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if cf = f.conns[c]; cf == nil {
		cf = &connFetch{targets: map[group.TopicPartition]fetchTarget{}}
		f.conns[c] = cf
	}
	return cf
}

func (f *fetchers) closed(c *conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
}

// sweep forgets connections that closed while a fetch of theirs was being served.
func (f *fetchers) sweep(time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		if c.stopped() {
			delete(f.conns, c)
		}
	}
}

// target finds whom a fetch belongs to. cf.mu is held.
func (s *groups) target(cf *connFetch, c *conn, tp group.TopicPartition, offset int64) fetchTarget {
	if epoch := s.fetchers.epoch.Load(); cf.epoch != epoch {
		clear(cf.targets)
		cf.epoch = epoch
	}
	if t, ok := cf.targets[tp]; ok {
		return t
	}
	var fits []fetchTarget
	for _, m := range s.fetchers.of(c.client(), c.host) {
		m.mu.Lock()
		p := m.assigned[tp]
		m.mu.Unlock()
		if p != nil {
			fits = append(fits, fetchTarget{m, p})
		}
	}
	t, sure := s.choose(fits, cf, c, offset)
	if sure {
		cf.targets[tp] = t
		if t.member != nil {
			cf.bound = t.member
		}
	}
	return t
}

// choose picks one of several members that may have sent a fetch: they have the same client id and host, are of different
// groups and own the same partition. In doubt it picks none: a wrong attribution is worse than a missing one.
func (s *groups) choose(fits []fetchTarget, cf *connFetch, c *conn, offset int64) (t fetchTarget, sure bool) {
	switch len(fits) {
	case 0:
		return fetchTarget{}, true
	case 1:
		return fits[0], true
	}
	for _, f := range fits {
		f.member.mu.Lock()
		same := f.member.conn == c
		f.member.mu.Unlock()
		if same || f.member == cf.bound {
			return f, true
		}
	}
	var match []fetchTarget
	for _, f := range fits {
		if committed, ok := s.engine.CommittedOffsets(f.member.group)[engine.OffsetKey(f.part.tp)]; ok && committed.Offset == offset {
			match = append(match, f)
		}
	}
	if len(match) == 1 {
		return match[0], true
	}
	return fetchTarget{}, false
}

// fetchArrived is told when a Fetch asks for a partition, before it is served.
func (s *groups) fetchArrived(c *conn, topic string, partition int32, offset int64) {
	cf := s.fetchers.conn(c)
	cf.mu.Lock()
	defer cf.mu.Unlock()
	if cf.records > 0 {
		s.thought(cf)
	}
	t := s.target(cf, c, group.TopicPartition{Topic: topic, Partition: partition}, offset)
	if t.member == nil {
		return
	}
	now := s.now()
	t.part.arrived(offset, now)
	t.member.mu.Lock()
	t.member.lastFetch = now
	t.member.mu.Unlock()
}

// thought ends the pause since the last response. Only a client that had more to read shows its own speed by it.
func (s *groups) thought(cf *connFetch) {
	if m := cf.member; m != nil && cf.backlog {
		now := s.now()
		m.mu.Lock()
		if !readsAhead(m.library) {
			m.think[m.thinkCount%maxThink] = thinkSample{now, max(now.Sub(cf.answeredAt), 0), cf.records}
			m.thinkCount++
		}
		m.mu.Unlock()
	}
	cf.records, cf.backlog, cf.member = 0, false, nil
}

// fetched is told when a Fetch was served records of a partition. backlog: more records lay behind those served.
func (s *groups) fetched(c *conn, topic string, partition int32, offset, records int64, bytes int, tier engine.Tier, backlog bool) {
	if records <= 0 {
		return
	}
	cf := s.fetchers.conn(c)
	cf.mu.Lock()
	defer cf.mu.Unlock()
	tp := group.TopicPartition{Topic: topic, Partition: partition}
	t := s.target(cf, c, tp, offset)
	if t.member == nil {
		return
	}
	cf.answeredAt = s.now()
	cf.records += records
	cf.backlog = cf.backlog || backlog
	cf.member = t.member
	t.member.mu.Lock()
	t.member.lastRecords = cf.records
	t.member.mu.Unlock()
	t.part.group.count(records, bytes, tier)
	if times := t.part.served(offset, cf.answeredAt); times > 0 {
		t.part.group.refetches.Add(1)
		if times == refetchFloor || times >= 2*refetchFloor && times%refetchFloor == 0 && powerOfTwo(times/refetchFloor) {
			s.b.telemetry.Emit(groupEvent(cf.answeredAt, "offset_refetched", t.part.group.group, "the same offset is fetched again and again", map[string]any{
				"topic": topic, "partition": float64(partition), "offset": float64(offset), "times": float64(times),
				"member": t.member.key,
			}))
		}
	}
}

func powerOfTwo(n int64) bool { return n > 0 && n&(n-1) == 0 }

func (g *groupFetch) count(records int64, bytes int, tier engine.Tier) {
	g.records.Add(records)
	switch tier {
	case engine.Cold:
		g.cold.Add(int64(bytes))
	case engine.Warm:
		g.warm.Add(int64(bytes))
	default:
		g.hot.Add(int64(bytes))
	}
}

// groupEvent makes an event about a group.
func groupEvent(at time.Time, kind, name, text string, attrs map[string]any) streamkeeper.Event {
	attrs["group"] = name
	return streamkeeper.Event{
		At: at, Kind: kind, Entity: streamkeeper.Entity{Kind: streamkeeper.KindGroup, Name: name},
		Source: "broker", Text: text, Attrs: attrs,
	}
}
