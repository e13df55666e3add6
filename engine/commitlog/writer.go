package commitlog

import (
	"fmt"
	"time"
)

// answer is what the writer tells the goroutine that calls the sink.
type answer[T any] struct {
	g       *group[T]
	written bool // only the write is done, the sync is under way
	flush   Flush
}

// start runs the writer and the goroutine that settles items.
func (l *Log[T]) start() {
	l.answers = make(chan answer[T], 2)
	l.done.Add(2)
	go l.writeLoop()
	go l.settleLoop()
}

func (l *Log[T]) writeLoop() {
	defer l.done.Done()
	defer close(l.answers)
	for {
		g, ok := l.nextGroup()
		if !ok {
			return
		}
		if g == nil {
			l.syncDirty()
		} else {
			l.commit(g, false)
		}
		l.mu.Lock()
		l.leading = false
		l.mu.Unlock()
	}
}

// nextGroup waits for work and takes the lead: a group, or nil when a Sync was asked for. ok is false when the log
// closed and is drained.
func (l *Log[T]) nextGroup() (g *group[T], ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.leading: // an appender writes its own group and will call
		case l.wantSync > l.synced.Load() && l.settled.Load() >= l.wantSync && l.err == nil:
			l.leading = true
			return nil, true // not after the queue: it may never be empty
		case len(l.queue) > 0 || l.cur != nil:
			return l.take(), true
		case l.wantSync > l.synced.Load() && (l.err == nil || l.err == ErrClosed):
			l.leading = true
			return nil, true
		case l.closing:
			return nil, false
		}
		l.work.Wait()
	}
}

// take removes the oldest group for the caller to commit. mu is held.
func (l *Log[T]) take() (g *group[T]) {
	if len(l.queue) > 0 {
		g, l.queue = l.queue[0], l.queue[1:]
	} else {
		g, l.cur = l.cur, nil
	}
	l.leading = true
	l.unsettled++
	return g
}

// Commit lets what was reserved go to the disk; every Reserve must be followed by one. With here the caller has nothing
// better to do than wait: when nothing else is under way it writes, syncs and settles on the caller's goroutine, which
// spares two hand-overs, each of which may have to wake a processor. The caller holds no lock that the sink wants then.
func (l *Log[T]) Commit(here bool) {
	l.mu.Lock()
	if !here || l.leading || l.unsettled > 0 || len(l.queue) > 0 || l.cur == nil || l.wantSync > l.synced.Load() {
		l.work.Signal()
		l.mu.Unlock()
		return
	}
	g := l.take()
	l.mu.Unlock()
	l.commit(g, true)
	l.mu.Lock()
	l.leading = false
	if len(l.queue) > 0 || l.cur != nil || l.wantSync > l.synced.Load() || l.closing {
		l.work.Signal()
	}
	l.mu.Unlock()
}

// commit writes, syncs and settles one group; here tells that an appender does it, not the log's own goroutine.
func (l *Log[T]) commit(g *group[T], here bool) {
	g.copies.Wait()
	f := Flush{Bytes: int(g.end - g.start), Frames: g.frames, Wait: l.o.Now().Sub(g.since)}
	if err := l.failure(); err != nil {
		f.Err = err
	} else if g.end > g.start {
		if l.dirty != nil && l.dirty != g.seg {
			l.syncDirty()
		}
		// The new segment's header promises that the old one is on disk.
		if l.failure() == nil {
			l.write(g, &f, here)
		}
	}
	if f.Err == nil {
		f.Err = l.failure()
	}
	if f.Err == nil {
		l.settled.Store(g.endLSN)
	}
	l.settle(answer[T]{g: g, flush: f}, here)
}

