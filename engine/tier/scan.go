package tier

import (
	"context"
	"fmt"
	"io"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
)

// scanRows bounds the rows of one step of Scan, whose objects are kept meanwhile.
const scanRows = 256

// Scan calls fn for the batches of one stream that hold offsets in [from, before),
// for upkeep: it reads one block after the other, not faster than tidying up may,
// and leaves the pool to the readers. It returns fn's error, ErrBusy while the
// store fails or has something better to do, and ErrStorage or ErrCorrupt. The
// batch is valid during the call only.
func (t *Tier) Scan(ctx context.Context, stream uint32, from, before int64, fn func(batch.Header) error) error {
	for from < before {
		next, err := t.scanSome(ctx, stream, from, before, fn)
		if err != nil || next <= from {
			return err
		}
		from = next
	}
	return nil
}

// scanSome scans some rows and returns the offset to go on from, from itself when
// there is no more.
func (t *Tier) scanSome(ctx context.Context, stream uint32, from, before int64, fn func(batch.Header) error) (next int64, err error) {
	w := t.rewriter
	if err := w.lockAllowed(ctx); err != nil {
		return from, err
	}
	defer w.unlock()
	rows, err := w.streamRows(stream, from, before)
	if err != nil || len(rows) == 0 {
		return from, err
	}
	in, err := w.oneStream(ctx, rows)
	if err != nil {
		return from, err
	}
	defer w.release(in.objects)
	for i := range in.runs {
		err := in.batches(i, func(h batch.Header, _ bool) error {
			if h.NextOffset() <= from || h.BaseOffset() >= before {
				return nil
			}
			return fn(h)
		})
		if err != nil {
			return from, err
		}
	}
	return rows[len(rows)-1].Next, nil
}

// streamRows returns the first rows of a stream with offsets in [from, before).
func (w *rewriter) streamRows(stream uint32, from, before int64) (rows []Row, err error) {
	for len(rows) < scanRows {
		row, ok, err := w.t.o.Index.Find(stream, from)
		if err != nil {
			return nil, fmt.Errorf("%w: looking for offset %d of stream %d: %w", ErrStorage, from, stream, err)
		}
		if !ok || row.Base >= before {
			break
		}
		rows = append(rows, row)
		from = row.Next
	}
	return rows, nil
}

// oneStream are sources with rows of one stream, which are read object by object,
// and keeps these from being deleted until they are released. ErrBusy means that
// one is gone since its rows were gathered: who calls again finds others.
func (w *rewriter) oneStream(ctx context.Context, rows []Row) (_ *sources, err error) {
	held := map[ObjectID]Object{}
	defer func() {
		if err != nil {
			w.release(held)
		}
	}()
	for _, r := range rows {
		if _, ok := held[r.Object]; ok {
			continue
		}
		o, ok, err := w.t.o.Index.Object(r.Object)
		if err != nil {
			return nil, w.t.failJournal(fmt.Errorf("looking for object %s: %w", objectName(r.Object), err))
		}
		if !ok || !w.t.state.acquire(r.Object) {
			return nil, ErrBusy
		}
		held[r.Object] = o
	}
	runs, parts := joined(rows)
	return &sources{ctx: ctx, w: w, runs: runs, parts: parts, most: 1, open: map[ObjectID]*blocks{}, objects: held}, nil
}

func (w *rewriter) release(held map[ObjectID]Object) {
	for id := range held {
		w.t.state.release(id)
	}
}

// batches calls fn for each batch of a run, in order; last marks the last one.
func (c *sources) batches(i int, fn func(h batch.Header, last bool) error) error {
	r, err := c.ReadRun(i)
	if err != nil {
		return err
	}
	var raw []byte
	for left := c.runs[i].Bytes; left > 0; {
		if raw, err = readBatch(r, raw, left); err != nil {
			return err
		}
		left -= int64(len(raw))
		if err := fn(batch.Header(raw), left == 0); err != nil {
			return err
		}
	}
	return r.Close()
}

// readBatch reads one batch of at most limit bytes, into raw where it fits, and checks it.
func readBatch(r io.Reader, raw []byte, limit int64) ([]byte, error) {
	var header [batch.HeaderSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return raw, fmt.Errorf("reading a run: %w", err)
	}
	size := int64(batch.Header(header[:]).Size())
	if size < batch.HeaderSize || size > limit {
		return raw, fmt.Errorf("%w: a batch of %d bytes in %d", ErrCorrupt, size, limit)
	}
	if int64(cap(raw)) < size {
		raw = make([]byte, size)
	}
	raw = raw[:size]
	copy(raw, header[:])
	if _, err := io.ReadFull(r, raw[batch.HeaderSize:]); err != nil {
		return raw, fmt.Errorf("reading a run: %w", err)
	}
	if h := batch.Header(raw); h.ComputeCRC() != h.CRC() {
		return raw, fmt.Errorf("%w: the batch at offset %d", ErrCorrupt, h.BaseOffset())
	}
	return raw, nil
}
