package tier

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/tiertest"
)

func single() int64 { return 0 }

// one is the next block to load, alone.
func one(p *pool) *slice {
	run, _ := p.next(single)
	return run[0]
}

// filled returns a pool of four blocks, all of them leased.
func filled(t *testing.T) (*pool, []*slice) {
	t.Helper()
	p := newPool(systemClock{}, 4*4096, 4096)
	var held []*slice
	for i := range int32(4) {
		if err := p.want(&want{keys: []blockKey{{block: i}}, sizes: []int{4096}}); err != nil {
			t.Fatal(err)
		}
		f := one(p)
		p.done(f, nil, true)
		held = append(held, p.take(blockKey{block: i}))
	}
	return p, held
}

// A reader with one want is served after at most one of each other reader,
// however many those have queued.
func TestReadersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, held := filled(t)
		for i := range int32(50) {
			if err := p.want(&want{reader: 1, keys: []blockKey{{block: 100 + i}}, sizes: []int{4096}}); err != nil {
				t.Fatal(err)
			}
		}
		served := false
		if err := p.want(&want{reader: 2, keys: []blockKey{{block: 500}}, sizes: []int{4096}, ready: []func(){func() { served = true }}}); err != nil {
			t.Fatal(err)
		}
		p.give(held) // room for four
		for range 4 {
			f := one(p)
			p.done(f, nil, true)
		}
		if !served {
			t.Fatal("the reader with one want did not get a turn")
		}
		if s := p.snapshot(); s.Waiting != 47 || s.UsedBytes > s.LimitBytes {
			t.Fatalf("%+v", s)
		}
	})
}

// Blocks are kept for the reader that asked until it had time to come, then go.
func TestFreshBlocksWaitForTheirReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, held := filled(t)
		p.give(held[:1])
		for _, block := range []int32{10, 11} {
			if err := p.want(&want{reader: uint64(block), keys: []blockKey{{block: block}}, sizes: []int{4096}}); err != nil {
				t.Fatal(err)
			}
		}
		f := one(p)
		p.done(f, nil, true)
		time.Sleep(freshFor - time.Millisecond)
		if s := p.snapshot(); s.Waiting != 1 {
			t.Fatalf("a block was taken from a reader on its way: %+v", s)
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if s := p.snapshot(); s.Waiting != 0 || p.take(blockKey{block: 10}) != nil {
			t.Fatalf("a block nobody came for was kept: %+v", s)
		}
	})
}

// Many readers of one object get each of its blocks from the store once, many blocks
// with a GET.
func TestReadersOfABlockShareOneGet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1, 1, 300)
		l.store.Inject = func(tiertest.Call) tiertest.Fault { return tiertest.Fault{Delay: 50 * time.Millisecond} }
		o := l.options()
		o.PoolBytes = 1 << 20
		l.start(o)
		defer l.stop()
		l.log.seal(l.load.Segment(40_000, time.Now()))
		l.until("offloaded", time.Minute, l.drained)
		finished := make(chan bool)
		for range 20 {
			go func() {
				l.checkAll(2000)
				finished <- true
			}()
		}
		for range 20 {
			<-finished
		}
		stored, moved, gets, blocks := int64(0), int64(0), 0, 0
		for id := range l.tier.state.objects {
			x, _, _ := l.tier.o.Index.Object(id)
			stored += x.Data
			blocks += len(x.Blocks)
		}
		for _, c := range l.seen.calls {
			if c.Op == "get" && strings.HasPrefix(c.Object, "objects/") {
				gets++
				moved += c.Bytes
			}
		}
		if moved != stored || gets > blocks/2 || blocks < 5 {
			t.Fatalf("%d GETs of %d bytes for %d blocks of %d bytes", gets, moved, blocks, stored)
		}
	})
}

// A block whose object was rewritten is nobody's failure; what was damaged stays so for a moment.
func TestMovedBlocksAreLookedForAgain(t *testing.T) {
	p := newPool(systemClock{}, 4*4096, 4096)
	for _, end := range []error{errMoved, ErrCorrupt} {
		told := false
		w := &want{keys: []blockKey{{block: 7}}, sizes: []int{4096}, ready: []func(){func() { told = true }}}
		if err := p.want(w); err != nil {
			t.Fatal(err)
		}
		p.done(one(p), end, true)
		if !told {
			t.Errorf("%v: the reader was not told", end)
		}
	}
	if err := p.want(&want{keys: []blockKey{{block: 7}}, sizes: []int{4096}}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("the failure is forgotten: %v", err)
	}
}

// Closing tells everybody who waits; later wants are refused.
func TestClosedPoolTellsItsReaders(t *testing.T) {
	p, _ := filled(t)
	told := 0
	for i := range int32(3) {
		if err := p.want(&want{reader: uint64(i), keys: []blockKey{{block: 20 + i}}, sizes: []int{4096}, ready: []func(){func() { told++ }}}); err != nil {
			t.Fatal(err)
		}
	}
	p.close()
	if _, ok := p.next(single); ok || told != 3 {
		t.Fatalf("told %d of 3 readers", told)
	}
	if err := p.want(&want{keys: []blockKey{{block: 99}}, sizes: []int{1}}); !errors.Is(err, ErrStorage) {
		t.Fatalf("after close: %v", err)
	}
}
