package tier

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/tiertest"
)

// GETs grow with the wait for their first byte and with the bandwidth, within bounds.
func TestPaceSizesGets(t *testing.T) {
	const block, pool = 1 << 20, 64 << 20
	for _, c := range []struct {
		first, moving time.Duration // of a GET of one block
		want          int64
	}{
		{time.Millisecond, 20 * time.Millisecond, block},            // slow line, near: small GETs lose little
		{time.Millisecond, time.Millisecond, 4 * block},             // as the wait for four blocks
		{30 * time.Millisecond, 13 * time.Millisecond, maxGetBytes}, // S3
		{2 * time.Second, time.Millisecond, maxGetBytes},            // however slow: bounded
		{time.Millisecond, 0, maxGetBytes},                          // too fast to tell
	} {
		p := newPace(block, pool)
		for range 50 {
			p.saw(c.first, c.first+c.moving, block)
		}
		if got := p.getBytes(); got > c.want+block/50 || got < c.want-block/50 {
			t.Errorf("first byte after %v, then %v a block: GETs of %d bytes, want %d", c.first, c.moving, got, c.want)
		}
	}
	if got := newPace(4096, 16<<10).getBytes(); got != 4096 {
		t.Errorf("a pool of four blocks: GETs of %d bytes", got)
	}
}

// What is read ahead covers twice what the reader takes during a GET.
func TestPaceReadsAheadByRate(t *testing.T) {
	const block = 1 << 20
	p := newPace(block, 1<<30)
	if got := p.ahead(1e9); got != block {
		t.Errorf("before the store is known: %d", got)
	}
	p.saw(100*time.Millisecond, 200*time.Millisecond, 8<<20) // GETs of 8 MiB take 200 ms
	for rate, want := range map[float64]int64{
		0: block, 1e6: block, 10e6: 16 << 20, 100e6: 40e6, 1e9: 400e6,
	} {
		if got := p.ahead(rate); got < want-want/100 || got > want+want/100 {
			t.Errorf("a reader at %.0f bytes/s: %d ahead, want %d", rate, got, want)
		}
	}
}

// Rates are those of reading on; who jumps is not read ahead for, who rests has no share.
func TestTrackerFollowsReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTracker(systemClock{})
		k := trackKey{1, 1}
		var rate float64
		streams := 0
		for i := range int64(50) {
			time.Sleep(10 * time.Millisecond)
			rate, streams = tr.read(k, i*10, i*10+10, 1000)
		}
		if streams != 1 || rate < 90e3 || rate > 110e3 {
			t.Errorf("%.0f bytes/s among %d, want 100,000 alone", rate, streams)
		}
		if _, streams = tr.read(trackKey{2, 1}, 7, 8, 1); streams != 2 {
			t.Errorf("with a second reader: %d", streams)
		}
		if rate, streams = tr.read(k, 3, 4, 1000); rate != 0 || streams != 0 {
			t.Errorf("after a jump: %.0f bytes/s among %d", rate, streams)
		}
		time.Sleep(quietFor + 2*time.Second)
		if _, streams = tr.read(k, 4, 5, 1000); streams != 1 {
			t.Errorf("the other one left: %d", streams)
		}
		for i := range uint32(maxTracks + 10) {
			_, streams = tr.read(trackKey{3, i}, 0, 1, 1)
		}
		if streams != 0 || len(tr.all) > maxTracks {
			t.Errorf("%d readers are followed", len(tr.all))
		}
	})
}

// cold is a lab whose load is in a store that takes so long for each GET.
func cold(t *testing.T, streams int, latency time.Duration, change func(*Options)) *lab {
	l := newLab(t, 1, streams, 300)
	o := l.options()
	o.PoolBytes = 256 << 10 // 64 blocks
	o.RewriteFan = 1000
	if change != nil {
		change(&o)
	}
	l.start(o)
	l.log.seal(l.load.Segment(400_000, time.Now()))
	l.until("offloaded", time.Minute, l.drained)
	l.store.Inject = func(c tiertest.Call) (f tiertest.Fault) {
		if c.Op == "get" {
			f.Delay = latency
		}
		return f
	}
	return l
}

