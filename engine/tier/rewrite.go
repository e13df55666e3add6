package tier

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/object"
)

const (
	// skipDamaged is when an object that could not be read is tried again,
	// skipFutile when a group is whose rewriting would gain nothing.
	skipDamaged = time.Hour
	skipFutile  = 6 * time.Hour
	// maxRowsPerObject bounds the memory of one rewrite.
	maxRowsPerObject = 1 << 17
)

// rewriter makes few objects with long runs from many with short ones, and drops
// what is dead. One rewrite runs at a time; it holds one block of each source in
// memory, at a bounded rate, and waits while the store fails or offload is late.
type rewriter struct {
	t       *Tier
	skip    map[ObjectID]time.Time // not before then; only run uses it
	busy    chan struct{}          // taken by whoever moves rows, and for next
	next    time.Time              // when the rate allows the next byte
	objects atomic.Int64
	bytes   atomic.Int64
}

func newRewriter(t *Tier) *rewriter {
	return &rewriter{t: t, skip: map[ObjectID]time.Time{}, busy: make(chan struct{}, 1)}
}

// run rewrites until ctx ends.
func (w *rewriter) run(ctx context.Context) {
	timer := time.NewTimer(w.t.o.RewriteEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		wait := w.t.o.RewriteEvery
		if w.allowed() && w.round(ctx) {
			wait = 0
		}
		timer.Reset(wait)
	}
}

