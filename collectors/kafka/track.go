package kafka

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

const (
	forgetAfter = 15 * time.Minute // entities that are gone
	moving      = time.Minute      // a head or a commit that moved within it is moving
	frozenLong  = 45 * time.Second
)

// tracker remembers what rounds saw and computes what changed. It has no clock and does no input or output;
// not safe for concurrent use.
type tracker struct {
	cluster string
	kind    string // embedded or kafka
	facts   map[string]bool
	maxPart int  // partitions with series of their own
	born    bool // the cluster began with us: what was before us did not happen

	started  time.Time            // the first round that was read
	last     time.Time            // the round before
	every    time.Duration        // between the last two rounds
	covered  time.Time            // events are complete since
	held     []streamkeeper.Event // told before the first whole round
	through  time.Time            // and up to
	seq      uint64
	size     int // samples of the last round
	topics   map[string]*topicTrack
	groups   map[string]*groupTrack
	brokers  map[int32]*brokerTrack
	hidden   map[streamkeeper.Entity]bool // was seen once, and is kept from us
	metadata bool                         // was read in this round

	logs         bool                         // the group log is read, where it may be
	loggedAll    bool                         // the group log was read to its end just now
	exported     bool                         // this round was read from exporters
	brokersTold  int                          // how many brokers they named
	tiered       map[string]bool              // topics with remote storage, nil when configs were never read
	dynamic      map[string]map[string]string // what was last set on running brokers, by node id; "" is for all of them
	quorum       *quorumState                 // as last told
	quorumAt     time.Time
	quotas       map[quota]float64
	quotasSet    bool                   // somebody has one, of whatever kind
	unattributed bool                   // some are of users, of addresses, or of time
	fetched      map[fetchedOf]*fetched // of clients under a quota
	copies       *copyTrack             // nil while nothing was read of the tier log
	copiedAll    bool                   // the tier log was read to its end lately
	slots        int                    // segments that brokers copy to remote storage at once; 0 when not known
}

// round is what one round found out.
type round struct {
	at      time.Time
	samples []streamkeeper.Sample
	events  []streamkeeper.Event
	readers map[string][]reader // by topic; nil until somebody asks
}

func newTracker(o Options) *tracker {
	return &tracker{
		cluster: o.Cluster, kind: o.Kind, facts: o.Facts, maxPart: o.SeriesPartitions, born: o.FromStart, logs: o.GroupLog,
		topics: map[string]*topicTrack{}, groups: map[string]*groupTrack{}, brokers: map[int32]*brokerTrack{},
		hidden: map[streamkeeper.Entity]bool{}, fetched: map[fetchedOf]*fetched{},
	}
}

// absorb takes a snapshot into what is remembered and returns the events it shows.
func (t *tracker) absorb(s *snapshot) *round {
	r := &round{at: s.at}
	if t.started.IsZero() && (s.brokers != nil || s.exported) {
		t.started = s.at
	}
	t.exported, t.brokersTold = s.exported, len(s.told)
	usual := t.every
	if !t.last.IsZero() {
		t.every = s.at.Sub(t.last)
	}
	t.absorbBrokers(s, r)
	t.absorbTopics(s, r)
	t.absorbTiered(s)
	t.absorbCopied(s)
	t.absorbDisks(s, r)
	t.absorbQuorum(s, r)
	t.absorbHeld(s)
	t.loggedAll = s.loggedAll
	rest := t.absorbLogged(s.logged, r) // before descriptions, whose losses it explains
	t.absorbGroups(s, r)
	t.absorbLogged(rest, r)
	s.logged = nil
	t.absorbConfigs(s, r)
	t.absorbLimits(s)
	t.cover(s, usual)
	t.last = s.at
	t.hold(r)
	slices.SortStableFunc(r.events, func(a, b streamkeeper.Event) int { return a.At.Compare(b.At) })
	for i := range r.events {
		t.seq++
		r.events[i].Seq = t.seq
	}
	return r
}

// maxHeld bounds the events that wait for the first whole round.
const maxHeld = 1_000

