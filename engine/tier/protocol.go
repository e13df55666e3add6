package tier

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/object"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/objectstore"
)

// offload is the commit protocol: PREPARE, PUT, COMMIT, index, Offloaded. It
// returns an error only when ctx ended, the journal failed or the segment is
// damaged.
func (u *uploader) offload(ctx context.Context, f *flight) (int64, error) {
	s := f.segment
	if len(s.Runs()) == 0 { // everything in it was deleted meanwhile
		if err := f.turn(ctx); err != nil {
			return 0, err
		}
		return 0, u.t.o.Source.Offloaded(s.ID())
	}
	id := u.t.newID()
	plan, err := object.NewPlan(object.Info{
		ID: id, Cluster: u.t.o.ClusterID, Node: u.t.o.NodeID, Segment: s.ID(),
		Created: f.began.UnixMilli(), Block: int32(u.t.o.SliceBytes),
	}, s)
	if err != nil {
		return 0, err
	}
	notBefore, err := u.t.store(ctx, plan, u.feedback)
	if err != nil {
		u.t.state.abandon(id)
		return 0, err
	}
	if err := f.turn(ctx); err != nil {
		u.t.state.abandon(id)
		return 0, err
	}
	if err := u.commit(ctx, id, plan, notBefore); err != nil {
		return 0, err
	}
	u.offloaded(s.ID())
	seconds := u.t.o.Clock.Now().Sub(f.began).Seconds()
	u.t.event(EventSegmentOffloaded, fmt.Sprintf("segment %d is object %s", s.ID(), objectName(id)), map[string]any{
		"segment": s.ID(), "object": objectName(id), "bytes": plan.Size(), "runs": len(plan.Footer().Runs), "seconds": seconds,
	})
	return plan.Size(), nil
}

// turn waits until the flight before has committed or was given up.
func (f *flight) turn(ctx context.Context) error {
	if f.before == nil {
		return nil
	}
	select {
	case <-f.before.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// store logs PREPARE and puts the object until it is there. Each attempt ends
// well before the prepared time, after which an object without COMMIT may be
// deleted; PREPARE is renewed in time. ended hears of each attempt. What it
// returns is the earliest time to delete the object that is there now: at once,
// unless an attempt that failed may still take effect.
func (t *Tier) store(ctx context.Context, plan *object.Plan, ended func(err error, took time.Duration, now time.Time)) (settled time.Time, err error) {
	id, segment := plan.Footer().ID, plan.Footer().Segment
	body := plan.Body()
	defer func() { err = cmp.Or(err, body.Close()) }()
	attempt := 2 * t.calls.deadline(plan.Size())
	var prepared time.Time
	settled = t.o.Clock.Now()
	for failures := 0; ; failures++ {
		began := t.o.Clock.Now()
		if began.Add(attempt).After(prepared) {
			prepared = began.Add(max(t.o.PrepareTTL, 2*attempt))
			if err := t.journal(ctx, prepareRecord(id, prepared, segment)); err != nil {
				return settled, err
			}
			t.state.prepare(id, prepared, plan.Footer().Runs)
		}
		err := t.calls.put(ctx, objectName(id), body, plan.Size(), PutOptions{})
		now := t.o.Clock.Now()
		ended(err, now.Sub(began), now)
		if err == nil {
			return settled, nil
		}
		settled = began.Add(attempt)
		if _, ours := errors.AsType[*bodyError](err); ours {
			return settled, err // the source's trouble: plan again later
		}
		if lost, err := t.fence.status(); lost {
			return settled, err
		}
		if !t.sleep(ctx, t.backoff(failures, 10*time.Second), callsWrite) {
			return settled, context.Cause(ctx)
		}
	}
}

// feedback adapts the concurrency to the outcome of a put.
func (u *uploader) feedback(err error, d time.Duration, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, ours := errors.AsType[*bodyError](err)
	switch {
	case ours:
	case err == nil:
		u.limit.success(d, u.backlog(), now)
	case objectstore.Classify(err) == objectstore.ClassThrottled:
		u.failures++
		u.limit.throttled(now)
	default:
		u.failures++
	}
}

// commit makes the object's runs cold data: durable COMMIT, then the index.
func (u *uploader) commit(ctx context.Context, id ObjectID, plan *object.Plan, notBefore time.Time) error {
	// The outcome of a journal write that fails is unknown: the object must
	// neither be deleted nor served, which leaves it to the next replay.
	if err := u.t.journal(ctx, commitRecord(id, notBefore, plan.EncodedFooter())); err != nil {
		return err
	}
	r := record{id: id, footer: *plan.Footer(), size: plan.Size(), notBefore: notBefore, segment: plan.Footer().Segment}
	empty, err := u.t.state.commit(r)
	if err != nil {
		return u.t.failJournal(err)
	}
	if empty {
		return u.t.destroy(ctx, []ObjectID{id})
	}
	return nil
}

// newID returns an id whose first bytes are the time in nanoseconds.
func (t *Tier) newID() ObjectID {
	var id ObjectID
	binary.BigEndian.PutUint64(id[:8], uint64(t.o.Clock.Now().UnixNano()))
	binary.BigEndian.PutUint64(id[8:], t.o.Random())
	return id
}

// parseObjectName is the inverse of objectName.
func parseObjectName(name string) (id ObjectID, ok bool) {
	base := strings.TrimSuffix(path.Base(name), ".sko")
	b, err := hex.DecodeString(base)
	if err != nil || len(b) != len(id) {
		return id, false
	}
	copy(id[:], b)
	return id, objectName(id) == name
}

// objectName spreads objects over prefixes by their random part, as stores
// shard by name.
func objectName(id ObjectID) string {
	h := hex.EncodeToString(id[:])
	return "objects/" + h[30:] + "/" + h + ".sko"
}
