package tier

import (
	"errors"
	"fmt"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/object"
)

// maxRowsPerRead bounds the work of one Read over tiny runs.
const maxRowsPerRead = 256

// maxMoves bounds how often a read follows rows that are rewritten under its feet.
const maxMoves = 4

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
		w := &want{reader: r.Reader, keys: missing.keys, sizes: missing.sizes, ahead: t.ahead(r, missing.walk, r.Offset, 0)}
		if ready != nil {
			w.ready = []func(){ready}
		}
		if err := t.pool.want(w); err != nil {
			return Cold{NextOffset: r.Offset}, err
		}
		return c, nil
	}
	t.pool.served(n)
	if ahead := t.ahead(r, missing.walk, c.NextOffset, n); len(ahead.keys) > 0 {
		t.pool.ahead(ahead)
	}
	held := v.held
	c.release = func() { t.pool.give(held) }
	return c, nil
}

// missing is where a read stopped: the blocks it would need next.
type missing struct {
	walk  walk
	keys  []blockKey
	sizes []int
}

// fill collects whole batches of consecutive rows into c until r.MaxBytes, and
// tells where it stopped. n is the number of bytes.
func (t *Tier) fill(c *Cold, v *view, r ReadRequest) (n int64, m missing, err error) {
	moved := 0
	for range maxRowsPerRead {
		if r.End > 0 && c.NextOffset >= r.End {
			return n, m, nil
		}
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
		if err == nil && !ok && moved < maxMoves {
			moved++ // rewritten, or trimmed, between the two look-ups
			continue
		}
		if err != nil || !ok {
			return 0, m, fmt.Errorf("%w: looking for object %s: %w", ErrStorage, objectName(row.Object), errors.Join(err, ErrNotTiered))
		}
		w := locate(o, row, c.NextOffset)
		got, stopped, err := w.fill(c, v, r.End, int64(r.MaxBytes)-n, n == 0)
		if err != nil {
			return 0, m, err
		}
		n += got
		m = missing{walk: w}
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

// fill collects batches of one row, up to offset limit if that is not 0. first says that the first batch is wanted
// whatever its size. stopped is -1 at the row's end, else where the batch at w.pos
// ends, 0 if that is not known for want of its header.
func (w *walk) fill(c *Cold, v *view, limit, room int64, first bool) (n, stopped int64, err error) {
	for w.pos < w.end {
		h, end, ok, err := w.current(v)
		if err != nil || !ok {
			return n, 0, err
		}
		if h.NextOffset() <= c.NextOffset {
			w.pos = end
			continue
		}
		if limit > 0 && h.BaseOffset() >= limit {
			c.NextOffset = limit
			return n, -1, nil
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

// maxRowsAhead bounds the look-ups of one read-ahead over tiny runs.
const maxRowsAhead = 8

// ahead lists the blocks after the walk's position that a reader who was given n
// bytes up to offset next will ask for soon: through its run and the runs that follow.
func (t *Tier) ahead(r ReadRequest, w walk, next, n int64) (b blockList) {
	if t.o.ReadAhead < 0 || w.o.Block == 0 {
		return b
	}
	rate, streams := t.tracks.read(trackKey{r.Reader, r.Stream}, r.Offset, next, n)
	if streams == 0 {
		return b
	}
	left := min(t.pace.ahead(rate), t.o.ReadAhead, t.o.PoolBytes/2/int64(streams))
	for rows := 0; ; rows++ {
		block := int64(w.o.Block)
		for i := w.pos / block; i*block < w.end; i++ {
			size := object.BlockLength(w.o.Data, w.o.Block, int(i))
			if i*block > w.pos || rows > 0 { // the rest of the block it is in comes on top
				left -= size
			}
			if left < 0 {
				return b
			}
			b.add(blockKey{w.o.ID, int32(i)}, int(size))
		}
		row, ok, err := t.o.Index.Find(w.row.Stream, w.row.Next)
		if err != nil || !ok || rows >= maxRowsAhead {
			return b // an error the reader will meet itself
		}
		o, ok, err := t.o.Index.Object(row.Object)
		if err != nil || !ok {
			return b
		}
		w = walk{o: o, row: row, pos: row.Position, end: row.Position + row.Bytes}
	}
}
