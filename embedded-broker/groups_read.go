package broker

import (
	"slices"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine"
)

// read takes one group's reading.
func (s *groups) read(c *coordinated, now time.Time) groupReading {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.track
	r := groupReading{name: c.name, counts: t.counts(now), members: c.machine.Size(), facts: map[string]bool{"classic": !t.kip848, "kip848": t.kip848}}
	committed := s.engine.CommittedOffsets(c.name)
	s.readBacklog(&r, t, committed, now)
	if r.members > 0 {
		s.readPositions(&r, c, committed, now)
		s.readSpeed(&r, t, now)
		s.readFacts(&r, c)
	}
	return r
}

// readBacklog compares what is committed, or failing that fetched, with the heads.
func (s *groups) readBacklog(r *groupReading, t *groupTrack, committed map[engine.OffsetKey]engine.CommittedOffset, now time.Time) {
	at := make(map[engine.OffsetKey]int64, len(committed)+len(t.partitions))
	for k, o := range committed {
		at[k] = o.Offset
	}
	for tp, p := range t.partitions {
		k := engine.OffsetKey(tp)
		if _, ok := at[k]; !ok {
			if position := p.at(); position >= 0 {
				at[k] = position
			}
		}
	}
	oldest, known := time.Duration(0), true
	for k, offset := range at {
		p, err := s.engine.Partition(k.Topic, k.Partition)
		if err != nil {
			continue // the topic is gone; its offsets will expire
		}
		behind := p.HighWatermark() - max(offset, p.LogStart())
		if behind <= 0 {
			continue
		}
		r.backlog += behind
		age, ok := s.age(s.b.ctx, k, p, max(offset, p.LogStart()), now)
		known = known && ok
		oldest = max(oldest, age)
	}
	if known {
		r.backlogAge = pointer(oldest.Seconds())
	}
}

func (p *partitionTrack) at() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.position
}

// readPositions measures how far the members have fetched, and who does not fetch although it could.
func (s *groups) readPositions(r *groupReading, c *coordinated, committed map[engine.OffsetKey]engine.CommittedOffset, now time.Time) {
	lag, known, owned := int64(0), true, false
	idle, judged := time.Duration(0), false
	for tp, p := range c.track.partitions {
		part, err := s.engine.Partition(tp.Topic, tp.Partition)
		if err != nil {
			continue
		}
		p.mu.Lock()
		owner, position, since := p.owner, p.position, p.lastFetch
		if since.IsZero() {
			since = p.since
		}
		p.mu.Unlock()
		if owner == nil {
			continue
		}
		owned = true
		head := part.HighWatermark()
		if position >= 0 {
			lag += max(head-position, 0)
		} else {
			known = false
			o, ok := committed[engine.OffsetKey(tp)]
			if !ok {
				continue // where it would start to read is its own business
			}
			position = o.Offset
		}
		if !owner.alive(now) {
			continue
		}
		judged = true
		if head > position {
			idle = max(idle, now.Sub(since))
		}
	}
	if known && owned {
		r.positionLag = pointer(float64(lag))
	}
	if judged {
		r.fetchIdle = pointer(idle.Seconds())
	}
}

// alive says that the member's heartbeats come in time. Before its interval is known, its latest one must be younger than
// what clients use at most: a third of the session.
func (m *memberTrack) alive(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	interval := m.interval
	if interval == 0 {
		interval = m.session / 3
	}
	return !m.lastHeartbeat.IsZero() && now.Sub(m.lastHeartbeat) <= time.Duration(staleFactor*float64(interval))
}

// readSpeed takes the medians of the members' pauses per record over the last minute. The slowest may be one that was
// lost some minutes ago: a member that is lost over a long batch shows its speed only with its first fetch after that. The
// size of its fetches counts while the living, who keep up, show none.
func (s *groups) readSpeed(r *groupReading, t *groupTrack, now time.Time) {
	var all, sizes []float64
	slowest := -1.0
	for _, m := range t.members {
		speeds, records := m.speeds(now, thinkWindow)
		if len(speeds) == 0 {
			continue
		}
		all, sizes = append(all, speeds...), append(sizes, records...)
		slowest = max(slowest, median(speeds))
	}
	if len(all) > 0 {
		r.record = pointer(median(all))
	}
	for _, m := range t.gone {
		speeds, records := m.speeds(now, goneWindow)
		if len(speeds) == 0 {
			continue
		}
		slowest = max(slowest, median(speeds))
		if len(all) == 0 {
			sizes = append(sizes, records...)
		}
	}
	if slowest >= 0 {
		r.recordMax, r.perFetch = pointer(slowest), pointer(median(sizes))
	}
}

func (m *memberTrack) speeds(now time.Time, window time.Duration) (perRecord, records []float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.think[:min(m.thinkCount, maxThink)] {
		if now.Sub(t.at) <= window {
			perRecord = append(perRecord, t.pause.Seconds()/float64(t.records))
			records = append(records, float64(t.records))
		}
	}
	return perRecord, records
}

// median sorts v.
func median(v []float64) float64 {
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

func pointer(f float64) *float64 { return &f }

// readFacts says what is known of the members' nature.
func (s *groups) readFacts(r *groupReading, c *coordinated) {
	session, rebalance := time.Duration(0), time.Duration(0)
	static, dynamic, shared, direct, ahead := false, false, false, true, false
	reasons, limit := tally{}, tally{}
	for _, m := range c.machine.Members() {
		session, rebalance = max(session, m.SessionTimeout), max(rebalance, m.RebalanceTimeout)
		static, dynamic = static || m.InstanceID != "", dynamic || m.InstanceID == ""
		others, all := s.hosts.others(m.Host, c.name)
		shared = shared || others >= 2
		direct = direct && nearby(m.Host) && all <= natClients
		library, version := "", ""
		if mt := c.track.members[m.ID]; mt != nil {
			mt.mu.Lock()
			library, version = mt.library, mt.version
			mt.mu.Unlock()
		}
		if c.track.kip848 {
			reasons.add(false, true) // a heartbeat says good-bye without a reason
		} else {
			reasons.add(leaveReasons(library, version))
		}
		limit.add(pollLimit(library))
		ahead = ahead || readsAhead(library)
	}
	r.session, r.rebalance = pointer(session.Seconds()), pointer(rebalance.Seconds())
	r.facts["static"], r.facts["dynamic"], r.facts["shared_host"], r.facts["reads_ahead"] = static, dynamic, shared, ahead
	r.facts["client_metrics"] = s.b.clientMetrics.tells(c.name)
	if direct {
		r.facts["direct_tcp"] = true // a proxy far away cannot be told from a client: then nothing is said
	}
	reasons.set(r.facts, "leave_reasons")
	limit.set(r.facts, "poll_limit")
}

// tally is whether all members do something: one that does not settles it, one that is unknown leaves it open.
type tally struct{ no, unknown bool }

func (t *tally) add(does, known bool) {
	t.no = t.no || known && !does
	t.unknown = t.unknown || !known
}

func (t *tally) set(facts map[string]bool, name string) {
	if t.no || !t.unknown {
		facts[name] = !t.no
	}
}
