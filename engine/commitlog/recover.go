package commitlog

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Recovery is what Open found.
type Recovery struct {
	End      uint64 // where the log continues
	Replayed int64  // bytes replayed
	Sealed   []Info // the replayed segments, now sealed, oldest first; End is where each was cut
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
}

func (r *recovery) run() (Recovery, error) {
	if err := r.list(); err != nil {
		return r.rec, err
	}
	if err := r.keepLive(); err != nil {
		return r.rec, err
	}
	if err := r.replay(); err != nil {
		return r.rec, err
	}
	// A file created just before a process crash may lack a durable directory entry.
	if err := SyncDir(r.o.FS, r.o.Dir); err != nil {
		return r.rec, err
	}
	if r.o.CleanEnd != 0 && r.o.CleanEnd != r.rec.End {
		return r.rec, fmt.Errorf("log ends at %d but was closed cleanly at %d: restore the files or the object store's copy: %w",
			r.rec.End, r.o.CleanEnd, ErrCorrupt)
	}
	return r.rec, nil
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
		fd := &found{slot: &slot{number: n, file: f}}
		r.found = append(r.found, fd)
		st, err := f.Stat()
		if err != nil {
			return fmt.Errorf("opening log file %s: %w", name, err)
		}
		fd.size = st.Size()
		if err := fd.readHeader(); err != nil {
			return fmt.Errorf("reading log file %s: %w", name, err)
		}
		if fd.headed && fd.id > r.o.SegmentBase {
			return fmt.Errorf("log segment %x is newer than the metadata, which gives out ids from %x: the metadata lost a write: %w",
				fd.id, r.o.SegmentBase, ErrCorrupt)
		}
	}
	slices.SortFunc(r.found, func(a, b *found) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.id, b.id), cmp.Compare(a.slot.number, b.slot.number))
	})
	return nil
}

func (f *found) readHeader() error {
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
	for _, i := range r.o.Live {
		k := slices.IndexFunc(r.found, func(f *found) bool { return f.headed && f.id == i.ID })
		if k < 0 {
			return fmt.Errorf("log segment %x holds records that are nowhere else, but its file is gone: %w", i.ID, ErrCorrupt)
		}
		f := r.found[k]
		if f.start != i.Start || f.size < int64(i.End-i.Start) {
			return fmt.Errorf("log segment %x is not the one the index describes: %w", i.ID, ErrCorrupt)
		}
		f.keep, f.end = true, i.End
	}
	return nil
}

// replay walks the segments from ReplayFrom on and finds the end of the log.
func (r *recovery) replay() error {
	at := r.o.ReplayFrom
	var todo []*found
	for _, f := range r.found {
		if f.headed && !f.keep && f.start >= at {
			todo = append(todo, f)
		}
	}
	for i, f := range todo {
		if f.start != at { // a segment is written only after its predecessor was synced to the end
			return fmt.Errorf("log bytes %d to %d are missing before segment %x: %w", at, f.start, f.id, ErrCorrupt)
		}
		limit := uint64(1<<63 - 1)
		if i+1 < len(todo) {
			limit = todo[i+1].start
		}
		end, err := r.scan(f, limit)
		if err != nil {
			return err
		}
		// After a mere process crash we read the page cache: what becomes visible now must survive a power loss too.
		if err := f.slot.file.Sync(); err != nil {
			return fmt.Errorf("syncing log segment %x: %w", f.id, err)
		}
		f.end, f.keep = end, true
		r.rec.Replayed += int64(end - f.start)
		r.rec.Sealed = append(r.rec.Sealed, Info{ID: f.id, Slot: f.slot.number, Start: f.start, End: end, SealedAt: r.o.Now()})
		at = end
	}
	r.rec.End = at
	if r.o.CleanEnd != 0 {
		return nil // the end is known
	}
	return r.checkBeyond(at)
}

// scan replays one segment up to limit and returns where its valid frames end.
func (r *recovery) scan(f *found, limit uint64) (uint64, error) {
	data := make([]byte, f.size)
	if _, err := f.slot.file.ReadAt(data, 0); err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("reading log segment %x: %w", f.id, err)
	}
	pos := int64(0)
	for f.start+uint64(pos) < limit {
		lsn := f.start + uint64(pos)
		h, payload, err := decodeFrame(data[pos:], f.id, lsn)
		if err != nil {
			if later := laterFrame(data[pos:], lsn); later != 0 {
				return 0, fmt.Errorf("log segment %x at byte %d: %w; but the frame at lsn %d was written after it was durable: %w",
					f.id, pos, err, later, ErrCorrupt)
			}
			break
		}
		n := FrameSize(int(h.length))
		if h.kind != KindHeader {
			place := Place{LSN: lsn, End: lsn + uint64(n), Segment: f.id, Pos: pos + HeaderSize}
			if err := r.o.Replay(h.frame(payload), place); err != nil {
				return 0, fmt.Errorf("replaying log segment %x at byte %d: %w", f.id, pos, err)
			}
		}
		pos += n
	}
	return f.start + uint64(pos), nil
}

// laterFrame looks for a frame that promises lsn was on disk before it was written, and returns its LSN, or 0. Stale
// frames of earlier uses cannot: all they promise lies below the start of the log's live part.
func laterFrame(b []byte, lsn uint64) uint64 {
	var magic [4]byte
	binary.LittleEndian.PutUint32(magic[:], frameMagic)
	for {
		i := bytes.Index(b, magic[:])
		if i < 0 {
			return 0
		}
		if h, ok := decodeHeader(b[i:]); ok && h.lsn > lsn && h.synced > lsn {
			return h.lsn
		}
		b = b[i+len(magic):]
	}
}

// checkBeyond makes sure that no file we are about to reuse holds a frame that proves the log once reached further.
func (r *recovery) checkBeyond(end uint64) error {
	for _, f := range r.found {
		if f.keep || f.size == 0 {
			continue
		}
		data := make([]byte, f.size)
		if _, err := f.slot.file.ReadAt(data, 0); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("reading log file %s: %w", slotName(f.slot.number), err)
		}
		if later := laterFrame(data, end); later != 0 {
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
