package tier

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
)

// cleanBytes bounds what one object of a cleaned stream is made from, and thereby
// the memory of cleaning; a longer run is cleaned by itself.
const cleanBytes = 32 << 20

// ErrBusy means that the store fails or has something better to do, or that what was
// to be cleaned is being trimmed.
var ErrBusy = fmt.Errorf("%w: tidying up waits", ErrStorage)

// Clean rewrites runs of one stream from offset from on, as far as they end at or
// before before, and returns the offset to go on from. keep returns what is to
// stay of a batch: the batch itself, a smaller one with the same base and last
// offset, or nil. The last batch of a run always stays, without records if need
// be, so that each offset has a batch at or after it. Topic compaction calls it
// until it reaches before.
func (t *Tier) Clean(ctx context.Context, stream uint32, from, before int64, keep func(batch.Header) ([]byte, error)) (next int64, err error) {
	w := t.rewriter
	if err := w.lockAllowed(ctx); err != nil {
		return from, err
	}
	defer w.unlock()
	rows, next, err := w.gatherStream(stream, from, before)
	if err != nil || len(rows) == 0 {
		return next, err
	}
	in, err := w.oneStream(ctx, rows)
	if err != nil {
		return from, err
	}
	defer w.release(in.objects)
	c := cleaned{runs: make([]Run, len(in.runs)), data: make([][]byte, len(in.runs))}
	changed := false
	for i, r := range in.runs {
		b, smaller, err := cleanRun(in, i, keep)
		if err != nil {
			return from, err
		}
		r.Bytes = int64(len(b))
		c.runs[i], c.data[i] = r, b
		changed = changed || smaller
	}
	if !changed && len(in.runs) == len(rows) {
		return next, nil // clean already
	}
	return next, w.output(ctx, &c, slices.Collect(maps.Keys(in.objects)), rows, stream, stream)
}

// gatherStream returns rows of a stream whose objects hold no other rows of it,
// since a rewrite takes all of a stream's rows of an object.
func (w *rewriter) gatherStream(stream uint32, from, before int64) (rows []Row, next int64, err error) {
	next = from
	size := int64(0)
	others, done := map[ObjectID]bool{}, false
	err = w.t.o.Index.Scan(stream, func(r Row) bool {
		switch {
		case r.Stream != stream:
			return false
		case r.Next <= from:
			others[r.Object] = true
		case done || r.Next > before || len(rows) > 0 && size+r.Bytes > cleanBytes:
			done = true
			others[r.Object] = true
		default:
			rows = append(rows, r)
			size += r.Bytes
			next = r.Next
		}
		return true
	})
	if err != nil {
		return nil, from, w.t.failJournal(fmt.Errorf("scanning the index: %w", err))
	}
	if len(rows) == 0 {
		return nil, before, nil
	}
	whole := rows[:0]
	for _, r := range rows {
		if !others[r.Object] {
			whole = append(whole, r)
		}
	}
	return whole, next, nil
}

// cleanRun reads a run and returns what is kept of it.
func cleanRun(in *sources, i int, keep func(batch.Header) ([]byte, error)) (out []byte, smaller bool, err error) {
	err = in.batches(i, func(h batch.Header, last bool) error {
		kept, err := keep(h)
		if err == nil && kept == nil && last {
			kept, err = batch.Rebuild(h, nil, batch.NoHorizon)
		}
		smaller = smaller || !bytes.Equal(kept, h)
		out = append(out, kept...)
		return err
	})
	return out, smaller, err
}

// cleaned is the content of a cleaned object, in memory.
type cleaned struct {
	runs []Run
	data [][]byte
}

// Runs implements object.Content.
func (c *cleaned) Runs() []Run { return c.runs }

// ReadRun implements object.Content.
func (c *cleaned) ReadRun(i int) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(c.data[i])), nil
}
