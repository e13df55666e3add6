package tier

import (
	"context"
	"fmt"
	"time"
)

// collect deletes orphans and destroyed objects: DELETE, then TOMBSTONE. An
// object is deleted no earlier than its not-before time, when no PUT of it can
// be on its way any more, and while no GET of it is in flight.
func (t *Tier) collect(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var looked time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.collectNow:
		case <-timer.C:
		}
		next := t.collectOnce(ctx)
		if now := t.o.Clock.Now(); now.Sub(looked) >= forgetEvery {
			looked = now
			_ = t.forgetTrims(ctx) // the journal's error is kept
		}
		wait := time.Minute // nothing waits: look again now and then
		if !next.IsZero() {
			wait = min(max(next.Sub(t.o.Clock.Now()), 100*time.Millisecond), wait)
		}
		timer.Reset(wait)
	}
}

// collectOnce deletes what is due and returns when to come again.
func (t *Tier) collectOnce(ctx context.Context) (next time.Time) {
	select {
	case <-t.fence.ready:
	default:
		return t.o.Clock.Now().Add(time.Second)
	}
	due, next := t.state.collectable(t.o.Clock.Now())
	if len(due) == 0 {
		return next
	}
	if err := t.fence.check(ctx); err != nil {
		return t.o.Clock.Now().Add(5 * time.Second)
	}
	for _, id := range due {
		if ctx.Err() != nil {
			break
		}
		err := t.calls.delete(ctx, objectName(id))
		if err == nil {
			err = t.journal(ctx, tombstoneRecord(id))
		}
		if err != nil {
			t.state.retry(id, t.o.Clock.Now(), func(failures int) time.Duration { return t.backoff(failures, time.Minute) })
			continue
		}
		t.state.forget(id)
	}
	now := t.o.Clock.Now()
	if due, next = t.state.collectable(now); len(due) > 0 {
		return now // a retry came due meanwhile
	}
	return next
}

// Trim drops every run of the stream that ends at or before offset before:
// retention, DeleteRecords, and with math.MaxInt64 the deletion of the topic.
// Objects without live runs are destroyed. Durable on return.
func (t *Tier) Trim(ctx context.Context, stream uint32, before int64) error {
	t.trimming.Lock() // the last record of a stream must be its furthest
	defer t.trimming.Unlock()
	to := t.state.trimmed(stream)
	if before > to.before || to.at.IsZero() {
		to = trim{max(before, to.before), t.o.Clock.Now()}
	}
	if err := t.journal(ctx, trimRecord(stream, to.before, to.at)); err != nil {
		return fmt.Errorf("trimming stream %d: %w", stream, err)
	}
	empty, err := t.state.trim(stream, to)
	if err != nil {
		return fmt.Errorf("trimming stream %d: %w", stream, err)
	}
	return t.destroy(ctx, empty)
}

// destroy logs DESTROY for objects without live runs and hands them to collect.
func (t *Tier) destroy(ctx context.Context, ids []ObjectID) error {
	for _, id := range ids {
		if err := t.journal(ctx, destroyRecord(id, t.state.notBefore(id))); err != nil {
			return fmt.Errorf("destroying object %x: %w", id, err)
		}
		if err := t.state.destroy(id); err != nil {
			return fmt.Errorf("destroying object %x: %w", id, err)
		}
	}
	if len(ids) > 0 {
		signal(t.collectNow)
	}
	return nil
}

// destroyEmpty destroys what has no live runs: after a replay, and what a rewrite
// emptied.
func (t *Tier) destroyEmpty(ctx context.Context) error { return t.destroy(ctx, t.state.empty()) }
