package commitlog

import "fmt"

// Reservation is space in the log that its owner fills. Between Reserve and Done the group it belongs to cannot be
// written, so fill at once and never block.
type Reservation[T any] struct {
	Place
	g      *group[T]
	seg    *segment
	pos    int64
	synced uint64
}

// Admit waits while too much unsettled data is queued, which bounds memory when the disk stalls. It returns an error
// when the log has failed or is closed.
func (l *Log[T]) Admit() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.err == nil && l.queued > l.o.QueueBytes {
		l.room.Wait()
	}
	return l.err
}

// Reserve takes n bytes (a sum of FrameSize) in one segment and queues item to be settled with them. early asks the
// sink to be told after the write already. n = 0 queues a barrier: item is settled when everything before it is. The
// disk hears of it by Commit, so that several reservations can share a group.
func (l *Log[T]) Reserve(n int64, item T, early bool) (Reservation[T], error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return Reservation[T]{}, l.err
	}
	if n+FrameSize(0) > l.o.SegmentBytes {
		return Reservation[T]{}, fmt.Errorf("%d bytes in a segment of %d: %w", n, l.o.SegmentBytes, ErrFrameTooLarge)
	}
	if n > 0 && l.active != nil && l.active.end.Load()+n > l.o.SegmentBytes {
		l.seal()
	}
	if n > 0 && l.active == nil {
		l.open()
	}
	if l.cur != nil && l.cur.end-l.cur.start+n > l.o.GroupBytes && l.cur.end > l.cur.start {
		l.closeGroup()
	}
	g := l.group()
	pos := g.end
	r := Reservation[T]{g: g, seg: g.seg, pos: pos, synced: l.syncedFor(g)}
	r.LSN, r.End = l.next, l.next+uint64(n)
	if g.seg != nil {
		r.Segment, r.Pos = g.seg.id, pos+HeaderSize
	}
	g.items = append(g.items, item)
	g.early = g.early || early
	g.copies.Add(1)
	if n > 0 {
		l.extend(g, n)
	}
	return r, nil
}

// extend moves the ends forward by one reservation.
func (l *Log[T]) extend(g *group[T], n int64) {
	first, last := g.seg.grow(g.end, g.end+n, &l.pool)
	for i := first; i >= 0 && i <= last; i++ {
		l.cached = append(l.cached, cachedSlab{g.seg, i})
	}
	g.end += n
	g.endLSN += uint64(n)
	g.frames++
	g.seg.end.Store(g.end)
	l.next += uint64(n)
	l.queued += n
	l.frames++
}

// group returns the group that is filling, making one when needed.
func (l *Log[T]) group() *group[T] {
	if l.cur != nil {
		return l.cur
	}
	var g *group[T]
	if n := len(l.spent); n > 0 {
		g, l.spent = l.spent[n-1], l.spent[:n-1]
	} else {
		g = new(group[T])
	}
	g.seg, g.start, g.end, g.items, g.frames, g.early, g.last = l.active, 0, 0, g.items[:0], 0, false, nil
	if g.seg != nil {
		g.start = g.seg.end.Load()
		g.end = g.start
	}
	g.startLSN, g.endLSN, g.since = l.next, l.next, l.o.Now()
	l.cur = g
	return g
}

// syncedFor is what a frame of g may promise: under FlushFsync the writer syncs everything before g first.
func (l *Log[T]) syncedFor(g *group[T]) uint64 {
	if l.o.Mode == FlushFsync {
		return g.startLSN
	}
	return l.synced.Load()
}

func (l *Log[T]) closeGroup() {
	if l.cur != nil {
		l.queue = append(l.queue, l.cur)
		l.cur = nil
		l.work.Signal() // nothing more can join it
	}
}

// open starts a new segment in a free slot, or in a new one when none is ready, and writes its header frame.
func (l *Log[T]) open() {
	l.closeGroup() // groups never span segments
	var s *slot
	if len(l.free) > 0 {
		s, l.free = l.free[0], l.free[1:]
	} else {
		s = &slot{number: l.nextSlot}
		l.nextSlot++
	}
	l.nextID++
	seg := &segment{id: l.nextID, start: l.next, slot: s, onFree: l.slotFree, slabN: int64(l.pool.size)}
	seg.refs.Store(1)
	l.active = seg
	l.segMu.Lock()
	l.segments[seg.id] = seg
	l.segMu.Unlock()

	g := l.group()
	synced := l.next // the writer syncs the previous segment before it touches this one
	h := header{kind: KindHeader, segment: seg.id, lsn: l.next, synced: synced, sum: Sum(nil)}
	l.extend(g, FrameSize(0))
	var b [HeaderSize]byte
	h.encode(b[:])
	seg.put(0, b[:])
	l.startPreparer()
}

// seal ends the active segment; the next reservation opens another.
func (l *Log[T]) seal() {
	if l.active == nil {
		return
	}
	g := l.group()
	info := l.active.info()
	info.SealedAt = l.o.Now()
	g.last = &info
	l.closeGroup()
	l.active = nil
}

func (s *segment) info() Info {
	return Info{ID: s.id, Slot: s.slot.number, Start: s.start, End: s.start + uint64(s.end.Load())}
}

// Rotate seals the active segment when it holds any frame, so that it can be offloaded. It reports whether it did.
func (l *Log[T]) Rotate() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.active == nil || l.err != nil || l.active.end.Load() <= FrameSize(0) {
		return false
	}
	l.seal()
	return true
}

// Active returns the open segment, if any.
func (l *Log[T]) Active() (Info, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.active == nil {
		return Info{}, false
	}
	i := l.active.info()
	i.End = 0
	return i, true
}

var zeros [8]byte // frames are padded to a multiple of 8

// Fill copies one frame into the reservation and returns its place; frames of one reservation follow each other.
func (l *Log[T]) Fill(r *Reservation[T], f *Frame) Place {
	h := header{
		kind: f.Kind, segment: r.Segment, lsn: r.LSN, synced: r.synced, stream: f.Stream, length: uint32(len(f.Payload)),
		baseOffset: f.BaseOffset, epoch: f.LeaderEpoch, sum: f.Sum,
	}
	if b := r.seg.room(r.pos, HeaderSize); b != nil {
		h.encode(b) // in place: a header of its own would be garbage by batch
	} else {
		b := make([]byte, HeaderSize)
		h.encode(b)
		r.seg.put(r.pos, b)
	}
	r.seg.put(r.pos+HeaderSize, f.Payload)
	n := FrameSize(len(f.Payload))
	if pad := n - HeaderSize - int64(len(f.Payload)); pad > 0 {
		r.seg.put(r.pos+n-pad, zeros[:pad])
	}
	p := Place{LSN: r.LSN, End: r.LSN + uint64(n), Segment: r.Segment, Pos: r.pos + HeaderSize}
	r.LSN += uint64(n)
	r.pos += n
	r.Pos = r.pos + HeaderSize
	return p
}

// Done ends the reservation; from now on its group may be written.
func (r *Reservation[T]) Done() { r.g.copies.Done() }
