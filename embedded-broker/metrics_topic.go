package broker

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxTopicSeries = 500
	otherName      = "other" // what is beyond a cap is counted here
	seriesIdle     = 15 * time.Minute
	producerWindow = time.Minute
	maxProducers   = 10_000 // connections remembered per topic
)

// topicMetrics are one topic's counters. The hot path only adds to atomics.
type topicMetrics struct {
	name            string
	messagesIn      atomic.Int64
	bytesIn         atomic.Int64
	bytesOut        atomic.Int64
	produceRequests atomic.Int64
	endToEnd        *histogram

	mu        sync.Mutex
	errors    map[int16]int64
	producers map[uint64]int64 // connection id → Unix seconds of its last Produce

	lastSum  int64     // of the counters at the last collection; owned by the collector
	lastMove time.Time // when the sum last moved
}

func newTopicMetrics(name string) *topicMetrics {
	return &topicMetrics{name: name, endToEnd: newHistogram(delayBuckets)}
}

func (m *topicMetrics) produceError(code int16) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.errors == nil {
		m.errors = map[int16]int64{}
	}
	m.errors[code]++
}

// producer notes that a connection produces; the connection remembers it, so that this is rare.
func (m *topicMetrics) producer(c *conn, at time.Time) {
	now := at.Unix()
	if last, ok := c.produced[m]; ok && now-last < 5 {
		return
	}
	if c.produced == nil || len(c.produced) > maxTopicSeries {
		c.produced = map[*topicMetrics]int64{}
	}
	c.produced[m] = now
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.producers == nil {
		m.producers = map[uint64]int64{}
	}
	if len(m.producers) < maxProducers {
		m.producers[c.id] = now
	}
}

// producing counts the connections that produced within producerWindow and forgets the others.
func (m *topicMetrics) producing(now time.Time) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	since := now.Add(-producerWindow).Unix()
	maps.DeleteFunc(m.producers, func(_ uint64, at int64) bool { return at < since })
	return len(m.producers)
}

func (m *topicMetrics) sum() int64 {
	return m.messagesIn.Load() + m.bytesOut.Load() + m.produceRequests.Load()
}

// topicTable finds topics' metrics by name. Reading takes no lock and allocates nothing; at most maxTopicSeries topics
// have their own, the rest share one.
type topicTable struct {
	byName atomic.Pointer[map[string]*topicMetrics]
	other  *topicMetrics
	mu     sync.Mutex // serialises writers of byName
	spill  atomic.Bool
}

func newTopicTable() *topicTable {
	t := &topicTable{other: newTopicMetrics(otherName)}
	t.byName.Store(&map[string]*topicMetrics{})
	return t
}

// intern turns bytes of a frame into a name and its metrics; metrics is nil for names without their own.
func (t *topicTable) intern(b []byte) (string, *topicMetrics) {
	if m, ok := (*t.byName.Load())[string(b)]; ok {
		return m.name, m
	}
	return string(b), nil
}

// topic gives the metrics of a topic that exists.
func (t *topicTable) topic(name string) *topicMetrics {
	if m, ok := (*t.byName.Load())[name]; ok {
		return m
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	old := *t.byName.Load()
	if m, ok := old[name]; ok {
		return m
	}
	if len(old) >= maxTopicSeries {
		t.spill.Store(true)
		return t.other
	}
	m := newTopicMetrics(name)
	next := maps.Clone(old)
	next[name] = m
	t.byName.Store(&next)
	return m
}

// sweep notes which topics move and drops those that exist no more, or stand still while others need the place. It
// returns the topics to tell, in order of name.
func (t *topicTable) sweep(now time.Time, exists func(string) bool) []*topicMetrics {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := *t.byName.Load()
	var drop []string
	for name, m := range all {
		if sum := m.sum(); sum != m.lastSum || m.lastMove.IsZero() {
			m.lastSum, m.lastMove = sum, now
		}
		if now.Sub(m.lastMove) > seriesIdle && (t.spill.Load() || !exists(name)) {
			drop = append(drop, name)
		}
	}
	if len(drop) > 0 {
		next := maps.Clone(all)
		for _, name := range drop {
			delete(next, name)
		}
		t.byName.Store(&next)
		all = next
	}
	list := slices.SortedFunc(maps.Values(all), func(a, b *topicMetrics) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	if t.spill.Load() {
		list = append(list, t.other)
	}
	return list
}
