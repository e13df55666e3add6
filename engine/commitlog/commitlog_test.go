package commitlog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/test/alloctest"
)

// sink collects what the log says.
type sink struct {
	mu      sync.Mutex
	cond    sync.Cond
	durable []int
	early   []int
	errs    int
	sealed  []Info
	failed  error

	recovered []Info // segments that Open replayed
}

func newSink() *sink { s := &sink{}; s.cond.L = &s.mu; return s }

func (s *sink) Written(items []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.early = append(s.early, items...)
}

func (s *sink) Durable(items []int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.errs += len(items)
	} else {
		s.durable = append(s.durable, items...)
	}
	s.cond.Broadcast()
}

func (s *sink) Sealed(i Info) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sealed = append(s.sealed, i)
	s.cond.Broadcast()
}
func (s *sink) Flushed(Flush) {}
func (s *sink) Failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = err
}

func (s *sink) wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	timer := time.AfterFunc(10*time.Second, s.cond.Broadcast)
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for begin := time.Now(); !ok(); s.cond.Wait() {
		if time.Since(begin) > 9*time.Second {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

type replayed struct {
	f     Frame
	place Place
}

func openLog(t *testing.T, fs vfs.FS, o Options) (*Log[int], Recovery, *sink, []replayed) {
	t.Helper()
	l, rec, s, got, err := tryOpen(fs, o)
	if err != nil {
		t.Fatal(err)
	}
	return l, rec, s, got
}

func tryOpen(fs vfs.FS, o Options) (*Log[int], Recovery, *sink, []replayed, error) {
	var got []replayed
	o.FS, o.Dir = fs, "log"
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 16 << 10
	}
	o.Replay = func(f Frame, p Place) error {
		f.Payload = bytes.Clone(f.Payload)
		got = append(got, replayed{f, p})
		return nil
	}
	s := newSink()
	o.Sealed = func(i Info) error { s.recovered = append(s.recovered, i); return nil }
	l, rec, err := Open(o, Sink[int](s))
	return l, rec, s, got, err
}

func payload(i, size int) []byte {
	b := batch.Append(nil, batch.NoProducer, []batch.Record{{Timestamp: int64(i), Value: bytes.Repeat([]byte{byte(i)}, size)}})
	batch.Header(b).SetBaseOffset(int64(i))
	batch.Header(b).SetLeaderEpoch(3)
	return b
}

func put(t *testing.T, l *Log[int], i int, b []byte) Place {
	t.Helper()
	r, err := l.Reserve(FrameSize(len(b)), i, i%2 == 0)
	if err != nil {
		t.Fatal(err)
	}
	h := batch.Header(b)
	p := l.Fill(&r, &Frame{Kind: KindBatch, Stream: 5, BaseOffset: h.BaseOffset(), LeaderEpoch: h.LeaderEpoch(), Sum: h.CRC(), Payload: b})
	r.Done()
	l.Commit(i%3 == 0) // by the log's goroutine, and here
	return p
}

func TestLog_ReplaysWhatWasSettledAcrossSegments(t *testing.T) {
	fs := vfs.NewMem()
	l, _, s, _ := openLog(t, fs, Options{SegmentBase: 1 << 32})
	const n = 200
	for i := range n {
		put(t, l, i, payload(i, 300))
	}
	s.wait(t, "all items", func() bool { return len(s.durable) == n })
	for i, v := range s.durable {
		if v != i {
			t.Fatalf("item %d settled in place %d", v, i)
		}
	}
	end, err := l.Close()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.sealed) < 3 {
		t.Fatalf("%d segments sealed", len(s.sealed))
	}
	_, rec, _, got := openLog(t, fs, Options{SegmentBase: 2 << 32, CleanEnd: end})
	if len(got) != n || rec.End != end {
		t.Fatalf("%d frames, end %d of %d", len(got), rec.End, end)
	}
	for i, r := range got {
		if r.f.BaseOffset != int64(i) || !bytes.Equal(r.f.Payload, payload(i, 300)) || r.f.Stream != 5 {
			t.Fatalf("frame %d came back as %+v", i, r.f)
		}
	}
}

