package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/commitlog"
	"github.com/streamkeeper-io/streamkeeper/engine/index"
	"github.com/streamkeeper-io/streamkeeper/engine/meta"
	"github.com/streamkeeper-io/streamkeeper/engine/tier"
)

// Objects is the object store; tier.OpenStore opens one.
type Objects = tier.Objects

// Engine is an open engine; safe for concurrent use.
type Engine struct {
	o      Options
	lock   io.Closer
	meta   *meta.Store
	index  *index.DB
	log    *commitlog.Log[item]
	tier   *tier.Tier
	epoch  int32 // leader epoch of every partition, and the high half of segment ids
	events *eventFilter

	closed   atomic.Bool
	failed   atomic.Bool
	pressure atomic.Int32 // rung of the ladder
	relief   atomic.Pointer[chan struct{}]
	inside   atomic.Int64 // calls in progress; Close waits for them
	left     chan struct{}

	topics       registry
	groups       groupTable
	transactions transactionTable
	openTxns     openSet
	mems         memories
	ring         ring
	sealed       sealQueue
	tierRec      tierRecords

	// indexMu orders changes of the index: apply, release, drop.
	indexMu sync.Mutex

	stop    context.CancelFunc
	workers sync.WaitGroup
	indexer sync.WaitGroup
	kick    chan struct{} // wakes the maintenance loop
	// checkpoint wakes the loop that keeps the index's checkpoint young.
	checkpoint chan struct{}
	counts     counters
	pids       pidBlock
}

type counters struct {
	appendedBytes, appendedBatches, readBytes        atomic.Int64
	compactions, uncompacted                         atomic.Int64 // uncompacted: bytes plus one; 0 is not known
	commits, commitNanos                             atomic.Int64 // group commits that were synced, and their time together
	txnCommitted, txnAborted, txnTimedOut, txnFenced atomic.Int64
}

// ended counts a transaction that its client ended.
func (c *counters) ended(commit bool) {
	if commit {
		c.txnCommitted.Add(1)
		return
	}
	c.txnAborted.Add(1)
}

// Open recovers the data directory and starts the engine. It locks the directory, replays the log's suffix and refuses
// to start on corruption. It never calls the object store: a node must start while its store is down.
func Open(ctx context.Context, o Options) (_ *Engine, err error) {
	if o, err = o.withDefaults(); err != nil {
		return nil, err
	}
	begin := o.Clock.Now()
	e := &Engine{o: o, kick: make(chan struct{}, 1), checkpoint: make(chan struct{}, 1), left: make(chan struct{}, 1)}
	e.events = &eventFilter{to: o.Observer, now: o.Clock.Now}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("opening engine in %s: %w", o.Dir, err), e.abandon())
		}
	}()
	clean, err := e.openDir()
	if err != nil {
		return nil, err
	}
	e.meta, err = meta.Open(meta.Options{FS: o.FS, Dir: e.path("meta"), Now: o.Clock.Now, Random: rand.Reader, Node: o.NodeID, Failed: e.broken})
	if err != nil {
		return nil, err
	}
	// The epoch must be durable before any segment carries it: ids are never used twice, also not after a crash.
	if e.epoch, err = e.meta.BumpEpoch(); err != nil {
		return nil, err
	}
	e.topics.init(e)
	e.index, err = index.Open(index.Options{FS: o.FS, Dir: e.path("index"), MemBytes: e.indexMemory(), Failed: e.broken})
	if err != nil {
		return nil, err
	}
	rec, err := e.recover(clean)
	if err != nil {
		return nil, err
	}
	if err := e.startTier(ctx); err != nil {
		return nil, err
	}
	if err := e.restoreTransactions(); err != nil {
		return nil, err
	}
	e.startWorkers()
	e.askCheckpoint() // behind what is served: a restart loop must not replay more each time
	e.event(EventRecovered, fmt.Sprintf("recovered %d log bytes", rec.Replayed), map[string]any{
		"seconds": o.Clock.Now().Sub(begin).Seconds(), "replayed_bytes": rec.Replayed, "clean": clean != 0,
	})
	return e, nil
}

// indexMemory keeps Pebble's memtable in proportion to small logs, as tests use.
func (e *Engine) indexMemory() uint64 {
	return uint64(min(max(e.o.Log.SegmentBytes/4, 128<<10), 16<<20))
}

func (e *Engine) path(name string) string { return e.o.FS.PathJoin(e.o.Dir, name) }

// now is the wall clock in milliseconds, Kafka's unit.
func (e *Engine) now() int64 { return e.o.Clock.Now().UnixMilli() }

