package tier

import (
	"container/list"
	"sync"
	"time"
)

// blockKey names one block of one object.
type blockKey struct {
	object ObjectID
	block  int32
}

// slice is one block in memory, or on its way there. Its fields belong to the
// pool's mutex, except that buf may be read by whoever holds a reference while
// it is loaded.
type slice struct {
	key      blockKey
	buf      []byte
	loaded   bool
	queued   bool // waits for a GET
	hurried  bool // and somebody waits for it
	attempts int  // of GETs that failed
	refs     int  // leases and, while loading, the load itself
	freshTo  time.Time
	waiting  []*want       // to be told when the load ends
	place    *list.Element // in lru, when loaded and unreferenced
}

// want is one request for blocks. It holds no memory while it queues, which is
// what makes the pool free of deadlock: at the head of the queue all that is
// missing is reserved in one step.
type want struct {
	reader uint64
	keys   []blockKey
	sizes  []int
	left   int      // loads to wait for
	ready  []func() // called once, after the loads
	began  bool
	ahead  blockList // what the reader will ask for next, if there is room
}

// blockList is blocks and their sizes.
type blockList struct {
	keys  []blockKey
	sizes []int
}

func (b *blockList) add(key blockKey, size int) {
	if n := len(b.keys); n == 0 || b.keys[n-1] != key {
		b.keys, b.sizes = append(b.keys, key), append(b.sizes, size)
	}
}

// freshFor is how long a block that was asked for stays although nobody holds
// it yet: the reader needs a moment to come back.
const freshFor = 2 * time.Second

// failureFor is how long a failed block's error is served before the store is
// asked again.
const failureFor = 500 * time.Millisecond

// maxWants bounds the queue; callers are bounded by connections long before.
const maxWants = 1 << 16

// pool keeps blocks of objects in a bounded amount of memory. Reads take leases
// on loaded blocks; others queue by reader and are admitted in turn, one want of
// each reader after the other, so that no reader can starve the rest. Safe for
// concurrent use; callbacks run without the mutex.
type pool struct {
	clock Clock
	limit int64

	mu       sync.Mutex
	slices   map[blockKey]*slice
	failed   map[blockKey]failure
	lru      *list.List // of *slice, unreferenced, least recently used first
	used     int64
	free     [][]byte // buffers of freeSize for reuse
	freeSize int
	queues   map[uint64][]*want
	turn     []uint64 // readers with queued wants, next first
	queued   int
	urgent   []*slice   // to GET: somebody waits
	later    []*slice   // to GET: read-ahead, when nobody waits
	work     *sync.Cond // a slice was queued, or closed
	retry    *time.Timer
	closed   bool
	stats    PoolStats
}

type failure struct {
	err   error
	until time.Time
}

func newPool(clock Clock, limit int64, block int) *pool {
	p := &pool{
		clock: clock, limit: limit, freeSize: block, lru: list.New(),
		slices: map[blockKey]*slice{}, failed: map[blockKey]failure{},
		queues: map[uint64][]*want{},
	}
	p.work = sync.NewCond(&p.mu)
	return p
}

// take leases a loaded block; nil if it is not there.
func (p *pool) take(key blockKey) *slice {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.slices[key]
	if s == nil || !s.loaded {
		return nil
	}
	p.lease(s)
	s.freshTo = time.Time{}
	p.stats.Hits++
	return s
}

func (p *pool) lease(s *slice) {
	if s.place != nil {
		p.lru.Remove(s.place)
		s.place = nil
	}
	s.refs++
}

// give ends leases.
func (p *pool) give(held []*slice) {
	if len(held) == 0 {
		return
	}
	p.mu.Lock()
	for _, s := range held {
		p.unref(s)
	}
	ready := p.admit()
	p.mu.Unlock()
	notify(ready)
}

func (p *pool) unref(s *slice) {
	if s.refs--; s.refs == 0 {
		s.place = p.lru.PushBack(s)
	}
}

func notify(fns []func()) {
	for _, fn := range fns {
		fn()
	}
}

// want queues a request for blocks and calls ready once when all of them were
// loaded or one has failed. It returns a block's recent failure instead.
func (p *pool) want(w *want) error {
	p.mu.Lock()
	now := p.clock.Now()
	for _, key := range w.keys {
		f, ok := p.failed[key]
		if ok && now.Before(f.until) {
			p.mu.Unlock()
			return f.err
		}
		delete(p.failed, key)
	}
	if p.closed || p.queued >= maxWants {
		p.mu.Unlock()
		return ErrStorage
	}
	p.stats.Misses++
	queue := p.queues[w.reader]
	for _, q := range queue { // the same reader asking again
		if len(q.keys) == len(w.keys) && q.keys[0] == w.keys[0] {
			q.ready = append(q.ready, w.ready...)
			p.mu.Unlock()
			return nil
		}
	}
	if len(queue) == 0 {
		p.turn = append(p.turn, w.reader)
	}
	p.queues[w.reader] = append(queue, w)
	p.queued++
	ready := p.admit()
	if !w.began {
		p.stats.Waits++
	}
	p.mu.Unlock()
	notify(ready)
	return nil
}

// admit starts queued wants, reader by reader, until the next one does not fit.
// It returns the callbacks of wants that turned out to be complete.
func (p *pool) admit() (ready []func()) {
	for len(p.turn) > 0 && !p.closed {
		reader := p.turn[0]
		w := p.queues[reader][0]
		if !p.reserve(w) {
			return ready
		}
		p.turn = p.turn[1:]
		if rest := p.queues[reader][1:]; len(rest) > 0 {
			p.queues[reader] = rest
			p.turn = append(p.turn, reader)
		} else {
			delete(p.queues, reader)
		}
		p.queued--
		if w.left == 0 {
			ready = append(ready, w.ready...)
		}
	}
	return ready
}

// reserve makes room for what w misses and starts the loads, or does nothing. A
// want larger than the pool is let through when nobody else holds anything.
func (p *pool) reserve(w *want) bool {
	missing := int64(0)
	own := make(map[blockKey]bool, len(w.keys))
	for i, key := range w.keys {
		own[key] = true
		if p.slices[key] == nil {
			missing += int64(w.sizes[i])
		}
	}
	if !p.evict(missing, own, true) {
		return false
	}
	w.began = true
	fresh := p.clock.Now().Add(freshFor)
	for i, key := range w.keys {
		s := p.slices[key]
		if s == nil {
			s = p.load(key, w.sizes[i])
			s.queued = true
		}
		s.freshTo = fresh
		if !s.loaded {
			w.left++
			s.waiting = append(s.waiting, w)
			p.hurry(s)
		}
	}
	p.loadAhead(w.ahead) // under the same lock, so that one GET brings both
	return true
}

// close wakes the workers and everybody who waits.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	if p.retry != nil {
		p.retry.Stop()
	}
	var ready []func()
	for _, queue := range p.queues {
		for _, w := range queue {
			ready = append(ready, w.ready...)
			w.ready = nil
		}
	}
	for _, s := range p.slices {
		for _, w := range s.waiting {
			ready = append(ready, w.ready...)
			w.ready = nil
		}
	}
	clear(p.queues)
	p.turn, p.queued = nil, 0
	p.work.Broadcast()
	p.mu.Unlock()
	notify(ready)
}

func (p *pool) snapshot() PoolStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.UsedBytes, s.LimitBytes = p.used, p.limit
	s.Waiting = p.queued
	return s
}

// served counts a read answered with bytes.
func (p *pool) served(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Reads++
	p.stats.ReadBytes += n
}
