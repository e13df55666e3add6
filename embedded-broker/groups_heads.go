package broker

import (
	"context"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/batch"
)

const (
	headSamples  = 256   // per partition; when full, every second one goes
	maxHeads     = 20000 // partitions watched
	headsRefresh = 10 * time.Second
	maxAgeReads  = 500 // batch headers read for ages, per scrape
)

// headLog remembers when the heads of the partitions that groups read passed which offset, so that a backlog can be told
// in seconds without reading records. Safe for concurrent use.
type headLog struct {
	mu        sync.Mutex
	rings     map[engine.OffsetKey]*headRing
	refreshed time.Time
	reads     int // since the scrape began
}

// headRing holds the steps of one partition's high watermark, oldest first.
type headRing struct {
	steps []headStep
	part  *engine.Partition

	// The batch read last for an age: offsets from to next, written at batchTime.
	from, next int64
	batchTime  time.Time
}

// headStep says that the head was at offset from first to last, as sampled.
type headStep struct {
	offset      int64
	first, last time.Time
}

func newHeadLog() *headLog { return &headLog{rings: map[engine.OffsetKey]*headRing{}} }

// sampleHeads looks at every watched head. Which ones are watched is found out again every headsRefresh.
func (s *groups) sampleHeads(now time.Time) {
	h := s.heads
	h.mu.Lock()
	stale := now.Sub(h.refreshed) >= headsRefresh
	h.mu.Unlock()
	if stale {
		keys := s.watchedPartitions()
		h.mu.Lock()
		h.refresh(s.engine, keys, now)
		h.mu.Unlock()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.rings {
		r.add(r.part.HighWatermark(), now)
	}
}

// outdated makes the next sample find out anew what is watched.
func (h *headLog) outdated() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refreshed = time.Time{}
}

// watchedPartitions lists what groups own or have committed, up to maxHeads.
func (s *groups) watchedPartitions() map[engine.OffsetKey]bool {
	keys := map[engine.OffsetKey]bool{}
	for _, c := range s.all() {
		c.mu.Lock()
		for tp := range c.track.partitions {
			keys[engine.OffsetKey(tp)] = true
		}
		c.mu.Unlock()
		for k := range s.engine.CommittedOffsets(c.name) {
			keys[k] = true
		}
		if len(keys) >= maxHeads {
			break
		}
	}
	return keys
}

// refresh brings the rings in line with keys. h.mu is held.
func (h *headLog) refresh(e *engine.Engine, keys map[engine.OffsetKey]bool, now time.Time) {
	h.refreshed = now
	for k := range keys {
		if h.rings[k] != nil {
			continue
		}
		if p, err := e.Partition(k.Topic, k.Partition); err == nil && len(h.rings) < maxHeads {
			h.rings[k] = &headRing{part: p}
		}
	}
	for k := range h.rings {
		if !keys[k] {
			delete(h.rings, k)
		}
	}
}

func (r *headRing) add(head int64, now time.Time) {
	if n := len(r.steps); n > 0 && r.steps[n-1].offset == head {
		r.steps[n-1].last = now
		return
	} else if n > 0 && head < r.steps[n-1].offset {
		r.steps = r.steps[:0] // the topic was made anew under its name
	}
	if len(r.steps) == headSamples {
		kept := r.steps[:0]
		for i, st := range r.steps {
			if i%2 == 1 {
				kept = append(kept, st)
			}
		}
		r.steps = kept
	}
	r.steps = append(r.steps, headStep{head, now, now})
}

// age is how long ago the record at offset was appended: 0 when there is none yet, not ok when it was before we watched.
func (r *headRing) age(offset int64, now time.Time) (d time.Duration, ok bool) {
	n := len(r.steps)
	if n == 0 {
		return 0, false
	}
	if offset >= r.steps[n-1].offset {
		return 0, true
	}
	if offset < r.steps[0].offset {
		return 0, false
	}
	lo, hi := 0, n-1 // steps[lo].offset <= offset < steps[hi].offset
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; r.steps[mid].offset <= offset {
			lo = mid
		} else {
			hi = mid
		}
	}
	a, b := r.steps[lo], r.steps[hi]
	share := float64(offset-a.offset) / float64(b.offset-a.offset)
	at := a.last.Add(time.Duration(share * float64(b.first.Sub(a.last))))
	return max(now.Sub(at), 0), true
}

// age is how long ago the record at offset was appended: 0 when there is none yet. What came before we watched is told by
// its batch's timestamp, as long as the batch is not in the object store. Not ok when it cannot be told.
func (s *groups) age(ctx context.Context, k engine.OffsetKey, p *engine.Partition, offset int64, now time.Time) (time.Duration, bool) {
	h := s.heads
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.rings[k]
	if r == nil {
		r = &headRing{} // not watched yet: nothing is remembered
	}
	if d, ok := r.age(offset, now); ok {
		return d, true
	}
	if offset < r.from || offset >= r.next {
		if h.reads >= maxAgeReads || offset < p.LocalStart() || !r.readBatch(ctx, p, offset) {
			return 0, false
		}
		h.reads++
	}
	return max(now.Sub(r.batchTime), 0), true
}

// readBatch looks up when the batch that holds offset was written.
func (r *headRing) readBatch(ctx context.Context, p *engine.Partition, offset int64) bool {
	read, err := p.Read(ctx, offset, 1)
	if err != nil {
		return false
	}
	defer read.Release()
	if len(read.Bytes) == 0 {
		return false
	}
	h, _, ok := batch.Next(read.Bytes[0])
	if !ok || offset < h.BaseOffset() || offset >= h.NextOffset() || h.BaseTimestamp() < 0 {
		return false
	}
	r.from, r.next, r.batchTime = h.BaseOffset(), h.NextOffset(), time.UnixMilli(h.BaseTimestamp())
	return true
}

// newScrape lets batches be read again.
func (h *headLog) newScrape() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reads = 0
}
