package commitlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// windowBytes is how much recovery reads at once. A window grows only for a frame that is larger.
const windowBytes = 4 << 20

// errUnreadable means that the disk did not give the bytes, which says nothing about what they are.
var errUnreadable = errors.New("log file cannot be read")

// window reads a log file from its start to its end in large pieces, with memory for one piece.
type window struct {
	f    *found
	buf  []byte // the file's bytes from at on
	at   int64
	news bool
}

// reset begins another file.
func (w *window) reset(f *found) { w.f, w.buf, w.at = f, w.buf[:0], 0 }

// moved reports whether something was read since the last call.
func (w *window) moved() bool {
	moved := w.news
	w.news = false
	return moved
}

// view returns the file's bytes from pos on: at least n, or what there is before the end. They are valid until the next
// call. pos must not go back.
func (w *window) view(pos, n int64) ([]byte, error) {
	n = min(n, w.f.size-pos)
	have := w.at + int64(len(w.buf))
	if pos+n <= have {
		return w.buf[pos-w.at:], nil
	}
	kept := w.buf[min(pos-w.at, int64(len(w.buf))):]
	size := min(max(n, windowBytes), w.f.size-pos)
	if int64(cap(w.buf)) < size {
		w.buf = append(make([]byte, 0, size), kept...)
	} else {
		w.buf = w.buf[:copy(w.buf[:cap(w.buf)], kept)]
	}
	w.at = pos
	got := len(w.buf)
	read, err := w.f.slot.file.ReadAt(w.buf[got:size], pos+int64(got))
	w.buf = w.buf[:got+read]
	w.news = true
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading %s: %w: %w", slotName(w.f.slot.number), errUnreadable, err)
	}
	if next := pos + size; next < w.f.size {
		_ = w.f.slot.file.Prefetch(next, min(windowBytes, w.f.size-next)) // only a hint
	}
	return w.buf, nil
}

// frame decodes the frame expected at pos, as decodeFrame does; the payload is valid until the next call.
func (w *window) frame(pos int64, segment, lsn uint64) (header, []byte, error) {
	b, err := w.view(pos, HeaderSize)
	if err != nil {
		return header{}, nil, err
	}
	h, payload, err := decodeFrame(b, segment, lsn)
	if !errors.Is(err, errShort) {
		return h, payload, err
	}
	if b, err = w.view(pos, FrameSize(int(h.length))); err != nil {
		return h, nil, err
	}
	return decodeFrame(b, segment, lsn)
}

// later looks in the rest of the file from pos on for a frame that promises lsn was on disk before it was written, and
// returns its LSN, or 0.
func (w *window) later(pos int64, lsn uint64) (uint64, error) {
	for {
		b, err := w.view(pos, HeaderSize)
		if err != nil {
			return 0, err
		}
		if later := laterFrame(b, lsn); later != 0 || pos+int64(len(b)) >= w.f.size || len(b) < HeaderSize {
			return later, nil
		}
		pos += int64(len(b)) - (HeaderSize - 1) // a header may begin in what is left
	}
}

// laterFrame looks for a frame that promises lsn was on disk before it was written, and returns its LSN, or 0. Stale
// frames of earlier uses cannot: all they promise lies below the start of the log's live part.
func laterFrame(b []byte, lsn uint64) uint64 {
	var magic [4]byte
	binary.LittleEndian.PutUint32(magic[:], frameMagic)
	for {
		i := bytes.Index(b, magic[:])
		if i < 0 {
			return 0
		}
		if h, ok := decodeHeader(b[i:]); ok && h.lsn > lsn && h.synced > lsn {
			return h.lsn
		}
		b = b[i+len(magic):]
	}
}
