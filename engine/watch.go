package engine

import "slices"

type watcher struct {
	id     uint64
	offset int64
	fn     func()
}

// Watch registers fn to be called once, from any goroutine, when the high watermark passes offset, when a cold read that
// was pending at offset is ready, or when the partition goes away. fn must not block. The returned func cancels; fn may
// still be running then.
func (p *Partition) Watch(offset int64, fn func()) (cancel func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pending := false
	if p.more != nil {
		_, pending = p.more.cold[offset]
	}
	if p.gone || p.hw > offset && !pending {
		go fn() // not here: the caller may hold a lock that fn wants
		return func() {}
	}
	m := p.extra()
	m.watchSeq++
	id := m.watchSeq
	m.watchers = append(m.watchers, watcher{id: id, offset: offset, fn: fn})
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		m.watchers = slices.DeleteFunc(m.watchers, func(w watcher) bool { return w.id == id })
	}
}

// takeWatchers removes and returns the watchers that fire says yes to. p.mu is held.
func (p *Partition) takeWatchers(fire func(watcher) bool) []watcher {
	if p.more == nil || len(p.more.watchers) == 0 {
		return nil
	}
	var out []watcher
	p.more.watchers = slices.DeleteFunc(p.more.watchers, func(w watcher) bool {
		if fire(w) {
			out = append(out, w)
			return true
		}
		return false
	})
	return out
}

func call(ws []watcher) {
	for _, w := range ws {
		w.fn()
	}
}

// advance moves the high watermark (keeps I1) and tells who waited for it.
func (p *Partition) advance(next, maxTime, maxAt int64) {
	p.mu.Lock()
	if next <= p.hw {
		p.mu.Unlock()
		return
	}
	p.hw = next
	if maxTime > p.maxTime {
		p.maxTime, p.maxAt = maxTime, maxAt
	}
	var ws []watcher
	if p.more != nil && len(p.more.watchers) > 0 {
		ws = p.takeWatchers(func(w watcher) bool {
			_, cold := p.more.cold[w.offset]
			return w.offset < next && !cold
		})
	}
	p.mu.Unlock()
	call(ws)
}

// coldReady ends a pending cold read.
func (p *Partition) coldReady(offset int64) {
	p.mu.Lock()
	delete(p.more.cold, offset)
	ws := p.takeWatchers(func(w watcher) bool { return w.offset == offset })
	p.mu.Unlock()
	call(ws)
}

// vanish ends the partition for all who hold it.
func (p *Partition) vanish() {
	p.mu.Lock()
	p.gone = true
	ws := p.takeWatchers(func(watcher) bool { return true })
	p.mu.Unlock()
	call(ws)
}