// lock waits until nobody moves rows.
func (w *rewriter) lock(ctx context.Context) error {
	select {
	case w.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w *rewriter) tryLock() bool {
	select {
	case w.busy <- struct{}{}:
		return true
	default:
		return false
	}
}

func (w *rewriter) unlock() { <-w.busy }

// allowed reports whether the store is ours, answers, and has nothing better to
// do.
func (w *rewriter) allowed() bool {
	select {
	case <-w.t.fence.ready:
	default:
		return false
	}
	lost, _ := w.t.fence.status()
	reads, _ := w.t.health.failing(callsRead)
	writes, _ := w.t.health.failing(callsWrite)
	return !lost && !reads && !writes && !w.t.uploader.late() && w.t.journalError() == nil
}

// lockAllowed locks, or returns ErrBusy.
func (w *rewriter) lockAllowed(ctx context.Context) error {
	if err := w.lock(ctx); err != nil {
		return err
	}
	if !w.allowed() {
		w.unlock()
		return ErrBusy
	}
	return nil
}

// round does one rewrite and reports whether it changed anything.
func (w *rewriter) round(ctx context.Context) bool {
	if w.t.destroyEmpty(ctx) != nil {
		return false
	}
	ids := w.choose()
	if len(ids) == 0 {
		return false
	}
	if w.lock(ctx) != nil {
		return false
	}
	err := w.rewrite(ctx, ids)
	w.unlock()
	now := w.t.o.Clock.Now()
	switch bad, damaged := errors.AsType[*sourceError](err); {
	case err == nil:
		return true
	case damaged:
		w.skip[bad.id] = now.Add(skipDamaged)
	case errors.Is(err, errFutile):
		for _, id := range ids {
			w.skip[id] = now.Add(skipFutile)
		}
	}
	return false // tried again after a while
}

// errFutile says that a rewrite would not make runs longer.
var errFutile = errors.New("nothing to gain")

// rewrite replaces the objects by new ones, one range of streams after the other.
// Each is committed by itself: what a crash leaves of the sources is rewritten
// later.
func (w *rewriter) rewrite(ctx context.Context, ids []ObjectID) error {
	held := make(map[ObjectID]Object, len(ids))
	defer w.release(held)
	gain := false // in bytes or, as the first object shows, in the number of runs
	for _, id := range ids {
		o, ok, err := w.t.o.Index.Object(id)
		if err != nil {
			return w.t.failJournal(err)
		}
		if ok && w.t.state.acquire(id) {
			held[id] = o
			gain = gain || w.t.state.hasDead(id)
		}
	}
	for from := uint32(0); w.allowed(); {
		rows, to, err := w.gather(held, from)
		if err != nil || len(rows) == 0 {
			return err
		}
		runs, parts := joined(rows)
		if !gain && len(runs)*4 > len(rows)*3 {
			return errFutile
		}
		gain = true
		c := &sources{ctx: ctx, w: w, runs: runs, parts: parts, most: mostSources, open: map[ObjectID]*blocks{}, objects: held}
		if err := w.output(ctx, c, slices.Collect(maps.Keys(held)), rows, from, to); err != nil {
			return err
		}
		if to == math.MaxUint32 {
			return nil
		}
		from = to + 1
	}
	return nil
}

// gather returns the rows of the objects from a stream on, whole streams for
// about one new object, and the last stream whose rows they are.
func (w *rewriter) gather(held map[ObjectID]Object, from uint32) (rows []Row, to uint32, err error) {
	to = math.MaxUint32
	size, stream := int64(0), from
	err = w.t.o.Index.Scan(from, func(r Row) bool {
		if r.Stream != stream && (size >= w.t.o.RewriteBytes || len(rows) >= maxRowsPerObject) {
			to = r.Stream - 1
			return false
		}
		stream = r.Stream
		if _, ok := held[r.Object]; ok {
			rows = append(rows, r)
			size += r.Bytes
		}
		return true
	})
	if err != nil {
		err = w.t.failJournal(fmt.Errorf("scanning the index: %w", err))
	}
	return rows, to, err
}

// joined merges neighbouring rows of one partition and epoch into runs. Rows with
// a gap between them stay apart: what belongs there may still be in the log.
func joined(rows []Row) (runs []Run, parts [][]Row) {
	for i, r := range rows {
		if i > 0 {
			last := &runs[len(runs)-1]
			if last.Stream == r.Stream && last.Next == r.Base && last.Epoch == r.Epoch {
				last.Next = r.Next
				last.Bytes += r.Bytes
				parts[len(parts)-1] = rows[i-len(parts[len(parts)-1]) : i+1]
				continue
			}
		}
		runs = append(runs, r.Run)
		parts = append(parts, rows[i:i+1])
	}
	return runs, parts
}

// output makes one object by the commit protocol and destroys the sources it
// emptied.
func (w *rewriter) output(ctx context.Context, c object.Content, ids []ObjectID, rows []Row, from, to uint32) error {
	t, began := w.t, w.t.o.Clock.Now()
	plan, err := object.NewPlan(object.Info{
		ID: t.newID(), Cluster: t.o.ClusterID, Node: t.o.NodeID, Created: began.UnixMilli(), Block: int32(t.o.SliceBytes),
	}, c)
	if err != nil {
		return err
	}
	f := plan.Footer()
	notBefore, err := t.store(ctx, plan, func(error, time.Duration, time.Time) {})
	if err != nil {
		t.state.abandon(f.ID)
		return err
	}
	moves := t.state.moves(ids, from, to)
	if err := t.journal(ctx, rewriteRecord(f.ID, notBefore, moves, plan.EncodedFooter())); err != nil {
		return err
	}
	r := record{kind: recordRewrite, id: f.ID, footer: *f, size: plan.Size(), notBefore: notBefore, moves: moves}
	if err := t.state.commitRewrite(r, rows); err != nil {
		return t.failJournal(err)
	}
	w.objects.Add(1)
	w.bytes.Add(plan.Size())
	t.event(EventObjectsRewritten, fmt.Sprintf("%d runs of %d objects are %d runs of object %s", len(rows), len(ids), len(f.Runs), objectName(f.ID)), map[string]any{
		"object": objectName(f.ID), "sources": len(ids), "bytes": plan.Size(), "runs": len(f.Runs), "rows": len(rows),
		"seconds": t.o.Clock.Now().Sub(began).Seconds(),
	})
	return t.destroyEmpty(ctx)
}

// pace waits until the rate allows n more bytes.
func (w *rewriter) pace(ctx context.Context, n int) error {
	now := w.t.o.Clock.Now()
	if w.next.Before(now) {
		w.next = now
	}
	wait := w.next.Sub(now)
	w.next = w.next.Add(time.Duration(float64(n) / float64(w.t.o.RewriteRate) * float64(time.Second)))
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