func (e *Engine) event(kind, text string, attrs map[string]any) {
	e.events.send(Event{At: e.o.Clock.Now(), Kind: kind, Text: text, Attrs: attrs})
}

// broken stops acknowledging: an index or metadata that is damaged, or cannot be written, cannot be trusted to find what is
// appended now.
func (e *Engine) broken(err error) {
	if !e.failed.Swap(true) {
		e.event(EventLogFailed, "the index or the metadata failed; mend the disk, then restart the broker: "+err.Error(), map[string]any{"error": err.Error()})
	}
}

// startWorkers runs the loops; their number does not depend on the number of partitions.
func (e *Engine) startWorkers() {
	ctx, cancel := context.WithCancel(context.Background())
	e.stop = cancel
	e.indexer.Go(e.indexLoop)
	e.workers.Go(func() { e.keepCheckpoints(ctx) })
	e.workers.Go(func() { e.maintain(ctx) })
	e.workers.Go(func() { e.compactLoop(ctx) })
	e.workers.Go(func() { e.runTier(ctx) })
	e.workers.Go(func() { e.tendTransactions(ctx) })
	if e.o.Log.Flush == FlushInterval {
		e.workers.Go(func() { e.flushLoop(ctx) })
	}
}

// flushLoop bounds what a power loss can take under flush: interval.
func (e *Engine) flushLoop(ctx context.Context) {
	for e.wait(ctx, e.o.Log.FlushInterval, nil) {
		if e.log.Sync() != nil {
			return // the log failed and said so
		}
	}
}

// wait sleeps for d, or until kick; false when ctx ended.
func (e *Engine) wait(ctx context.Context, d time.Duration, kick <-chan struct{}) bool {
	fired, stop := e.o.Clock.NewTimer(d)
	defer stop()
	select {
	case <-ctx.Done():
		return false
	case <-fired:
	case <-kick:
	}
	return true
}

// wake runs the maintenance loop now. It never blocks.
func (e *Engine) wake() {
	select {
	case e.kick <- struct{}{}:
	default:
	}
}

// Close stops the engine cleanly: what was appended is settled, the log's rest goes to the index, and a marker lets the
// next Open check that nothing is missing. ctx bounds the wait for the tier's calls in flight.
func (e *Engine) Close(ctx context.Context) error {
	if e.closed.Swap(true) {
		return ErrClosed
	}
	e.stop()
	e.topics.close() // whoever waits for records is told
	err := e.drain(ctx)
	e.log.Rotate()
	end, lerr := e.log.Close() // settles everything and calls Sealed for the last segment
	err = errors.Join(err, lerr)
	e.sealed.close()
	e.indexer.Wait()
	if err != nil || e.failed.Load() {
		return errors.Join(err, e.index.Abandon(), e.meta.Close(), e.lock.Close())
	}
	err = errors.Join(e.index.Close(), e.meta.Close())
	if err == nil {
		err = e.markClean(end)
	}
	return errors.Join(err, e.lock.Close())
}

// drain waits for workers and callers. When ctx ends first it still waits, because both use the stores that are closed
// next, but says so.
func (e *Engine) drain(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		e.workers.Wait()
		for e.inside.Load() > 0 {
			<-e.left
		}
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		<-done
		return ctx.Err()
	}
}

// abandon undoes a failed Open.
func (e *Engine) abandon() error {
	var errs []error
	if e.log != nil {
		_, err := e.log.Close()
		errs = append(errs, err)
	}
	if e.index != nil {
		errs = append(errs, e.index.Abandon())
	}
	if e.meta != nil {
		errs = append(errs, e.meta.Close())
	}
	if e.lock != nil {
		errs = append(errs, e.lock.Close())
	}
	return errors.Join(errs...)
}

// enter admits a call; each successful one needs a leave. Calls may nest.
func (e *Engine) enter() error {
	e.inside.Add(1)
	if e.closed.Load() {
		e.leave()
		return ErrClosed
	}
	return nil
}

func (e *Engine) leave() {
	if e.inside.Add(-1) == 0 && e.closed.Load() {
		select {
		case e.left <- struct{}{}:
		default:
		}
	}
}

// storageErr names a log error the way callers test for it.
func storageErr(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, commitlog.ErrClosed):
		return ErrClosed
	case errors.Is(err, commitlog.ErrFrameTooLarge):
		return fmt.Errorf("%w: %w", ErrRecordTooLarge, err)
	}
	return fmt.Errorf("%w: %w", ErrStorage, err)
}
