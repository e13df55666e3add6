package broker

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/streamkeeper-io/streamkeeper/engine"
)

const (
	maxGroupSeries = 1000             // groups with series of their own; the rest is "other"
	groupIdle      = 15 * time.Minute // a group without a sign of life for so long loses its series
	thinkWindow    = time.Minute
	otherGroups    = "other"
)

// groupDescs are the descriptions of the groups' metrics, with the constant label broker. Gauges whose help ends in "absent
// when unknown" are not sent at all then.
type groupDescs struct {
	rebalances  *prometheus.Desc
	members     *prometheus.Desc
	losses      *prometheus.Desc
	unstable    *prometheus.Desc
	commits     *prometheus.Desc
	fenced      *prometheus.Desc
	backlog     *prometheus.Desc
	backlogAge  *prometheus.Desc
	fetched     *prometheus.Desc
	records     *prometheus.Desc
	refetches   *prometheus.Desc
	record      *prometheus.Desc
	recordMax   *prometheus.Desc
	perFetch    *prometheus.Desc
	fetchIdle   *prometheus.Desc
	positionLag *prometheus.Desc
	advance     *prometheus.Desc
	session     *prometheus.Desc
	rebalance   *prometheus.Desc
	fact        *prometheus.Desc
}

func newGroupDescs(node string) *groupDescs {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(namespace+"group_"+name, help, append([]string{"group"}, labels...), prometheus.Labels{"broker": node})
	}
	return &groupDescs{
		rebalances:  desc("rebalances_total", "Generations completed."),
		members:     desc("members", "Members now."),
		losses:      desc("losses_total", "Members that left, expired or were fenced by another process.", "kind"),
		unstable:    desc("unstable_seconds_total", "Time with members but without a finished assignment."),
		commits:     desc("commits_total", "OffsetCommit requests by answer.", "code"),
		fenced:      desc("fenced_total", "Answers that fenced a static member.", "code"),
		backlog:     desc("backlog_messages", "Records after the committed offsets."),
		backlogAge:  desc("backlog_seconds", "Age of the oldest record after the committed offsets, absent when unknown."),
		fetched:     desc("fetched_bytes_total", "Bytes fetched by members, by where they lay.", "tier"),
		records:     desc("fetched_records_total", "Records fetched by members."),
		refetches:   desc("refetches_total", "Fetches served from the same or an earlier place, the third time and later."),
		record:      desc("record_seconds", "Median time a backlogged member takes per record, absent when unknown."),
		recordMax:   desc("record_seconds_max", "The same of the slowest member, absent when unknown."),
		perFetch:    desc("records_per_fetch", "Median records per fetch of backlogged members, absent when unknown."),
		fetchIdle:   desc("fetch_idle_seconds", "Longest time a live member has not fetched a partition it owns that has data, absent when unknown."),
		positionLag: desc("position_lag_messages", "Records after the members' fetch positions, absent when unknown."),
		advance:     desc("position_advance_total", "Forward movement of the members' fetch positions."),
		session:     desc("session_timeout_seconds", "Largest session timeout of a member, absent without members."),
		rebalance:   desc("rebalance_timeout_seconds", "Largest rebalance timeout of a member, absent without members."),
		fact:        desc("fact", "What is known of the group's nature, 1 or 0, absent when unknown.", "fact"),
	}
}

// groupReading is one group's numbers at one moment. Pointers are nil when not known.
type groupReading struct {
	name                        string
	counts                      groupCounts
	members                     int
	backlog                     int64
	backlogAge                  *float64
	record, recordMax, perFetch *float64
	fetchIdle, positionLag      *float64
	session, rebalance          *float64
	facts                       map[string]bool
}

// groupCounts are the counters; they can be added up.
type groupCounts struct {
	rebalances                int64
	unstable                  float64
	losses, commits, fenced   map[string]int64
	hot, warm, cold           int64
	records, refetches, moved int64
}

// collect sends the groups' metrics.
func (s *groups) collect(ch chan<- prometheus.Metric) {
	now := s.now()
	s.heads.newScrape()
	var live []*coordinated
	for _, c := range s.all() {
		c.mu.Lock()
		if !c.gone && now.Sub(c.track.alive()) < groupIdle {
			live = append(live, c)
		}
		c.mu.Unlock()
	}
	slices.SortFunc(live, func(a, b *coordinated) int { return strings.Compare(a.name, b.name) })
	other := groupReading{name: otherGroups, counts: newGroupCounts()}
	for i, c := range live {
		r := s.read(c, now)
		if i < maxGroupSeries {
			r.send(ch, s.descs)
			continue
		}
		other.counts.add(r.counts)
		other.members += r.members
		other.backlog += r.backlog
	}
	if len(live) > maxGroupSeries {
		other.send(ch, s.descs)
	}
}

