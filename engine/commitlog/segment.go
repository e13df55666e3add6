package commitlog

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Info describes a segment.
type Info struct {
	ID       uint64
	Slot     uint32
	Start    uint64 // LSN of its first byte
	End      uint64 // LSN after its last frame; 0 while it is open
	SealedAt time.Time
}

// segment is one incarnation of a slot. Its memory (slabs) mirrors the file from the newest bytes back as far as the
// cache reaches.
type segment struct {
	id    uint64
	start uint64
	slot  *slot
	end   atomic.Int64 // file position after the last reserved frame

	// refs: one for the ring, one per reader; at zero the slot is free.
	refs   atomic.Int32
	onFree func(*slot)

	refused atomic.Bool // nothing of it is lent any more

	mu    sync.Mutex
	slabs []*slab // by position / slab size; nil = only on disk
	slabN int64   // slab size
}

func (s *segment) release() {
	if s.refs.Add(-1) == 0 {
		s.onFree(s.slot)
	}
}

// Release lets readers hold a segment as a releaser.
func (s *segment) Release() { s.release() }

// grow makes sure slabs exist for [from, to) and returns the indices of the new ones.
func (s *segment) grow(from, to int64, pool *slabPool) (first, last int64) {
	first, last = -1, -2
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := from / s.slabN; i <= (to-1)/s.slabN; i++ {
		for int64(len(s.slabs)) <= i {
			s.slabs = append(s.slabs, nil)
		}
		if s.slabs[i] == nil {
			s.slabs[i] = pool.get()
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	return first, last
}

// put copies b to pos; the slabs must exist. Positions are reserved, so no two writers overlap.
func (s *segment) put(pos int64, b []byte) {
	for len(b) > 0 {
		s.mu.Lock()
		sl := s.slabs[pos/s.slabN]
		s.mu.Unlock()
		n := copy(sl.b[pos%s.slabN:], b)
		b = b[n:]
		pos += int64(n)
	}
}

// room is the memory of [pos, pos+n), which the caller has reserved and may write; nil when it lies in two slabs.
func (s *segment) room(pos, n int64) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	off := pos % s.slabN
	if off+n > s.slabN {
		return nil
	}
	return s.slabs[pos/s.slabN].b[off : off+n : off+n]
}

// inMemory reports that no part of [pos, pos+n) is only on disk. mu is held.
func (s *segment) inMemory(pos, n int64) bool {
	for i := pos / s.slabN; i <= (pos+n-1)/s.slabN; i++ {
		if i >= int64(len(s.slabs)) || s.slabs[i] == nil {
			return false
		}
	}
	return true
}

// readAt fills b from the file.
func (s *segment) readAt(b []byte, pos int64) error {
	if _, err := s.slot.file.ReadAt(b, pos); err != nil {
		return fmt.Errorf("reading log segment %x at %d: %w", s.id, pos, err)
	}
	return nil
}

// pieces appends the memory of [pos, pos+n) to out and takes a reference per piece. ok is false, and nothing is taken,
// when part of it is only on disk.
func (s *segment) pieces(pos, n int64, out [][]byte, held []Releaser) ([][]byte, []Releaser, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.inMemory(pos, n) {
		return out, held, false
	}
	for n > 0 {
		sl := s.slabs[pos/s.slabN]
		off := pos % s.slabN
		take := min(n, s.slabN-off)
		// Neighbouring batches share a slab: one reference per call would do, but one per piece keeps Release trivial.
		if len(held) == 0 || held[len(held)-1] != Releaser(sl) {
			sl.refs.Add(1)
			held = append(held, sl)
		}
		out = append(out, sl.b[off:off+take:off+take])
		pos += take
		n -= take
	}
	return out, held, true
}

// evict drops slab i from memory.
func (s *segment) evict(i int64) {
	s.mu.Lock()
	var sl *slab
	if i < int64(len(s.slabs)) { // none are left once the segment was released
		sl, s.slabs[i] = s.slabs[i], nil
	}
	s.mu.Unlock()
	if sl != nil {
		sl.Release()
	}
}
