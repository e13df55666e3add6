package tier

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/tiertest"
)

var errCrashed = errors.New("crashed")

// localLog is the engine's side of the seam in memory. After crash nothing it
// is asked for takes effect any more.
type localLog struct {
	mu        sync.Mutex
	sealed    []*tiertest.Segment
	warm      []*tiertest.Segment // offloaded, not recycled
	offloaded map[uint64]int
	dropped   map[uint32]bool
	records   [][]byte
	crashAt   int // journal record at which it crashes; 0 = never
	lose      bool
	crashed   bool
	onCrash   func(rec []byte)
	journal   error
	commits   int64
	took      time.Duration // of all commits
}

func newLocalLog() *localLog { return &localLog{offloaded: map[uint64]int{}} }

func (l *localLog) AppendTierRecord(_ context.Context, rec []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.journal != nil {
		return l.journal
	}
	if l.crashed {
		return errCrashed
	}
	if l.crashAt > 0 && len(l.records)+1 >= l.crashAt {
		l.crashed = true
		if !l.lose {
			l.records = append(l.records, slices.Clone(rec))
		}
		l.onCrash(rec)
		return errCrashed
	}
	l.records = append(l.records, slices.Clone(rec))
	return nil
}

func (l *localLog) SealedSegments() []Segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	var s []Segment
	for _, x := range l.sealed {
		if len(l.dropped) > 0 {
			x = x.Without(l.dropped)
		}
		s = append(s, x)
	}
	return s
}

func (l *localLog) Offloaded(id uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.crashed {
		return errCrashed
	}
	l.offloaded[id]++
	l.sealed = slices.DeleteFunc(l.sealed, func(s *tiertest.Segment) bool {
		if s.Number == id {
			l.warm = append(l.warm, s)
		}
		return s.Number == id
	})
	return nil
}

// restart lists what was offloaded and not recycled again, as an engine does
// that only knows its files.
func (l *localLog) restart(recycle bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !recycle {
		l.sealed = append(l.sealed, l.warm...)
		slices.SortFunc(l.sealed, func(a, b *tiertest.Segment) int { return cmp.Compare(a.Number, b.Number) })
	}
	l.warm = nil
}

func (l *localLog) LocalBytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := int64(0)
	for _, s := range l.sealed {
		n += s.Bytes()
	}
	return n
}

func (l *localLog) Commits() (int64, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.commits, l.took
}

// commit makes n group commits that took so long each.
func (l *localLog) commit(n int64, each time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commits, l.took = l.commits+n, l.took+time.Duration(n)*each
}

func (l *localLog) seal(s *tiertest.Segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sealed = append(l.sealed, s)
}

// drop leaves a deleted topic's stream out of the segments listed from now on, as an engine does.
func (l *localLog) drop(stream uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dropped == nil {
		l.dropped = map[uint32]bool{}
	}
	l.dropped[stream] = true
}

func (l *localLog) isDropped(stream uint32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped[stream]
}

func (l *localLog) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.sealed)
}

// replay yields what survived, compacted by RecordKey when compact is set.
func (l *localLog) replay(compact bool) iter.Seq2[[]byte, error] {
	l.mu.Lock()
	defer l.mu.Unlock()
	records := slices.Clone(l.records)
	if compact {
		last := map[string]int{}
		for i, r := range records {
			key, dead, err := RecordKey(r)
			if err != nil {
				return func(yield func([]byte, error) bool) { yield(nil, err) }
			}
			if last[key] = i + 1; dead {
				delete(last, key)
			}
		}
		records = nil
		for _, i := range last { // in random order, which must not matter
			records = append(records, l.records[i-1])
		}
	}
	return func(yield func([]byte, error) bool) {
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// events collects what an Observer hears.
type events struct {
	mu    sync.Mutex
	calls []StoreCall
	list  []Event
}

func (e *events) StoreCall(c StoreCall) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = append(e.calls, c)
}

func (e *events) Event(v Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, v)
}

func (e *events) of(kind string) (found []Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, v := range e.list {
		if v.Kind == kind {
			found = append(found, v)
		}
	}
	return found
}

