package tier

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/object"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/tiertest"
)

// faults is a store that fails at random, and at one chosen call takes the
// process with it.
type faults struct {
	mu      sync.Mutex
	random  *rand.Rand
	rate    float64
	crashAt int // call number; 0 = never
	crash   func()
	crashed bool
}

func (f *faults) inject(c tiertest.Call) tiertest.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.crashed:
		return tiertest.Fault{Hang: true}
	case f.crashAt > 0 && c.N >= f.crashAt:
		f.crashed = true
		f.crash()
		switch f.random.IntN(3) {
		case 0:
			return tiertest.Fault{Hang: true}
		case 1:
			return tiertest.Fault{Err: errCrashed, Lost: true}
		}
		if c.Op == "put" && strings.HasPrefix(c.Name, "objects/") {
			return tiertest.Fault{Err: errCrashed, Late: time.Duration(f.random.IntN(20)) * time.Second}
		}
		return tiertest.Fault{Err: errCrashed}
	case f.random.Float64() >= f.rate:
		return tiertest.Fault{Delay: time.Duration(f.random.IntN(200)) * time.Millisecond}
	}
	return []tiertest.Fault{
		{Err: tiertest.ErrSlowDown},
		{Err: tiertest.ErrInternal},
		{Err: tiertest.ErrRefused, Lost: true},
		{Hang: true},
		{Torn: 100},
		{Flip: true},
		{Delay: 4 * time.Second},
		{Err: tiertest.ErrInternal, Late: time.Duration(1 + f.random.IntN(15e9))},
	}[f.random.IntN(8)]
}

// calm ends all trouble.
func (f *faults) calm() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rate = 0
}

func (f *faults) arm(crashAt int, crash func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.crashed, f.crashAt, f.crash = false, crashAt, crash
}

// Crashes at random journal records and store calls, over a store that fails in
// every way, with trims in between: afterwards every segment is offloaded once,
// every surviving batch reads back, and the store holds exactly the committed
// objects.
func TestCrashesLeaveNoOrphans(t *testing.T) {
	rewritten := 0
	for seed := range uint64(80) {
		synctest.Test(t, func(t *testing.T) { crashes(t, seed, &rewritten) })
	}
	if rewritten < 20 {
		t.Errorf("only %d rewritten objects in all: the test proves little", rewritten)
	}
}

func crashes(t *testing.T, seed uint64, rewritten *int) {
	r := rand.New(rand.NewPCG(seed, 3))
	l := newLab(t, seed, 1+r.IntN(5), 2000)
	f := &faults{random: rand.New(rand.NewPCG(seed, 4)), rate: []float64{0, 0.1, 0.3}[r.IntN(3)]}
	l.store.Inject = f.inject
	o := l.options()
	o.RewriteFan = 2
	trims := map[uint32]trimmed{}
	for range 1 + r.IntN(4) {
		for range r.IntN(4) {
			l.log.seal(l.load.Segment(1+r.IntN(60_000), time.Now()))
		}
		l.generation(r, f, o, trims)
	}
	f.arm(0, nil)
	f.rate /= 3
	l.log.restart(r.IntN(2) == 0)
	o.Replay = l.log.replay(r.IntN(2) == 0)
	l.start(o)
	defer l.stop()
	defer func() {
		if t.Failed() {
			t.Logf("seed %d: %+v", seed, l.tier.Stats())
		}
	}()
	l.until("all offloaded", 2*time.Hour, l.drained)
	time.Sleep(3 * time.Minute) // rewriting comes to rest, too
	l.until("all orphans collected", 5*time.Hour, func() bool { return l.tier.Stats().Orphans == 0 })
	time.Sleep(time.Minute) // whatever PUT was still on its way has arrived
	l.checkSurvivors(trims)
	l.checkStore()
	f.calm()
	l.until("the manifest tells all", time.Hour, func() bool { return l.tier.Stats().Untold == 0 })
	restored, err := Restore(context.Background(), RestoreOptions{Objects: l.store, Now: time.Now})
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	l.sameState(restored)
	segments := map[uint64]bool{}
	for _, name := range l.store.Names("objects/") {
		b := l.store.Object(name)
		footer, err := object.Verify(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatalf("seed %d: %s: %v", seed, name, err)
		}
		if footer.Segment == 0 {
			*rewritten++
			continue
		}
		if segments[footer.Segment] {
			t.Fatalf("seed %d: segment %d was offloaded twice", seed, footer.Segment)
		}
		segments[footer.Segment] = true
	}
}

