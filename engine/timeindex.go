package engine

import (
	"context"
	"fmt"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/index"
)

// OffsetForTime returns the first record whose timestamp is at least ts, or offset -1 when there is none. It may wait
// for the object store; ctx bounds that.
func (p *Partition) OffsetForTime(ctx context.Context, ts int64) (offset, timestamp int64, epoch int32, err error) {
	if err := p.e.usable(ctx); err != nil {
		return -1, -1, -1, err
	}
	defer p.e.leave()
	from, hw := p.LogStart(), p.HighWatermark()
	for from < hw {
		raw, err := p.batchForTime(ctx, from, hw, ts)
		if err != nil || raw == nil {
			return -1, -1, -1, err
		}
		h := batch.Header(raw)
		offset = -1
		err = batch.Records(h, 0, func(r batch.Record) bool {
			if r.Timestamp < ts || r.Offset < from {
				return true
			}
			offset, timestamp = r.Offset, r.Timestamp
			return false
		})
		if err != nil {
			return -1, -1, -1, fmt.Errorf("looking for a time in %s at %d: %w", p.name(), h.BaseOffset(), err)
		}
		if offset >= 0 {
			return offset, timestamp, h.LeaderEpoch(), nil
		}
		from = h.NextOffset() // its max timestamp belonged to a record below the log start, or was a lie
	}
	return -1, -1, -1, nil
}

// batchForTime returns a copy of the first batch from offset from on whose max timestamp reaches ts; nil when none does.
func (p *Partition) batchForTime(ctx context.Context, from, hw, ts int64) ([]byte, error) {
	local := p.LocalStart()
	// The store is asked only for what is not local any more.
	for at := from; at < local; {
		row, ok, err := p.e.tier.Lookup(p.stream, at)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrStorage, err)
		}
		if !ok || row.Base >= local {
			break
		}
		if row.MaxTimestamp >= ts {
			raw, ok, err := p.e.tier.BatchForTime(ctx, p.stream, max(from, row.Base), ts)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrStorage, err)
			}
			if ok {
				return raw, nil
			}
			break
		}
		at = row.Next
	}
	from = max(from, local)
	b, ok, err := p.localForTime(from, ts)
	if err != nil || !ok || b.Base >= hw {
		return nil, err
	}
	return p.copyBatch(ctx, b.Base)
}

func (p *Partition) localForTime(from, ts int64) (index.Batch, bool, error) {
	mems := p.e.mems.list() // before the index: a segment may move there meanwhile
	b, _, ok, err := p.e.index.FirstAtTime(p.stream, from, ts)
	if err != nil {
		return b, false, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	if ok {
		return b, true, nil
	}
	for _, m := range mems {
		if b, ok := m.FirstAtTime(p.stream, from, ts); ok {
			return b, true, nil
		}
	}
	return index.Batch{}, false, nil
}

// copyBatch reads one whole batch, waiting for the store when it is cold.
func (p *Partition) copyBatch(ctx context.Context, offset int64) ([]byte, error) {
	r, err := p.await(ctx, offset, 1)
	if err != nil {
		return nil, err
	}
	var b []byte
	for _, piece := range r.Bytes {
		b = append(b, piece...)
	}
	r.Release()
	h, _, ok := batch.Next(b)
	if !ok {
		return nil, fmt.Errorf("reading %s at %d: no whole batch: %w", p.name(), offset, ErrStorage)
	}
	return h, nil
}

// MaxTimestamp returns the record with the largest timestamp, or offset -1 when the partition is empty.
func (p *Partition) MaxTimestamp(ctx context.Context) (offset, timestamp int64, err error) {
	if err := p.e.usable(ctx); err != nil {
		return -1, -1, err
	}
	defer p.e.leave()
	p.mu.Lock()
	at, largest, start, hw := p.maxAt, p.maxTime, p.logStart, p.hw
	p.mu.Unlock()
	if at < 0 || hw <= start {
		return -1, -1, nil
	}
	// When the largest is gone, the log start's batch is the best we know without reading everything.
	raw, err := p.copyBatch(ctx, max(at, start))
	if err != nil {
		return -1, -1, err
	}
	offset, timestamp = -1, -1
	err = batch.Records(batch.Header(raw), 0, func(r batch.Record) bool {
		if r.Offset >= start && r.Timestamp > timestamp {
			offset, timestamp = r.Offset, r.Timestamp
		}
		return true
	})
	if err != nil {
		return -1, -1, fmt.Errorf("reading the largest timestamp of %s: %w", p.name(), err)
	}
	if timestamp < largest && at >= start { // after a restore only the run is known
		offset, timestamp, _, err = p.OffsetForTime(ctx, largest)
	}
	return offset, timestamp, err
}
