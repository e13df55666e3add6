package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/fields"
)

// errRow means a row does not decode; Pebble checks its own bytes, so this is a bug or a foreign file.
var errRow = errors.New("index row does not decode")

// chunkBatches bounds one row of a run: a look-up decodes at most so many batches.
const chunkBatches = 128

// Segment is a sealed segment still in the ring.
type Segment struct {
	ID       uint64
	Slot     uint32
	Start    uint64
	End      uint64
	SealedAt time.Time
	Runs     []Run
}

// Bytes is what the segment takes in the log.
func (s Segment) Bytes() int64 { return int64(s.End - s.Start) }

// Epoch is where a leader epoch began in a stream.
type Epoch struct {
	Epoch int32
	Start int64
}

// Stream is the durable state of a stream.
type Stream struct {
	Next     int64
	LogStart int64
	MaxTime  int64 // largest timestamp ever appended, -1 when none
	MaxAt    int64 // base offset of the batch that holds it
	Epochs   []Epoch
	Open     []OpenTxn // by first offset
	Aborted  int64     // offset of the last abort marker, 0 when there is none
}

// Sequence is one batch of an idempotent producer.
type Sequence struct {
	Epoch       int16
	First, Last int32
	Base        int64
	Delta       int32 // last offset - base offset
	Time        int64 // log append time answered, -1 when none
}

// Producer is the durable state of one idempotent producer on one stream.
type Producer struct {
	ID   int64
	Seen int64      // wall time of the last batch, ms
	Last []Sequence // oldest first, at most five
	// What the last transaction marker said; -1 when there was none.
	MarkerEpoch int16
	Coordinator int32
}

type writer struct{ b []byte }

func (w *writer) u(v uint64) { w.b = binary.AppendUvarint(w.b, v) }
func (w *writer) i(v int64)  { w.b = binary.AppendVarint(w.b, v) }

type reader struct{ fields.Reader }

func read(b []byte) reader { return reader{fields.Of(b)} }

func (r *reader) u() uint64 { return r.Uvarint(math.MaxUint64) }
func (r *reader) i() int64  { return r.Varint() }

func (r *reader) err(what string) error {
	if !r.Done() {
		return fmt.Errorf("%s: %w", what, errRow)
	}
	return nil
}

func encodeSegment(s Segment) []byte {
	w := writer{}
	w.u(1) // version
	w.u(uint64(s.Slot))
	w.u(s.Start)
	w.u(s.End)
	w.i(s.SealedAt.UnixMilli())
	w.u(uint64(len(s.Runs)))
	var last uint32
	for _, r := range s.Runs {
		w.u(uint64(r.Stream - last))
		last = r.Stream
		w.i(int64(r.Epoch))
		w.i(r.Base)
		w.u(uint64(r.Next - r.Base))
		w.i(r.MaxTime)
		w.u(uint64(r.Records))
		w.u(uint64(r.Bytes))
	}
	return w.b
}

func decodeSegment(id uint64, b []byte) (Segment, error) {
	r := read(b)
	r.u()
	s := Segment{ID: id, Slot: uint32(r.u()), Start: r.u(), End: r.u(), SealedAt: time.UnixMilli(r.i())}
	n := r.Count(7)
	s.Runs = make([]Run, 0, n)
	var last uint32
	for range n {
		last += uint32(r.u())
		run := Run{Stream: last, Epoch: int32(r.i()), Base: r.i()}
		run.Next = run.Base + int64(r.u())
		run.MaxTime, run.Records, run.Bytes = r.i(), int64(r.u()), int64(r.u())
		s.Runs = append(s.Runs, run)
	}
	return s, r.err("segment")
}

// chunk is one l-row.
type chunk struct {
	segment uint64
	epoch   int32
	batches []Batch
}

func (c *chunk) next() int64 { return c.batches[len(c.batches)-1].Next() }

