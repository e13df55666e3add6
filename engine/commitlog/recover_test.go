package commitlog

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestOpen_HandsOverEachSegmentInTurn: the caller may make its progress durable after each segment, so a segment comes
// only when the next proves that it is whole, and the last one only when nothing lies beyond it.
func TestOpen_HandsOverEachSegmentInTurn(t *testing.T) {
	fs := vfs.NewMem()
	l, _, s, _ := openLog(t, fs, Options{SegmentBase: 1 << 32})
	const n = 60
	for i := range n {
		put(t, l, i, payload(i, 900))
	}
	s.wait(t, "all items", func() bool { return len(s.durable) == n })
	if _, err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var got []string
	var done, total int64
	o := Options{
		FS: fs, Dir: "log", Now: time.Now, SegmentBytes: 16 << 10, SegmentBase: 2 << 32,
		Replay: func(_ Frame, p Place) error {
			if s := fmt.Sprint("frames of ", p.Segment&0xff); len(got) == 0 || got[len(got)-1] != s {
				got = append(got, s)
			}
			return nil
		},
		Sealed:   func(i Info) error { got = append(got, fmt.Sprint("sealed ", i.ID&0xff)); return nil },
		Progress: func(d, of int64) { done, total = d, of },
	}
	l, rec, err := Open(o, Sink[int](newSink()))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for id := 1; id <= len(got)/2; id++ {
		want = append(want, fmt.Sprint("frames of ", id), fmt.Sprint("sealed ", id))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || len(got) < 6 {
		t.Fatalf("%v, want %v", got, want)
	}
	if done == 0 || done > rec.Replayed || total < rec.Replayed {
		t.Errorf("progress said %d of %d; replayed were %d", done, total, rec.Replayed)
	}
	if _, err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// A caller that fails ends the start; what it took before was whole.
	full := errors.New("disk full")
	o.SegmentBase, o.Sealed = 3<<32, func(Info) error { return full }
	if _, _, err := Open(o, Sink[int](newSink())); !errors.Is(err, full) {
		t.Errorf("the caller's error came out as %v", err)
	}
}

// TestOpen_KeepsBackTheLastSegmentOfADamagedLog: a free file proves that the log once reached further.
func TestOpen_KeepsBackTheLastSegmentOfADamagedLog(t *testing.T) {
	fs := vfs.NewMem()
	l, _, s, _ := openLog(t, fs, Options{SegmentBase: 1 << 32})
	var last Place
	for i := range 40 {
		last = put(t, l, i, payload(i, 900))
		s.wait(t, "item", func() bool { return len(s.durable) == i+1 })
	}
	seg, err := l.acquire(last.Segment)
	if err != nil {
		t.Fatal(err)
	}
	f, err := fs.OpenReadWrite("log/"+slotName(seg.slot.number), diskCategory)
	if err != nil {
		t.Fatal(err)
	}
	seg.release()
	if _, err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, HeaderSize), 0); err != nil { // the last segment's header is lost
		t.Fatal(err)
	}
	_, _, s, _, err = tryOpen(fs, Options{SegmentBase: 2 << 32})
	if !errors.Is(err, ErrCorrupt) {
		t.Fatalf("a log that lost its last segment opened: %v", err)
	}
	if n := len(s.recovered); n == 0 || s.recovered[n-1].ID&0xff != last.Segment&0xff-2 {
		t.Errorf("handed over: %+v", s.recovered)
	}
}

// TestWindow_ReadsFramesOfAllSizes: frames that begin in one window and end in another, and larger ones than a window.
func TestWindow_ReadsFramesOfAllSizes(t *testing.T) {
	fs := vfs.NewMem()
	o := Options{SegmentBytes: 16 << 20, SegmentBase: 1 << 32}
	l, _, s, _ := openLog(t, fs, o)
	sizes := []int{100, windowBytes - 300, 10, 1 << 20, 3 << 20, windowBytes + 999, 5, 2*windowBytes + 1, 70_000, 70_001}
	for i, n := range sizes {
		put(t, l, i, payload(i, n))
	}
	s.wait(t, "all items", func() bool { return len(s.durable) == len(sizes) })
	if _, err := l.Close(); err != nil {
		t.Fatal(err)
	}
	o.SegmentBase = 2 << 32
	_, _, _, got := openLog(t, fs, o)
	if len(got) != len(sizes) {
		t.Fatalf("%d frames of %d", len(got), len(sizes))
	}
	for i, n := range sizes {
		if want := payload(i, n); string(got[i].f.Payload) != string(want) {
			t.Errorf("frame %d of %d bytes came back with %d", i, len(want), len(got[i].f.Payload))
		}
	}
}

// TestWindow_FindsALaterFrameAnywhere puts the header that proves damage at, before and behind a window's end.
func TestWindow_FindsALaterFrameAnywhere(t *testing.T) {
	for _, at := range []int64{HeaderSize, windowBytes - HeaderSize, windowBytes - HeaderSize + 1, windowBytes - 1, windowBytes, windowBytes + 1, 2*windowBytes - 100} {
		fs := vfs.NewMem()
		f, err := fs.Create("f", diskCategory)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, at+HeaderSize)
		h := header{kind: KindBatch, segment: 1, lsn: 900, synced: 800}
		h.encode(b[at:])
		if _, err := f.Write(b); err != nil {
			t.Fatal(err)
		}
		w := window{}
		file := &found{slot: &slot{file: f}, size: int64(len(b))}
		for lsn, want := range map[uint64]uint64{700: 900, 800: 0} {
			w.reset(file)
			if got, err := w.later(0, lsn); err != nil || got != want {
				t.Errorf("header at %d, lsn %d: found %d, %v; want %d", at, lsn, got, err, want)
			}
		}
	}
}
