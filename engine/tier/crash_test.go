package tier

import (
	"bytes"
	"context"
	"flag"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/object"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/tiertest"
)

// faults is a store that fails at random, and at one chosen call takes the
// process with it.
type faults struct {
	mu      sync.Mutex
	random  *rand.Rand
	rate    float64
	crashAt int    // call number; 0 = never
	only    string // crash at the first call of this kind after that; "" = of any
	crash   func(at string)
	crashed bool
}

func (f *faults) inject(c tiertest.Call) tiertest.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	folder, _, _ := strings.Cut(c.Name, "/")
	at := c.Op + " " + folder
	switch {
	case f.crashed:
		return tiertest.Fault{Hang: true}
	case f.crashAt > 0 && c.N >= f.crashAt && (f.only == "" || f.only == at):
		f.crashed = true
		f.crash(at)
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

func (f *faults) arm(crashAt int, crash func(at string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.crashed, f.crashAt, f.crash = false, crashAt, crash
}

// tally counts what many seeds did.
type tally struct {
	crashes   map[string]int // by where
	orphans   map[string]int // found after a crash there
	rewritten int            // objects at the end
	cleaned   int            // batches taken away
	forgotten int            // trims
}

// Crashes at random journal records and store calls, over a store that fails in
// every way, with trims, deleted topics and compaction in between: afterwards
// every segment is offloaded once, every surviving batch reads back, and the store
// holds exactly the committed objects.
func TestCrashesLeaveNoOrphans(t *testing.T) {
	n := &tally{crashes: map[string]int{}, orphans: map[string]int{}}
	for seed := range uint64(*crashSeeds) {
		synctest.Test(t, func(t *testing.T) { crashes(t, seed, n) })
		if t.Failed() {
			t.Fatalf("again: go test ./engine/tier -run TestCrashesLeaveNoOrphans -crash.seeds=%d", seed+1)
		}
	}
	total := 0
	for _, at := range slices.Sorted(maps.Keys(n.crashes)) {
		t.Logf("%5d crashes at %-22s %5d orphans found after them", n.crashes[at], at+",", n.orphans[at])
		total += n.crashes[at]
	}
	t.Logf("%d crashes; %d rewritten objects at the end, %d batches compacted away, %d trims forgotten", total, n.rewritten, n.cleaned, n.forgotten)
	for _, at := range []string{
		"put objects", "delete objects", "get objects", "put manifest", "delete manifest",
		"PREPARE", "COMMIT", "REWRITE", "DESTROY", "TOMBSTONE", "TRIM",
	} {
		if n.crashes[at] == 0 {
			t.Errorf("no crash at %s: the test proves little", at)
		}
	}
	for _, at := range []string{"put objects", "delete objects", "COMMIT", "REWRITE", "TOMBSTONE"} {
		if n.orphans[at] == 0 {
			t.Errorf("no orphan was ever found after a crash at %s: the test proves little", at)
		}
	}
	if total < 100 || n.rewritten < 20 || n.cleaned < 20 {
		t.Error("too little happened: the test proves little")
	}
}

var crashSeeds = flag.Int("crash.seeds", 100, "seeds of TestCrashesLeaveNoOrphans")

// world is what a seed's lives did to the streams.
type world struct {
	trims   map[uint32]trimmed
	cleaned map[uint32]bool // compacted: see droppable
	at      string          // of the last crash
}

func crashes(t *testing.T, seed uint64, n *tally) {
	r := rand.New(rand.NewPCG(seed, 3))
	l := newLab(t, seed, 1+r.IntN(5), 2000)
	f := &faults{random: rand.New(rand.NewPCG(seed, 4)), rate: []float64{0, 0.1, 0.3}[r.IntN(3)]}
	l.store.Inject = f.inject
	o := l.options()
	o.RewriteFan = 2
	w := &world{trims: map[uint32]trimmed{}, cleaned: map[uint32]bool{}}
	for range 1 + r.IntN(4) {
		for range r.IntN(4) {
			l.log.seal(l.load.Segment(1+r.IntN(60_000), time.Now()))
		}
		l.generation(r, f, o, w, n)
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
	l.clearDeleted(context.Background(), l.tier, w)
	l.until("all offloaded", 2*time.Hour, l.drained)
	time.Sleep(3 * time.Minute) // rewriting comes to rest, too
	l.until("all orphans collected", 5*time.Hour, func() bool { return l.tier.Stats().Orphans == 0 })
	time.Sleep(time.Minute) // whatever PUT was still on its way has arrived
	n.cleaned += l.checkSurvivors(w)
	l.checkStore()
	f.calm()
	l.until("the manifest tells all", time.Hour, func() bool { return l.tier.Stats().Untold == 0 })
	restored, err := Restore(context.Background(), RestoreOptions{Objects: l.store, Now: time.Now})
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	l.sameState(restored)
	l.checkObjects(n)
}

// checkObjects verifies each object, and that no segment is in two.
func (l *lab) checkObjects(n *tally) {
	l.t.Helper()
	segments := map[uint64]bool{}
	for _, name := range l.store.Names("objects/") {
		b := l.store.Object(name)
		footer, err := object.Verify(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			l.t.Fatalf("%s: %v", name, err)
		}
		if footer.Segment == 0 {
			n.rewritten++
			continue
		}
		if segments[footer.Segment] {
			l.t.Fatalf("segment %d was offloaded twice", footer.Segment)
		}
		segments[footer.Segment] = true
	}
	for rec := range l.log.replay(false) {
		if _, dead, err := RecordKey(rec); err == nil && dead && rec[0] == recordTrim {
			n.forgotten++
		}
	}
}

var recordNames = map[byte]string{
	recordPrepare: "PREPARE", recordCommit: "COMMIT", recordDestroy: "DESTROY", recordTombstone: "TOMBSTONE", recordTrim: "TRIM",
	recordEpoch: "EPOCH", recordRewrite: "REWRITE", recordManifest: "MANIFEST",
}

// generation runs a tier until it crashes or has nothing left to do.
func (l *lab) generation(r *rand.Rand, f *faults, o Options, w *world, n *tally) {
	l.t.Helper()
	crashed := make(chan struct{})
	var once sync.Once
	crash := func(at string) {
		once.Do(func() {
			n.crashes[at]++
			w.at = at
			close(crashed)
		})
	}
	before := w.at
	w.at = ""
	if r.IntN(2) == 0 {
		l.log.crashAt, l.log.lose = len(l.log.records)+1+r.IntN(40), r.IntN(2) == 0
		l.log.onCrash = func(rec []byte) { crash(recordNames[rec[0]]) }
		f.arm(0, nil)
	} else {
		l.log.crashAt = 0
		f.only = []string{"", "put objects", "delete objects", "put manifest", "delete manifest"}[r.IntN(5)]
		within := 120
		if f.only != "" {
			within = 40
		}
		f.arm(l.store.Calls()+1+r.IntN(within), func(at string) {
			l.log.mu.Lock()
			l.log.crashed = true
			l.log.mu.Unlock()
			crash(at)
		})
	}
	defer func() { l.log.crashed = false; l.log.crashAt = 0 }()
	l.log.restart(r.IntN(2) == 0)
	o.Replay = l.log.replay(r.IntN(2) == 0)
	tier, err := Open(context.Background(), o)
	if err != nil { // a DESTROY at replay may hit the crash
		return
	}
	if before != "" {
		n.orphans[before] += tier.Stats().Orphans
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tier.Run(ctx) }()
	for range 30 {
		select {
		case <-crashed:
		case <-time.After(time.Duration(r.IntN(3000)) * time.Millisecond):
			l.act(ctx, r, tier, w)
			continue
		}
		break
	}
	cancel()
	<-done
}

// act is one thing that happens to a running tier.
func (l *lab) act(ctx context.Context, r *rand.Rand, tier *Tier, w *world) {
	if r.IntN(4) == 0 {
		l.log.seal(l.load.Segment(1+r.IntN(20_000), time.Now()))
	}
	stream := uint32(r.IntN(l.load.Streams))
	switch n := r.IntN(12); {
	case n < 2:
		l.trim(ctx, r, tier, stream, w)
	case n < 4:
		if e, ok, err := tier.Extent(stream); ok && err == nil {
			w.cleaned[stream] = true
			short, cancel := context.WithTimeout(ctx, time.Minute) // a crashed store never answers
			defer cancel()
			_, _ = tier.Clean(short, stream, e.Start, e.End, func(h batch.Header) ([]byte, error) {
				if droppable(h.BaseOffset()) {
					return nil, nil
				}
				return h, nil
			})
		}
	case n == 4:
		time.Sleep(20 * time.Minute) // deletions come due
	case n == 5:
		l.clearDeleted(ctx, tier, w)
	}
}

// droppable says which batches compaction takes away.
func droppable(base int64) bool { return base%3 == 0 }

func (l *lab) trim(ctx context.Context, r *rand.Rand, tier *Tier, stream uint32, w *world) {
	before := l.randomOffset(r, stream)
	if r.IntN(8) == 0 {
		l.log.drop(stream)
	}
	if l.log.isDropped(stream) {
		before = deletedTopic
	}
	l.trimTo(ctx, tier, stream, before, w)
}

func (l *lab) trimTo(ctx context.Context, tier *Tier, stream uint32, before int64, w *world) {
	x := w.trims[stream]
	x.maybe = max(x.maybe, before)
	if tier.Trim(ctx, stream, before) == nil {
		x.sure = max(x.sure, before)
	}
	w.trims[stream] = x
}

// clearDeleted repeats the trims of deleted topics: an engine does so until one was
// durable, and the segments no longer list their streams.
func (l *lab) clearDeleted(ctx context.Context, tier *Tier, w *world) {
	for stream := range uint32(l.load.Streams) {
		if l.log.isDropped(stream) && w.trims[stream].sure != deletedTopic {
			l.trimTo(ctx, tier, stream, deletedTopic, w)
		}
	}
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
// the trims, and compares with what was produced. It returns how many batches
// compaction took away.
func (l *lab) checkSurvivors(w *world) (gone int) {
	l.t.Helper()
	for stream, batches := range l.load.Batches {
		e, ok, err := l.tier.Extent(stream)
		if err != nil {
			l.t.Fatal(err)
		}
		trims := w.trims[stream]
		if row, _, _ := l.tier.Lookup(stream, 0); ok && row.Next <= trims.sure {
			l.t.Fatalf("stream %d: run %d to %d survived a trim before %d", stream, row.Base, row.Next, trims.sure)
		}
		var want []tiertest.Batch
		for _, b := range batches {
			if ok && b.Base >= e.Start {
				want = append(want, b)
			}
			if b.Next > trims.maybe && (!ok || b.Base < e.Start) && !(w.cleaned[stream] && droppable(b.Base)) {
				l.t.Fatalf("stream %d: batch %d is gone though nothing was trimmed", stream, b.Base)
			}
		}
		if ok {
			gone += l.compare(stream, l.readFrom(stream, e.Start, 20_000), want, w.cleaned[stream])
		}
	}
	return gone
}

// compare holds what a stream reads as against what was produced. Compaction may
// have left out droppable batches, or their records.
func (l *lab) compare(stream uint32, got []byte, want []tiertest.Batch, cleaned bool) (gone int) {
	l.t.Helper()
	for _, b := range want {
		h, rest, ok := batch.Next(got)
		may := cleaned && droppable(b.Base)
		switch {
		case ok && bytes.Equal(h, b.Bytes):
			got = rest
		case may && ok && h.BaseOffset() == b.Base && h.NextOffset() == b.Next && h.RecordCount() == 0:
			got = rest
			gone++
		case may:
			gone++
		default:
			l.t.Fatalf("stream %d: batch %d is gone or changed", stream, b.Base)
		}
	}
	if len(got) > 0 {
		l.t.Fatalf("stream %d: %d bytes too many", stream, len(got))
	}
	return gone
}
