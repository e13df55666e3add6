package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

// Signals is where exporters' series lie, labelled with their cluster.
type Signals interface {
	Read(ctx context.Context, at time.Time, qs []streamkeeper.Query) (streamkeeper.Answers, error)
}

// ExportedOptions configure an Exported. All are required.
type ExportedOptions struct {
	Cluster string
	Series  Signals
	Every   time.Duration // how often the exporters are scraped
}

// Exported watches a cluster through what exporters told of it (kminion, kafka_exporter, Redpanda, JMX), without
// asking the cluster anything. It derives the same series and events as [Collector], as far as exporters tell what they
// need: members are counted and have no names, so which one owns a partition stays unknown.
//
// It is a [collectors.Collector] whose samples bear the time of the scrape that they come from.
type Exported struct {
	o       ExportedOptions
	queries []streamkeeper.Query
	track   *tracker
	stale   collectors.Staleness
	last    time.Time       // the newest scrape that was taken
	speaks  []string        // dialects, in the newest round
	told    map[string]bool // facts, ever
	topics  shrinking
	groups  shrinking
}

// freshFor is the age in scrapes up to which a sample speaks for now.
const freshFor = 2.5

// NewExported makes a collector.
func NewExported(o ExportedOptions) *Exported {
	x := &Exported{o: o, track: newTracker(Options{Cluster: o.Cluster, Kind: "kafka", SeriesPartitions: DefaultSeriesPartitions}), told: map[string]bool{}}
	for _, d := range dialects {
		for _, fact := range sortedKeys(d.Facts) {
			for _, n := range d.Facts[fact] {
				expr := n.selector(o.Cluster)
				x.queries = append(x.queries, streamkeeper.Query{ID: expr, Kind: streamkeeper.QueryInstant, Expr: expr})
			}
		}
	}
	return x
}

// Name is exporters.
func (x *Exported) Name() string { return "exporters" }

// Kind is prometheus.
func (x *Exported) Kind() string { return "prometheus" }

// Sources lists the dialects that the newest round understood, with the age of what it read.
func (x *Exported) Sources(now time.Time) []streamkeeper.Source {
	fresh := max(0, now.Sub(x.last).Seconds())
	out := make([]streamkeeper.Source, 0, len(x.speaks))
	for _, name := range x.speaks {
		out = append(out, streamkeeper.Source{Name: name, Kind: x.Kind(), FreshSeconds: &fresh, Stale: fresh > 3*x.o.Every.Seconds()})
	}
	return out
}

// Untold lists what exporters have not told so far, or never do, and who would.
func (x *Exported) Untold() []streamkeeper.NotJudged {
	var out []streamkeeper.NotJudged
	for _, u := range untoldFacts {
		if u.Fact == "" || !x.told[u.Fact] && (u.Fact != factCommitted || !x.told[factLag]) {
			out = append(out, streamkeeper.NotJudged{What: u.What, Needs: u.Needs})
		}
	}
	return out
}

// Collect takes what the exporters told up to now. A round without a newer scrape does nothing.
func (x *Exported) Collect(ctx context.Context, now time.Time, sink collectors.Sink) error {
	answers, err := x.o.Series.Read(ctx, now, x.queries)
	if err != nil {
		return fmt.Errorf("reading what exporters tell of %s: %w", x.o.Cluster, err)
	}
	e := exportedRound{x: x, now: now, answers: answers}
	s := e.snapshot()
	if s == nil {
		x.speaks = nil
		err := errors.Join(e.failed(), sink.Samples(ctx, x.stale.Mark(now, nil)))
		return errors.Join(fmt.Errorf("no exporter has told of %s lately: looked for %s", x.o.Cluster, strings.Join(dialectOrder, ", ")), err)
	}
	if !s.at.After(x.last) {
		return nil
	}
	x.last, x.speaks = s.at, e.speaks
	r := x.track.absorb(s)
	x.track.measure(r)
	err = errors.Join(e.failed(), sink.Samples(ctx, x.stale.Mark(s.at, r.samples)))
	if w := x.track.watermark(); !w.Through.IsZero() {
		err = errors.Join(err, sink.Events(ctx, r.events, w))
	}
	return errors.Join(err, sink.Inventory(ctx, x.track.inventory(s, s.at)))
}

// Newest is the time of the newest scrape that was taken; zero before there is one.
func (x *Exported) Newest() time.Time { return x.last }

