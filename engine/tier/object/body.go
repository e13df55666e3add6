package object

import (
	"errors"
	"fmt"
	"io"
	"sort"
)

// Body returns the object as a stream. It reads the content again each time it
// is rewound and holds no more than the reader in hand. It checks the CRC of
// each block against the plan, so that bytes which changed since are not stored.
// Close releases the open reader.
func (p *Plan) Body() *Body {
	starts := make([]int64, len(p.footer.Runs)+1)
	for i, r := range p.footer.Runs {
		starts[i+1] = starts[i] + r.Bytes
	}
	return &Body{plan: p, starts: starts}
}

// Body is an io.ReadSeekCloser over a planned object. It is not safe for
// concurrent use.
type Body struct {
	plan   *Plan
	starts []int64 // of runs in the data region
	pos    int64   // of the next Read, in the object

	in     io.ReadCloser // reader of run at
	at     int
	inPos  int64 // position of in, in the data region
	crc    uint32
	crcPos int64 // the CRC covers the current block up to here; -1 after a seek into a block
}

var errBodySeek = errors.New("seek before the start of the object")

// Seek implements io.Seeker; it touches nothing until the next Read.
func (b *Body) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.pos
	case io.SeekEnd:
		offset += b.plan.Size()
	}
	if offset < 0 {
		return 0, errBodySeek
	}
	b.pos = offset
	return offset, nil
}

// Close closes the run reader in hand.
func (b *Body) Close() error {
	if b.in == nil {
		return nil
	}
	err := b.in.Close()
	b.in = nil
	return err
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	head, data := int64(len(b.plan.head)), b.plan.footer.Data
	switch at := b.pos; {
	case len(p) == 0:
		return 0, nil
	case at < head:
		n := copy(p, b.plan.head[at:])
		b.pos += int64(n)
		return n, nil
	case at < head+data:
		n, err := b.readData(p, at-head)
		b.pos += int64(n)
		return n, err
	case at < b.plan.Size():
		n := copy(p, b.plan.tail[at-head-data:])
		b.pos += int64(n)
		return n, nil
	}
	return 0, io.EOF
}

// readData reads from the run that holds data position at.
func (b *Body) readData(p []byte, at int64) (int, error) {
	if err := b.position(at); err != nil {
		return 0, err
	}
	block := int64(b.plan.footer.Block)
	p = p[:min(int64(len(p)), b.starts[b.at+1]-at, block-at%block)]
	n, err := b.in.Read(p)
	if n > 0 {
		err = nil // an error with bytes comes back at the next read
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: run %d ends early", ErrContent, b.at)
		}
		return 0, err
	}
	b.inPos += int64(n)
	return n, b.check(p[:n], at)
}

// position makes in the reader of the run that holds at, standing there.
func (b *Body) position(at int64) error {
	if b.in != nil && b.inPos == at && at < b.starts[b.at+1] {
		return nil
	}
	if err := b.Close(); err != nil {
		return err
	}
	run := sort.Search(len(b.starts)-1, func(i int) bool { return b.starts[i+1] > at })
	in, err := b.plan.content.ReadRun(run)
	if err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, in, at-b.starts[run]); err != nil {
		return errors.Join(err, in.Close())
	}
	b.in, b.at, b.inPos = in, run, at
	return nil
}

// check adds p, which lies within one block, to that block's CRC and compares
// at the block's end. A block entered in the middle is not checked.
func (b *Body) check(p []byte, at int64) error {
	f := &b.plan.footer
	switch {
	case at%int64(f.Block) == 0:
		b.crc = 0
	case b.crcPos != at:
		b.crcPos = -1
		return nil
	}
	b.crc = crcUpdate(b.crc, p)
	b.crcPos = at + int64(len(p))
	i := int(at / int64(f.Block))
	if b.crcPos == int64(i)*int64(f.Block)+BlockLength(f.Data, f.Block, i) && b.crc != f.Blocks[i].CRC {
		return fmt.Errorf("%w: block %d changed since it was checked", ErrContent, i)
	}
	return nil
}
