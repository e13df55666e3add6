package engine

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/meta"
)

const (
	maintainEvery  = time.Second
	retentionEvery = 15 * time.Second
	expireEvery    = time.Minute
	// The log suffix that a restart replays is bounded in time, too.
	checkpointEvery = 60 * time.Second
)

// keepCheckpoints makes durable what the index holds, in time. It waits for nothing else: a slow step of the upkeep must
// not make the next start slow.
func (e *Engine) keepCheckpoints(ctx context.Context) {
	for e.wait(ctx, checkpointEvery, e.checkpoint) {
		if e.index.Watermark() > e.index.Durable() {
			e.report("checkpointing the index", e.index.Flush())
		}
	}
}

// checkpointDue tells that a restart would replay too much.
func (e *Engine) checkpointDue() bool {
	return e.index.Watermark()-e.index.Durable() >= uint64(e.o.Log.CheckpointBytes)
}

// askCheckpoint has one made soon. It never blocks.
func (e *Engine) askCheckpoint() {
	select {
	case e.checkpoint <- struct{}{}:
	default:
	}
}

// maintain is the one loop for everything that is not urgent. An error is reported and the step is tried again: what it
// could not free makes the ladder refuse appends in time.
func (e *Engine) maintain(ctx context.Context) {
	now := e.o.Clock.Now()
	retention, expiry := now, now
	for {
		now = e.o.Clock.Now()
		e.rotateOld(now)
		e.report("recycling segments", e.recycle())
		e.climb()
		e.report("clearing deleted topics", e.clearDeleted(ctx))
		if now.Sub(retention) >= retentionEvery {
			e.report("applying retention", e.retain(ctx, now))
			retention = now
		}
		if now.Sub(expiry) >= expireEvery {
			e.report("expiring producers", e.expire(now))
			expiry = now
		}
		if !e.wait(ctx, maintainEvery, e.kick) {
			return
		}
	}
}

func (e *Engine) report(doing string, err error) {
	if err != nil && !e.closed.Load() {
		e.event(EventMaintenanceFailed, doing+" failed: "+err.Error(), map[string]any{"error": err.Error()})
	}
}

// rotateOld seals the active segment once its oldest data is due for offload, so that quiet topics tier too.
func (e *Engine) rotateOld(now time.Time) {
	if e.o.Tier.SpaceOnly {
		return
	}
	a, ok := e.log.Active()
	if !ok {
		return
	}
	m := e.mems.find(a.ID)
	if m != nil && !m.Empty() && now.Sub(m.Opened) >= e.o.Tier.OffloadAfter {
		e.log.Rotate()
	}
}

// clearDeleted removes what is left of deleted topics: state rows at once, cold data through the tier. Local batches go
// with their segments.
func (e *Engine) clearDeleted(ctx context.Context) error {
	topics, err := e.meta.Deleted()
	if err != nil || len(topics) == 0 {
		return err
	}
	local := e.localStreams()
	for _, t := range topics {
		if err := e.clearTopic(ctx, t, local); err != nil {
			return fmt.Errorf("topic %s: %w", t.Name, err)
		}
		if err := e.meta.Cleared(t); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) clearTopic(ctx context.Context, t *meta.Topic, local map[uint32]struct{}) error {
	e.indexMu.Lock()
	c := e.index.Change()
	for _, x := range t.Extents {
		for i := range uint32(x.Count) {
			c.DropStream(x.Stream + i)
		}
	}
	err := c.Commit()
	if err == nil {
		err = e.index.Flush() // before the metadata forgets which rows to drop
	}
	e.indexMu.Unlock()
	if err != nil {
		return err
	}
	for _, x := range t.Extents {
		for i := range uint32(x.Count) {
			stream := x.Stream + i
			_, isLocal := local[stream] // an upload may be on its way to COMMIT
			_, cold, err := e.tier.Extent(stream)
			if err != nil {
				return err
			}
			if isLocal || cold || e.tier.Trimmed(stream) {
				if err := e.tier.Trim(ctx, stream, math.MaxInt64); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// localStreams are the streams of sealed segments, which uploads may hold.
func (e *Engine) localStreams() map[uint32]struct{} {
	e.ring.mu.Lock()
	defer e.ring.mu.Unlock()
	out := map[uint32]struct{}{}
	for _, s := range e.ring.segments {
		for _, r := range s.Runs {
			out[r.Stream] = struct{}{}
		}
	}
	return out
}

// expire forgets idle producers.
func (e *Engine) expire(now time.Time) error {
	idle := int64(24 * time.Hour / time.Millisecond)
	if v, ok := e.meta.Snapshot().Broker["producer.id.expiration.ms"]; ok {
		if d, err := time.ParseDuration(v + "ms"); err == nil {
			idle = d.Milliseconds()
		}
	}
	e.indexMu.Lock()
	defer e.indexMu.Unlock()
	c := e.index.Change()
	for _, chunk := range *e.topics.chunks.Load() {
		if chunk == nil {
			continue
		}
		for i := range chunk {
			if p := chunk[i].Load(); p != nil {
				for _, id := range p.expireProducers(now.UnixMilli(), idle) {
					c.DropProducer(p.stream, id)
				}
			}
		}
	}
	return c.Commit()
}
