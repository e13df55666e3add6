package kafka

import (
	"cmp"
	"slices"
	"time"
)

// maxHistory bounds the points of one partition: 2 kB.
const maxHistory = 120

// history is how a partition's head moved: points of (time, head), both never decreasing. When it is full
// every other point of the older half goes, so it reaches ever further back with a resolution that is
// finest where it matters, at the recent end.
type history struct{ points []headAt }

// headAt is where a head was at a time, in milliseconds.
type headAt struct{ ms, head int64 }

// add appends the head at a time. A head that went back (a topic made anew) starts the history over.
func (h *history) add(at time.Time, head int64) {
	ms, n := at.UnixMilli(), len(h.points)
	switch {
	case n > 0 && head < h.points[n-1].head:
		h.points = h.points[:0]
	case n > 0 && ms <= h.points[n-1].ms:
		return
	case n > 1 && head == h.points[n-1].head && head == h.points[n-2].head:
		h.points[n-1].ms = ms // a plateau needs its two ends only
		return
	}
	h.points = append(h.points, headAt{ms, head})
	if len(h.points) > maxHistory {
		h.thin()
	}
}

func (h *history) thin() {
	half, kept := len(h.points)/2, h.points[:0]
	for i, p := range h.points {
		if i >= half || i%2 == 0 {
			kept = append(kept, p)
		}
	}
	h.points = kept
}

// byHead and byTime order points for binary searches.
func byHead(p headAt, head int64) int { return cmp.Compare(p.head, head) }
func byTime(p headAt, ms int64) int   { return cmp.Compare(p.ms, ms) }

// bracket tells between which two looks the record at offset was written, and when if records came evenly between them. Of
// one that was there before the first look only the end is known; of one that is not written yet nothing.
func (h *history) bracket(offset int64) window {
	w, n := window{from: unset, to: unset, asked: unset}, len(h.points)
	switch {
	case n == 0 || offset >= h.points[n-1].head:
		return w
	case offset < h.points[0].head:
		w.to = h.points[0].ms
		return w
	}
	i, _ := slices.BinarySearchFunc(h.points, offset+1, byHead) // the first point whose head is past the record
	before, after := h.points[i-1], h.points[i]
	w.from, w.to = before.ms, after.ms
	w.best = w.from + int64(float64(offset-before.head+1)/float64(after.head-before.head)*float64(w.to-w.from))
	return w
}

// headBefore is the head as it was at a time or last before it; ok is false when the history begins later.
func (h *history) headBefore(at time.Time) (head int64, ok bool) {
	i, found := slices.BinarySearchFunc(h.points, at.UnixMilli(), byTime)
	if !found {
		i--
	}
	if i < 0 || i >= len(h.points) {
		return 0, false
	}
	return h.points[i].head, true
}

// rate is the records a second written over the last window, as far as the history goes; ok is false
// when it covers less than half of it.
func (h *history) rate(now time.Time, window time.Duration) (perSecond float64, ok bool) {
	n := len(h.points)
	if n < 2 {
		return 0, false
	}
	from := now.Add(-window).UnixMilli()
	i, _ := slices.BinarySearchFunc(h.points, from, byTime)
	i = min(i, n-2)
	if i > 0 && h.points[i].ms > from {
		i-- // the point just before the window
	}
	first, last := h.points[i], h.points[n-1]
	span := last.ms - first.ms
	if span < window.Milliseconds()/2 {
		return 0, false
	}
	return float64(last.head-first.head) / (float64(span) / 1000), true
}