// hold keeps events for the first whole round: nobody takes any before, and what stands since the start is told once.
func (t *tracker) hold(r *round) {
	if t.covered.IsZero() {
		t.held = append(t.held, r.events[:min(len(r.events), maxHeld-len(t.held))]...)
		r.events = nil
		return
	}
	r.events = append(t.held, r.events...)
	t.held = nil
}

// cover moves the watermark: only a whole round has told everything, and after a long silence what
// happened within it can no longer be dated. usual is the interval up to this round.
func (t *tracker) cover(s *snapshot, usual time.Duration) {
	whole := (s.brokers != nil || s.exported) && s.topicsRead && s.groupsRead && 10*s.heads >= 9*s.asked
	for _, g := range s.groups {
		whole = whole && g.described && g.committedRead
	}
	if !whole {
		return
	}
	if t.covered.IsZero() || s.at.Sub(t.through) > max(30*time.Second, 4*usual) {
		t.born = t.born && t.covered.IsZero()
		t.covered = s.at
	}
	t.through = s.at
}

// watermark says up to when events are known; the zero Watermark before the first whole round.
func (t *tracker) watermark() streamkeeper.Watermark {
	if t.covered.IsZero() {
		return streamkeeper.Watermark{}
	}
	from := t.covered
	if t.born {
		from = time.Time{}
	}
	return streamkeeper.Watermark{Source: "kafka", Cluster: t.cluster, From: from, Through: t.through, Heartbeat: t.through}
}

// measure turns what is remembered into this round's samples.
func (t *tracker) measure(r *round) {
	r.samples = make([]streamkeeper.Sample, 0, t.size+64)
	defer func() { t.size = len(r.samples) }()
	t.measureBrokers(r)
	t.measureTopics(r)
	t.measureGroups(r)
	t.measurePartitions(r)
	t.measureQuorum(r)
	t.measureStore(r)
	t.measureCopies(r)
	t.measureLimits(r)
	t.measureFetched(r)
	if !t.started.IsZero() {
		r.add("streamkeeper_cluster_watched_seconds", map[string]string{"cluster": t.cluster}, r.at.Sub(t.started).Seconds())
	}
	facts := t.clusterFacts()
	for _, name := range slices.Sorted(maps.Keys(facts)) {
		r.add("streamkeeper_cluster_fact", map[string]string{"cluster": t.cluster, "fact": name}, truth(facts[name]))
	}
}

// clusterFacts are the context atoms of the cluster; what is not known is left out.
func (t *tracker) clusterFacts() map[string]bool {
	facts := map[string]bool{"embedded": t.kind == "embedded", "kafka": t.kind != "embedded"}
	live, consuming := 0, 0
	for _, b := range t.brokers {
		if b.listed {
			live++
		}
	}
	for _, g := range t.groups {
		if g.described && g.size > 0 {
			consuming++
		}
	}
	if !t.exported && t.kind != "embedded" && t.metadata {
		facts["quorum_told"], facts["disks_told"] = t.quorum != nil, t.disksTold()
		if t.quotas != nil {
			facts["quotas"] = t.quotasSet
		}
	}
	if t.exported {
		live, facts["members_unnamed"] = t.brokersTold, true
	}
	if live > 0 {
		facts["multi_broker"] = live > 1
		facts["multi_groups"] = consuming > 1
	}
	if t.tiered != nil && t.kind != "embedded" {
		facts["tiering"] = len(t.tiered) > 0
	}
	maps.Copy(facts, t.facts)
	return facts
}

func (r *round) add(metric string, labels map[string]string, v float64) {
	r.samples = append(r.samples, streamkeeper.Sample{Metric: metric, Labels: labels, At: r.at, Value: v})
}

// tell adds an event. Numbers are float64, as events demand.
func (t *tracker) tell(r *round, at time.Time, kind string, entity streamkeeper.Entity, text string, attrs map[string]any) {
	r.events = append(r.events, streamkeeper.Event{At: at, Kind: kind, Entity: entity, Source: "kafka", Text: text, Attrs: attrs})
}

func (t *tracker) entity(kind streamkeeper.EntityKind, name string) streamkeeper.Entity {
	return streamkeeper.Entity{Kind: kind, Name: name, Cluster: t.cluster}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func itoa(n int32) string { return strconv.Itoa(int(n)) }
