package tier

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/objectstore"
)

// The whole way over real HTTP: upload, cold reads, destroy and collect, with a
// server that now and then answers 503 SlowDown or breaks a body off.
func TestOverHTTP(t *testing.T) {
	fake := gofakes3.New(s3mem.New()).Server()
	var requests, broken atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n := requests.Add(1); {
		case n > 12 && n%19 == 0:
			broken.Add(1)
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte("<Error><Code>SlowDown</Code><Message>slow down</Message></Error>"))
		case n > 12 && n%31 == 0:
			broken.Add(1)
			panic(http.ErrAbortHandler)
		default:
			fake.ServeHTTP(w, r)
		}
	}))
	defer server.Close()
	store, err := OpenStore("s3://bucket/p?path_style=true&create=true&endpoint="+server.URL, func(k string) string { return "k" })
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t, 1, 4, 2000)
	o := l.options()
	o.Objects, o.OffloadAfter, o.PrepareTTL, o.CallBase = store, time.Millisecond, time.Millisecond, 300*time.Millisecond
	for range 5 {
		l.log.seal(l.load.Segment(60_000, time.Now().Add(-time.Minute)))
	}
	l.start(o)
	defer l.stop()
	wait(t, "offloaded", l.drained)
	l.checkAll(10_000)
	if broken.Load() == 0 || l.seen.count("get", objectstore.ClassThrottled)+l.seen.count("put", objectstore.ClassThrottled) == 0 {
		t.Fatalf("%d answers were broken, none was observed as throttled", broken.Load())
	}
	l.seen.mu.Lock()
	for _, c := range l.seen.calls {
		if c.Class != objectstore.ClassDown && (!c.Answered || c.Status == 0 && c.Err != nil) {
			t.Errorf("not answered: %+v", c)
		}
	}
	l.seen.mu.Unlock()
	for stream := range uint32(4) {
		if err := l.tier.Trim(t.Context(), stream, 1<<62); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		if t.Failed() {
			t.Logf("%+v", l.tier.Stats())
			for id, k := range l.tier.state.objects {
				t.Logf("%x %+v", id, *k)
			}
		}
	}()
	wait(t, "collected", func() bool { return l.tier.Stats().Orphans == 0 })
	left := 0
	lister := store.(Lister)
	for { // the test server breaks listings too
		left = 0
		if err := lister.List(t.Context(), "objects/", func(string, int64) error { left++; return nil }); err == nil {
			break
		}
	}
	if left != 0 {
		t.Fatalf("%d objects are left", left)
	}
}

// wait polls a condition in real time.
func wait(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-ctx.Done():
			t.Fatalf("not %s in time", what)
		case <-tick.C:
		}
	}
}

// BenchmarkColdRead reads a cold stream sequentially through the pool from a
// directory.
func BenchmarkColdRead(b *testing.B) {
	store, err := OpenStore("file://"+b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	l := newLab(&testing.T{}, 1, 1, 8000)
	o := l.options()
	o.Objects, o.OffloadAfter, o.SliceBytes, o.PoolBytes = store, time.Millisecond, 1<<20, 64<<20
	s := l.load.Segment(64<<20, time.Now().Add(-time.Minute))
	l.log.seal(s)
	l.start(o)
	defer l.stop()
	began := time.Now()
	for !l.drained() {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(float64(s.Bytes())/1e6/time.Since(began).Seconds(), "upload-MB/s")
	e, _, _ := l.tier.Extent(0)
	b.SetBytes(s.Bytes())
	var sum bytes.Buffer
	for b.Loop() {
		sum.Reset()
		for offset := e.Start; offset < e.End; {
			var g sync.WaitGroup
			g.Add(1)
			c, err := l.tier.Read(ReadRequest{Offset: offset, MaxBytes: 1 << 20}, g.Done)
			if err != nil {
				b.Fatal(err)
			}
			if c.Pending {
				g.Wait()
				continue
			}
			offset = c.NextOffset
			c.Release()
		}
	}
}
