// Package tier moves sealed log segments into an object store and reads them
// back through a bounded pool of memory.
//
// It promises that a segment is given up for recycling only after its object is
// stored whole and a COMMIT naming all its runs is durable, that an object no
// COMMIT names is deleted, and that bytes whose CRC does not match are never
// served. It refuses to keep cold data on the local disk, to block a reader on
// the store, and to list the bucket in normal operation.
//
// Start reading at seam.go for the contract with the engine's core and at
// README.md for the object format and the argument for the commit protocol.
package tier

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Errors of the tier, for errors.Is.
var (
	// ErrNotTiered means that no committed run holds the offset.
	ErrNotTiered = errors.New("offset is not in the cold tier")
	// ErrCorrupt means that stored bytes failed their CRC; they were not served.
	ErrCorrupt = errors.New("cold data is corrupt")
	// ErrStorage means that the store could not be read; retriable.
	ErrStorage = errors.New("object store cannot be read")
	// ErrForeign means that the prefix belongs to another cluster.
	ErrForeign = errors.New("object store prefix belongs to another cluster")
	// ErrFenced means that a newer instance took the prefix over.
	ErrFenced = errors.New("object store prefix was taken over by a newer instance")
	// ErrUnfenced means that the store ignores put-if-absent.
	ErrUnfenced = errors.New("object store does not honour put-if-absent (If-None-Match: *)")
)

// Tier is the cold tier of one node. All methods are safe for concurrent use.
type Tier struct {
	o        Options
	state    *state
	health   *health
	calls    *calls
	fence    *fence
	uploader *uploader
	rewriter *rewriter
	manifest *manifests
	pool     *pool
	pace     *pace
	tracks   *tracker

	wake       chan struct{}
	collectNow chan struct{}

	trimming sync.Mutex

	mu  sync.Mutex
	err error // of the journal or index: the tier stopped writing
}

// Open replays the journal and returns a Tier that serves lookups. It does not
// call the store: a node must start while its store is down. Nothing is uploaded
// or read from the store until Run.
func Open(ctx context.Context, o Options) (*Tier, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	t := &Tier{o: o, state: newState(o.Index), wake: make(chan struct{}, 1), collectNow: make(chan struct{}, 1)}
	t.health = newHealth(t.send)
	t.calls = newCalls(&t.o, t.health)
	t.fence = &fence{t: t, ready: make(chan struct{})}
	t.uploader = newUploader(t)
	t.pool = newPool(o.Clock, o.PoolBytes, o.SliceBytes)
	t.pace = newPace(int64(o.SliceBytes), o.PoolBytes)
	t.tracks = newTracker(o.Clock)
	t.rewriter = newRewriter(t)
	t.manifest = &manifests{t: t}
	if err := t.state.replayAll(o.Replay); err != nil {
		return nil, fmt.Errorf("replaying the tier's journal: %w", err)
	}
	return t, t.destroyEmpty(ctx)
}

// Run uploads, collects, probes and reads until ctx ends, then waits for its
// goroutines; readers that wait are told. Call it once. It returns the error of
// the journal or the index if one stopped the tier, else nil.
func (t *Tier) Run(ctx context.Context) error {
	var g sync.WaitGroup
	g.Go(func() { t.probe(ctx) })
	g.Go(func() { t.fence.keep(ctx) })
	g.Go(func() { t.collect(ctx) })
	g.Go(func() { t.uploader.run(ctx) })
	g.Go(func() { t.rewriter.run(ctx) })
	g.Go(func() { t.manifest.run(ctx) })
	for range t.o.ReadWorkers {
		g.Go(func() { t.fetch(ctx) })
	}
	<-ctx.Done()
	t.pool.close()
	g.Wait()
	return t.journalError()
}

// Wake tells the uploader that a segment was sealed or space ran short. It never
// blocks.
func (t *Tier) Wake() { signal(t.wake) }

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// journal appends a record, unless an earlier one failed.
func (t *Tier) journal(ctx context.Context, rec []byte) error {
	if err := t.journalError(); err != nil {
		return err
	}
	err := t.o.Journal.AppendTierRecord(ctx, rec)
	if err == nil || ctx.Err() != nil {
		return err
	}
	return t.failJournal(fmt.Errorf("writing the tier's journal: %w", err))
}

// failJournal stops all writing: what is durable is no longer known.
func (t *Tier) failJournal(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = err
	}
	return t.err
}

func (t *Tier) journalError() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

func (t *Tier) send(e Event) {
	if t.o.Observer != nil {
		t.o.Observer.Event(e)
	}
}

func (t *Tier) event(kind, text string, attrs map[string]any) {
	t.send(Event{At: t.o.Clock.Now(), Kind: kind, Text: text, Attrs: attrs})
}

const (
	firstBackoff = 100 * time.Millisecond
	fetchBackoff = time.Second
)

// backoff is the pause after so many failures: doubled each time up to most,
// then cut by up to half at random, so that retries do not march in step.
func (t *Tier) backoff(failures int, most time.Duration) time.Duration {
	d := min(firstBackoff<<min(failures, 20), most)
	return d/2 + time.Duration(t.o.Random()%uint64(d/2+1))
}

// sleep waits for d, or less if the store recovers from failing for a family of
// calls; false means that ctx ended.
func (t *Tier) sleep(ctx context.Context, d time.Duration, family int) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	_, recovered := t.health.failing(family)
	select {
	case <-ctx.Done():
		return false
	case <-recovered:
	case <-timer.C:
	}
	return true
}

// Lookup returns the committed run that holds offset, or the first one after it.
func (t *Tier) Lookup(stream uint32, offset int64) (Row, bool, error) {
	return t.o.Index.Find(stream, offset)
}

// Extent returns what the tier holds of a stream.
func (t *Tier) Extent(stream uint32) (Extent, bool, error) { return t.o.Index.Extent(stream) }

// Stats returns gauges; cheap enough for every second.
func (t *Tier) Stats() Stats {
	now := t.o.Clock.Now()
	s := Stats{Health: t.health.snapshot(), Pool: t.pool.snapshot(), JournalError: t.journalError()}
	t.state.counts(&s)
	s.Untold = t.manifest.untold()
	s.Rewrites, s.RewriteBytes = t.rewriter.objects.Load(), t.rewriter.bytes.Load()
	s.Fenced, s.FenceErr = t.fence.status()
	t.uploader.stats(&s, now)
	return s
}
