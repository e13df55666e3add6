package commitlog

import (
	"fmt"
	"slices"
	"sync"
)

// Span is a stretch of a segment.
type Span struct {
	Pos int64
	Len int64
}

// readGap is how many foreign bytes a disk read may carry along to save a call.
const readGap = 8 << 10

// Read appends the bytes of the spans (ascending, all below the settled end) to out, and to held what must be released
// when the bytes were used. hot reports that no disk was touched.
func (l *Log[T]) Read(id uint64, spans []Span, out [][]byte, held []Releaser) (_ [][]byte, _ []Releaser, hot bool, err error) {
	seg, err := l.acquire(id)
	if err != nil {
		return out, held, false, err
	}
	defer seg.release()
	hot = true
	out = slices.Grow(out, len(spans)) // once, however many batches there are
	held = slices.Grow(held, 2)        // a read of the usual size touches at most two slabs
	for i := 0; i < len(spans); {
		var ok bool
		if out, held, ok = seg.pieces(spans[i].Pos, spans[i].Len, out, held); ok {
			l.hits.Add(1)
			i++
			continue
		}
		hot = false
		l.misses.Add(1)
		j := i + 1
		for j < len(spans) && spans[j].Pos-(spans[j-1].Pos+spans[j-1].Len) <= readGap &&
			spans[j].Pos+spans[j].Len-spans[i].Pos <= slabBytes {
			j++
		}
		from, to := spans[i].Pos, spans[j-1].Pos+spans[j-1].Len
		b := newBuffer(int(to - from))
		held = append(held, b)
		l.diskReads.Add(1)
		if err := seg.readAt(b.b, from); err != nil {
			return out, held, false, err
		}
		for ; i < j; i++ {
			out = append(out, b.b[spans[i].Pos-from:][:spans[i].Len:spans[i].Len])
		}
	}
	return out, held, hot, nil
}

func (l *Log[T]) acquire(id uint64) (*segment, error) {
	l.segMu.RLock()
	defer l.segMu.RUnlock()
	s := l.segments[id]
	if s == nil {
		return nil, fmt.Errorf("segment %x: %w", id, ErrReleased)
	}
	s.refs.Add(1)
	return s, nil
}

// Hold keeps a segment readable until the returned Releaser is released.
func (l *Log[T]) Hold(id uint64) (Releaser, error) { return l.acquire(id) }

// buffer is memory for a disk read.
type buffer struct{ b []byte }

// bufferMax is the largest buffer kept for reuse.
const bufferMax = slabBytes

var buffers = sync.Pool{New: func() any { return &buffer{} }}

func newBuffer(n int) *buffer {
	b := buffers.Get().(*buffer)
	if cap(b.b) < n {
		b.b = make([]byte, n)
	}
	b.b = b.b[:n]
	return b
}

// Release gives the memory back.
func (b *buffer) Release() {
	if cap(b.b) <= bufferMax {
		buffers.Put(b)
	}
}
