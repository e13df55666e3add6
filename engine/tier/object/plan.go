package object

import (
	"errors"
	"fmt"
	"io"
)

// Content is what an object is made from; a sealed log segment is one.
type Content interface {
	// Runs are sorted by (Stream, Base) and do not overlap.
	Runs() []Run
	// ReadRun returns the raw batches of Runs()[i], exactly Bytes of them, the
	// same each time.
	ReadRun(i int) (io.ReadCloser, error)
}

// ErrContent means that the content itself is damaged: a batch's CRC, length or
// offsets are wrong. It must not become an object.
var ErrContent = errors.New("segment content is damaged")

// Info says where an object comes from.
type Info struct {
	ID      ID
	Cluster string
	Node    int32
	Segment uint64
	Created int64 // ms since 1970
	Block   int32
}

// Plan is an object ready to be written: its size, footer and a body that can be
// read any number of times.
type Plan struct {
	footer  Footer
	head    []byte // header
	tail    []byte // footer and trailer
	content Content
}

// NewPlan reads the content once, checks every batch's CRC (the local bytes are
// about to become the only copy) and computes the footer. Memory is the footer
// plus a copy buffer.
func NewPlan(info Info, c Content) (*Plan, error) {
	if info.Block < MinBlock || info.Block > MaxBlock {
		return nil, fmt.Errorf("planning an object: block size %d is not within %d and %d", info.Block, MinBlock, MaxBlock)
	}
	s := newScanner(info.Block)
	runs := make([]Run, len(c.Runs()))
	copy(runs, c.Runs())
	for i := range runs {
		if r := runs[i]; r.Next <= r.Base || r.Base < 0 || r.Bytes <= 0 || r.Partition < 0 {
			return nil, fmt.Errorf("planning an object: run %d is impossible: offsets %d to %d of partition %d in %d bytes", i, r.Base, r.Next, r.Partition, r.Bytes)
		}
		if i > 0 && (runs[i].Stream < runs[i-1].Stream || runs[i].Stream == runs[i-1].Stream && runs[i].Base < runs[i-1].Next) {
			return nil, fmt.Errorf("planning an object: run %d is out of order", i)
		}
		if err := s.scanRun(i, &runs[i], c); err != nil {
			return nil, fmt.Errorf("planning an object from segment %d, stream %d: %w", info.Segment, runs[i].Stream, err)
		}
	}
	s.endBlock()
	p := &Plan{content: c, footer: Footer{
		ID: info.ID, Cluster: info.Cluster, Node: info.Node, Segment: info.Segment, Created: info.Created,
		Block: info.Block, Data: s.pos, Blocks: s.blocks, Runs: runs,
	}}
	p.head = appendHeader(nil, info.ID, info.Block)
	p.tail = AppendFooter(nil, &p.footer)
	if len(p.tail) > MaxFooter {
		return nil, fmt.Errorf("planning an object: its footer has %d bytes, more than %d", len(p.tail), MaxFooter)
	}
	p.tail = appendTrailer(p.tail, Trailer{Position: HeaderSize + s.pos, Length: int64(len(p.tail)), CRC: Checksum(p.tail)})
	return p, nil
}

// Footer returns the planned footer.
func (p *Plan) Footer() *Footer { return &p.footer }

// EncodedFooter returns the footer's bytes, for the COMMIT record.
func (p *Plan) EncodedFooter() []byte { return p.tail[:len(p.tail)-TrailerSize] }

// Size is the size of the object.
func (p *Plan) Size() int64 {
	return int64(len(p.head)) + p.footer.Data + int64(len(p.tail))
}
