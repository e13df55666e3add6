package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/enginetest"
	"github.com/streamkeeper-io/streamkeeper/engine/tier"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/objectstore"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/tiertest"
)

// crash is one seed: a world of topics, producers and groups that outlives the engines.
type crash struct {
	seed    uint64
	rng     *rand.Rand
	fs      *enginetest.FS
	objects *tiertest.Store // nil: the bucket is a folder of fs, and loses power with it
	clock   *jumpingClock
	check   *enginetest.Checker
	keyed   *enginetest.Keyed
	e       *engine.Engine
	sites   map[string]int
	tally   *tally
	flush   engine.Flushing
	die     func(at string) // ends the current life; the fuse calls it too
	died    string          // where the life before ended
	after   *enginetest.FS  // what the next life finds
	stopped *atomic.Bool    // the current engine said that its log failed

	serial    int
	topics    int
	producers []*producer
	pending   sync.WaitGroup

	txns        *enginetest.Transactions
	transactors []*transactor

	mu      sync.Mutex
	pids    map[int64]bool
	history []string // of the lives, for whoever looks into a violation
}

func newCrash(seed uint64, swallow string) *crash {
	c := &crash{
		seed: seed, rng: rand.New(rand.NewPCG(seed, 7)), fs: enginetest.NewFS(), objects: tiertest.NewStore(), clock: &jumpingClock{},
		check: enginetest.NewChecker(), pids: map[int64]bool{}, sites: map[string]int{}, tally: &tally{},
	}
	c.fs.Swallow, c.flush = swallow, engine.FlushFsync
	if c.rng.IntN(3) == 0 || strings.HasPrefix(swallow, enginetest.Bucket) {
		c.objects = nil
	}
	c.txns, c.keyed = enginetest.NewTransactions(c.check), enginetest.NewKeyed(c.check)
	return c
}

// jumpingClock is the machine's, except that time passes in leaps, too.
type jumpingClock struct{ ahead atomic.Int64 }

func (c *jumpingClock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (*jumpingClock) NewTimer(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}

// leap lets so much time pass that what no PUT can resurrect any more may be deleted.
func (c *crash) leap() { c.clock.ahead.Add(int64(50 * time.Second)) }

const dataDir = "data"

// store is the object store as the next engine sees it.
func (c *crash) store() (tier.Objects, error) {
	if c.objects != nil {
		return enginetest.NewStore(c.objects, c.fs), nil
	}
	return objectstore.OpenFile(c.fs, enginetest.Bucket)
}

func (c *crash) options(store tier.Objects) engine.Options {
	c.stopped = &atomic.Bool{}
	return engine.Options{
		Dir: dataDir, FS: c.fs, Observer: alarms{c, c.fs, c.stopped}, Store: store, CacheBytes: 1, Clock: c.clock,
		Log: engine.LogOptions{SegmentBytes: 32 << 10, Flush: c.flush, FlushInterval: time.Millisecond, CheckpointBytes: 64 << 10},
		Tier: engine.TierOptions{
			OffloadAfter: time.Millisecond, LocalBytes: 128 << 10, HardLocalBytes: 64 << 20, SliceBytes: 4 << 10, PoolBytes: 64 << 10,
			CompactEvery: 3 * time.Millisecond, RewriteEvery: 5 * time.Millisecond, RewriteFan: 3, ManifestEvery: 3 * time.Millisecond,
			PrepareTTL: time.Second,
		},
	}
}

// alarms turns events that mean a failed disk into violations, while the disk works.
type alarms struct {
	c       *crash
	fs      *enginetest.FS
	stopped *atomic.Bool
}

func (alarms) Flushed(engine.Flush) {}

func (a alarms) StoreCall(s engine.StoreCall) {
	if s.Op == "delete" && s.Err == nil {
		a.c.tally.count("work", "objects deleted", 1)
	}
}

func (a alarms) Event(ev engine.Event) {
	switch ev.Kind {
	case engine.EventRecovered:
		a.c.happened("%s", ev.Text)
	case engine.EventLogFailed:
		a.c.happened("%s", ev.Text)
		a.stopped.Store(true)
	case tier.EventObjectsRewritten:
		a.c.tally.count("work", "objects rewritten", 1)
	case engine.EventSegmentOffloaded:
		a.c.tally.count("work", "segments offloaded", 1)
	}
	switch ev.Kind {
	case engine.EventLogFailed, engine.EventMaintenanceFailed, engine.EventOffloadFailed, tier.EventSegmentCorrupt, tier.EventObjectCorrupt:
		if !a.fs.Dead() && !a.fs.Sick() {
			a.c.check.Failf("event %s: %s", ev.Kind, ev.Text)
		}
	}
}

func (c *crash) happened(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history = append(c.history, fmt.Sprintf(format, args...))
}

// story tells what happened in the lives.
func (c *crash) story() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.history, "\n")
}

// over reports whether nobody may rely on the current engine any more: an error is no violation.
func (c *crash) over() bool { return c.fs.Dead() || c.fs.Sick() }

// fail notes an error nobody has a right to while the disk works.
func (c *crash) fail(doing string, err error) {
	for _, fine := range []error{engine.ErrUnknownPartition, engine.ErrUnknownTopic} {
		if errors.Is(err, fine) {
			return // deleted meanwhile
		}
	}
	if !c.over() {
		c.check.Failf("%s: %v", doing, err)
	}
}

