package engine

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/index"
)

// ring is the engine's view of the sealed segments in the log.
type ring struct {
	mu       sync.Mutex
	segments []*ringSegment // oldest first
	moved    time.Time      // when the tiered end last moved
}

type ringSegment struct {
	index.Segment
	offloaded bool // in the store, or nothing in it is alive
}

func (r *ring) load(segments []index.Segment) {
	for _, s := range segments {
		r.add(s)
	}
}

// add takes a segment that the index knows.
func (r *ring) add(s index.Segment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := &ringSegment{Segment: s, offloaded: len(s.Runs) == 0}
	i, found := slices.BinarySearchFunc(r.segments, s.Start, func(x *ringSegment, start uint64) int { return cmp.Compare(x.Start, start) })
	if !found {
		r.segments = slices.Insert(r.segments, i, n)
	}
}

// offloaded marks a segment; it reports whether the segment was known and new.
func (r *ring) offload(id uint64, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.segments {
		if s.ID == id {
			fresh := !s.offloaded
			s.offloaded = true
			r.moved = now
			return fresh
		}
	}
	return false
}

// closed returns the segments that must still be offloaded, oldest first.
func (r *ring) closed() []*ringSegment {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*ringSegment
	for _, s := range r.segments {
		if !s.offloaded {
			out = append(out, s)
		}
	}
	return out
}

// releasable returns the oldest offloaded segments whose release brings the ring's size down to target bytes, and
// empties, which are no use to anybody.
func (r *ring) releasable(used, target int64) []index.Segment {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []index.Segment
	for _, s := range r.segments {
		if s.offloaded && (used > target || len(s.Runs) == 0) {
			out = append(out, s.Segment)
			used -= s.Bytes()
		}
	}
	return out
}

func (r *ring) remove(ids []index.Segment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.segments = slices.DeleteFunc(r.segments, func(s *ringSegment) bool {
		return slices.ContainsFunc(ids, func(x index.Segment) bool { return x.ID == s.ID })
	})
}

// gauges are the ring's numbers: bytes not offloaded, how many segments, when the oldest was opened, bytes that could be
// recycled, and when the tiered end last moved.
func (r *ring) gauges() (closed int64, n int, oldest time.Time, warm int64, moved time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.segments {
		if s.offloaded {
			warm += s.Bytes()
			continue
		}
		closed += s.Bytes()
		n++
		if oldest.IsZero() {
			oldest = s.SealedAt
		}
	}
	return closed, n, oldest, warm, r.moved
}