// gets are the sizes of the GETs of blocks since the n-th call.
func (l *lab) gets(n int) (sizes []int64) {
	l.seen.mu.Lock()
	defer l.seen.mu.Unlock()
	for _, c := range l.seen.calls[n:] {
		if c.Op == "get" && len(c.Object) > 20 {
			sizes = append(sizes, c.Bytes)
		}
	}
	return sizes
}

// crawl reads a stream as one reader, pausing after each read, and returns how long it took and how often it waited.
func (l *lab) crawl(reader uint64, stream uint32, pause time.Duration, reads int) (took time.Duration, waits int) {
	e, _, err := l.tier.Extent(stream)
	if err != nil {
		l.t.Error(err)
	}
	began := time.Now()
	for offset := e.Start; offset < e.End && reads > 0; reads-- {
		ready := make(chan struct{})
		c, err := l.tier.Read(ReadRequest{Reader: reader, Stream: stream, Offset: offset, MaxBytes: 4096}, func() { close(ready) })
		if err != nil {
			l.t.Error(err)
			return
		}
		if c.Pending {
			waits++
			<-ready
			continue
		}
		offset = c.NextOffset
		c.Release()
		time.Sleep(pause)
	}
	return time.Since(began), waits
}

// A reader that is slower than the store waits once and, as soon as that shows, takes a block ahead and no more; one that is as fast as it
// can be is soon limited by few large GETs. Without read-ahead it waits for each block.
func TestReadAheadFitsTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := cold(t, 1, 50*time.Millisecond, nil)
		defer l.stop()
		before := len(l.seen.calls)
		_, waits := l.crawl(1, 0, 500*time.Millisecond, 30)
		if sizes := l.gets(before); waits > 1 || len(sizes) < 10 || slices.Max(sizes[len(sizes)/2:]) > 4096 {
			t.Errorf("the slow one waited %d times, GETs of %v bytes", waits, sizes)
		}
		before = len(l.seen.calls)
		fast, _ := l.crawl(2, 0, 0, 1<<20)
		if sizes := l.gets(before); slices.Max(sizes) < 5*4096 || len(sizes) > 40 {
			t.Errorf("GETs of %v bytes for the fast one", sizes)
		}
		l.stop()
		off := cold(t, 1, 50*time.Millisecond, func(o *Options) { o.ReadAhead = -1 })
		defer off.stop()
		before = len(off.seen.calls)
		slow, waits := off.crawl(1, 0, 0, 1<<20)
		if blocks := len(off.gets(before)); waits < 90 || blocks < 90 || slow < 3*fast {
			t.Errorf("without read-ahead: %v after %d waits for %d GETs; with: %v", slow, waits, blocks, fast)
		}
	})
}

// Many readers, fast and slow, of the same and of other streams: each gets all of its stream in its time, and the pool
// never exceeds its bound.
func TestManyReadersShareThePool(t *testing.T) {
	for _, readers := range []int{8, 70} {
		t.Run(fmt.Sprint(readers), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := cold(t, 4, 20*time.Millisecond, nil)
				defer l.stop()
				took := make([]time.Duration, readers)
				var wg sync.WaitGroup
				for i := range readers {
					wg.Go(func() {
						took[i], _ = l.crawl(uint64(i+1), uint32(i%4), time.Duration(i%3)*5*time.Millisecond, 1<<20)
					})
				}
				done := make(chan struct{})
				go func() { wg.Wait(); close(done) }()
				for running := true; running; {
					select {
					case <-done:
						running = false
					case <-time.After(time.Millisecond):
					}
					if s := l.tier.Stats().Pool; s.UsedBytes > s.LimitBytes {
						t.Fatalf("the pool holds %d bytes, its limit is %d", s.UsedBytes, s.LimitBytes)
					}
				}
				slices.Sort(took)
				if first, last := took[0], took[readers-1]; last > 20*first+5*time.Second {
					t.Errorf("the first reader was done after %v, the last after %v", first, last)
				}
				if s := l.tier.Stats().Pool; s.Waiting != 0 || s.Loading != 0 {
					t.Errorf("left behind: %+v", s)
				}
			})
		})
	}
}
