package commitlog

import "github.com/cockroachdb/pebble/v2/vfs"

// lendBytes is the length from which on a span is lent: below, the calls to send it cost more than copies do.
const lendBytes = 16 << 10

// Stretch is a piece of a segment's file that the kernel may send without our copying it. What was lent never changes:
// the segment stays until its releaser is released, and its file is never used for another one, because pages that a
// socket has not sent yet outlive that.
type Stretch struct {
	Pos, Len int64
	seg      *segment
}

// Fd is the file's descriptor, for reading at a position.
func (s *Stretch) Fd() uintptr { return s.seg.slot.file.Fd() }

// Read fills b, which is as long as the stretch.
func (s *Stretch) Read(b []byte) error { return s.seg.readAt(b, s.Pos) }

// Refuse makes the log lend nothing of the segment any more: the kernel could not send it.
func (s *Stretch) Refuse() { s.seg.refused.Store(true) }

// Lend appends stretches for the leading spans (as for Read) that lie on the disk only and are long enough, and tells how
// many those are. held is nil when there are none.
func (l *Log[T]) Lend(id uint64, spans []Span, out []Stretch) (_ []Stretch, lent int, held Releaser, err error) {
	seg, err := l.acquire(id)
	if err != nil {
		return out, 0, nil, err
	}
	for _, s := range spans {
		if s.Len < lendBytes || !seg.lendable(s) {
			break
		}
		out = append(out, Stretch{s.Pos, s.Len, seg})
		lent++
	}
	if lent == 0 {
		seg.release()
		return out, 0, nil, nil
	}
	seg.slot.lent.Store(true)
	l.misses.Add(int64(lent))
	return out, lent, seg, nil
}

// lendable reports that a span has a file to be sent from, and no memory.
func (s *segment) lendable(span Span) bool {
	if s.refused.Load() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.inMemory(span.Pos, span.Len) && s.slot.file.Fd() != vfs.InvalidFd
}
