package engine

import (
	"context"
	"fmt"

	"github.com/streamkeeper-io/streamkeeper/engine/tier"
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
	// Who is told that it starts there may rely on a restore to say so, too: a move before this one may have been cut short
	// between the two.
	if before <= start && p.e.tier.TrimmedTo(p.stream) >= start {
		return start, nil
	}
	to := max(before, start)
	return to, p.moveLogStart(ctx, to)
}

// moveLogStart makes a new log start durable, then visible, then drops what lies below it in the store. The tier's record
// of the trim is the log start, in the log (see logStartOf) as in the bucket: no crash comes between them.
func (p *Partition) moveLogStart(ctx context.Context, to int64) error {
	if err := p.e.tier.Trim(ctx, p.stream, to); err != nil {
		return fmt.Errorf("moving the log start of %s: %w", p.name(), err)
	}
	return nil
}

// logStartOf moves the log start that a durable record of the tier is about, if it is one. Calls come in LSN order, before
// the record's segment can be sealed.
func (e *Engine) logStartOf(rec []byte) error {
	stream, to, ok := tier.TrimOf(rec)
	if !ok {
		return nil
	}
	p, err := e.topics.stream(stream)
	if err != nil || p == nil {
		return err // the topic was deleted
	}
	p.setLogStart(to)
	return nil
}
