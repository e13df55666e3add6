package engine

import (
	"context"
	"fmt"

	"github.com/streamkeeper-io/streamkeeper/engine/commitlog"
)

// DeleteRecords makes everything below before disappear (-1 = up to the high watermark). The new log start is durable on
// return; bytes in the store go when their object is dead.
func (p *Partition) DeleteRecords(ctx context.Context, before int64) (logStart int64, err error) {
	if err := p.e.usable(ctx); err != nil {
		return -1, err
	}
	defer p.e.leave()
	p.mu.Lock()
	gone, hw, start := p.gone, p.hw, p.logStart
	p.mu.Unlock()
	switch {
	case gone:
		return -1, fmt.Errorf("partition %s: %w", p.name(), ErrUnknownPartition)
	case before == -1:
		before = hw
	case before < -1 || before > hw:
		return -1, &RangeError{Offset: before, LogStart: start, LogEnd: hw}
	}
	if before <= start {
		return start, nil
	}
	return before, p.moveLogStart(ctx, before)
}

// moveLogStart makes a new log start durable, then visible, then tells the tier.
func (p *Partition) moveLogStart(ctx context.Context, to int64) error {
	settled := make(chan error, 1)
	it := item{done: func(a Appended) {
		if a.Err == nil {
			p.setLogStart(to) // in LSN order, before the segment can be sealed
		}
		settled <- a.Err
	}}
	f := commitlog.Frame{Kind: commitlog.KindLogStart, Stream: p.stream, BaseOffset: to, Sum: commitlog.Sum(nil)}
	if err := p.e.appendFrame(it, &f); err != nil {
		return err
	}
	select {
	case err := <-settled:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	// Also when nothing of it is there yet: the store must tell a restore where the log starts.
	if err := p.e.tier.Trim(ctx, p.stream, to); err != nil {
		return fmt.Errorf("trimming %s in the store: %w", p.name(), err)
	}
	return nil
}
