package events

import (
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// Options configure a Log; the zero value is good.
type Options struct {
	// PerCluster bounds the events kept for one cluster; 0 means 20,000. The oldest go first, and what
	// they covered goes with them.
	PerCluster int
	// Grace is how far a watermark may trail the end of a window that still counts as covered: a source
	// polled every interval always trails a little. A source polled more slowly is given two and a half of
	// its own intervals. 0 means 12.5 s, two and a half intervals of 5 s.
	Grace time.Duration
}

// Entry is an event with its place in the log: the order in which it arrived.
type Entry struct {
	Seq   uint64             `json:"seq"`
	Event streamkeeper.Event `json:"event"`
}

// Log is a bounded store of events. It is safe for concurrent use; what it returns are copies of the
// slices, and events are never changed after Add (their attributes must not be written by anyone).
type Log struct {
	o        Options
	mu       sync.RWMutex
	clusters map[string]*clusterLog
	arrivals []Entry // ring of the newest events of all clusters in order of arrival
	seq      uint64
	changed  chan struct{} // closed and replaced on each arrival
}

type clusterLog struct {
	events  []streamkeeper.Event // by time, then source, then sequence
	marks   map[string]mark
	seen    map[identity]struct{}
	dropped time.Time // the newest event time that had to make room
}

type identity struct {
	source string
	seq    uint64
}

// NewLog makes an empty log.
func NewLog(o Options) *Log {
	if o.PerCluster <= 0 {
		o.PerCluster = 20_000
	}
	if o.Grace <= 0 {
		o.Grace = 12500 * time.Millisecond
	}
	return &Log{o: o, clusters: map[string]*clusterLog{}, changed: make(chan struct{})}
}

// Add stores events of one source and its watermark, and returns those that were new. Events may be late:
// they are put in their place. An event with a sequence number is stored once; events without a cluster
// take the watermark's. A zero watermark leaves the source's as it is; otherwise it replaces it, since only
// the source knows whether it may move back.
func (l *Log) Add(events []streamkeeper.Event, w streamkeeper.Watermark) []streamkeeper.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	var added []streamkeeper.Event
	for _, e := range events {
		if e.Entity.Cluster == "" {
			e.Entity.Cluster = w.Cluster
		}
		if e.Source == "" {
			e.Source = w.Source
		}
		if l.cluster(e.Entity.Cluster).insert(e) {
			added = append(added, e)
		}
	}
	for _, e := range added {
		l.seq++
		l.arrivals = append(l.arrivals, Entry{Seq: l.seq, Event: e})
		l.cluster(e.Entity.Cluster).trim(l.o.PerCluster)
	}
	if over := len(l.arrivals) - l.o.PerCluster; over > l.o.PerCluster/4 {
		l.arrivals = slices.Clone(l.arrivals[over:])
	}
	if w.Source != "" && !w.Through.IsZero() {
		marks := l.cluster(w.Cluster).marks
		marks[w.Source] = marks[w.Source].next(w)
	}
	if len(added) > 0 {
		close(l.changed)
		l.changed = make(chan struct{})
	}
	return added
}

// Events returns the events of the given kinds (all kinds when empty) with from < At <= to, oldest first.
func (l *Log) Events(cluster string, kinds []string, from, to time.Time) []streamkeeper.Event {
	l.mu.RLock()
	defer l.mu.RUnlock()
	c := l.clusters[cluster]
	if c == nil {
		return nil
	}
	lo := sort.Search(len(c.events), func(i int) bool { return c.events[i].At.After(from) })
	var out []streamkeeper.Event
	for _, e := range c.events[lo:] {
		if e.At.After(to) {
			break
		}
		if len(kinds) == 0 || slices.Contains(kinds, e.Kind) {
			out = append(out, e)
		}
	}
	return out
}

// Covered reports whether "no such event in (from, to]" may be concluded for every one of the kinds: each
// source that tells of the kind has covered the window and spoke lately. Kinds that no source of the
// cluster tells of are not covered.
func (l *Log) Covered(cluster string, kinds []string, from, to time.Time) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	c := l.clusters[cluster]
	if c == nil || len(kinds) == 0 || !c.dropped.Before(from) && !c.dropped.IsZero() {
		return false
	}
	for _, kind := range kinds {
		if !c.covered(kind, from, to, l.o.Grace) {
			return false
		}
	}
	return true
}

// Watermarks returns the watermarks of a cluster's sources, by source.
func (l *Log) Watermarks(cluster string) []streamkeeper.Watermark {
	l.mu.RLock()
	defer l.mu.RUnlock()
	c := l.clusters[cluster]
	if c == nil {
		return nil
	}
	out := make([]streamkeeper.Watermark, 0, len(c.marks))
	for _, w := range c.marks {
		out = append(out, w.Watermark)
	}
	slices.SortFunc(out, func(a, b streamkeeper.Watermark) int { return strings.Compare(a.Source, b.Source) })
	return out
}

// Since returns at most limit entries that arrived after seq, in order of arrival, and the sequence to ask
// after next. lost counts entries that are no longer kept.
func (l *Log) Since(seq uint64, limit int) (entries []Entry, next, lost uint64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if seq > l.seq {
		seq = 0 // the log was restarted since: everything is new
	}
	lo := sort.Search(len(l.arrivals), func(i int) bool { return l.arrivals[i].Seq > seq })
	if first := l.seq - uint64(len(l.arrivals)); seq < first {
		lost = first - seq
	}
	entries = slices.Clone(l.arrivals[lo:min(len(l.arrivals), lo+max(0, limit))])
	next = seq
	if n := len(entries); n > 0 {
		next = entries[n-1].Seq
	}
	return entries, next, lost
}

// Changed returns a channel that is closed when the next event arrives.
func (l *Log) Changed() <-chan struct{} {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.changed
}

func (l *Log) cluster(name string) *clusterLog {
	c := l.clusters[name]
	if c == nil {
		c = &clusterLog{marks: map[string]mark{}, seen: map[identity]struct{}{}}
		l.clusters[name] = c
	}
	return c
}

// insert puts e in its place in event time; false when it is there already.
func (c *clusterLog) insert(e streamkeeper.Event) bool {
	if e.Seq != 0 {
		id := identity{e.Source, e.Seq}
		if _, ok := c.seen[id]; ok {
			return false
		}
		c.seen[id] = struct{}{}
	}
	i := sort.Search(len(c.events), func(i int) bool { return before(e, c.events[i]) })
	c.events = slices.Insert(c.events, i, e)
	return true
}

// trim drops the oldest events over the bound.
func (c *clusterLog) trim(bound int) {
	over := len(c.events) - bound
	if over <= 0 {
		return
	}
	for _, e := range c.events[:over] {
		delete(c.seen, identity{e.Source, e.Seq})
		if e.At.After(c.dropped) {
			c.dropped = e.At
		}
	}
	c.events = slices.Delete(c.events, 0, over)
}

func before(a, b streamkeeper.Event) bool {
	if !a.At.Equal(b.At) {
		return a.At.Before(b.At)
	}
	if a.Source != b.Source {
		return a.Source < b.Source
	}
	return a.Seq < b.Seq
}