func newGroupCounts() groupCounts {
	return groupCounts{losses: map[string]int64{}, commits: map[string]int64{}, fenced: map[string]int64{}}
}

func (a *groupCounts) add(b groupCounts) {
	a.rebalances += b.rebalances
	a.unstable += b.unstable
	for dst, src := range map[*map[string]int64]map[string]int64{&a.losses: b.losses, &a.commits: b.commits, &a.fenced: b.fenced} {
		for k, n := range src {
			(*dst)[k] += n
		}
	}
	a.hot, a.warm, a.cold = a.hot+b.hot, a.warm+b.warm, a.cold+b.cold
	a.records, a.refetches, a.moved = a.records+b.records, a.refetches+b.refetches, a.moved+b.moved
}

func (t *groupTrack) counts(now time.Time) groupCounts {
	c := newGroupCounts()
	unstable := t.unstable
	if !t.unstableSince.IsZero() {
		unstable += now.Sub(t.unstableSince)
	}
	f := t.fetch
	commits, _ := t.commits.read()
	c.add(groupCounts{
		rebalances: t.rebalances, unstable: unstable.Seconds(), losses: t.losses, commits: commits, fenced: t.fenced,
		hot: f.hot.Load(), warm: f.warm.Load(), cold: f.cold.Load(),
		records: f.records.Load(), refetches: f.refetches.Load(), moved: f.moved.Load(),
	})
	return c
}

// read takes one group's reading.
func (s *groups) read(c *coordinated, now time.Time) groupReading {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.track
	r := groupReading{name: c.name, counts: t.counts(now), members: c.machine.Size(), facts: map[string]bool{"classic": true, "kip848": false}}
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

// readSpeed takes the medians of the members' pauses per record over the last minute.
func (s *groups) readSpeed(r *groupReading, t *groupTrack, now time.Time) {
	var all, sizes []float64
	slowest := -1.0
	for _, m := range t.members {
		speeds, records := m.speeds(now)
		if len(speeds) == 0 {
			continue
		}
		all, sizes = append(all, speeds...), append(sizes, records...)
		slowest = max(slowest, median(speeds))
	}
	if len(all) == 0 {
		return
	}
	r.record, r.recordMax, r.perFetch = pointer(median(all)), pointer(slowest), pointer(median(sizes))
}

func (m *memberTrack) speeds(now time.Time) (perRecord, records []float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.think[:min(m.thinkCount, maxThink)] {
		if now.Sub(t.at) <= thinkWindow {
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
	static, dynamic, shared, direct := false, false, false, true
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
		reasons.add(leaveReasons(library, version))
		limit.add(pollLimit(library))
	}
	r.session, r.rebalance = pointer(session.Seconds()), pointer(rebalance.Seconds())
	r.facts["static"], r.facts["dynamic"], r.facts["shared_host"] = static, dynamic, shared
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

func (r *groupReading) send(ch chan<- prometheus.Metric, d *groupDescs) {
	counter := func(of *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(of, prometheus.CounterValue, v, append([]string{r.name}, labels...)...)
	}
	gauge := func(of *prometheus.Desc, v *float64, labels ...string) {
		if v != nil {
			ch <- prometheus.MustNewConstMetric(of, prometheus.GaugeValue, *v, append([]string{r.name}, labels...)...)
		}
	}
	c := &r.counts
	counter(d.rebalances, float64(c.rebalances))
	counter(d.unstable, c.unstable)
	for _, by := range []struct {
		desc   *prometheus.Desc
		counts map[string]int64
	}{{d.losses, c.losses}, {d.commits, c.commits}, {d.fenced, c.fenced}} {
		for label, n := range by.counts {
			counter(by.desc, float64(n), label)
		}
	}
	counter(d.fetched, float64(c.hot), "hot")
	counter(d.fetched, float64(c.warm), "warm")
	counter(d.fetched, float64(c.cold), "cold")
	counter(d.records, float64(c.records))
	counter(d.refetches, float64(c.refetches))
	counter(d.advance, float64(c.moved))
	gauge(d.members, pointer(float64(r.members)))
	gauge(d.backlog, pointer(float64(r.backlog)))
	gauge(d.backlogAge, r.backlogAge)
	gauge(d.record, r.record)
	gauge(d.recordMax, r.recordMax)
	gauge(d.perFetch, r.perFetch)
	gauge(d.fetchIdle, r.fetchIdle)
	gauge(d.positionLag, r.positionLag)
	gauge(d.session, r.session)
	gauge(d.rebalance, r.rebalance)
	for fact, is := range r.facts {
		v := 0.0
		if is {
			v = 1
		}
		gauge(d.fact, &v, fact)
	}
}