func (e *events) count(op string, class Class) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.calls {
		if c.Op == op && c.Class == class {
			n++
		}
	}
	return n
}

// lab is a tier with everything around it.
type lab struct {
	t     *testing.T
	store *tiertest.Store
	log   *localLog
	seen  *events
	load  *tiertest.Load
	tier  *Tier
	stop  func()
}

func newLab(t *testing.T, seed uint64, streams, maxBatch int) *lab {
	return &lab{t: t, store: tiertest.NewStore(), log: newLocalLog(), seen: &events{}, load: tiertest.NewLoad(seed, streams, maxBatch)}
}

func (l *lab) options() Options {
	random := rand.New(rand.NewPCG(7, 7))
	var mu sync.Mutex
	return Options{
		Objects: l.store, Journal: l.log, Source: l.log, Observer: l.seen, ClusterID: "c1",
		Random: func() uint64 {
			mu.Lock()
			defer mu.Unlock()
			return random.Uint64()
		},
		OffloadAfter: time.Second, SliceBytes: 4096, PoolBytes: 64 << 10, MaxUploads: 8,
	}
}

// start opens and runs a tier; l.stop ends it.
func (l *lab) start(o Options) {
	l.t.Helper()
	tier, err := Open(context.Background(), o)
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tier.Run(ctx) }()
	l.tier = tier
	l.stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
}

// until lets fake time pass until cond holds.
func (l *lab) until(what string, limit time.Duration, cond func() bool) time.Duration {
	l.t.Helper()
	began := time.Now()
	for !cond() {
		if time.Since(began) > limit {
			l.t.Fatalf("after %v: not %s", limit, what)
		}
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
	}
	return time.Since(began)
}

func (l *lab) drained() bool { return l.log.waiting() == 0 }

// readFrom reads one stream to its end and returns all batch bytes. Transient
// errors are retried, as a client would.
func (l *lab) readFrom(stream uint32, offset int64, maxBytes int) []byte {
	l.t.Helper()
	e, ok, err := l.tier.Extent(stream)
	if err != nil || !ok {
		l.t.Fatalf("stream %d: no extent (%v)", stream, err)
	}
	var all []byte
	for failures := 0; offset < e.End; {
		ready := make(chan struct{})
		c, err := l.tier.Read(ReadRequest{Stream: stream, Offset: offset, MaxBytes: maxBytes}, func() { close(ready) })
		if err != nil {
			if failures++; failures > 200 || !errors.Is(err, ErrStorage) && !errors.Is(err, ErrCorrupt) {
				l.t.Fatalf("reading stream %d at %d: %v", stream, offset, err)
			}
			time.Sleep(failureFor)
			continue
		}
		if c.Pending {
			<-ready
			continue
		}
		size := 0
		for _, p := range c.Bytes {
			all = append(all, p...)
			size += len(p)
		}
		if c.NextOffset <= offset {
			l.t.Fatalf("stream %d: stuck at %d", stream, offset)
		}
		offset = c.NextOffset
		c.Release()
	}
	return all
}

// checkAll compares every stream with what was produced.
func (l *lab) checkAll(maxBytes int) {
	l.t.Helper()
	for stream, batches := range l.load.Batches {
		var want []byte
		for _, b := range batches {
			want = append(want, b.Bytes...)
		}
		if got := l.readFrom(stream, batches[0].Base, maxBytes); !bytes.Equal(got, want) {
			l.t.Fatalf("stream %d: read %d bytes that differ from the %d produced", stream, len(got), len(want))
		}
	}
}

// checkStore holds the store against the live objects: nothing more, nothing less.
func (l *lab) checkStore() {
	l.t.Helper()
	synctest.Wait()
	l.tier.state.mu.Lock()
	defer l.tier.state.mu.Unlock()
	var want []string
	for id, k := range l.tier.state.objects {
		if k.phase == live {
			want = append(want, objectName(id))
		}
	}
	slices.Sort(want)
	if got := l.store.Names("objects/"); !slices.Equal(got, want) {
		l.t.Fatalf("the store holds %d objects %v, committed are %d %v", len(got), got, len(want), want)
	}
}
