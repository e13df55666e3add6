package commitlog

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestLog_Lends: what lies on the disk only is lent and stays readable after its segment left the ring and the log is
// closed; what is small or in memory is not lent, nor anything without a file, nor more of what the kernel cannot send.
func TestLog_Lends(t *testing.T) {
	for _, c := range []struct {
		name  string
		fs    vfs.FS
		cache int64
		size  int
		lent  bool
	}{
		{"on disk", vfs.Default, 1, 40 << 10, true},
		{"in memory", vfs.Default, 64 << 20, 40 << 10, false},
		{"small", vfs.Default, 1, 4 << 10, false},
		{"without a file", vfs.NewMem(), 1, 40 << 10, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.fs == vfs.Default {
				t.Chdir(t.TempDir())
			}
			l, _, s, _ := openLog(t, c.fs, Options{SegmentBytes: 256 << 10, CacheBytes: c.cache, SegmentBase: 1})
			var places []Place
			for i := range 40 {
				places = append(places, put(t, l, i, payload(i, c.size)))
			}
			s.wait(t, "all items", func() bool { return len(s.durable) == 40 })
			id := places[0].Segment
			var spans []Span
			for i := 0; places[i].Segment == id && i < 3; i++ {
				spans = append(spans, Span{places[i].Pos, int64(len(payload(i, c.size)))})
			}
			lent, n, held, err := l.Lend(id, spans, nil)
			if err != nil || (n > 0) != c.lent || len(lent) != n || (held != nil) != c.lent {
				t.Fatalf("%d of %d lent, %v", n, len(spans), err)
			}
			if c.lent {
				lent[0].Refuse()
				if _, again, _, err := l.Lend(id, spans, nil); again != 0 || err != nil {
					t.Errorf("%d lent after a refusal, %v", again, err)
				}
			}
			l.Release(id)
			if _, err := l.Close(); err != nil {
				t.Fatal(err)
			}
			for i := range lent {
				b := make([]byte, lent[i].Len)
				if err := lent[i].Read(b); err != nil || !bytes.Equal(b, payload(i, c.size)) {
					t.Errorf("stretch %d is not what was written: %v", i, err)
				}
			}
			if held != nil {
				held.Release()
			}
		})
	}
}

// TestLog_ReusesNoFileThatWasLent: sockets may hold its pages for long.
func TestLog_ReusesNoFileThatWasLent(t *testing.T) {
	t.Chdir(t.TempDir())
	l, _, s, _ := openLog(t, vfs.Default, Options{SegmentBytes: 64 << 10, CacheBytes: 1, SegmentBase: 1})
	defer func() {
		if _, err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	appended := 0
	add := func() Place {
		p := put(t, l, appended, payload(appended, 40<<10))
		appended++
		s.wait(t, "an append", func() bool { return len(s.durable) == appended })
		return p
	}
	first := add()
	add() // the first segment is on the disk only now
	add()
	_, n, held, err := l.Lend(first.Segment, []Span{{first.Pos, int64(len(payload(0, 40<<10)))}}, nil)
	if err != nil || n != 1 {
		t.Fatalf("%d lent, %v", n, err)
	}
	held.Release()
	l.Release(first.Segment)
	l.prepare.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, slot := range l.free {
		if slot.number == 0 {
			t.Error("the file is free for another segment")
		}
	}
	if _, err := vfs.Default.Stat("log/" + slotName(0)); err == nil {
		t.Error("the file is still there")
	}
}
