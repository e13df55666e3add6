package engine_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/enginetest"
)

// recoveries collects what is told of recoveries.
type recoveries struct {
	mu       sync.Mutex
	progress []engine.Event
	replayed int64 // by the last one that ended
	failed   string
	late     func() // called once, when two thirds were replayed
}

func (*recoveries) Flushed(engine.Flush)       {}
func (*recoveries) StoreCall(engine.StoreCall) {}
func (r *recoveries) Event(ev engine.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch ev.Kind {
	case engine.EventRecovering:
		r.progress = append(r.progress, ev)
		if done, total := ev.Attrs["replayed_bytes"].(int64), ev.Attrs["total_bytes"].(int64); r.late != nil && done > total*2/3 {
			r.late()
			r.late = nil
		}
	case engine.EventRecovered:
		r.replayed, _ = ev.Attrs["replayed_bytes"].(int64)
	case engine.EventMaintenanceFailed:
		r.failed = ev.Text
	}
}

func (r *recoveries) last() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.replayed
}

// fill appends n batches of about a kilobyte.
func fill(t *testing.T, e *engine.Engine, n int) {
	t.Helper()
	p := partition(t, e, "t", 0)
	for i := range n - 1 {
		p.Append(batch.Append(nil, batch.NoProducer, []batch.Record{{Timestamp: int64(i), Value: make([]byte, 1000)}}), -1, func(engine.Appended) {})
	}
	if a := produce(t, p, records(batch.NoProducer, 0, 0, 1)); a.Err != nil {
		t.Fatal(a.Err)
	}
}

// unchecked is options without checkpoints: a restart replays everything.
func unchecked(fs vfs.FS, t *testing.T) engine.Options {
	o := options(fs, memStore(t))
	o.Log.CheckpointBytes = 1 << 40
	o.Tier.LocalBytes = 1 << 30
	return o
}

// TestRecovery_StartsThatAreCutShortComeToAnEnd: a start that dies has made durable what it replayed, so that the next
// one has less to do, whatever a restart loop does.
func TestRecovery_StartsThatAreCutShortComeToAnEnd(t *testing.T) {
	fs := enginetest.NewFS()
	e := open(t, unchecked(fs, t))
	if _, err := e.CreateTopic(context.Background(), "t", 1, nil); err != nil {
		t.Fatal(err)
	}
	fill(t, e, 800)
	after := kill(t, fs)
	if err := e.Abandon(); err != nil {
		t.Fatal(err)
	}
	seen := &recoveries{}
	o := unchecked(after, t)
	o.Observer, o.Log.CheckpointBytes = seen, 128<<10
	o.Clock = &hastyClock{} // progress is told all the time
	var next *enginetest.FS
	seen.late = func() { next = kill(t, after) }
	e = open(t, o)
	if next == nil {
		t.Fatal("the start ended too early")
	}
	if err := e.Abandon(); err != nil {
		t.Fatal(err)
	}
	whole := seen.last()
	o.FS = next
	e = open(t, o)
	defer closeEngine(t, e)
	if again := seen.last(); again == 0 || again > whole*2/3 {
		t.Errorf("the start after the one that was cut short replays %d of %d bytes", again, whole)
	}
	if hw := partition(t, e, "t", 0).HighWatermark(); hw != 800 {
		t.Errorf("%d records of 800 are there", hw)
	}
}

func kill(t *testing.T, fs *enginetest.FS) *enginetest.FS {
	t.Helper()
	after, ok, err := fs.Kill()
	if err != nil || !ok {
		t.Errorf("kill: %v, %v", ok, err)
	}
	return after
}

// TestRecovery_SuffixIsBounded: checkpoints follow the log while it is written.
func TestRecovery_SuffixIsBounded(t *testing.T) {
	fs, seen := enginetest.NewFS(), &recoveries{}
	o := unchecked(fs, t)
	o.Observer, o.Log.CheckpointBytes = seen, 128<<10
	e := open(t, o)
	if _, err := e.CreateTopic(context.Background(), "t", 1, nil); err != nil {
		t.Fatal(err)
	}
	const bound = 128<<10 + 2*64<<10
	for range 2 {
		fill(t, e, 400)
		eventually(t, "a checkpoint", func() bool { return e.Stats().IndexLagBytes <= bound })
	}
	o.FS = kill(t, fs)
	if err := e.Abandon(); err != nil {
		t.Fatal(err)
	}
	e = open(t, o)
	if n := seen.last(); n == 0 || n > bound {
		t.Errorf("%d bytes were replayed, at most %d should be", n, bound)
	}
	// What the tier wrote since is not sealed yet.
	eventually(t, "the checkpoint after a start", func() bool { return e.Stats().IndexLagBytes < 16<<10 })
	closeEngine(t, e)
	if seen.failed != "" {
		t.Error(seen.failed)
	}
}

// hastyClock says that ten seconds have gone each time it is asked.
type hastyClock struct{ asked atomic.Int64 }

func (c *hastyClock) Now() time.Time {
	return time.Now().Add(time.Duration(c.asked.Add(1)) * 10 * time.Second)
}

func (*hastyClock) NewTimer(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}

// TestRecovery_TellsHowFarItIs when it takes long.
func TestRecovery_TellsHowFarItIs(t *testing.T) {
	fs := enginetest.NewFS()
	e := open(t, unchecked(fs, t))
	if _, err := e.CreateTopic(context.Background(), "t", 1, nil); err != nil {
		t.Fatal(err)
	}
	fill(t, e, 200)
	o := unchecked(kill(t, fs), t)
	if err := e.Abandon(); err != nil {
		t.Fatal(err)
	}
	seen := &recoveries{}
	o.Observer, o.Clock = seen, &hastyClock{}
	closeEngine(t, open(t, o))
	if len(seen.progress) == 0 {
		t.Fatal("nothing was told")
	}
	last := int64(0)
	for _, ev := range seen.progress {
		done, total := ev.Attrs["replayed_bytes"].(int64), ev.Attrs["total_bytes"].(int64)
		if done < last || done > total || total < seen.replayed {
			t.Errorf("%d of %d after %d; in all it were %d", done, total, last, seen.replayed)
		}
		last = done
	}
}
