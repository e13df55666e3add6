package engine

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/meta"
	"github.com/streamkeeper-io/streamkeeper/engine/tier"
)

// compactKeys bounds the keys of one pass (about 30 MiB); what has more is compacted in several.
const compactKeys = 1 << 19

// compactor keeps the last record of each key in topics with cleanup.policy=compact. It works on what is in the store,
// one partition at a time. How far a partition is clean is forgotten at a restart: the first pass then looks at all of
// it once more. Only its loop uses it.
type compactor struct {
	e     *Engine
	clean map[uint32]int64 // below it each key has one record
}

// compactLoop runs until ctx ends.
func (e *Engine) compactLoop(ctx context.Context) {
	c := &compactor{e: e, clean: map[uint32]int64{}}
	for e.wait(ctx, e.o.Tier.CompactEvery, nil) {
		e.report("compacting", c.round(ctx))
	}
}

func (c *compactor) round(ctx context.Context) error {
	debt := int64(0)
	for _, t := range c.e.meta.Snapshot().Topics {
		conf := resolve(t, c.e.meta.Snapshot().Broker)
		if !conf.compacts {
			continue
		}
		for i := range t.Partitions {
			left, err := c.partition(ctx, t, i, conf)
			debt += left
			if ctx.Err() != nil || errors.Is(err, tier.ErrBusy) || errors.Is(err, ErrClosed) {
				return nil // the next round goes on
			}
			if err != nil {
				return err
			}
		}
	}
	c.e.counts.uncompacted.Store(debt + 1)
	return nil
}

// partition compacts one partition if it is due, and says how many bytes of it no pass has looked at.
func (c *compactor) partition(ctx context.Context, t *meta.Topic, i int32, conf *topicConf) (dirty int64, err error) {
	stream, ok := t.Stream(i)
	if !ok {
		return 0, nil
	}
	if _, cold, err := c.e.tier.Extent(stream); err != nil || !cold {
		return 0, err
	}
	p, err := c.e.topics.stream(stream)
	if err != nil || p == nil {
		return 0, err
	}
	end, dirty, due, err := c.due(p, conf, c.e.now())
	if err != nil || !due {
		return dirty, err
	}
	end, err = c.pass(ctx, p, conf, end)
	if errors.Is(err, ErrUnknownPartition) || errors.Is(err, ErrOffsetOutOfRange) {
		return 0, nil // deleted, or its log start moved meanwhile: the next round looks again
	}
	if err != nil {
		return dirty, fmt.Errorf("partition %s: %w", p.name(), err)
	}
	c.clean[stream] = end
	c.e.counts.compactions.Add(1)
	_, dirty, _, err = c.due(p, conf, c.e.now())
	return dirty, err
}

// pass compacts one partition up to end, and returns how far it came.
func (c *compactor) pass(ctx context.Context, p *Partition, conf *topicConf, end int64) (int64, error) {
	stream := p.stream
	pass := &compaction{p: p, now: c.e.now(), keep: conf.deleteRetentionMs, latest: map[[md5.Size]byte]int64{}}
	from := max(c.clean[stream], p.LogStart())
	end, err := pass.read(ctx, from, end)
	if err != nil {
		return 0, err
	}
	for at := int64(0); at < end; {
		next, err := c.e.tier.Clean(ctx, stream, at, end, pass.batch)
		if err != nil {
			return 0, err
		}
		if next <= at {
			break
		}
		at = next
	}
	return end, nil
}

// due says up to where a partition may be compacted, how much of that is dirty, and whether that is enough. Nothing
// above the last stable offset is touched: whether it counts is not decided.
func (c *compactor) due(p *Partition, conf *topicConf, now int64) (end, dirty int64, due bool, err error) {
	limit, start := p.LastStable(), p.LogStart()
	clean := c.clean[p.stream]
	var total int64
	overdue := false
	for at := start; ; {
		row, ok, err := p.e.tier.Lookup(p.stream, at)
		if err != nil {
			return 0, 0, false, err
		}
		if !ok || row.Next > limit || row.MaxTimestamp > now-conf.minCompactionLagMs || end > 0 && row.Base > end {
			break
		}
		if total += row.Bytes; row.Next > clean {
			dirty += row.Bytes
			overdue = overdue || now-row.MaxTimestamp > conf.maxCompactionLagMs
		}
		at, end = row.Next, row.Next
	}
	return end, dirty, dirty > 0 && (overdue || float64(dirty) >= conf.dirtyRatio*float64(total)), nil
}

// compaction is one pass over a partition.
type compaction struct {
	p      *Partition
	now    int64
	keep   int64 // delete.retention.ms
	latest map[[md5.Size]byte]int64
}

// errFull ends the reading of keys at a batch's base offset.
type errFull int64

func (errFull) Error() string { return "the keys of one pass are full" }

// read collects the last offset of each key in [from, end) and returns how far it came.
func (c *compaction) read(ctx context.Context, from, end int64) (int64, error) {
	err := c.p.e.tier.Scan(ctx, c.p.stream, from, end, func(h batch.Header) error {
		if len(c.latest) >= compactKeys {
			return errFull(h.BaseOffset())
		}
		if skip, err := c.skip(h); skip || err != nil {
			return err
		}
		return batch.Records(h, 0, func(r batch.Record) bool {
			if r.Key != nil {
				c.latest[md5.Sum(r.Key)] = r.Offset
			}
			return true
		})
	})
	if full, ok := errors.AsType[errFull](err); ok {
		return int64(full), nil
	}
	return end, err
}

// skip reports whether a batch holds nothing that counts: a marker, or records of an aborted transaction.
func (c *compaction) skip(h batch.Header) (bool, error) {
	if h.IsControl() {
		return true, nil
	}
	return c.aborted(h)
}

func (c *compaction) aborted(h batch.Header) (bool, error) {
	if !h.IsTransactional() {
		return false, nil
	}
	list, err := c.p.abortedBetween(h.BaseOffset(), h.NextOffset())
	for _, a := range list {
		if a.Producer == h.ProducerID() && a.First <= h.BaseOffset() && h.BaseOffset() <= a.Last {
			return true, err
		}
	}
	return false, err
}

// batch says what stays of a batch: markers always, of an aborted transaction nothing, else each record unless a later
// one has its key. A tombstone stays for delete.retention.ms after the first pass that met it.
func (c *compaction) batch(h batch.Header) ([]byte, error) {
	if h.IsControl() || h.RecordCount() == 0 {
		return h, nil
	}
	if aborted, err := c.aborted(h); aborted || err != nil {
		return nil, err
	}
	marked := h.Attributes()&batch.DeleteHorizon != 0
	expired := marked && c.now >= h.BaseTimestamp()
	horizon := int64(batch.NoHorizon)
	var kept []batch.Record
	err := batch.Records(h, 0, func(r batch.Record) bool {
		if r.Key == nil {
			return true // compacted topics have no such records; Kafka drops them, too
		}
		if last, ok := c.latest[md5.Sum(r.Key)]; ok && r.Offset < last {
			return true
		}
		if r.Value == nil {
			if expired {
				return true
			}
			if !marked {
				horizon = c.now + c.keep
			}
		}
		kept = append(kept, r)
		return true
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("compacting the batch at offset %d: %w", h.BaseOffset(), err)
	case len(kept) == 0:
		return nil, nil
	case len(kept) == int(h.RecordCount()) && horizon == batch.NoHorizon:
		return h, nil
	}
	return batch.Rebuild(h, kept, horizon)
}
