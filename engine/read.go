package engine

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"

	"github.com/streamkeeper-io/streamkeeper/engine/commitlog"
	"github.com/streamkeeper-io/streamkeeper/engine/index"
	"github.com/streamkeeper-io/streamkeeper/engine/tier"
)

// readTries bounds how often a read follows data that moves from the log to the store under its feet.
const readTries = 4

// readBatches bounds the batches of one read, so that a million tiny ones do not make one huge answer.
const readBatches = 4096

type (
	readerKey struct{}
	filesKey  struct{}
)

// WithReader names who reads (a group, a client), so that cold reads are shared fairly among readers.
func WithReader(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, readerKey{}, maphash.String(readerSeed, name)|1)
}

var readerSeed = maphash.MakeSeed()

// WithFiles allows what lies in the local log to come back as Read.Files: the reader hands it to the kernel, which sends
// it without a copy of ours.
func WithFiles(ctx context.Context) context.Context { return context.WithValue(ctx, filesKey{}, true) }

// Read returns whole batches from the one that holds offset, at most maxBytes except that the first is always whole. At
// the high watermark it returns none. It never waits for the object store: a cold read that is not in memory starts a
// prefetch and comes back Pending; Watch the same offset to hear when trying again is worth it. The error is a
// *RangeError (ErrOffsetOutOfRange), ErrStorage, ErrUnknownPartition or ErrClosed.
func (p *Partition) Read(ctx context.Context, offset int64, maxBytes int) (Read, error) {
	return p.readAs(ctx, offset, maxBytes, false)
}

// ReadCommitted is Read for readers of committed records: it ends at the last stable offset, and Aborted says whose
// records to skip.
func (p *Partition) ReadCommitted(ctx context.Context, offset int64, maxBytes int) (Read, error) {
	r, err := p.readAs(ctx, offset, maxBytes, true)
	if err != nil || r.Records == 0 {
		return r, err
	}
	if r.Aborted, err = p.abortedBetween(offset, r.NextOffset); err != nil {
		r.Release()
	}
	return r, err
}

func (p *Partition) readAs(ctx context.Context, offset int64, maxBytes int, committed bool) (Read, error) {
	if err := p.e.enter(); err != nil {
		return Read{}, err
	}
	defer p.e.leave()
	for try := 0; ; try++ {
		r, err := p.read(ctx, offset, maxBytes, committed)
		if errors.Is(err, commitlog.ErrReleased) && try < readTries {
			continue // the segment was recycled meanwhile: its data is in the store now
		}
		if err != nil {
			r.Release()
		}
		if errors.Is(err, commitlog.ErrReleased) {
			err = fmt.Errorf("%w: %w", ErrStorage, err)
		}
		return r, err
	}
}

func (p *Partition) read(ctx context.Context, offset int64, maxBytes int, committed bool) (Read, error) {
	p.mu.Lock()
	gone, hw, start, next := p.gone, p.hw, p.logStart, p.next
	r := Read{HighWatermark: hw, LastStable: p.stable(), LogStart: start, NextOffset: offset}
	p.mu.Unlock()
	end := hw
	if committed {
		end = r.LastStable
	}
	if gone {
		return r, fmt.Errorf("partition %s: %w", p.name(), ErrUnknownPartition)
	}
	if offset < start || offset > next {
		return r, &RangeError{Offset: offset, LogStart: start, LogEnd: next}
	}
	if offset >= end {
		return r, nil
	}
	files, _ := ctx.Value(filesKey{}).(bool)
	err := p.readLocal(&r, end, maxBytes, files)
	if err != nil || r.Records > 0 {
		return r, err
	}
	return r, p.readCold(ctx, &r, end, maxBytes)
}

// readLocal appends what the local log holds from r.NextOffset up to end, in files or in memory, not both.
func (p *Partition) readLocal(r *Read, end int64, maxBytes int, files bool) error {
	var found [16]index.Batch // on the stack for the usual tail read
	for r.NextOffset < end && (r.Records == 0 || maxBytes > 0) && len(r.Bytes)+len(r.Files) < readBatches {
		bs, segment, err := p.locate(r.NextOffset, end, maxBytes, found[:0])
		if err != nil {
			return err
		}
		// The first batch of a further segment must fit: only the first of all may be larger.
		if len(bs) == 0 || r.Records > 0 && int(bs[0].Len) > maxBytes {
			return nil
		}
		if maxBytes, err = p.readBatches(r, segment, bs, maxBytes, files); err != nil {
			return err
		}
		files = files && len(r.Bytes) == 0
	}
	return nil
}

// locate finds batches in the unapplied segments, newest first, then in the index.
func (p *Partition) locate(offset, hw int64, maxBytes int, out []index.Batch) ([]index.Batch, uint64, error) {
	l := p.e.mems.list()
	for i := len(l) - 1; i >= 0; i-- {
		if bs, ok := l[i].Find(p.stream, offset, hw, maxBytes, out); ok {
			return bs, l[i].Segment, nil
		}
	}
	bs, segment, _, err := p.e.index.Find(p.stream, offset, hw, maxBytes, out)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return bs, segment, nil
}