// run is a few lives of the engine, each ended by a crash, and a last look.
func (c *crash) run() error {
	for range 2 + c.rng.IntN(3) {
		if err := c.life(); err != nil {
			return err
		}
		if err := c.check.Err(); err != nil {
			return err
		}
		if c.flush != engine.FlushFsync { // records were promised nothing; the next life starts from what is there
			c.forget()
		}
	}
	for range 2 { // after the last crash, and after a clean stop
		if err := c.open(); err != nil {
			return err
		}
		c.verify()
		if err := c.e.Close(context.Background()); err != nil {
			return fmt.Errorf("closing: %w", err)
		}
	}
	if err := c.check.Err(); err != nil {
		return err
	}
	return c.lastLook()
}

func (c *crash) forget() {
	c.check.Forget()
	c.txns.Forget()
	c.keyed.Forget()
	c.producers = nil
	for _, x := range c.transactors { // their transactions may have come to nothing
		x.bad, x.ending = true, 0
	}
}

// life opens the engine, works and ends.
func (c *crash) life() error {
	c.begin()
	if c.rng.IntN(3) == 0 { // most lives end later than in recovery
		c.armFuse("crash in recovery")
	}
	if c.rng.IntN(12) == 0 {
		c.breakDisk(60)
	}
	switch err := c.open(); {
	case err != nil && c.fs.Sick(): // it said so and gave up
		c.tally.count("life", "failed to open", 1)
		c.die("a failed start")
		c.bury()
		return nil
	case err != nil:
		return err
	}
	c.tally.count("life", "opened", 1)
	if n := c.e.Stats().Orphans; n > 0 && c.died != "" {
		c.tally.count("orphans found after a crash at", strings.TrimSuffix(c.died, killed), n)
	}
	if !c.over() {
		c.verify()
	}
	return c.endLife()
}

// killed is appended to where a life ended by the death of the process alone.
const killed = ", the process only"

// begin decides how this life ends, by loss of power or only of the process. It ends once, whoever asks first: the fuse
// burns on the engine's goroutines.
func (c *crash) begin() {
	rng := rand.New(rand.NewPCG(c.rng.Uint64(), 1))
	kill, fs := c.rng.IntN(3) == 0, c.fs
	var once sync.Once
	c.die = func(at string) {
		once.Do(func() {
			var err error
			if kill {
				at += killed
				c.tally.count("crash", "process", 1)
				c.after, _, err = fs.Kill()
			} else {
				c.tally.count("crash", "power", 1)
				c.after, _ = fs.Crash(rng)
			}
			if err != nil {
				panic(err)
			}
			c.tally.count("crash at", strings.TrimSuffix(at, killed), 1)
			c.died = at // read after bury
		})
	}
}

// armFuse ends the life at a step soon.
func (c *crash) armFuse(when string) {
	n := []int{10, 120, 120, 600}[c.rng.IntN(4)]
	die := c.die
	c.fs.Fuse(1+c.rng.IntN(n), func(at string) {
		if when != "" {
			c.tally.count(when, at, 1)
		}
		die(at)
	})
}

// breakDisk lets the disk fail at an operation within so many of its kind.
func (c *crash) breakDisk(within int) {
	kind := enginetest.FaultKinds[c.rng.IntN(len(enginetest.FaultKinds))]
	switch kind {
	case enginetest.FailCreate, enginetest.FailName, enginetest.FailSpace:
		within = within/8 + 1 // there are few
	}
	c.fs.Fail(enginetest.Fault{Kind: kind, After: c.rng.IntN(within), Times: c.rng.IntN(3)})
}

// endLife works and crashes; now and then it stops cleanly first, and the power goes after that.
func (c *crash) endLife() error {
	if !c.fs.Dead() && c.rng.IntN(5) == 0 {
		for range 10 {
			c.step()
		}
		c.pending.Wait()
		if err := c.e.Close(context.Background()); err != nil && !c.over() {
			return fmt.Errorf("closing: %w", err)
		}
		c.die("a clean stop")
	} else {
		c.live()
		c.die("no step")
		if err := c.e.Abandon(); err != nil && !c.fs.Sick() {
			return fmt.Errorf("abandoning: %w", err)
		}
	}
	c.bury()
	return nil
}

// bury goes on with what the crash left.
func (c *crash) bury() {
	for s, n := range c.fs.Sites() {
		c.sites[s] += n
	}
	for s, n := range c.fs.Struck() {
		c.tally.count("fault", s, n)
		c.happened("%d times %s", n, s)
	}
	c.happened("died at %s", c.died)
	c.fs = c.after
}

func (c *crash) open() (err error) {
	defer func() {
		if r := recover(); r != nil { // Pebble panics on files that lost their syncs
			err = fmt.Errorf("opening: panic: %v", r)
		}
	}()
	store, err := c.store()
	if err != nil {
		return err
	}
	c.e, err = engine.Open(context.Background(), c.options(store))
	return err
}

// live works until the file system dies or the work is done.
func (c *crash) live() {
	if c.fs.Dead() {
		return
	}
	c.armFuse("")
	if c.rng.IntN(4) == 0 {
		c.breakDisk(300)
	}
	steps := 20 + c.rng.IntN(150)
	if c.rng.IntN(4) == 0 {
		steps *= 4 // long enough for objects to be written, rewritten and deleted
	}
	for range steps {
		if c.fs.Dead() {
			return
		}
		c.step()
	}
}

func (c *crash) step() {
	switch n := c.rng.IntN(100); {
	case n < 4:
		c.createTopic()
	case n < 6:
		c.deleteTopic()
	case n < 8:
		c.deleteRecords()
	case n < 20:
		c.commitOffsets()
	case n < 22:
		c.saveGroup()
		c.saveRecords()
	case n < 29:
		c.readSome()
	case n < 30:
		c.leap()
	case n < 45:
		c.transact()
	case n < 55:
		c.produceIdempotent()
	case n < 57:
		c.allocate()
	case n < 63:
		c.pending.Wait()
	case n < 72:
		c.produceKeyed()
	default:
		c.produce()
	}
}