func TestLog_ReadsFromMemoryAndDisk(t *testing.T) {
	for _, cache := range []int64{1, 64 << 20} {
		l, _, s, _ := openLog(t, vfs.NewMem(), Options{CacheBytes: cache, SegmentBase: 1})
		var places []Place
		for i := range 100 {
			places = append(places, put(t, l, i, payload(i, 500)))
		}
		s.wait(t, "all items", func() bool { return len(s.durable) == 100 })
		rng := rand.New(rand.NewPCG(1, 1))
		for range 200 {
			i := rng.IntN(len(places))
			j := i
			var spans []Span
			for ; j < len(places) && j < i+5 && places[j].Segment == places[i].Segment; j++ {
				spans = append(spans, Span{places[j].Pos, int64(len(payload(j, 500)))})
			}
			out, held, _, err := l.Read(places[i].Segment, spans, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			var want, got []byte
			for k := i; k < j; k++ {
				want = append(want, payload(k, 500)...)
			}
			for _, b := range out {
				got = append(got, b...)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("cache %d: frames %d to %d differ", cache, i, j)
			}
			for _, h := range held {
				h.Release()
			}
		}
		if _, err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLog_RecycledSlotsHideTheirPast(t *testing.T) {
	fs := vfs.NewMem()
	l, _, s, _ := openLog(t, fs, Options{SegmentBase: 1 << 32})
	released := map[uint64]bool{}
	for i := range 400 {
		put(t, l, i, payload(i, 300))
		s.wait(t, "item", func() bool { return len(s.durable) == i+1 })
		s.mu.Lock()
		sealed := append([]Info(nil), s.sealed...)
		s.mu.Unlock()
		for _, x := range sealed { // as if offloaded at once
			if !released[x.ID] {
				released[x.ID] = true
				l.Release(x.ID)
			}
		}
	}
	from := s.sealed[len(s.sealed)-1].End
	if _, _, _, err := l.Read(s.sealed[0].ID, []Span{{64, 10}}, nil, nil); !errors.Is(err, ErrReleased) {
		t.Fatalf("read of a released segment: %v", err)
	}
	end, err := l.Close()
	if err != nil {
		t.Fatal(err)
	}
	names, _ := fs.List("log")
	if len(names) > 6 {
		t.Fatalf("%d files for a ring of one live segment: %v", len(names), names)
	}
	_, rec, _, got := openLog(t, fs, Options{SegmentBase: 2 << 32, ReplayFrom: from, CleanEnd: end})
	if rec.End != end || len(got) == 0 || got[len(got)-1].f.BaseOffset != 399 {
		t.Fatalf("end %d of %d, %d frames", rec.End, end, len(got))
	}
}

// TestLog_SmallGroupsPrepareBlocks: a small group writes the blocks of those behind it, a large one only its own, and
// nothing is written where something was before.
func TestLog_SmallGroupsPrepareBlocks(t *testing.T) {
	fs := vfs.NewMem()
	l, _, s, _ := openLog(t, fs, Options{SegmentBytes: 1 << 20, Mode: FlushFsync})
	defer func() {
		if _, err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	written := 0
	size := func(bytes int) int64 {
		t.Helper()
		put(t, l, written, payload(written, bytes))
		written++
		s.wait(t, "an append", func() bool { return len(s.durable) == written })
		info, err := fs.Stat("log/" + slotName(0))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	first := size(10)
	if first < aheadBytes || first > aheadBytes+1<<10 {
		t.Errorf("after a small group the file is %d bytes", first)
	}
	if second := size(10); second != first {
		t.Errorf("a small group in prepared blocks made the file %d bytes, of %d", second, first)
	}
	if large := size(600 << 10); large < 600<<10 || large > 601<<10 {
		t.Errorf("after a large group the file is %d bytes", large)
	}
	if last := size(10); last != 1<<20 {
		t.Errorf("a small group near the end made the file %d bytes", last)
	}
}

// damage flips a byte of a frame's payload in its file.
func damage(t *testing.T, fs vfs.FS, l *Log[int], p Place) {
	t.Helper()
	seg, err := l.acquire(p.Segment)
	if err != nil {
		t.Fatal(err)
	}
	f, err := fs.OpenReadWrite("log/"+slotName(seg.slot.number), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0xff, 0xee}, p.Pos+70); err != nil {
		t.Fatal(err)
	}
	seg.release()
}

func TestOpen_TellsCorruptionFromATornTail(t *testing.T) {
	write := func(fs vfs.FS) (*Log[int], []Place) {
		l, _, s, _ := openLog(t, fs, Options{SegmentBase: 1 << 32})
		var ps []Place
		for i := range 30 { // each in its own group
			ps = append(ps, put(t, l, i, payload(i, 900)))
			s.wait(t, "item", func() bool { return len(s.durable) == i+1 })
		}
		return l, ps
	}
	t.Run("a bad frame in the middle stops start-up", func(t *testing.T) {
		for _, victim := range []int{0, 7, 14, 28} {
			fs := vfs.NewMem()
			l, ps := write(fs)
			damage(t, fs, l, ps[victim])
			if _, err := l.Close(); err != nil {
				t.Fatal(err)
			}
			_, _, _, _, err := tryOpen(fs, Options{SegmentBase: 2 << 32})
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("frame %d: %v", victim, err)
			}
		}
	})
	t.Run("a bad last frame is cut after a crash", func(t *testing.T) {
		fs := vfs.NewMem()
		l, ps := write(fs)
		damage(t, fs, l, ps[29])
		if _, err := l.Close(); err != nil {
			t.Fatal(err)
		}
		_, rec, _, got := openLog(t, fs, Options{SegmentBase: 2 << 32})
		if len(got) != 29 || rec.End != ps[29].LSN {
			t.Fatalf("%d frames, end %d", len(got), rec.End)
		}
	})
	t.Run("but not after a clean stop", func(t *testing.T) {
		fs := vfs.NewMem()
		l, ps := write(fs)
		damage(t, fs, l, ps[29])
		end, err := l.Close()
		if err != nil {
			t.Fatal(err)
		}
		_, _, _, _, err = tryOpen(fs, Options{SegmentBase: 2 << 32, CleanEnd: end})
		if !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
	})
	t.Run("a missing file stops start-up", func(t *testing.T) {
		fs := vfs.NewMem()
		l, ps := write(fs)
		seg, err := l.acquire(ps[0].Segment)
		if err != nil {
			t.Fatal(err)
		}
		name := "log/" + slotName(seg.slot.number)
		seg.release()
		if _, err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := fs.Remove(name); err != nil {
			t.Fatal(err)
		}
		if _, _, _, _, err := tryOpen(fs, Options{SegmentBase: 2 << 32}); !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
	})
}

// TestOpen_ContinuesBehindACut writes after a cut and recovers again: frames beyond the cut must stay dead.
func TestOpen_ContinuesBehindACut(t *testing.T) {
	fs := vfs.NewMem()
	l, _, s, _ := openLog(t, fs, Options{SegmentBase: 1 << 32})
	var ps []Place
	for i := range 10 {
		ps = append(ps, put(t, l, i, payload(i, 200)))
	}
	s.wait(t, "items", func() bool { return len(s.durable) == 10 })
	damage(t, fs, l, ps[9])
	if _, err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, _, s, got := openLog(t, fs, Options{SegmentBase: 2 << 32})
	if len(got) != 9 {
		t.Fatalf("%d frames", len(got))
	}
	before := len(s.recovered)
	for i := 9; i < 20; i++ {
		put(t, l, i, payload(i, 200))
	}
	s.wait(t, "items", func() bool { return len(s.durable) == 11 })
	if _, err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, _, s, got = openLog(t, fs, Options{SegmentBase: 3 << 32})
	if len(got) != 20 || len(s.recovered) != before+1 {
		t.Fatalf("%d frames, segments %+v", len(got), s.recovered)
	}
}

func TestLog_AFailedSyncIsForEver(t *testing.T) {
	var on sync.Once
	bad := errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSyncData && strings.Contains(op.Path, ".log") {
			var err error
			on.Do(func() { err = errorfs.ErrInjected }) // the second sync would succeed
			return err
		}
		return nil
	})}
	l, _, s, _ := openLog(t, errorfs.Wrap(vfs.NewMem(), &bad), Options{SegmentBase: 1})
	put(t, l, 1, payload(1, 10))
	s.wait(t, "item", func() bool { return len(s.durable) == 1 })
	bad.On()
	put(t, l, 3, payload(3, 10))
	s.wait(t, "error", func() bool { return s.errs == 1 })
	if _, err := l.Reserve(FrameSize(10), 4, false); !errors.Is(err, ErrFailed) {
		t.Fatalf("append after a failed sync: %v", err)
	}
	if !errors.Is(l.Admit(), ErrFailed) || s.failed == nil || !l.Gauges().Failed {
		t.Fatal("the failure is not told")
	}
	if _, err := l.Close(); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
	if len(s.durable) != 1 {
		t.Fatalf("settled: %v", s.durable)
	}
}