func encodeChunk(c chunk, w *writer) []byte {
	w.b = w.b[:0]
	w.u(1) // version
	w.u(c.segment)
	w.i(int64(c.epoch))
	w.u(uint64(len(c.batches)))
	prev := Batch{Base: c.batches[0].Base}
	for _, b := range c.batches {
		w.i(b.Base - prev.Base)
		w.u(uint64(b.Pos - prev.Pos))
		w.u(uint64(b.Len))
		w.u(uint64(b.Records))
		w.u(uint64(b.Delta))
		w.i(b.MaxTime - prev.MaxTime)
		prev = b
	}
	return w.b
}

// decodeChunk decodes a row into room, or into new memory where that is too small.
func decodeChunk(base int64, v []byte, room []Batch) (chunk, error) {
	r := read(v)
	r.u()
	c := chunk{segment: r.u(), epoch: int32(r.i())}
	n := r.Count(6)
	if n == 0 {
		return c, fmt.Errorf("run: %w", errRow)
	}
	c.batches = room[:0]
	if cap(room) < n {
		c.batches = make([]Batch, 0, n)
	}
	prev := Batch{Base: base}
	for range n {
		b := Batch{Base: prev.Base + r.i(), Pos: prev.Pos + int64(r.u()), Len: int32(r.u()), Records: int32(r.u()), Delta: int32(r.u())}
		b.MaxTime = prev.MaxTime + r.i()
		c.batches = append(c.batches, b)
		prev = b
	}
	return c, r.err("run")
}

// The versions of rows that have changed; older ones are read too.
const (
	streamVersion   = 2 // 2 added transactions
	producerVersion = 2 // 2 added the last marker
)

func encodeStream(s Stream) []byte {
	w := writer{}
	w.u(streamVersion)
	w.i(s.Next)
	w.i(s.LogStart)
	w.i(s.MaxTime)
	w.i(s.MaxAt)
	w.u(uint64(len(s.Epochs)))
	for _, e := range s.Epochs {
		w.i(int64(e.Epoch))
		w.i(e.Start)
	}
	w.u(uint64(len(s.Open)))
	for _, o := range s.Open {
		w.i(o.Producer)
		w.i(o.First)
		w.i(o.Since)
	}
	w.i(s.Aborted)
	return w.b
}

func decodeStream(b []byte) (Stream, error) {
	r := read(b)
	version := r.u()
	s := Stream{Next: r.i(), LogStart: r.i(), MaxTime: r.i(), MaxAt: r.i()}
	for range r.Count(2) {
		s.Epochs = append(s.Epochs, Epoch{Epoch: int32(r.i()), Start: r.i()})
	}
	if version >= 2 {
		for range r.Count(3) {
			s.Open = append(s.Open, OpenTxn{Producer: r.i(), First: r.i(), Since: r.i()})
		}
		s.Aborted = r.i()
	}
	return s, r.err("stream")
}

func encodeProducer(p Producer) []byte {
	w := writer{}
	w.u(producerVersion)
	w.i(p.Seen)
	w.u(uint64(len(p.Last)))
	for _, s := range p.Last {
		w.i(int64(s.Epoch))
		w.i(int64(s.First))
		w.i(int64(s.Last))
		w.i(s.Base)
		w.i(int64(s.Delta))
		w.i(s.Time)
	}
	w.i(int64(p.MarkerEpoch))
	w.i(int64(p.Coordinator))
	return w.b
}

func decodeProducer(id int64, b []byte) (Producer, error) {
	r := read(b)
	version := r.u()
	p := Producer{ID: id, Seen: r.i(), MarkerEpoch: -1, Coordinator: -1}
	for range r.Count(6) {
		p.Last = append(p.Last, Sequence{
			Epoch: int16(r.i()), First: int32(r.i()), Last: int32(r.i()), Base: r.i(), Delta: int32(r.i()), Time: r.i(),
		})
	}
	if version >= 2 {
		p.MarkerEpoch, p.Coordinator = int16(r.i()), int32(r.i())
	}
	return p, r.err("producer")
}
