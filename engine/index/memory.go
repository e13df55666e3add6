package index

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

// Batch is one record batch's place in a segment.
type Batch struct {
	Base    int64
	Pos     int64
	MaxTime int64 // of this batch
	Len     int32
	Records int32
	Delta   int32 // last offset - base offset
}

// Next is the offset after the batch.
func (b Batch) Next() int64 { return b.Base + int64(b.Delta) + 1 }

// Run is what one segment holds of one stream.
type Run struct {
	Stream  uint32
	Epoch   int32
	Base    int64
	Next    int64
	MaxTime int64
	Records int64
	Bytes   int64
}

// Memory is the index of one segment that Pebble does not know yet; safe for concurrent use. Batches of one stream must
// be added in offset order.
type Memory struct {
	Segment uint64
	Opened  time.Time // when its first frame came: the age of its oldest data

	mu      sync.RWMutex
	runs    map[uint32]*memoryRun
	touched map[uint32]struct{} // streams whose state changed without a batch
}

type memoryRun struct {
	Run
	batches []Batch
}

// NewMemory returns the empty index of a segment.
func NewMemory(segment uint64, opened time.Time) *Memory {
	return &Memory{Segment: segment, Opened: opened, runs: map[uint32]*memoryRun{}, touched: map[uint32]struct{}{}}
}

// Add indexes one batch.
func (m *Memory) Add(stream uint32, epoch int32, b Batch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.runs[stream]
	if r == nil {
		r = &memoryRun{Run: Run{Stream: stream, Epoch: epoch, Base: b.Base, MaxTime: b.MaxTime}}
		m.runs[stream] = r
	}
	r.batches = append(r.batches, b)
	r.Next = b.Next()
	r.MaxTime = max(r.MaxTime, b.MaxTime)
	r.Records += int64(b.Records)
	r.Bytes += int64(b.Len)
}

// Touch notes that a stream's state changed in this segment.
func (m *Memory) Touch(stream uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.touched[stream] = struct{}{}
}

// Find appends to out the batches from the one that holds offset, up to limit (an offset) and maxBytes; the first is
// appended whatever its size. ok is false when the segment does not hold offset.
func (m *Memory) Find(stream uint32, offset, limit int64, maxBytes int, out []Batch) (_ []Batch, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	r := m.runs[stream]
	if r == nil || offset < r.Base || offset >= r.Next {
		return out, false
	}
	return cut(r.batches, offset, limit, maxBytes, out), true
}

// cut appends batches from the one that holds offset on. batches is sorted and holds offset.
func cut(batches []Batch, offset, limit int64, maxBytes int, out []Batch) []Batch {
	i, found := slices.BinarySearchFunc(batches, offset, func(b Batch, o int64) int { return cmp.Compare(b.Base, o) })
	if !found {
		i--
	}
	for _, b := range batches[max(i, 0):] {
		if b.Next() > limit || (len(out) > 0 && int(b.Len) > maxBytes) {
			break
		}
		out = append(out, b)
		maxBytes -= int(b.Len)
	}
	return out
}

// FirstAtTime returns the first batch from offset from on whose max timestamp reaches ts.
func (m *Memory) FirstAtTime(stream uint32, from, ts int64) (Batch, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	r := m.runs[stream]
	if r == nil || r.MaxTime < ts {
		return Batch{}, false
	}
	for _, b := range r.batches {
		if b.MaxTime >= ts && b.Next() > from {
			return b, true
		}
	}
	return Batch{}, false
}

// Run returns the stream's run, if any.
func (m *Memory) Run(stream uint32) (Run, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if r := m.runs[stream]; r != nil {
		return r.Run, true
	}
	return Run{}, false
}

// Batches returns a copy of the stream's batches.
func (m *Memory) Batches(stream uint32) []Batch {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if r := m.runs[stream]; r != nil {
		return slices.Clone(r.batches)
	}
	return nil
}

// Empty reports whether no stream has a batch here.
func (m *Memory) Empty() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.runs) == 0
}

// Runs returns all runs by stream.
func (m *Memory) Runs() []Run {
	m.mu.RLock()
	defer m.mu.RUnlock()
	out := make([]Run, 0, len(m.runs))
	for _, r := range m.runs {
		out = append(out, r.Run)
	}
	slices.SortFunc(out, func(a, b Run) int { return cmp.Compare(a.Stream, b.Stream) })
	return out
}

// Streams returns every stream whose state this segment changed, sorted.
func (m *Memory) Streams() []uint32 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	set := maps.Clone(m.touched)
	for s := range m.runs {
		set[s] = struct{}{}
	}
	return slices.Sorted(maps.Keys(set))
}