// write puts the group's bytes on disk; it fails the log on any error, for good.
func (l *Log[T]) write(g *group[T], f *Flush, here bool) {
	if g.seg.slot.file == nil {
		if f.Err = l.o.create(g.seg.slot); f.Err != nil {
			l.fail(f.Err)
			return
		}
	}
	pieces, held, ok := g.seg.pieces(g.start, g.end-g.start, l.pieces[:0], l.held[:0])
	if !ok {
		panic("commitlog: bytes left memory before they were written")
	}
	pieces = l.prepareBlocks(g, pieces)
	l.pieces, l.held = pieces, held
	err := writeAt(g.seg.slot.file, pieces, g.start)
	for _, h := range held {
		h.Release()
	}
	if err != nil {
		f.Err = fmt.Errorf("writing log segment %x: %w", g.seg.id, err)
		l.fail(f.Err)
		return
	}
	if l.o.Mode != FlushFsync {
		l.dirty = g.seg
		return
	}
	switch {
	case g.early && here:
		l.sink.Written(g.items)
	case g.early:
		l.answers <- answer[T]{g: g, written: true}
	}
	begin := l.o.Now()
	err = g.seg.slot.file.SyncData()
	f.Sync = max(l.o.Now().Sub(begin), time.Nanosecond)
	if err != nil {
		f.Err = fmt.Errorf("syncing log segment %x: %w", g.seg.id, err)
		l.fail(f.Err)
		return
	}
	l.synced.Store(g.endLSN)
	l.dirty = nil
}

// blank is written ahead of small groups.
var blank [aheadBytes]byte

// prepareBlocks appends zeros to the pieces of a small group that reaches blocks of its file for the first time, so that
// the groups behind it only overwrite: their syncs need not write the file's metadata, which takes as long as the data
// itself. Large groups carry it without help, and zeros would double what the disk has to write.
func (l *Log[T]) prepareBlocks(g *group[T], pieces [][]byte) [][]byte {
	s := g.seg.slot
	if g.end <= s.touched {
		return pieces
	}
	s.touched = g.end
	if n := min(aheadBytes, l.o.SegmentBytes-g.end); l.o.Mode == FlushFsync && g.end-g.start <= smallGroup && n > 0 {
		pieces = append(pieces, blank[:n])
		s.touched += n
	}
	return pieces
}

// syncDirty serves Sync and the change of segments in the modes that do not sync each group.
func (l *Log[T]) syncDirty() {
	upTo := l.settled.Load()
	s := l.dirty
	l.dirty = nil
	if s != nil {
		if err := s.slot.file.SyncData(); err != nil {
			l.fail(fmt.Errorf("syncing log segment %x: %w", s.id, err))
			return
		}
	}
	l.mu.Lock()
	l.synced.Store(upTo)
	l.room.Broadcast()
	l.mu.Unlock()
}

// fewItems may be settled before the next group is looked at.
const fewItems = 16

// settle tells the sink of a group and makes room. While groups wait for the disk, another goroutine tells the sink.
func (l *Log[T]) settle(a answer[T], here bool) {
	n, frames := a.g.end-a.g.start, a.g.frames
	l.mu.Lock()
	alone := here || l.unsettled == 1 && !a.g.early && len(a.g.items) <= fewItems && len(l.queue) == 0 && l.cur == nil
	l.mu.Unlock()
	if alone {
		l.tell(a)
	} else {
		l.answers <- a
	}
	l.mu.Lock()
	l.queued -= n
	l.frames -= frames
	l.evictLocked()
	l.room.Broadcast()
	l.mu.Unlock()
}

// evictLocked lets the oldest slabs go while the cache is over its limit. Bytes that are not on disk are never let go.
func (l *Log[T]) evictLocked() {
	settled := l.settled.Load()
	for l.pool.inUse.Load() > l.o.CacheBytes && l.cacheHead < len(l.cached) {
		c := l.cached[l.cacheHead]
		end := c.seg.start + uint64(min((c.i+1)*c.seg.slabN, c.seg.end.Load()))
		open := c.seg == l.active && (c.i+1)*c.seg.slabN > c.seg.end.Load()
		if open || end > settled {
			break
		}
		l.cached[l.cacheHead] = cachedSlab{}
		l.cacheHead++
		c.seg.evict(c.i)
	}
	if l.cacheHead > 64 && l.cacheHead*2 > len(l.cached) {
		n := copy(l.cached, l.cached[l.cacheHead:])
		clear(l.cached[n:])
		l.cached, l.cacheHead = l.cached[:n], 0
	}
}

