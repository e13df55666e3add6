package tier

import (
	"context"
	"errors"
	"fmt"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/object"
)

// maxRowsPerRead bounds the work of one Read over tiny runs.
const maxRowsPerRead = 256

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

// Read returns batches from the one that holds r.Offset. It never waits for the
// store: when the bytes are not in the slice pool it starts to fetch them and
// returns Pending, and calls ready once when trying again is worth it (also when
// the fetch failed; the next Read then returns the error). ready runs on a tier
// goroutine, or before Read returns, and must not block. A nil ready only starts
// the fetch. An offset in a gap between runs is answered with the next run.
func (t *Tier) Read(r ReadRequest, ready func()) (Cold, error) {
	if r.Reader == 0 {
		r.Reader = 1<<63 | uint64(r.Stream)
	}
	v := &view{pool: t.pool}
	c := Cold{NextOffset: r.Offset}
	n, missing, err := t.fill(&c, v, r)
	if err != nil || n == 0 {
		t.pool.give(v.held)
	}
	if err != nil {
		return Cold{NextOffset: r.Offset}, err
	}
	if n == 0 && len(missing.keys) == 0 {
		return c, nil // nothing but a gap up to c.NextOffset
	}
	if n == 0 {
		c.Pending, c.NextOffset = true, r.Offset
		w := &want{reader: r.Reader, keys: missing.keys, sizes: missing.sizes}
		if ready != nil {
			w.ready = []func(){ready}
		}
		if err := t.pool.want(w); err != nil {
			return Cold{NextOffset: r.Offset}, err
		}
		t.readAhead(r.Reader, missing.walk, missing.end)
		return c, nil
	}
	t.pool.served(n)
	if missing.walk.o.Block > 0 {
		t.readAhead(r.Reader, missing.walk, missing.walk.pos)
	}
	held := v.held
	c.release = func() { t.pool.give(held) }
	return c, nil
}

// missing is where a read stopped: the blocks it would need next.
type missing struct {
	walk  walk
	end   int64
	keys  []blockKey
	sizes []int
}

// fill collects whole batches of consecutive rows into c until r.MaxBytes, and
// tells where it stopped. n is the number of bytes.
func (t *Tier) fill(c *Cold, v *view, r ReadRequest) (n int64, m missing, err error) {
	for range maxRowsPerRead {
		row, ok, err := t.o.Index.Find(r.Stream, c.NextOffset)
		if err != nil {
			return 0, m, fmt.Errorf("%w: looking for offset %d of stream %d: %w", ErrStorage, c.NextOffset, r.Stream, err)
		}
		if !ok {
			if n == 0 && c.NextOffset == r.Offset {
				return 0, m, fmt.Errorf("%w: offset %d of stream %d", ErrNotTiered, c.NextOffset, r.Stream)
			}
			return n, m, nil
		}
		o, ok, err := t.o.Index.Object(row.Object)
		if err != nil || !ok { // trimmed between the two look-ups
			return 0, m, fmt.Errorf("%w: looking for object %s: %w", ErrStorage, objectName(row.Object), errors.Join(err, ErrNotTiered))
		}
		w := locate(o, row, c.NextOffset)
		got, stopped, err := w.fill(c, v, int64(r.MaxBytes)-n, n == 0)
		if err != nil {
			return 0, m, err
		}
		n += got
		m = missing{walk: w, end: stopped}
		if stopped >= 0 { // not at the end of the row
			m.keys, m.sizes = w.keys(stopped)
			return n, m, nil
		}
		if n >= int64(r.MaxBytes) && n > 0 {
			return n, m, nil
		}
	}
	return n, m, nil
}

