package commitlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/test/alloctest"
)

// mend gives every frame header in b its checksum, and every payload that fits: a fuzzer cannot guess them, and without
// them nothing behind them is ever reached.
func mend(b []byte) {
	le := binary.LittleEndian
	for at := 0; at+HeaderSize <= len(b); at += align {
		h := b[at : at+HeaderSize]
		if le.Uint32(h) != frameMagic {
			continue
		}
		if n := int64(le.Uint32(h[36:])); n <= int64(len(b)-at-HeaderSize) {
			p := b[at+HeaderSize:][:n]
			if Kind(h[5]) != KindBatch {
				le.PutUint32(h[52:], Sum(p))
			} else if n >= batchPrefix {
				le.PutUint32(h[52:], Sum(p[batchPrefix:]))
				binary.BigEndian.PutUint32(p[17:], Sum(p[batchPrefix:]))
			}
		}
		le.PutUint32(h[60:], crc32.Checksum(h[:60], castagnoli))
	}
}

// logBytes are two segments as a log leaves them.
func logBytes(f *testing.F) [][]byte {
	fs := vfs.NewMem()
	s := newSink()
	l, _, err := Open(Options{FS: fs, Dir: "log", Now: time.Now, SegmentBytes: 4 << 10, SegmentBase: 1}, Sink[int](s))
	if err != nil {
		f.Fatal(err)
	}
	for i := range 12 {
		b := payload(i, 300)
		r, err := l.Reserve(FrameSize(len(b)), i, i%2 == 0)
		if err != nil {
			f.Fatal(err)
		}
		h := batch.Header(b)
		l.Fill(&r, &Frame{Kind: KindBatch, Stream: 5, BaseOffset: h.BaseOffset(), LeaderEpoch: 3, Sum: h.CRC(), Payload: b})
		r.Done()
	}
	if _, err := l.Close(); err != nil {
		f.Fatal(err)
	}
	var files [][]byte
	for n := range uint32(2) {
		b, err := readFile(fs, "log/"+slotName(n))
		if err != nil {
			f.Fatal(err)
		}
		files = append(files, b)
	}
	return files
}

func readFile(fs vfs.FS, name string) ([]byte, error) {
	file, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(file)
}

// FuzzRecover opens a log whose files hold anything.
func FuzzRecover(f *testing.F) {
	files := logBytes(f)
	f.Add(files[0], files[1], uint64(0))
	f.Add(files[1], files[0], uint64(0))
	f.Add(files[0][:1000], []byte{}, uint64(0))
	f.Fuzz(func(t *testing.T, first, second []byte, clean uint64) {
		first, second = bytes.Clone(first), bytes.Clone(second)
		mend(first)
		mend(second)
		fs := vfs.NewMem()
		if err := fs.MkdirAll("log", 0o755); err != nil {
			t.Fatal(err)
		}
		for n, b := range [][]byte{first, second} {
			file, err := fs.Create("log/"+slotName(uint32(n)), diskCategory)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := file.Write(b); err != nil {
				t.Fatal(err)
			}
			file.Close()
		}
		o := Options{FS: fs, Dir: "log", Now: time.Now, SegmentBytes: 4 << 10, SegmentBase: 1 << 62, CleanEnd: clean}
		var next uint64
		o.Replay = func(_ Frame, p Place) error {
			if p.LSN < next || p.End <= p.LSN {
				t.Errorf("frame at %d to %d after one that ends at %d", p.LSN, p.End, next)
			}
			next = p.End
			return nil
		}
		o.Sealed = func(i Info) error {
			if i.End < i.Start || i.End < next {
				t.Errorf("segment %d to %d sealed, whose last frame ends at %d", i.Start, i.End, next)
			}
			return nil
		}
		r := recovery{o: &o}
		var rec Recovery
		var err error
		alloctest.Bound(t, len(first)+len(second), 4, func() {
			r.found, r.rec, next = nil, Recovery{}, 0
			rec, err = r.run()
			_ = r.close()
		})
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("error %v is not ErrCorrupt", err)
			}
			return
		}
		if rec.End < next || rec.Replayed > int64(len(first)+len(second)) {
			t.Errorf("recovery %+v of %d bytes, whose last frame ends at %d", rec, len(first)+len(second), next)
		}
	})
}
