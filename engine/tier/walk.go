package tier

import (
	"fmt"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/object"
)

// view gives access to positions in objects' data regions through leases on
// pool blocks, which it collects.
type view struct {
	pool *pool
	held []*slice
}

// block returns a loaded block's bytes, nil if it is not in the pool.
func (v *view) block(o *Object, i int) []byte {
	key := blockKey{o.ID, int32(i)}
	for n := len(v.held) - 1; n >= 0; n-- {
		if v.held[n].key == key {
			return v.held[n].buf
		}
	}
	s := v.pool.take(key)
	if s == nil {
		return nil
	}
	v.held = append(v.held, s)
	return s.buf
}

// header copies the batch header at pos; ok is false if a block is missing.
func (v *view) header(o *Object, pos int64) (h [batch.HeaderSize]byte, ok bool) {
	for n := 0; n < len(h); {
		at := pos + int64(n)
		b := v.block(o, int(at/int64(o.Block)))
		if b == nil {
			return h, false
		}
		n += copy(h[n:], b[min(at%int64(o.Block), int64(len(b))):])
		if at >= o.Data {
			return h, false
		}
	}
	return h, true
}

// bytes appends the pieces of [pos, end) to dst; ok is false if a block is
// missing.
func (v *view) bytes(dst [][]byte, o *Object, pos, end int64) (_ [][]byte, ok bool) {
	start := len(dst)
	for pos < end {
		b := v.block(o, int(pos/int64(o.Block)))
		if b == nil {
			return dst[:start], false
		}
		at := pos % int64(o.Block)
		n := min(end-pos, int64(len(b))-at)
		if n <= 0 {
			return dst[:start], false
		}
		dst = append(dst, b[at:at+n:at+n])
		pos += n
	}
	return dst, true
}

// walk is a position among the batches of one row.
type walk struct {
	o    Object
	row  Row
	from int64 // where it began: the headers from here to pos are needed again
	pos  int64
	end  int64
}

// locate starts a walk at the last batch that a block mark shows to begin at or
// before offset.
func locate(o Object, row Row, offset int64) walk {
	w := walk{o: o, row: row, pos: row.Position, end: row.Position + row.Bytes}
	block := int64(o.Block)
	for i := row.Position / block; i*block < w.end && i < int64(len(o.Blocks)); i++ {
		k := o.Blocks[i]
		at := i*block + int64(k.First)
		if int64(k.First) >= object.BlockLength(o.Data, o.Block, int(i)) || at < row.Position {
			continue
		}
		if at >= w.end || k.FirstOffset > offset {
			break
		}
		w.pos = at
	}
	w.from = w.pos
	return w
}

// current returns the header of the batch at the walk's position and where it
// ends; ok is false if its header is not in memory.
func (w *walk) current(v *view) (h batch.Header, end int64, ok bool, err error) {
	raw, ok := v.header(&w.o, w.pos)
	if !ok {
		return nil, 0, false, nil
	}
	h = batch.Header(raw[:])
	end = w.pos + int64(h.Size())
	if h.Size() < batch.HeaderSize || end > w.end || h.BaseOffset() < w.row.Base || h.NextOffset() > w.row.Next {
		return nil, 0, false, fmt.Errorf("%w: object %s has no batch of stream %d at %d", ErrCorrupt, objectName(w.o.ID), w.row.Stream, w.pos)
	}
	return h, end, true, nil
}

// keys names the blocks that hold [w.from, end), or where the header at pos is
// not known yet, enough for the largest batch of the run if that spans blocks.
// What a read needs it must ask for at once: of two wants one could evict the
// other's blocks for ever.
func (w *walk) keys(end int64) ([]blockKey, []int) {
	if end == 0 {
		end = w.pos + batch.HeaderSize
		if w.row.MaxBatch > w.o.Block {
			end = w.pos + int64(w.row.MaxBatch)
		}
	}
	end = min(end, w.end)
	var keys []blockKey
	var sizes []int
	block := int64(w.o.Block)
	for i := w.from / block; i*block < end; i++ {
		keys = append(keys, blockKey{w.o.ID, int32(i)})
		sizes = append(sizes, int(object.BlockLength(w.o.Data, w.o.Block, int(i))))
	}
	return keys, sizes
}