// fill collects batches of one row. first says that the first batch is wanted
// whatever its size. stopped is -1 at the row's end, else where the batch at w.pos
// ends, 0 if that is not known for want of its header.
func (w *walk) fill(c *Cold, v *view, room int64, first bool) (n, stopped int64, err error) {
	for w.pos < w.end {
		h, end, ok, err := w.current(v)
		if err != nil || !ok {
			return n, 0, err
		}
		if h.NextOffset() <= c.NextOffset {
			w.pos = end
			continue
		}
		if size := end - w.pos; !first && n+size > room {
			return n, end, nil
		}
		if c.Bytes, ok = v.bytes(c.Bytes, &w.o, w.pos, end); !ok {
			return n, end, nil
		}
		first = false
		n += end - w.pos
		c.Records += int64(h.RecordCount())
		c.NextOffset = h.NextOffset()
		w.pos = end
	}
	c.NextOffset = max(c.NextOffset, w.row.Next) // trailing gap
	return n, -1, nil
}

// readAhead starts to load what a sequential reader asks for next: the blocks
// after position from of its run, then the start of the next run.
func (t *Tier) readAhead(reader uint64, w walk, from int64) {
	block := int64(w.o.Block)
	left := min(t.o.ReadAhead, t.pool.share(reader, int(block)))
	i := max(from, w.pos) / block
	for ; left > 0 && i*block < w.end; i++ {
		if !t.pool.ahead(reader, blockKey{w.o.ID, int32(i)}, int(object.BlockLength(w.o.Data, w.o.Block, int(i)))) {
			return
		}
		left--
	}
	if left <= 0 {
		return
	}
	row, ok, err := t.o.Index.Find(w.row.Stream, w.row.Next)
	if err != nil || !ok {
		return // the reader will meet the error itself
	}
	o, ok, err := t.o.Index.Object(row.Object)
	if err != nil || !ok {
		return
	}
	i = row.Position / int64(o.Block)
	t.pool.ahead(reader, blockKey{o.ID, int32(i)}, int(object.BlockLength(o.Data, o.Block, int(i))))
}

// fetch is a worker that loads blocks until the pool is closed. What it loads is
// checked against the block's CRC; a GET goes on when its reader went away.
func (t *Tier) fetch(ctx context.Context) {
	for {
		f, ok := t.pool.next()
		if !ok {
			return
		}
		err := t.load(ctx, f.slice)
		if err == nil {
			t.pool.done(f, nil, true)
			continue
		}
		f.attempts++
		if f.attempts < 3 && ctx.Err() == nil && !errors.Is(err, ErrNotTiered) {
			// A call that was given up may still write into the old buffer.
			f.slice.buf = make([]byte, len(f.slice.buf), cap(f.slice.buf))
			t.pool.requeue(f, t.backoff(f.attempts-1, fetchBackoff))
			continue
		}
		t.pool.done(f, err, false)
	}
}

// load fills a slice from the store.
func (t *Tier) load(ctx context.Context, s *slice) error {
	o, ok, err := t.o.Index.Object(s.key.object)
	if err != nil {
		return fmt.Errorf("%w: looking for object %s: %w", ErrStorage, objectName(s.key.object), err)
	}
	if !ok || int(s.key.block) >= len(o.Blocks) || !t.state.acquire(o.ID) {
		return fmt.Errorf("%w: object %s is gone", ErrNotTiered, objectName(s.key.object))
	}
	defer func() {
		t.state.release(o.ID)
	}()
	at := object.HeaderSize + int64(s.key.block)*int64(o.Block)
	if err := t.calls.get(ctx, objectName(o.ID), at, s.buf); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	if err := object.CheckBlock(s.buf, o.Blocks[s.key.block].CRC); err != nil {
		t.event(EventObjectCorrupt, fmt.Sprintf("block %d of %s does not match its CRC and is not served", s.key.block, objectName(o.ID)), map[string]any{"object": objectName(o.ID), "block": int(s.key.block)})
		return fmt.Errorf("%w: block %d of %s: %w", ErrCorrupt, s.key.block, objectName(o.ID), err)
	}
	return nil
}

// BatchForTime waits for and returns the raw bytes of the first cold batch whose
// max timestamp is at least ts, starting at offset from; ok is false when there
// is none. The caller owns the bytes and finds the record in them.
func (t *Tier) BatchForTime(ctx context.Context, stream uint32, from, ts int64) (raw []byte, ok bool, err error) {
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