// settleLoop calls the sink in order, away from the disk.
func (l *Log[T]) settleLoop() {
	defer l.done.Done()
	for a := range l.answers {
		if a.written {
			l.sink.Written(a.g.items)
			continue
		}
		l.tell(a)
	}
}

// tell tells the sink what became of a group, which is free for reuse afterwards.
func (l *Log[T]) tell(a answer[T]) {
	if a.g.end > a.g.start {
		l.sink.Flushed(a.flush)
	}
	l.sink.Durable(a.g.items, a.flush.Err)
	if a.g.last != nil && a.flush.Err == nil {
		l.sink.Sealed(*a.g.last)
	}
	clear(a.g.items)
	l.mu.Lock()
	l.unsettled--
	if len(l.spent) < 8 {
		l.spent = append(l.spent, a.g)
	}
	l.mu.Unlock()
}

func (l *Log[T]) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == ErrClosed {
		return nil
	}
	return l.err
}

// fail stops the log for good: after a failed sync the kernel may have marked the lost pages clean, so a second try
// could succeed without the data (keeps I4 of package engine).
func (l *Log[T]) fail(err error) {
	l.mu.Lock()
	first := l.err == nil || l.err == ErrClosed
	if first {
		l.err = fmt.Errorf("%w: %w", ErrFailed, err)
	}
	l.room.Broadcast()
	l.mu.Unlock()
	if first {
		l.sink.Failed(err)
	}
}

// Sync makes everything reserved so far durable, whatever the mode.
func (l *Log[T]) Sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	target := l.next
	for l.synced.Load() < target {
		if l.err != nil && l.err != ErrClosed {
			return l.err
		}
		l.wantSync = max(l.wantSync, target)
		l.work.Signal()
		l.room.Wait()
	}
	return nil
}

// Close settles what is queued, syncs and closes the files. It returns where the log ends.
func (l *Log[T]) Close() (uint64, error) {
	l.mu.Lock()
	if l.closing {
		l.mu.Unlock()
		return l.next, ErrClosed
	}
	failed := l.err
	if failed == nil {
		l.err = ErrClosed
		l.wantSync = l.next
	}
	l.closing = true
	l.work.Broadcast()
	l.room.Broadcast()
	l.mu.Unlock()
	l.done.Wait()
	l.prepare.Wait()
	if err := l.failure(); err != nil {
		failed = err
	}
	if err := l.closeFiles(); failed == nil && err != nil {
		failed = err
	}
	return l.next, failed
}

// closeFiles waits for nobody: the file of a segment that somebody still reads is closed when he is done.
func (l *Log[T]) closeFiles() error {
	l.segMu.Lock()
	segs := l.segments
	l.segments = nil
	l.segMu.Unlock()
	var first error
	keep := func(s *slot) {
		if s.file == nil {
			return
		}
		if err := s.file.Close(); err != nil && first == nil {
			first = fmt.Errorf("closing log file %s: %w", slotName(s.number), err)
		}
	}
	for _, s := range segs {
		if s.refs.Add(-1) == 0 {
			keep(s.slot)
		}
	}
	for _, s := range l.free {
		keep(s)
	}
	return first
}

// startPreparer makes one spare slot in the background when none is left, so that the next segment need not wait for
// its file.
func (l *Log[T]) startPreparer() {
	if l.preparing || l.closing || len(l.free) >= spareSlots {
		return
	}
	l.preparing = true
	s := &slot{number: l.nextSlot}
	l.nextSlot++
	l.prepare.Add(1)
	go func() {
		defer l.prepare.Done()
		err := l.o.create(s)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.preparing = false
		// A slot that could not be prepared is only a lost optimisation: the writer creates its own and reports errors.
		if err == nil {
			l.free = append(l.free, s)
		}
	}()
}
