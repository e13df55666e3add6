package tier

import "time"

// load adds a slice and queues its fetch.
func (p *pool) load(key blockKey, size int) *slice {
	s := &slice{key: key, refs: 1}
	if n := len(p.free); n > 0 && size <= p.freeSize {
		s.buf, p.free = p.free[n-1][:size], p.free[:n-1]
	} else {
		s.buf = make([]byte, size, max(size, min(p.freeSize, 2*size)))
	}
	p.slices[key] = s
	p.used += int64(size)
	p.fetches = append(p.fetches, fetch{slice: s})
	p.work.Signal()
	return s
}

// evict frees memory for missing bytes, sparing the caller's own blocks and
// those that others are about to read. When only the latter stand in the way it
// comes back when their time is over. With alone it lets a want beyond the limit
// through once nobody else holds anything, for a batch may exceed the pool.
func (p *pool) evict(missing int64, own map[blockKey]bool, alone bool) bool {
	need := p.used + missing - p.limit
	if need <= 0 {
		return true
	}
	now := p.clock.Now()
	var victims []*slice
	var wake time.Time
	freed, held := int64(0), p.used
	for e := p.lru.Front(); e != nil && freed < need; e = e.Next() {
		s := e.Value.(*slice)
		held -= int64(len(s.buf))
		if own[s.key] {
			continue
		}
		if now.Before(s.freshTo) {
			if wake.IsZero() || s.freshTo.Before(wake) {
				wake = s.freshTo
			}
			held += int64(len(s.buf)) // its reader is coming
			continue
		}
		victims = append(victims, s)
		freed += int64(len(s.buf))
	}
	if freed < need && (held > 0 || !alone) {
		p.wakeAt(wake, now)
		return false
	}
	for _, s := range victims {
		p.drop(s, true)
		p.stats.Evictions++
	}
	return true
}

// wakeAt tries the queue again at that time, if there is one.
func (p *pool) wakeAt(at, now time.Time) {
	if at.IsZero() {
		return
	}
	if p.retry != nil {
		p.retry.Stop()
	}
	p.retry = time.AfterFunc(at.Sub(now), func() {
		p.mu.Lock()
		ready := p.admit()
		p.mu.Unlock()
		notify(ready)
	})
}

// drop forgets an unreferenced slice and keeps its buffer if it may be reused.
func (p *pool) drop(s *slice, reuse bool) {
	if s.place != nil {
		p.lru.Remove(s.place)
		s.place = nil
	}
	delete(p.slices, s.key)
	p.used -= int64(len(s.buf))
	if reuse && cap(s.buf) == p.freeSize && int64(len(p.free))*int64(p.freeSize) < p.limit/8 {
		p.free = append(p.free, s.buf[:0])
	}
	s.buf = nil
}

// ahead starts loading a block nobody waits for yet, if that needs no memory
// that others could want.
func (p *pool) ahead(reader uint64, key blockKey, size int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slices[key] != nil {
		return true
	}
	if _, bad := p.failed[key]; bad || p.closed || len(p.turn) > 0 || !p.evict(int64(size), nil, false) {
		return false
	}
	p.load(key, size).freshTo = p.clock.Now().Add(freshFor)
	return true
}

// share is how many blocks ahead a reader may load: its part of half the pool.
func (p *pool) share(reader uint64, block int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	p.seen[reader] = now
	for r, at := range p.seen {
		if now.Sub(at) > 10*time.Second {
			delete(p.seen, r)
		}
	}
	return int(p.limit / 2 / int64(block) / int64(len(p.seen)))
}

// next waits for a fetch; ok is false once the pool is closed.
func (p *pool) next() (f fetch, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.fetches) == 0 && !p.closed {
		p.work.Wait()
	}
	if p.closed {
		return fetch{}, false
	}
	f = p.fetches[0]
	p.fetches = p.fetches[1:]
	p.stats.Loading++
	return f, true
}

// requeue puts a fetch back after a pause.
func (p *pool) requeue(f fetch, wait time.Duration) {
	p.mu.Lock()
	p.stats.Loading--
	p.mu.Unlock()
	time.AfterFunc(wait, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.fetches = append(p.fetches, f)
		p.work.Signal()
	})
}

// done ends a fetch: the block is readable, or err is remembered for a moment.
// keep says that the buffer is ours alone again.
func (p *pool) done(f fetch, err error, keep bool) {
	p.mu.Lock()
	p.stats.Loading--
	s := f.slice
	var ready []func()
	for _, w := range s.waiting {
		if w.left--; w.left == 0 || err != nil {
			ready = append(ready, w.ready...)
			w.ready = nil
		}
	}
	s.waiting = nil
	s.refs--
	if err == nil {
		s.loaded = true
		s.place = p.lru.PushBack(s)
	} else {
		p.stats.Failures++
		p.remember(s.key, err)
		p.drop(s, keep)
	}
	ready = append(ready, p.admit()...)
	p.mu.Unlock()
	notify(ready)
}

// remember keeps an error for failureFor, and the map of them small.
func (p *pool) remember(key blockKey, err error) {
	now := p.clock.Now()
	if len(p.failed) >= 1024 {
		for k, f := range p.failed {
			if !now.Before(f.until) {
				delete(p.failed, k)
			}
		}
	}
	p.failed[key] = failure{err: err, until: now.Add(failureFor)}
}
