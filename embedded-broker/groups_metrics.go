package broker

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	maxGroupSeries = 1000             // groups with series of their own; the rest is "other"
	groupIdle      = 15 * time.Minute // a group without a sign of life for so long loses its series
	thinkWindow    = time.Minute
	goneWindow     = 5 * time.Minute // of members that were lost
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
