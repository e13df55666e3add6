// Package tiertest is what tests of the cold tier share: an object store in
// memory with injected faults, and random log segments with the truth about
// them.
//
// It is for tests only and imports nothing of package tier, so that tier's own
// tests can use it. Start at Load and Store.
package tiertest

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/object"
)

// Segment is a sealed log segment in memory.
type Segment struct {
	Number uint64
	Sealed time.Time
	runs   []object.Run
	mu     sync.Mutex
	data   [][]byte
}

// ID implements tier.Segment.
func (s *Segment) ID() uint64 { return s.Number }

// SealedAt implements tier.Segment.
func (s *Segment) SealedAt() time.Time { return s.Sealed }

// Runs implements tier.Segment.
func (s *Segment) Runs() []object.Run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs
}

// ReadRun implements tier.Segment.
func (s *Segment) ReadRun(i int) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return io.NopCloser(bytes.NewReader(s.data[i])), nil
}

// Without is the segment as it is listed once topics were deleted: without the runs of their streams.
func (s *Segment) Without(gone map[uint32]bool) *Segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &Segment{Number: s.Number, Sealed: s.Sealed}
	for i, r := range s.runs {
		if !gone[r.Stream] {
			c.runs, c.data = append(c.runs, r), append(c.data, s.data[i])
		}
	}
	return c
}

// Bytes is the size of all runs.
func (s *Segment) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := int64(0)
	for _, d := range s.data {
		n += int64(len(d))
	}
	return n
}

// Corrupt flips one bit of run i for whoever opens it from now on.
func (s *Segment) Corrupt(i, bit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data[i] = bytes.Clone(s.data[i])
	s.data[i][bit/8] ^= 1 << (bit % 8)
}

// Batch is one batch a Load made.
type Batch struct {
	Base, Next   int64
	MaxTimestamp int64
	Bytes        []byte
}

// Load makes segments of random batches and remembers every one of them.
type Load struct {
	Random   *rand.Rand
	Streams  int
	MaxBatch int // bytes of a batch's records, about
	Batches  map[uint32][]Batch
	next     map[uint32]int64
	segment  uint64
	clock    int64
}

// NewLoad returns a Load with a seed of its own.
func NewLoad(seed uint64, streams, maxBatch int) *Load {
	return &Load{
		Random: rand.New(rand.NewPCG(seed, 1)), Streams: streams, MaxBatch: maxBatch,
		Batches: map[uint32][]Batch{}, next: map[uint32]int64{}, clock: 1_700_000_000_000,
	}
}

// Segment makes the next segment, of about size bytes. Streams appear at random;
// some have gaps between batches, as compacted ones do.
func (l *Load) Segment(size int, sealed time.Time) *Segment {
	l.segment++
	s := &Segment{Number: l.segment, Sealed: sealed}
	parts := make([][]byte, l.Streams)
	bases := make([]int64, l.Streams)
	for n := 0; n < size; {
		stream := uint32(l.Random.IntN(l.Streams))
		if parts[stream] == nil {
			bases[stream] = l.next[stream]
		}
		b := l.batch(stream)
		parts[stream] = append(parts[stream], b.Bytes...)
		n += len(b.Bytes)
	}
	for stream, data := range parts {
		if data == nil {
			continue
		}
		id := uint32(stream)
		s.runs = append(s.runs, object.Run{
			Stream: id, Topic: Topic(id), Partition: int32(id % 7), Epoch: 3,
			Base: bases[stream], Next: l.next[id], Bytes: int64(len(data)),
		})
		s.data = append(s.data, data)
	}
	return s
}

// Topic is the topic id of a stream in a Load.
func Topic(stream uint32) (id [16]byte) {
	binary.BigEndian.PutUint32(id[12:], stream/7+1)
	return id
}

func (l *Load) batch(stream uint32) Batch {
	if l.Random.IntN(10) == 0 {
		l.next[stream] += int64(l.Random.IntN(5)) // a gap
	}
	l.clock += int64(l.Random.IntN(20))
	value := make([]byte, 1+l.Random.IntN(l.MaxBatch))
	for i := range value {
		value[i] = byte(l.Random.Uint32())
	}
	records := []batch.Record{{Timestamp: l.clock - int64(l.Random.IntN(50)), Value: value}}
	for range l.Random.IntN(4) {
		records = append(records, batch.Record{Timestamp: l.clock, Key: []byte("k"), Value: []byte("v")})
	}
	raw := batch.Append(nil, batch.NoProducer, records)
	h := batch.Header(raw)
	h.SetBaseOffset(l.next[stream])
	h.SetLeaderEpoch(3)
	b := Batch{Base: h.BaseOffset(), Next: h.NextOffset(), MaxTimestamp: h.MaxTimestamp(), Bytes: raw}
	l.next[stream] = b.Next
	l.Batches[stream] = append(l.Batches[stream], b)
	return b
}
