package enginetest

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
)

func readSeeker(b []byte) io.ReadSeeker { return bytes.NewReader(b) }

// Checker holds what the engine promised to the outside. It is safe for concurrent use; violations are collected, not
// raised, so that a test can report all of them.
type Checker struct {
	mu      sync.Mutex
	parts   map[string]*promises
	commits map[string]*commit
	topics  map[string]topicFate
	errs    []error
}

// promises are what is known of one partition.
type promises struct {
	acked    map[int64]uint64 // base offset to hash: must be there
	seen     map[int64]uint64 // was read: must never change
	start    int64            // acknowledged log start
	startMax int64            // largest log start asked for
	repeats  bool             // the same bytes may be written twice
}

type commit struct{ acked, sent int64 }

type topicFate struct{ created, deleting, deleted bool }

// NewChecker returns one that knows nothing.
func NewChecker() *Checker {
	return &Checker{parts: map[string]*promises{}, commits: map[string]*commit{}, topics: map[string]topicFate{}}
}

func (c *Checker) part(name string) *promises {
	p := c.parts[name]
	if p == nil {
		p = &promises{acked: map[int64]uint64{}, seen: map[int64]uint64{}}
		c.parts[name] = p
	}
	return p
}

// Forget drops every promise about records and commits, as a crash does in a mode that promises none. What was asked for
// stays: it still bounds what may be there.
func (c *Checker) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.parts {
		clear(p.acked)
		clear(p.seen)
		p.start = 0
	}
	for _, m := range c.commits {
		m.acked = -1
	}
}

// Failf records a violation.
func (c *Checker) Failf(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failf(format, args...)
}

func (c *Checker) failf(format string, args ...any) {
	if len(c.errs) < 40 {
		c.errs = append(c.errs, fmt.Errorf(format, args...))
	}
}

// Err joins the violations.
func (c *Checker) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.errs...)
}

// Hash identifies a batch by everything the producer wrote; base offset and leader epoch are the broker's.
func Hash(h batch.Header) uint64 {
	f := fnv.New64a()
	_, _ = f.Write(h[16:])
	return f.Sum64()
}

// Acked notes that the batch b was acknowledged as durable at base.
func (c *Checker) Acked(part string, base int64, b batch.Header) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.part(part)
	hash := Hash(b)
	if old, ok := p.acked[base]; ok && old != hash {
		c.failf("%s: offset %d was acknowledged for two batches", part, base)
	}
	p.acked[base] = hash
}

// Read notes that the batches in raw were read.
func (c *Checker) Read(part string, raw []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.part(part)
	for len(raw) > 0 {
		h, rest, ok := batch.Next(raw)
		if !ok {
			c.failf("%s: a read returned a partial batch of %d bytes", part, len(raw))
			return
		}
		if err := batch.Check(h, batch.CheckOptions{AllowControl: true}); err != nil {
			c.failf("%s: offset %d: %v", part, h.BaseOffset(), err)
			return
		}
		hash := Hash(h)
		if old, ok := p.seen[h.BaseOffset()]; ok && old != hash {
			c.failf("%s: the content of offset %d changed after it was read", part, h.BaseOffset())
		}
		p.seen[h.BaseOffset()] = hash
		raw = rest
	}
}

// MayRepeat says that a partition may hold the same batch twice: its writer repeats itself within a millisecond.
func (c *Checker) MayRepeat(part string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.part(part).repeats = true
}

// LogStart notes a log start that was asked for, and whether it was acknowledged.
func (c *Checker) LogStart(part string, to int64, acked bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.part(part)
	p.startMax = max(p.startMax, to)
	if acked {
		p.start = max(p.start, to)
	}
}

// Started verifies where a partition starts.
func (c *Checker) Started(part string, logStart int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.started(part, c.part(part), logStart)
}

func (c *Checker) started(part string, p *promises, logStart int64) {
	if logStart < p.start || logStart > max(p.start, p.startMax) {
		c.failf("%s: log starts at %d, promised was %d, asked at most %d", part, logStart, p.start, p.startMax)
	}
}

// Whole verifies a partition against everything promised: raw is all of it, from logStart to the high watermark.
func (c *Checker) Whole(part string, logStart, hw int64, raw []byte) {
	c.Read(part, raw)
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.part(part)
	c.started(part, p, logStart)
	have, where := map[int64]uint64{}, map[uint64]int64{}
	next := int64(-1)
	for len(raw) > 0 {
		h, rest, ok := batch.Next(raw)
		if !ok {
			return // Read said so
		}
		hash := Hash(h)
		if next >= 0 && h.BaseOffset() != next {
			c.failf("%s: offset %d follows %d", part, h.BaseOffset(), next)
		}
		if at, twice := where[hash]; twice && !h.IsControl() && !p.repeats { // markers of a millisecond may be the same
			c.failf("%s: the batch at %d is a duplicate of the one at %d", part, h.BaseOffset(), at)
		}
		next = h.NextOffset()
		have[h.BaseOffset()], where[hash] = hash, h.BaseOffset()
		raw = rest
	}
	if next >= 0 && next != hw {
		c.failf("%s: ends at %d, high watermark is %d", part, next, hw)
	}
	for _, set := range []struct {
		what string
		m    map[int64]uint64
	}{{"acknowledged", p.acked}, {"read", p.seen}} {
		for _, base := range slices.Sorted(maps.Keys(set.m)) {
			if base < logStart {
				continue
			}
			if hash, ok := have[base]; !ok || hash != set.m[base] {
				c.failf("%s: the batch at %d was %s and is gone or changed (log %d to %d)", part, base, set.what, logStart, hw)
			}
		}
	}
}

// Committing notes a commit before it is sent; offsets of one key must grow.
func (c *Checker) Committing(key string, offset int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.commits[key] == nil {
		c.commits[key] = &commit{acked: -1}
	}
	c.commits[key].sent = offset
}

// Committed notes an acknowledged commit.
func (c *Checker) Committed(key string, offset int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commits[key].acked = max(c.commits[key].acked, offset)
}

// Fetched verifies a committed offset that was fetched, -1 when there was none; what was fetched must not go back either.
func (c *Checker) Fetched(key string, offset int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.commits[key]
	if m == nil {
		return
	}
	if offset < m.acked || offset > m.sent {
		c.failf("%s: committed offset is %d, acknowledged was %d, sent %d", key, offset, m.acked, m.sent)
	}
	m.acked = max(m.acked, offset)
}

// Created notes an acknowledged topic by its identity.
func (c *Checker) Created(id string) { c.fate(id, func(f *topicFate) { f.created = true }) }

// Deleting notes a deletion before it is asked for.
func (c *Checker) Deleting(id string) { c.fate(id, func(f *topicFate) { f.deleting = true }) }

// Deleted notes an acknowledged deletion.
func (c *Checker) Deleted(id string) { c.fate(id, func(f *topicFate) { f.deleted = true }) }

func (c *Checker) fate(id string, fn func(*topicFate)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.topics[id]
	fn(&f)
	c.topics[id] = f
}

// Topics verifies the topics that exist.
func (c *Checker) Topics(exist map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, f := range c.topics {
		switch {
		case f.created && !f.deleting && !exist[id]:
			c.failf("topic %s was created and is gone", id)
		case f.deleted && exist[id]:
			c.failf("topic %s was deleted and is back", id)
		}
	}
}
