package tier

import (
	"errors"
	"slices"
	"time"
)

// load adds a slice; the caller queues it.
func (p *pool) load(key blockKey, size int) *slice {
	s := &slice{key: key, refs: 1}
	if n := len(p.free); n > 0 && size <= p.freeSize {
		s.buf, p.free = p.free[n-1][:size], p.free[:n-1]
	} else {
		s.buf = make([]byte, size, max(size, min(p.freeSize, 2*size)))
	}
	p.slices[key] = s
	p.used += int64(size)
	p.stats.Loading++
	return s
}

// hurry moves a slice that waits for its GET before those nobody waits for.
func (p *pool) hurry(s *slice) {
	if s.queued && !s.hurried {
		s.hurried = true
		p.queue(&p.urgent, s)
	}
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

// ahead starts to load blocks nobody waits for yet, as far as that needs no memory
// that others could want. The first is where the reader is. Nothing happens while it
// and the nearer half of the others are there: a GET is to bring many.
func (p *pool) ahead(b blockList) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, key := range b.keys[:1+len(b.keys)/2] {
		if p.slices[key] == nil {
			p.loadAhead(b)
			return
		}
	}
}

func (p *pool) loadAhead(b blockList) {
	if p.closed || len(p.turn) > 0 {
		return
	}
	fresh := p.clock.Now().Add(freshFor)
	for i, key := range b.keys {
		if p.slices[key] != nil {
			continue
		}
		if _, bad := p.failed[key]; bad || !p.evict(int64(b.sizes[i]), nil, false) {
			return
		}
		s := p.load(key, b.sizes[i])
		s.freshTo = fresh
		p.queue(&p.later, s)
	}
}

// queue has a slice loaded when its turn comes. A slice that hurried on leaves its
// old place behind, so places may outnumber slices: not by much.
func (p *pool) queue(to *[]*slice, s *slice) {
	s.queued = true
	if len(*to) > 2*len(p.slices)+64 {
		*to = slices.DeleteFunc(*to, func(s *slice) bool { return !s.queued })
	}
	*to = append(*to, s)
	p.work.Signal()
}

// next waits for blocks to GET: some of one object that follow each other, at most
// so many bytes of them; ok is false once the pool is closed.
func (p *pool) next(most func() int64) (run []*slice, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if p.closed {
			return nil, false
		}
		s := pop(&p.urgent)
		if s == nil {
			s = pop(&p.later)
		}
		if s != nil {
			return p.follow(s, most()), true
		}
		p.work.Wait()
	}
}

// pop takes the first slice that still waits; it may have gone with another one's GET.
func pop(from *[]*slice) *slice {
	for len(*from) > 0 {
		s := (*from)[0]
		(*from)[0] = nil
		*from = (*from)[1:]
		if s.queued {
			s.queued = false
			return s
		}
	}
	return nil
}

// follow adds the queued blocks after s. What failed before is tried alone, so that
// a bad block takes no good one along.
func (p *pool) follow(s *slice, most int64) []*slice {
	run := []*slice{s}
	size := int64(len(s.buf))
	for key := s.key; s.attempts == 0; {
		key.block++
		n := p.slices[key]
		if n == nil || !n.queued || n.attempts > 0 || size+int64(len(n.buf)) > most {
			break
		}
		n.queued = false
		run = append(run, n)
		size += int64(len(n.buf))
	}
	return run
}

// requeue tries a slice again after a while.
func (p *pool) requeue(s *slice, wait time.Duration) {
	time.AfterFunc(wait, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.queue(&p.urgent, s)
	})
}

// done ends a load: the block is readable, or err is remembered for a moment, unless the block only moved.
// keep says that the buffer is ours alone again.
func (p *pool) done(s *slice, err error, keep bool) {
	p.mu.Lock()
	p.stats.Loading--
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
		if !errors.Is(err, errMoved) {
			p.stats.Failures++
			p.remember(s.key, err)
		}
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