// Continue goes on with the counters where a process before this one left them at a moment. Rounds up to it were for
// learning, with nothing kept of what they told: their movements must not be counted twice, and rates must not see a reset.
func (x *Exported) Continue(ctx context.Context, at time.Time) error {
	totals := map[string]func(*groupTrack) *float64{
		"streamkeeper_group_committed_total": func(g *groupTrack) *float64 { return &g.committedTotal },
		"streamkeeper_group_produced_total":  func(g *groupTrack) *float64 { return &g.producedTotal },
	}
	var queries []streamkeeper.Query
	for _, metric := range sortedKeys(totals) {
		queries = append(queries, streamkeeper.Query{ID: metric, Kind: streamkeeper.QueryInstant, Expr: fmt.Sprintf("%s{cluster=%q}", metric, x.o.Cluster)})
	}
	answers, err := x.o.Series.Read(ctx, at, queries)
	if err != nil {
		return fmt.Errorf("reading what was counted of %s: %w", x.o.Cluster, err)
	}
	for metric, total := range totals {
		if err := answers[metric].Err; err != nil {
			return fmt.Errorf("reading what was counted of %s: %w", x.o.Cluster, err)
		}
		for _, g := range x.track.groups {
			*total(g) = 0
		}
		for _, p := range answers[metric].Points {
			if g := x.track.groups[p.Labels["group"]]; g != nil {
				*total(g) = p.Value
			}
		}
	}
	return nil
}

// shrinking notices that a list is shorter than it was: exporters leave out what they could not read, so what is
// missing is taken for gone only after a while.
type shrinking struct {
	most  int
	since time.Time
}

// whole reports whether a list of n may be taken for complete.
func (w *shrinking) whole(at time.Time, n int) bool {
	switch {
	case n >= w.most:
		w.most, w.since = n, time.Time{}
	case w.since.IsZero():
		w.since = at
	case at.Sub(w.since) >= forgetAfter:
		w.most, w.since = n, time.Time{}
	}
	return w.since.IsZero()
}

// exportedRound reads the answers of one round.
type exportedRound struct {
	x       *Exported
	now     time.Time
	answers streamkeeper.Answers
	speaks  []string
}

// failed joins what could not be read.
func (e *exportedRound) failed() error {
	var errs []error
	for _, q := range e.x.queries {
		if err := e.answers[q.ID].Err; err != nil {
			errs = append(errs, err)
		}
	}
	return fold(errs)
}

// points calls f with the fresh points of a fact in a dialect, from the first set of names that has any, and reports
// whether there were any.
func (e *exportedRound) points(d *dialect, fact string, f func(n named, labels map[string]string, v float64, at time.Time)) bool {
	limit := time.Duration(freshFor * float64(e.x.o.Every))
	for _, n := range d.Facts[fact] {
		found := false
		for _, p := range e.answers[n.selector(e.x.o.Cluster)].Points {
			if p.Age < 0 || p.Age > limit || math.IsNaN(p.Value) || math.IsInf(p.Value, 0) {
				continue
			}
			found = true
			f(n, p.Labels, p.Value, e.now.Add(-p.Age))
		}
		if found {
			e.x.told[fact] = true
			if !slices.Contains(e.speaks, d.Name) {
				e.speaks = append(e.speaks, d.Name)
			}
			return true
		}
	}
	return false
}

// first reads a fact from the first dialect that tells it.
func (e *exportedRound) first(fact string, f func(n named, labels map[string]string, v float64, at time.Time)) bool {
	for i := range dialects {
		if e.points(&dialects[i], fact, f) {
			return true
		}
	}
	return false
}

// reading is the value of one series at its time.
type reading struct {
	value float64
	at    time.Time
}

// readings is a fact by partition.
type readings map[partition]reading

// keepNewest is used where several series tell the same: of two scrapers' words the newer one counts.
func (r readings) keepNewest(where partition, v float64, at time.Time) {
	if old, ok := r[where]; !ok || at.After(old.at) || at.Equal(old.at) && v > old.value {
		r[where] = reading{v, at}
	}
}

func (e *exportedRound) byPartition(d *dialect, fact string) readings {
	out := readings{}
	e.points(d, fact, func(n named, labels map[string]string, v float64, at time.Time) {
		if where, ok := n.partition(labels); ok {
			out.keepNewest(where, v, at)
		}
	})
	return out
}

// maxPartition bounds what a label may make us allocate.
const maxPartition = 1 << 20

func (n named) partition(labels map[string]string) (partition, bool) {
	index, err := strconv.Atoi(labels[n.Partition])
	topic := labels[n.Topic]
	return partition{topic, int32(index)}, err == nil && topic != "" && index >= 0 && index < maxPartition
}

// snapshot makes one of what is fresh; nil when nobody tells where the logs end. Ends and committed offsets come from
// one dialect, so that they are of one moment; everything else from the first that tells it.
func (e *exportedRound) snapshot() *snapshot {
	best, heads := e.lead()
	if best == nil {
		return nil
	}
	s := &snapshot{exported: true, groups: map[string]*groupState{}, told: map[int32]brokerState{}}
	for _, r := range heads {
		if r.at.After(s.at) {
			s.at = r.at
		}
	}
	s.topics = e.topicStates(heads)
	e.committed(s, best, heads)
	e.members(s)
	e.first(factBroker, func(n named, labels map[string]string, _ float64, _ time.Time) {
		if id, err := strconv.ParseInt(labels[n.Broker], 10, 32); err == nil {
			s.told[int32(id)] = brokerState{address: labels[n.Address]}
		}
	})
	s.topicsRead = e.x.topics.whole(s.at, len(heads))
	s.groupsRead = e.x.groups.whole(s.at, len(s.groups))
	s.asked, s.heads = e.x.topics.most, len(heads)
	return s
}

