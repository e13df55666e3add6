package kafka

import (
	"slices"
	"time"
)

// maxHistory bounds the points of one partition: 2 kB.
const maxHistory = 120

// history is how a partition's head moved: points of (time, head), both never decreasing. When it is full
// every other point of the older half goes, so it reaches ever further back with a resolution that is
// finest where it matters, at the recent end.
type history struct {
	ms   []int64
	head []int64
}

// add appends the head at a time. A head that went back (a topic made anew) starts the history over.
func (h *history) add(at time.Time, head int64) {
	ms, n := at.UnixMilli(), len(h.ms)
	switch {
	case n > 0 && head < h.head[n-1]:
		h.ms, h.head = h.ms[:0], h.head[:0]
	case n > 0 && ms <= h.ms[n-1]:
		return
	case n > 1 && head == h.head[n-1] && head == h.head[n-2]:
		h.ms[n-1] = ms // a plateau needs its two ends only
		return
	}
	h.ms, h.head = append(h.ms, ms), append(h.head, head)
	if len(h.ms) > maxHistory {
		h.thin()
	}
}

func (h *history) thin() {
	half, w := len(h.ms)/2, 0
	for i := range h.ms {
		if i < half && i%2 == 1 {
			continue
		}
		h.ms[w], h.head[w] = h.ms[i], h.head[i]
		w++
	}
	h.ms, h.head = h.ms[:w], h.head[:w]
}

// bracket tells between which two looks the record at offset was written, and when if records came evenly between them. Of
// one that was there before the first look only the end is known; of one that is not written yet nothing.
func (h *history) bracket(offset int64) window {
	w, n := window{from: unset, to: unset, asked: unset}, len(h.head)
	switch {
	case n == 0 || offset >= h.head[n-1]:
		return w
	case offset < h.head[0]:
		w.to = h.ms[0]
		return w
	}
	i, _ := slices.BinarySearch(h.head, offset+1) // the first point whose head is past the record
	before, after := h.head[i-1], h.head[i]
	w.from, w.to = h.ms[i-1], h.ms[i]
	w.best = w.from + int64(float64(offset-before+1)/float64(after-before)*float64(w.to-w.from))
	return w
}

// headBefore is the head as it was at a time or last before it; ok is false when the history begins later.
func (h *history) headBefore(at time.Time) (head int64, ok bool) {
	i, found := slices.BinarySearch(h.ms, at.UnixMilli())
	if !found {
		i--
	}
	if i < 0 || i >= len(h.head) {
		return 0, false
	}
	return h.head[i], true
}

// rate is the records a second written over the last window, as far as the history goes; ok is false
// when it covers less than half of it.
func (h *history) rate(now time.Time, window time.Duration) (perSecond float64, ok bool) {
	n := len(h.ms)
	if n < 2 {
		return 0, false
	}
	from := now.Add(-window).UnixMilli()
	i, _ := slices.BinarySearch(h.ms, from)
	i = min(i, n-2)
	if i > 0 && h.ms[i] > from {
		i-- // the point just before the window
	}
	span := h.ms[n-1] - h.ms[i]
	if span < window.Milliseconds()/2 {
		return 0, false
	}
	return float64(h.head[n-1]-h.head[i]) / (float64(span) / 1000), true
}