func TestLog_ABarrierSettlesAfterWhatCameBefore(t *testing.T) {
	l, _, s, _ := openLog(t, vfs.NewMem(), Options{SegmentBase: 1})
	for i := range 50 {
		put(t, l, 2*i+1, payload(i, 100))
		r, err := l.Reserve(0, 2*i+2, false)
		if err != nil {
			t.Fatal(err)
		}
		r.Done()
		l.Commit(false)
	}
	s.wait(t, "items", func() bool { return len(s.durable) == 100 })
	for i, v := range s.durable {
		if v != i+1 {
			t.Fatalf("place %d has item %d", i, v)
		}
	}
	if _, err := l.Reserve(1<<20, 0, false); !errors.Is(err, ErrFrameTooLarge) {
		t.Fatal(err)
	}
	if _, err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Reserve(64, 0, false); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

func TestLog_ManyWritersOnTheRealFileSystem(t *testing.T) {
	dir := t.TempDir()
	var got []replayed
	o := Options{
		FS: vfs.Default, Dir: dir, Now: time.Now, SegmentBytes: 256 << 10, SegmentBase: 1, CacheBytes: 1 << 20,
		Replay: func(f Frame, p Place) error { got = append(got, replayed{f, p}); return nil },
		Sealed: func(Info) error { return nil },
	}
	s := newSink()
	l, _, err := Open(o, Sink[int](s))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 100 {
				put(t, l, w*1000+i, payload(i, 700))
			}
		})
	}
	wg.Wait()
	s.wait(t, "items", func() bool { return len(s.durable) == 800 })
	end, err := l.Close()
	if err != nil {
		t.Fatal(err)
	}
	o.SegmentBase, o.CleanEnd = 1<<32, end
	l, rec, err := Open(o, Sink[int](newSink()))
	if err != nil || len(got) != 800 || rec.End != end {
		t.Fatal(err, len(got), rec.End, end)
	}
	if _, err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestLog_SyncMakesOtherModesDurable(t *testing.T) {
	l, _, s, _ := openLog(t, vfs.NewMem(), Options{SegmentBase: 1, Mode: FlushWrite})
	for i := range 100 {
		put(t, l, i, payload(i, 500))
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	if l.Synced() != l.Gauges().Next {
		t.Fatalf("synced %d of %d", l.Synced(), l.Gauges().Next)
	}
	s.wait(t, "items", func() bool { return len(s.durable) == 100 })
	if _, err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func FuzzDecodeFrame(f *testing.F) {
	b := payload(1, 40)
	h := header{kind: KindBatch, segment: 9, lsn: 100, stream: 1, length: uint32(len(b)), baseOffset: 1, epoch: 3, sum: batch.Header(b).CRC()}
	frame := make([]byte, HeaderSize)
	h.encode(frame)
	frame = append(frame, b...)
	frame = append(frame, make([]byte, FrameSize(len(b))-int64(len(frame)))...)
	if _, _, err := decodeFrame(frame, 9, 100); err != nil {
		f.Fatal(err)
	}
	f.Add(frame, uint64(9), uint64(100))
	f.Add([]byte{}, uint64(0), uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, segment, lsn uint64) {
		b = bytes.Clone(b)
		mend(b)
		var h header
		var p []byte
		var err error
		alloctest.Bound(t, len(b), 0, func() { h, p, err = decodeFrame(b, segment, lsn) })
		if err == nil && (len(p) != int(h.length) || h.segment != segment || h.lsn != lsn) {
			t.Fatal("decoded a frame that is not the one asked for")
		}
		if at := laterFrame(b, lsn); at != 0 && at <= lsn {
			t.Fatal("a later frame is not later")
		}
	})
}

func BenchmarkReserve(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := &discard{}
			l, _, err := Open(Options{FS: vfs.Default, Dir: b.TempDir(), Now: time.Now, SegmentBytes: 64 << 20, SegmentBase: 1, CacheBytes: 64 << 20, Mode: FlushWrite}, Sink[int](s))
			if err != nil {
				b.Fatal(err)
			}
			p := payload(1, size)
			f := Frame{Kind: KindBatch, Payload: p, BaseOffset: 1, LeaderEpoch: 3, Sum: batch.Header(p).CRC()}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if err := l.Admit(); err != nil {
					b.Fatal(err)
				}
				r, err := l.Reserve(FrameSize(len(p)), 1, false)
				if err != nil {
					b.Fatal(err)
				}
				l.Fill(&r, &f)
				r.Done()
				l.Commit(false)
			}
			b.StopTimer()
			if _, err := l.Close(); err != nil {
				b.Fatal(err)
			}
			_ = s
		})
	}
}

type discard struct{}

func (*discard) Written([]int)        {}
func (*discard) Durable([]int, error) {}
func (*discard) Sealed(Info)          {}
func (*discard) Flushed(Flush)        {}
func (*discard) Failed(error)         {}
