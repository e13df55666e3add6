package engine

import "slices"

type watcher struct {
	id     uint64
	offset int64
	stable bool // waits for the last stable offset
	fn     func()
}

// Watch registers fn to be called once, from any goroutine, when the high watermark passes offset, when a cold read that
// was pending at offset is ready, or when the partition goes away. fn must not block. The returned func cancels; fn may
// still be running then.
func (p *Partition) Watch(offset int64, fn func()) (cancel func()) {
	return p.watch(watcher{offset: offset, fn: fn})
}

// WatchStable is Watch for readers of committed records: it waits for the last stable offset.
func (p *Partition) WatchStable(offset int64, fn func()) (cancel func()) {
	return p.watch(watcher{offset: offset, stable: true, fn: fn})
}

func (p *Partition) watch(w watcher) (cancel func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pending := false
	if p.more != nil {
		_, pending = p.more.cold[w.offset]
	}
	if p.gone || p.passed(&w) && !pending {
		go w.fn() // not here: the caller may hold a lock that fn wants
		return func() {}
	}
	m := p.extra()
	m.watchSeq++
	id := m.watchSeq
	w.id = id
	m.watchers = append(m.watchers, w)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		m.watchers = slices.DeleteFunc(m.watchers, func(w watcher) bool { return w.id == id })
	}
}

// passed reports whether what w waits for is there. p.mu is held.
func (p *Partition) passed(w *watcher) bool {
	if w.stable {
		return p.stable() > w.offset
	}
	return p.hw > w.offset
}

// takeWatchers moves the watchers that fire says yes to into out. p.mu is held.
func (p *Partition) takeWatchers(out []watcher, fire func(watcher) bool) []watcher {
	if p.more == nil || len(p.more.watchers) == 0 {
		return out
	}
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

// advance moves the high watermark (keeps I1) and adds who waited for it to woken.
func (p *Partition) advance(next, maxTime, maxAt int64, woken []watcher) []watcher {
	p.mu.Lock()
	defer p.mu.Unlock()
	if next <= p.hw {
		return woken
	}
	p.hw = next
	p.settleTransactions()
	if maxTime > p.maxTime {
		p.maxTime, p.maxAt = maxTime, maxAt
	}
	return p.takeWatchers(woken, func(w watcher) bool {
		_, cold := p.more.cold[w.offset]
		return !cold && p.passed(&w)
	})
}

// coldReady ends a pending cold read.
func (p *Partition) coldReady(offset int64) {
	p.mu.Lock()
	delete(p.more.cold, offset)
	ws := p.takeWatchers(nil, func(w watcher) bool { return w.offset == offset })
	p.mu.Unlock()
	call(ws)
}

// vanish ends the partition for all who hold it.
func (p *Partition) vanish() {
	p.e.openTxns.drop(p)
	p.mu.Lock()
	p.gone = true
	ws := p.takeWatchers(nil, func(watcher) bool { return true })
	p.mu.Unlock()
	call(ws)
}