// generation runs a tier until it crashes or has nothing left to do.
func (l *lab) generation(r *rand.Rand, f *faults, o Options, trims map[uint32]trimmed) {
	l.t.Helper()
	crashed := make(chan struct{})
	once := sync.OnceFunc(func() { close(crashed) })
	if r.IntN(2) == 0 {
		l.log.crashAt, l.log.lose = len(l.log.records)+1+r.IntN(30), r.IntN(2) == 0
		l.log.onCrash = once
		f.arm(0, nil)
	} else {
		l.log.crashAt = 0
		f.arm(l.store.Calls()+1+r.IntN(80), func() {
			l.log.mu.Lock()
			l.log.crashed = true
			l.log.mu.Unlock()
			once()
		})
	}
	defer func() { l.log.crashed = false; l.log.crashAt = 0 }()
	l.log.restart(r.IntN(2) == 0)
	o.Replay = l.log.replay(r.IntN(2) == 0)
	tier, err := Open(context.Background(), o)
	if err != nil { // a DESTROY at replay may hit the crash
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tier.Run(ctx) }()
	for range 20 {
		select {
		case <-crashed:
		case <-time.After(time.Duration(r.IntN(3000)) * time.Millisecond):
			if r.IntN(4) == 0 {
				l.log.seal(l.load.Segment(1+r.IntN(20_000), time.Now()))
			}
			if stream := uint32(r.IntN(l.load.Streams)); r.IntN(6) == 0 {
				before := l.randomOffset(r, stream)
				if r.IntN(8) == 0 {
					before = math.MaxInt64 // its topic is deleted
				}
				w := trims[stream]
				w.maybe = max(w.maybe, before)
				if tier.Trim(ctx, stream, before) == nil {
					w.sure = max(w.sure, before)
				}
				trims[stream] = w
			}
			continue
		}
		break
	}
	cancel()
	<-done
}

func (l *lab) randomOffset(r *rand.Rand, stream uint32) int64 {
	batches := l.load.Batches[stream]
	if len(batches) == 0 {
		return 0
	}
	return batches[r.IntN(len(batches))].Base
}

// trimmed is what a stream's trims may and must have done.
type trimmed struct{ sure, maybe int64 }

// checkSurvivors reads each stream from where it starts now, which must respect
// the trims, and compares with what was produced.
func (l *lab) checkSurvivors(trims map[uint32]trimmed) {
	l.t.Helper()
	for stream, batches := range l.load.Batches {
		e, ok, err := l.tier.Extent(stream)
		if err != nil {
			l.t.Fatal(err)
		}
		if row, _, _ := l.tier.Lookup(stream, 0); ok && row.Next <= trims[stream].sure {
			l.t.Fatalf("stream %d: run %d to %d survived a trim before %d", stream, row.Base, row.Next, trims[stream].sure)
		}
		var want []byte
		for _, b := range batches {
			if ok && b.Base >= e.Start {
				want = append(want, b.Bytes...)
			}
			if b.Next > trims[stream].maybe && (!ok || b.Base < e.Start) {
				l.t.Fatalf("stream %d: batch %d is gone though nothing was trimmed", stream, b.Base)
			}
		}
		if !ok {
			continue
		}
		if got := l.readFrom(stream, e.Start, 20_000); !bytes.Equal(got, want) {
			l.t.Fatalf("stream %d: %d bytes from %d differ from the %d produced", stream, len(got), e.Start, len(want))
		}
	}
}
