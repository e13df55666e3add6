package tier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/object"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/objectstore"
)

// sources is the content of a rewritten object: runs read from others, checked
// against their CRCs again. Sources and output are sorted alike, so each source
// is read once from front to back per pass. Not safe for concurrent use, and w is
// locked meanwhile.
type sources struct {
	ctx     context.Context
	w       *rewriter
	objects map[ObjectID]Object
	runs    []Run
	parts   [][]Row // what each run is made of
	most    int     // blocks held at once
	open    map[ObjectID]*blocks
}

// read returns the blocks of an object, and lets go of others if need be.
func (c *sources) read(id ObjectID) *blocks {
	if b := c.open[id]; b != nil {
		return b
	}
	b := &blocks{c: c, o: c.objects[id], at: -1}
	for other, old := range c.open {
		if len(c.open) < c.most {
			break
		}
		if delete(c.open, other); old.at >= 0 {
			b.buf = old.buf // no call writes into it any longer
		}
	}
	c.open[id] = b
	return b
}

// sourceError says which object could not be read.
type sourceError struct {
	id  ObjectID
	err error
}

func (e *sourceError) Error() string {
	return fmt.Sprintf("reading object %s: %v", objectName(e.id), e.err)
}
func (e *sourceError) Unwrap() error { return e.err }

// Runs implements object.Content.
func (c *sources) Runs() []Run { return c.runs }

// ReadRun implements object.Content.
func (c *sources) ReadRun(i int) (io.ReadCloser, error) {
	return &joinedRun{c: c, left: c.parts[i]}, nil
}

// joinedRun reads rows one after the other.
type joinedRun struct {
	c    *sources
	left []Row
	at   int64 // of the first row left
}

// Read implements io.Reader.
func (r *joinedRun) Read(p []byte) (int, error) {
	for len(r.left) > 0 && r.at == r.left[0].Bytes {
		r.left, r.at = r.left[1:], 0
	}
	if len(r.left) == 0 {
		return 0, io.EOF
	}
	row := r.left[0]
	n, err := r.c.read(row.Object).read(p[:min(int64(len(p)), row.Bytes-r.at)], row.Position+r.at)
	r.at += int64(n)
	return n, err
}

// Close implements io.Closer.
func (r *joinedRun) Close() error { return nil }

// blocks reads one source a block at a time.
type blocks struct {
	c   *sources
	o   Object
	at  int // block in buf; -1 = none
	buf []byte
}

// read copies bytes of the data region from pos on, at most to its block's end.
func (b *blocks) read(p []byte, pos int64) (int, error) {
	if i := int(pos / int64(b.o.Block)); i != b.at {
		if err := b.load(i); err != nil {
			return 0, err
		}
	}
	return copy(p, b.buf[pos%int64(b.o.Block):]), nil
}

// load gets a block and checks it; what does not match is not passed on.
func (b *blocks) load(i int) error {
	t, size := b.c.w.t, object.BlockLength(b.o.Data, b.o.Block, i)
	b.at = -1
	for failures := 0; ; failures++ {
		if err := b.c.w.pace(b.c.ctx, int(size)); err != nil {
			return err
		}
		if failures > 0 || int64(cap(b.buf)) < size {
			b.buf = make([]byte, size) // a call that was given up may still write into the old one
		}
		b.buf = b.buf[:size]
		err := t.calls.get(b.c.ctx, objectName(b.o.ID), object.HeaderSize+int64(i)*int64(b.o.Block), b.buf)
		if err == nil {
			if err = object.CheckBlock(b.buf, b.o.Blocks[i].CRC); err == nil {
				b.at = i
				return nil
			}
		}
		if failures == 2 || b.c.ctx.Err() != nil {
			return b.failed(i, err)
		}
		pause := time.NewTimer(t.backoff(failures, fetchBackoff))
		select {
		case <-pause.C:
		case <-b.c.ctx.Done():
			pause.Stop()
		}
	}
}

// failed blames the object for what is not the store's passing trouble.
func (b *blocks) failed(i int, err error) error {
	switch {
	case errors.Is(err, object.ErrCorrupt):
		b.c.w.t.event(EventObjectCorrupt, fmt.Sprintf("block %d of %s does not match its CRC; the object is not rewritten", i, objectName(b.o.ID)), map[string]any{"object": objectName(b.o.ID), "block": i})
		return &sourceError{b.o.ID, fmt.Errorf("%w: %w", ErrCorrupt, err)}
	case objectstore.Classify(err) == objectstore.ClassNotFound:
		return &sourceError{b.o.ID, err}
	}
	return fmt.Errorf("%w: %w", ErrStorage, err)
}