// readBatches reads batches of one segment, all or the first ones, and returns how many more bytes the answer may take.
func (p *Partition) readBatches(r *Read, segment uint64, bs []index.Batch, maxBytes int, files bool) (int, error) {
	if room := readBatches - len(r.Bytes) - len(r.Files); len(bs) > room {
		bs = bs[:room]
	}
	var few [16]commitlog.Span
	spans := few[:0]
	for _, b := range bs {
		spans = append(spans, commitlog.Span{Pos: b.Pos, Len: int64(b.Len)})
	}
	got, hot, err := p.readSpans(r, segment, spans, files)
	switch {
	case err == nil:
	case errors.Is(err, commitlog.ErrReleased) && r.Records > 0:
		return 0, nil // answer what we have
	case errors.Is(err, commitlog.ErrReleased):
		return 0, err
	default:
		return 0, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	if !hot {
		r.Tier = Warm
	}
	for _, b := range bs[:got] {
		r.Records += int64(b.Records)
		r.NextOffset = b.Next()
		maxBytes -= int(b.Len)
		p.e.counts.readBytes.Add(int64(b.Len))
	}
	if got == 0 {
		return 0, nil
	}
	return maxBytes, nil
}

// readSpans brings spans of one segment, or only tells where they lie, and counts them. It brings none that is in memory
// after some that were lent. hot reports that no disk was touched.
func (p *Partition) readSpans(r *Read, segment uint64, spans []commitlog.Span, files bool) (got int, hot bool, err error) {
	if files {
		var held commitlog.Releaser
		r.Files, got, held, err = p.e.log.Lend(segment, spans, r.Files)
		if held != nil {
			r.held = append(r.held, held)
		}
		if err != nil || len(r.Files) > 0 {
			return got, false, err
		}
	}
	r.Bytes, r.held, hot, err = p.e.log.Read(segment, spans, r.Bytes, r.held)
	return len(spans), hot, err
}

// readCold asks the tier; the answer may be Pending.
func (p *Partition) readCold(ctx context.Context, r *Read, end int64, maxBytes int) error {
	offset := r.NextOffset
	reader, _ := ctx.Value(readerKey{}).(uint64)
	p.mu.Lock()
	m := p.extra()
	if m.cold == nil {
		m.cold = map[int64]struct{}{}
	}
	m.cold[offset] = struct{}{} // before the call: ready may come at once
	p.mu.Unlock()
	maxBytes, err := p.coldBytes(offset, maxBytes)
	if err != nil {
		p.coldReady(offset)
		return p.coldErr(offset, err)
	}
	c, err := p.e.tier.Read(tier.ReadRequest{Reader: reader, Stream: p.stream, Offset: offset, End: end, MaxBytes: maxBytes}, func() { p.coldReady(offset) })
	r.Tier = Cold
	if err != nil || !c.Pending {
		p.coldReady(offset)
	}
	if err != nil {
		return p.coldErr(offset, err)
	}
	if c.Pending {
		r.Pending = true
		return nil
	}
	r.Bytes, r.NextOffset, r.Records = c.Bytes, c.NextOffset, c.Records
	r.held = append(r.held, &c)
	p.e.counts.readBytes.Add(int64(size(c.Bytes)))
	return nil
}

// coldBytes keeps a cold read from stepping over a gap: a damaged segment stays in the local log while younger ones are
// in the store. Near a gap it allows one batch at a time, so that the read after the last one turns to the local log.
func (p *Partition) coldBytes(offset int64, maxBytes int) (int, error) {
	row, ok, err := p.e.tier.Lookup(p.stream, offset)
	if err != nil {
		return 0, err
	}
	if !ok || row.Base > offset {
		return 0, tier.ErrNotTiered
	}
	for ahead := int64(0); ahead < int64(maxBytes); {
		next, ok, err := p.e.tier.Lookup(p.stream, row.Next)
		if err != nil {
			return 0, err
		}
		if !ok {
			break // nothing beyond: no gap to step over
		}
		if next.Base != row.Next {
			return 1, nil
		}
		ahead += next.Bytes
		row = next
	}
	return maxBytes, nil
}

// coldErr turns the tier's error around: an offset it does not have was trimmed or deleted meanwhile, or was never stored.
func (p *Partition) coldErr(offset int64, err error) error {
	if errors.Is(err, tier.ErrNotTiered) {
		p.mu.Lock()
		gone, start, next := p.gone, p.logStart, p.next
		p.mu.Unlock()
		if gone {
			return fmt.Errorf("partition %s: %w", p.name(), ErrUnknownPartition)
		}
		if offset < start {
			return &RangeError{Offset: offset, LogStart: start, LogEnd: next}
		}
	}
	return fmt.Errorf("reading %s at %d: %w: %w", p.name(), offset, ErrStorage, err)
}

func size(pieces [][]byte) (n int) {
	for _, b := range pieces {
		n += len(b)
	}
	return n
}
