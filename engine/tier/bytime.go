package tier

import (
	"context"
	"errors"
	"fmt"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/object"
)

// BatchForTime waits for and returns the raw bytes of the first cold batch whose
// max timestamp is at least ts, starting at offset from; ok is false when there
// is none. The caller owns the bytes and finds the record in them.
func (t *Tier) BatchForTime(ctx context.Context, stream uint32, from, ts int64) (raw []byte, ok bool, err error) {
	for range maxMoves {
		raw, ok, err = t.batchForTime(ctx, stream, from, ts)
		if !errors.Is(err, ErrNotTiered) {
			break // else its object was rewritten meanwhile
		}
	}
	return raw, ok, err
}

func (t *Tier) batchForTime(ctx context.Context, stream uint32, from, ts int64) (raw []byte, ok bool, err error) {
	for offset := from; ; {
		row, ok, err := t.o.Index.Find(stream, offset)
		if err != nil {
			return nil, false, fmt.Errorf("%w: %w", ErrStorage, err)
		}
		if !ok {
			return nil, false, nil
		}
		offset = row.Next
		if row.MaxTimestamp < ts {
			continue
		}
		o, ok, err := t.o.Index.Object(row.Object)
		if err != nil || !ok {
			return nil, false, fmt.Errorf("%w: looking for object %s: %w", ErrStorage, objectName(row.Object), errors.Join(err, ErrNotTiered))
		}
		w := locate(o, row, from)
		if raw, err := t.seek(ctx, &w, from, ts); err != nil || raw != nil {
			return raw, err == nil, err
		}
	}
}

// seek walks a row to the first batch of offset from or later whose max
// timestamp is at least ts and returns a copy of it; nil if there is none.
func (t *Tier) seek(ctx context.Context, w *walk, from, ts int64) ([]byte, error) {
	for w.pos < w.end {
		if w.skip(ts) {
			continue
		}
		w.from = w.pos
		v := &view{pool: t.pool}
		h, end, ok, err := w.current(v)
		var raw []byte
		hit := ok && h.NextOffset() > from && h.MaxTimestamp() >= ts
		if hit {
			var pieces [][]byte
			if pieces, ok = v.bytes(nil, &w.o, w.pos, end); ok {
				for _, p := range pieces {
					raw = append(raw, p...)
				}
			}
		}
		t.pool.give(v.held)
		if err != nil || raw != nil {
			return raw, err
		}
		if ok {
			w.pos = end
			continue
		}
		if err := t.await(ctx, w, end); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// skip moves the walk over a block that holds nothing as young as ts, without
// reading it.
func (w *walk) skip(ts int64) bool {
	block := int64(w.o.Block)
	i := int(w.pos / block)
	k := w.o.Blocks[i]
	if int64(i)*block+int64(k.First) != w.pos || k.MaxTimestamp >= ts {
		return false
	}
	for i++; i < len(w.o.Blocks); i++ { // to the next block a batch begins in
		k := w.o.Blocks[i]
		if int64(k.First) < object.BlockLength(w.o.Data, w.o.Block, i) {
			w.pos = min(int64(i)*block+int64(k.First), w.end)
			return true
		}
	}
	w.pos = w.end
	return true
}

// await loads the blocks of the batch at the walk and waits for them.
func (t *Tier) await(ctx context.Context, w *walk, end int64) error {
	ready := make(chan struct{})
	keys, sizes := w.keys(end)
	if err := t.pool.want(&want{reader: 1<<63 | uint64(w.row.Stream), keys: keys, sizes: sizes, ready: []func(){func() { close(ready) }}}); err != nil {
		return err
	}
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