// lead picks the dialect that tells of logs and groups, else one that tells of logs.
func (e *exportedRound) lead() (*dialect, readings) {
	var best *dialect
	var heads readings
	for i := range dialects {
		d := &dialects[i]
		h := e.byPartition(d, factHead)
		if len(h) == 0 {
			continue
		}
		any := func(named, map[string]string, float64, time.Time) {}
		if e.points(d, factCommitted, any) || e.points(d, factLag, any) {
			return d, h
		}
		if best == nil {
			best, heads = d, h
		}
	}
	return best, heads
}

func (e *exportedRound) topicStates(heads readings) map[string]*topicState {
	topics := map[string]*topicState{}
	at := func(where partition) *partState {
		t := topics[where.topic]
		if t == nil {
			t = &topicState{internal: strings.HasPrefix(where.topic, "__")}
			topics[where.topic] = t
		}
		for int(where.index) >= len(t.parts) {
			p := newPartState()
			p.leader = leaderUnknown
			t.parts = append(t.parts, p)
		}
		return &t.parts[where.index]
	}
	for where, r := range heads {
		at(where).head = int64(r.value)
	}
	known := func(take func(p *partState, v float64)) func(n named, labels map[string]string, v float64, _ time.Time) {
		return func(n named, labels map[string]string, v float64, _ time.Time) {
			if where, ok := n.partition(labels); ok && topics[where.topic] != nil && int(where.index) < len(topics[where.topic].parts) {
				take(at(where), v)
			}
		}
	}
	e.first(factStart, known(func(p *partState, v float64) { p.start = int64(v) }))
	e.first(factLeader, known(func(p *partState, v float64) { p.leader = int32(v) }))
	return topics
}

// maxSkew is how far an offset may lie beyond the end that was read before it, in records, or in times of what came in
// a round: exporters read the one after the other. What is farther beyond is of a topic that was made anew.
const (
	maxSkew      = 1000
	maxSkewTimes = 2
)

// committed reads committed offsets, or makes them of lags.
func (e *exportedRound) committed(s *snapshot, d *dialect, heads readings) {
	take := func(lag bool) func(n named, labels map[string]string, v float64, at time.Time) {
		seen := map[string]readings{}
		return func(n named, labels map[string]string, v float64, at time.Time) {
			where, ok := n.partition(labels)
			name := labels[n.Group]
			head, known := heads[where]
			if !ok || name == "" || !known || v < 0 && !lag {
				return
			}
			if lag {
				v = head.value - max(0, v)
			}
			if over := v - head.value; over > 0 && over <= e.skew(where, head.value) {
				v = head.value
			}
			if v < 0 {
				return
			}
			if seen[name] == nil {
				seen[name] = readings{}
			}
			seen[name].keepNewest(where, v, at)
			s.group(name).committed.put(where, positionAt(int64(seen[name][where].value)))
		}
	}
	if !e.points(d, factCommitted, take(false)) {
		e.points(d, factLag, take(true))
	}
}

func (e *exportedRound) skew(where partition, head float64) float64 {
	came := 0.0
	if p := e.x.track.part(where); p != nil && p.head != unset {
		came = max(0, head-float64(p.head))
	}
	return max(maxSkew, maxSkewTimes*came)
}

// group is the state of a group in this round, made when it is first told of.
func (s *snapshot) group(name string) *groupState {
	g := s.groups[name]
	if g == nil {
		g = &groupState{nameless: true, committedRead: true}
		s.groups[name] = g
	}
	return g
}

// members reads how many members groups have, and their states. Groups that nobody counts stay undescribed.
func (e *exportedRound) members(s *snapshot) {
	newest := map[string]time.Time{}
	e.first(factMembers, func(n named, labels map[string]string, v float64, at time.Time) {
		name := labels[n.Group]
		if name == "" || v < 0 || at.Before(newest[name]) {
			return
		}
		newest[name] = at
		g := s.group(name)
		g.described, g.count = true, int(min(v, math.MaxInt32))
	})
	states := map[string]time.Time{}
	e.first(factState, func(n named, labels map[string]string, _ float64, at time.Time) {
		name := labels[n.Group]
		if g := s.groups[name]; g != nil && !at.Before(states[name]) {
			states[name] = at
			g.state = labels[n.State]
		}
	})
}
