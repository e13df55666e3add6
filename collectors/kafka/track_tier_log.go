package kafka

import (
	"maps"
	"slices"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// copyTrack is what the tier log told of copies to the remote store.
type copyTrack struct {
	open   map[partition]*openCopy // a broker copies one segment of a partition at a time
	ended  []endedCopy             // that finished lately, and how long they took
	counts map[string]*copyCounts  // by topic, since the first look
	busy   float64                 // seconds that copies that are over took since then
}

// openCopy is a copy that was started.
type openCopy struct {
	segment [16]byte
	base    int64
	size    int64
	broker  int32
	started time.Time
}

type endedCopy struct {
	at   time.Time
	took time.Duration
	size int64
}

type copyCounts struct{ started, finished, failed float64 }

const (
	maxOpenCopies  = 4_096            // of a cluster; a broker copies ten at once by default
	maxEndedCopies = 4_096            // that are remembered
	copiesUsual    = 30 * time.Minute // of which what is usual is told
	copiesRecent   = 90 * time.Second // without the last of it
	copiesNow      = time.Minute      // of which what is now is told
	leastNow       = 2                // copies of now that say something: one may be late for itself
	leastUsual     = 3                // and of before
	copyAbandoned  = time.Minute      // after which a copy by who does not lead the partition is over: leaders are read now and then
)

// absorbCopied takes what brokers wrote of segments and the store. A copy that fails is deleted from the store before it ever
// finished; brokers of before 4.0 only start it again, under another id. What happened before the first look is not counted.
func (t *tracker) absorbCopied(s *snapshot) {
	t.copiedAll = s.copiedAll
	if t.copies == nil {
		if !s.copiedAll && len(s.copied) == 0 {
			return
		}
		t.copies = &copyTrack{open: map[partition]*openCopy{}, counts: map[string]*copyCounts{}}
	}
	c := t.copies
	for i := range s.copied {
		l := &s.copied[i]
		if l.at.After(s.at) {
			l.at = s.at // by a clock that is ahead of ours
		}
		c.take(l, t.started)
	}
	s.copied = nil
	for where, o := range c.open {
		p := t.part(where)
		if p == nil && s.topicsRead || p != nil && p.leader != o.broker && s.at.Sub(o.started) > copyAbandoned {
			c.end(where, s.at, t.started)
		}
	}
	c.ended = slices.DeleteFunc(c.ended, func(e endedCopy) bool { return s.at.Sub(e.at) > copiesUsual })
	if s.topicsRead {
		maps.DeleteFunc(c.counts, func(name string, _ *copyCounts) bool { return t.topics[name] == nil })
	}
}

// take takes one thing that a broker wrote; first is when counting began.
func (c *copyTrack) take(l *copied, first time.Time) {
	o, n := c.open[l.where], &copyCounts{}
	if !l.at.Before(first) {
		n = c.countsOf(l.where.topic)
	}
	mine := o != nil && o.segment == l.segment
	switch l.state {
	case copyStarted:
		if o != nil && !mine {
			if o.broker == l.broker && o.base == l.base {
				n.failed++
			}
			c.end(l.where, l.at, first)
		}
		n.started++
		if len(c.open) < maxOpenCopies {
			c.open[l.where] = &openCopy{l.segment, l.base, l.size, l.broker, l.at}
		}
	case copyFinished:
		n.finished++
		if mine {
			c.remember(endedCopy{l.at, max(0, l.at.Sub(o.started)), o.size})
			c.end(l.where, l.at, first)
		}
	case deleteStarted, deleteFinished:
		if mine {
			n.failed++
			c.end(l.where, l.at, first)
		}
	case partitionDeleted:
		c.end(l.where, l.at, first)
	}
}

func (c *copyTrack) countsOf(topic string) *copyCounts {
	n := c.counts[topic]
	if n == nil {
		n = &copyCounts{}
		c.counts[topic] = n
	}
	return n
}

// end ends the copy of a partition, if there is one.
func (c *copyTrack) end(where partition, at, first time.Time) {
	if o := c.open[where]; o != nil {
		c.busy += o.ran(at, first).Seconds()
		delete(c.open, where)
	}
}

func (c *copyTrack) remember(e endedCopy) {
	if len(c.ended) == maxEndedCopies {
		c.ended = slices.Delete(c.ended, 0, maxEndedCopies/4)
	}
	c.ended = append(c.ended, e)
}

// ran is how long a copy ran by a moment, since counting began.
func (o *openCopy) ran(at, first time.Time) time.Duration {
	return max(0, at.Sub(later(o.started, first)))
}

// seconds are how long copies took of late, and how long those took before that were half as large at least: of what is larger
// than ever nobody knows how long it should take. Either is 0 when it is not known.
func (c *copyTrack) seconds(at time.Time) (now, usual float64) {
	var took, sizes, before []float64
	for _, e := range c.ended {
		if at.Sub(e.at) <= copiesNow {
			took, sizes = append(took, e.took.Seconds()), append(sizes, float64(e.size))
		}
	}
	if len(took) < leastNow {
		return 0, 0
	}
	size := middle(sizes)
	for _, e := range c.ended {
		if at.Sub(e.at) > copiesRecent && float64(e.size) >= size/2 {
			before = append(before, e.took.Seconds())
		}
	}
	if len(before) >= leastUsual {
		usual = middle(before)
	}
	return middle(took), usual
}

// busyUsual is how many copies ran at any time before, as far as it is remembered; ok is false while that is too short.
func (c *copyTrack) busyUsual(at time.Time) (running float64, ok bool) {
	from, until := at, at.Add(-copiesRecent)
	for _, e := range c.ended {
		if e.at.Before(until) {
			if e.at.Before(from) {
				from = e.at
			}
			running += e.took.Seconds()
		}
	}
	long := until.Sub(from)
	return running / long.Seconds(), long >= copiesNow
}

// middle is the median; of two, the lower.
func middle(of []float64) float64 {
	slices.Sort(of)
	return of[(len(of)-1)/2]
}

// measureCopies tells of copies while the log is read to its end.
func (t *tracker) measureCopies(r *round) {
	if t.copies == nil || !t.copiedAll {
		return
	}
	c := t.copies
	for name := range t.tiered {
		if t.topics[name] != nil {
			c.countsOf(name) // a counter that begins with one is not seen to move
		}
	}
	for _, name := range sortedKeys(c.counts) {
		labels := func(more ...string) map[string]string {
			out := map[string]string{"cluster": t.cluster, "store": streamkeeper.TieredStorage, "topic": name}
			for i := 0; i < len(more); i += 2 {
				out[more[i]] = more[i+1]
			}
			return out
		}
		n := c.counts[name]
		r.add("streamkeeper_tier_copies_started_total", labels(), n.started)
		r.add("streamkeeper_tier_copies_ended_total", labels("outcome", "finished"), n.finished)
		r.add("streamkeeper_tier_copies_ended_total", labels("outcome", "failed"), n.failed)
	}
	busy, oldest := c.busy, time.Duration(0)
	for _, o := range c.open {
		busy += o.ran(r.at, t.started).Seconds()
		oldest = max(oldest, r.at.Sub(o.started))
	}
	labels := map[string]string{"cluster": t.cluster, "store": streamkeeper.TieredStorage}
	r.add("streamkeeper_tier_copy_busy_seconds_total", labels, busy)
	r.add("streamkeeper_tier_copy_oldest_seconds", labels, oldest.Seconds())
	if running, ok := c.busyUsual(r.at); ok {
		r.add("streamkeeper_tier_copy_busy_usual", labels, running)
	}
	now, usual := c.seconds(r.at)
	if now > 0 {
		r.add("streamkeeper_tier_copy_seconds", labels, now)
	}
	if usual > 0 {
		r.add("streamkeeper_tier_copy_usual_seconds", labels, usual)
	}
}
