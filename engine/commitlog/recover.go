package commitlog

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
)

// Recovery is what Open found.
type Recovery struct {
	End      uint64 // where the log continues
	Replayed int64  // bytes replayed
}

// Open recovers the log: it keeps the live segments, replays the suffix, cuts a torn tail and continues in a new
// segment. It fails with ErrCorrupt when durable bytes are missing or damaged.
func Open[T any](o Options, sink Sink[T]) (*Log[T], Recovery, error) {
	if o.GroupBytes == 0 {
		o.GroupBytes = 4 << 20
	}
	if o.QueueBytes == 0 {
		o.QueueBytes = 64 << 20
	}
	l := &Log[T]{o: o, sink: sink, segments: map[uint64]*segment{}, nextID: o.SegmentBase}
	l.work.L, l.room.L = &l.mu, &l.mu
	l.pool.size = int(min(slabBytes, o.SegmentBytes))
	l.pool.spares = 4
	l.o.CacheBytes = max(o.CacheBytes, 2*int64(l.pool.size))
	if err := o.FS.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, Recovery{}, fmt.Errorf("creating log directory: %w", err)
	}
	r := recovery{o: &l.o}
	rec, err := r.run()
	if err != nil {
		return nil, Recovery{}, errors.Join(err, r.close())
	}
	for _, f := range r.found {
		if f.keep {
			seg := &segment{id: f.id, start: f.start, slot: f.slot, onFree: l.slotFree, slabN: int64(l.pool.size)}
			seg.refs.Store(1)
			seg.end.Store(int64(f.end - f.start))
			l.segments[f.id] = seg
		} else {
			l.free = append(l.free, f.slot)
		}
		l.nextSlot = max(l.nextSlot, f.slot.number+1)
	}
	l.next = rec.End
	l.settled.Store(rec.End)
	l.synced.Store(rec.End)
	l.start()
	return l, rec, nil
}

// found is one slot file and what its header says.
type found struct {
	slot   *slot
	size   int64
	headed bool // the first frame is a valid header
	id     uint64
	start  uint64
	end    uint64
	keep   bool
}

type recovery struct {
	o     *Options
	found []*found
	rec   Recovery
	win   window
	total int64 // bytes there are to replay at most
	// promised is the largest LSN of which a frame says that everything below was on disk before it was written.
	promised uint64
}

func (r *recovery) run() (Recovery, error) {
	if err := r.list(); err != nil {
		return r.rec, err
	}
	if err := r.keepLive(); err != nil {
		return r.rec, err
	}
	// A file created just before a process crash may lack a durable directory entry.
	if err := SyncDir(r.o.FS, r.o.Dir); err != nil {
		return r.rec, err
	}
	return r.rec, r.replay()
}

func (r *recovery) list() error {
	names, err := r.o.FS.List(r.o.Dir)
	if err != nil {
		return fmt.Errorf("listing log directory: %w", err)
	}
	for _, name := range names {
		n, ok := parseSlot(name)
		if !ok {
			continue
		}
		f, err := r.o.FS.OpenReadWrite(r.o.FS.PathJoin(r.o.Dir, name), diskCategory)
		if err != nil {
			return fmt.Errorf("opening log file %s: %w", name, err)
		}
		r.found = append(r.found, &found{slot: &slot{number: n, file: f}})
	}
	if err := r.readHeaders(); err != nil {
		return err
	}
	for _, f := range r.found {
		if f.headed && f.id > r.o.SegmentBase {
			return fmt.Errorf("log segment %x is newer than the metadata, which gives out ids from %x: the metadata lost a write: %w",
				f.id, r.o.SegmentBase, ErrCorrupt)
		}
	}
	slices.SortFunc(r.found, func(a, b *found) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.id, b.id), cmp.Compare(a.slot.number, b.slot.number))
	})
	return nil
}

// headerReaders is how many headers are asked for at once. They are the only thing that a start reads of all segments, and
// those of a large log are on the disk: one after the other, their latencies would add up.
const headerReaders = 16

