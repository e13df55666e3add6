package object

import (
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
)

// attributesAt is where a batch's CRC starts to count.
const attributesAt = 21

// scanner walks the data region in pieces of any size, checks every batch and
// collects what the footer says about blocks and runs.
type scanner struct {
	block    int64
	pos      int64 // in the data region
	blocks   []Block
	firstRun []int // per block: the run of its first batch, -1 if none begins in it
	crc      hash.Hash32
	blockLen int64 // bytes of the last block so far

	run    *Run
	runAt  int
	header [batch.HeaderSize]byte
	have   int   // bytes of header, all of them while the rest of the batch follows
	left   int64 // bytes of the batch after its header
	want   uint32
	sum    uint32
	offset int64 // the next batch starts here or later
	buf    []byte
}

func newScanner(block int32) *scanner {
	return &scanner{block: int64(block), crc: crc32.New(castagnoli), buf: make([]byte, 64<<10)}
}

// scanRun reads one run and fills in its numbers.
func (s *scanner) scanRun(i int, r *Run, c Content) (err error) {
	in, err := c.ReadRun(i)
	if err != nil {
		return err
	}
	defer func() {
		if e := in.Close(); err == nil {
			err = e
		}
	}()
	s.run, s.runAt, s.offset = r, i, r.Base
	r.Records, r.MaxBatch, r.MaxTimestamp = 0, 0, -1
	n, err := io.CopyBuffer(struct{ io.Writer }{s}, struct{ io.Reader }{in}, s.buf)
	if err != nil {
		return err
	}
	if n != r.Bytes || s.have != 0 {
		return fmt.Errorf("%w: the run has %d bytes, %d were promised", ErrContent, n, r.Bytes)
	}
	return nil
}

// Write implements io.Writer over consecutive bytes of the data region.
func (s *scanner) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		n := len(p)
		if s.have < batch.HeaderSize {
			if s.have == 0 {
				s.startBlock()
				s.markBatch()
			}
			n = min(n, batch.HeaderSize-s.have)
			copy(s.header[s.have:], p[:n])
			s.have += n
			s.data(p[:n])
			if s.have == batch.HeaderSize {
				if err := s.startBatch(); err != nil {
					return 0, err
				}
			}
		} else {
			n = int(min(int64(n), s.left))
			s.data(p[:n])
			s.sum = crc32.Update(s.sum, castagnoli, p[:n])
			s.left -= int64(n)
		}
		if s.have == batch.HeaderSize && s.left == 0 {
			s.have = 0
			if s.sum != s.want {
				return 0, fmt.Errorf("%w: batch at offset %d has CRC %08x, want %08x", ErrContent, batch.Header(s.header[:]).BaseOffset(), s.sum, s.want)
			}
		}
		p = p[n:]
	}
	return total, nil
}

// markBatch notes that a batch begins at pos, if it is its block's first.
func (s *scanner) markBatch() {
	last := len(s.blocks) - 1
	if s.firstRun[last] < 0 {
		s.firstRun[last], s.blocks[last].First = s.runAt, uint32(s.blockLen)
	}
}

// startBatch looks at a complete header.
func (s *scanner) startBatch() error {
	h := batch.Header(s.header[:])
	size, r := int64(h.Size()), s.run
	if h.Magic() != batch.Magic || size < batch.HeaderSize || h.LastOffsetDelta() < 0 || h.RecordCount() < 0 {
		return fmt.Errorf("%w: no batch header at byte %d", ErrContent, s.pos-batch.HeaderSize)
	}
	if h.BaseOffset() < s.offset || h.NextOffset() > r.Next {
		return fmt.Errorf("%w: batch has offsets %d to %d, expected within %d and %d", ErrContent, h.BaseOffset(), h.LastOffset(), s.offset, r.Next)
	}
	s.offset = h.NextOffset()
	s.left, s.want = size-batch.HeaderSize, h.CRC()
	s.sum = crc32.Checksum(s.header[attributesAt:], castagnoli)
	r.Records += int64(h.RecordCount())
	r.MaxBatch = max(r.MaxBatch, int32(size))
	r.MaxTimestamp = max(r.MaxTimestamp, h.MaxTimestamp())

	start := s.pos - batch.HeaderSize // maybe in the block before the last
	i := start / s.block
	k := &s.blocks[i]
	if int64(k.First) == start%s.block {
		k.FirstOffset = h.BaseOffset()
	}
	if s.firstRun[i] == s.runAt {
		k.MaxTimestamp = max(k.MaxTimestamp, h.MaxTimestamp())
	}
	return nil
}

// data counts bytes into their blocks.
func (s *scanner) data(p []byte) {
	for len(p) > 0 {
		s.startBlock()
		n := min(int64(len(p)), s.block-s.blockLen)
		s.crc.Write(p[:n])
		s.blockLen += n
		s.pos += n
		p = p[n:]
	}
}

// startBlock begins a block if there is none or the last one is full.
func (s *scanner) startBlock() {
	if len(s.blocks) > 0 && s.blockLen < s.block {
		return
	}
	s.endBlock()
	s.blocks = append(s.blocks, Block{MaxTimestamp: -1})
	s.firstRun = append(s.firstRun, -1)
	s.blockLen = 0
	s.crc.Reset()
}

// endBlock completes the last block.
func (s *scanner) endBlock() {
	if len(s.blocks) == 0 {
		return
	}
	last := len(s.blocks) - 1
	s.blocks[last].CRC = s.crc.Sum32()
	if s.firstRun[last] < 0 {
		s.blocks[last].First = uint32(s.blockLen)
	}
}