func (r *recovery) readHeaders() error {
	errs := make([]error, len(r.found))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(headerReaders, len(r.found)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(r.found)); i = next.Add(1) - 1 {
				if err := r.found[i].readHeader(); err != nil {
					errs[i] = fmt.Errorf("reading log file %s: %w", slotName(r.found[i].slot.number), err)
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (f *found) readHeader() error {
	st, err := f.slot.file.Stat()
	if err != nil {
		return err
	}
	f.size = st.Size()
	var b [HeaderSize]byte
	if _, err := f.slot.file.ReadAt(b[:], 0); err != nil {
		if errors.Is(err, io.EOF) {
			return nil // shorter than a header: never used
		}
		return err
	}
	h, ok := decodeHeader(b[:])
	if ok && h.kind == KindHeader && h.length == 0 {
		f.headed, f.id, f.start = true, h.segment, h.lsn
	}
	return nil
}

// keepLive matches the index's segments with the files.
func (r *recovery) keepLive() error {
	byID := make(map[uint64]*found, len(r.found))
	for _, f := range r.found {
		if f.headed {
			byID[f.id] = f
		}
	}
	for _, i := range r.o.Live {
		f := byID[i.ID]
		if f == nil {
			return fmt.Errorf("log segment %x holds records that are nowhere else, but its file is gone: %w", i.ID, ErrCorrupt)
		}
		if f.start != i.Start || f.size < int64(i.End-i.Start) {
			return fmt.Errorf("log segment %x is not the one the index describes: %w", i.ID, ErrCorrupt)
		}
		f.keep, f.end = true, i.End
	}
	return nil
}

// replay walks the segments from ReplayFrom on and finds the end of the log. Each segment is handed over as soon as the
// next one proves that it is whole, the last one when everything was checked: the caller can make its progress durable,
// and what it holds of a segment is one segment's worth.
func (r *recovery) replay() error {
	at := r.o.ReplayFrom
	todo := r.suffix(at)
	for i, f := range todo {
		if f.start != at { // a segment is written only after its predecessor was synced to the end
			return missing(at, f)
		}
		last := i+1 == len(todo)
		limit := uint64(1<<63 - 1)
		if !last {
			limit = todo[i+1].start
		}
		end, err := r.scan(f, limit)
		if err != nil {
			return err
		}
		if !last && end != limit {
			return missing(end, todo[i+1])
		}
		// After a mere process crash we read the page cache: what becomes visible now must survive a power loss too. If a
		// sync failed before, the system may take these pages for clean, so a sync alone would lie: they are written again.
		if err := r.rewrite(f, end); err != nil {
			return fmt.Errorf("writing the end of log segment %x again: %w", f.id, err)
		}
		if err := f.slot.file.Sync(); err != nil {
			return fmt.Errorf("syncing log segment %x: %w", f.id, err)
		}
		f.end, f.keep = end, true
		at = end
		if last {
			break
		}
		if err := r.sealed(f); err != nil {
			return err
		}
	}
	r.rec.End = at
	if err := r.checkEnd(at); err != nil || len(todo) == 0 {
		return err
	}
	return r.sealed(todo[len(todo)-1])
}

// suffix is what must be replayed, oldest first.
func (r *recovery) suffix(from uint64) (todo []*found) {
	for _, f := range r.found {
		if f.headed && !f.keep && f.start >= from {
			todo = append(todo, f)
			r.total += f.size
		}
	}
	return todo
}

func missing(at uint64, next *found) error {
	return fmt.Errorf("log bytes %d to %d are missing before segment %x: %w", at, next.start, next.id, ErrCorrupt)
}

func (r *recovery) sealed(f *found) error {
	return r.o.Sealed(Info{ID: f.id, Slot: f.slot.number, Start: f.start, End: f.end, SealedAt: r.o.Now()})
}

// checkEnd makes sure that the log ended where we found its end.
func (r *recovery) checkEnd(end uint64) error {
	if r.o.CleanEnd == 0 {
		return r.checkBeyond(end)
	}
	if r.o.CleanEnd != end {
		return fmt.Errorf("log ends at %d but was closed cleanly at %d: restore the files or the object store's copy: %w",
			end, r.o.CleanEnd, ErrCorrupt)
	}
	return nil
}

// scan replays one segment up to limit and returns where its valid frames end.
func (r *recovery) scan(f *found, limit uint64) (uint64, error) {
	r.win.reset(f)
	base := r.rec.Replayed
	pos := int64(0)
	for f.start+uint64(pos) < limit {
		lsn := f.start + uint64(pos)
		h, payload, err := r.win.frame(pos, f.id, lsn)
		if errors.Is(err, errUnreadable) {
			return 0, err
		}
		if err != nil {
			later, rerr := r.win.later(pos, lsn)
			if rerr != nil {
				return 0, rerr
			}
			if later != 0 {
				return 0, fmt.Errorf("log segment %x at byte %d: %w; but the frame at lsn %d was written after it was durable: %w",
					f.id, pos, err, later, ErrCorrupt)
			}
			break
		}
		n := FrameSize(int(h.length))
		r.promised = max(r.promised, h.synced)
		if h.kind != KindHeader {
			place := Place{LSN: lsn, End: lsn + uint64(n), Segment: f.id, Pos: pos + HeaderSize}
			if err := r.o.Replay(h.frame(payload), place); err != nil {
				return 0, fmt.Errorf("replaying log segment %x at byte %d: %w", f.id, pos, err)
			}
		}
		pos += n
		r.rec.Replayed = base + pos
		if r.win.moved() && r.o.Progress != nil {
			r.o.Progress(r.rec.Replayed, r.total)
		}
	}
	return f.start + uint64(pos), nil
}

// rewrite writes what lies between the last promise and the end of a segment again: about one group.
func (r *recovery) rewrite(f *found, end uint64) error {
	from := f.start
	if r.promised > from {
		from = min(r.promised, end)
	}
	b := make([]byte, min(end-from, 1<<20))
	for len(b) > 0 {
		pos := int64(from - f.start)
		if _, err := f.slot.file.ReadAt(b, pos); err != nil {
			return err
		}
		if _, err := f.slot.file.WriteAt(b, pos); err != nil {
			return err
		}
		from += uint64(len(b))
		b = b[:min(end-from, uint64(len(b)))]
	}
	return nil
}

// checkBeyond makes sure that no file we are about to reuse holds a frame that proves the log once reached further.
func (r *recovery) checkBeyond(end uint64) error {
	for _, f := range r.found {
		if f.keep || f.size == 0 {
			continue
		}
		r.win.reset(f)
		later, err := r.win.later(0, end)
		if err != nil {
			return err
		}
		if later != 0 {
			return fmt.Errorf("log ends at %d, but the frame at lsn %d in %s was written after more was durable: %w",
				end, later, slotName(f.slot.number), ErrCorrupt)
		}
	}
	return nil
}

func (r *recovery) close() error {
	var first error
	for _, f := range r.found {
		if err := f.slot.file.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
