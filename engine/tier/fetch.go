package tier

import (
	"context"
	"errors"
	"fmt"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/object"
)

// fetch is a worker that loads blocks until the pool is closed. What it loads is
// checked against the block's CRC; a GET goes on when its reader went away.
func (t *Tier) fetch(ctx context.Context) {
	for {
		f, ok := t.pool.next()
		if !ok {
			return
		}
		err := t.load(ctx, f.slice)
		if err == nil {
			t.pool.done(f, nil, true)
			continue
		}
		f.attempts++
		if f.attempts < 3 && ctx.Err() == nil && !errors.Is(err, ErrNotTiered) {
			// A call that was given up may still write into the old buffer.
			f.slice.buf = make([]byte, len(f.slice.buf), cap(f.slice.buf))
			t.pool.requeue(f, t.backoff(f.attempts-1, fetchBackoff))
			continue
		}
		t.pool.done(f, err, false)
	}
}

// load fills a slice from the store.
func (t *Tier) load(ctx context.Context, s *slice) error {
	o, ok, err := t.o.Index.Object(s.key.object)
	if err != nil {
		return fmt.Errorf("%w: looking for object %s: %w", ErrStorage, objectName(s.key.object), err)
	}
	if !ok || int(s.key.block) >= len(o.Blocks) || !t.state.acquire(o.ID) {
		return fmt.Errorf("%w: object %s is gone", ErrNotTiered, objectName(s.key.object))
	}
	defer func() {
		t.state.release(o.ID)
	}()
	at := object.HeaderSize + int64(s.key.block)*int64(o.Block)
	if err := t.calls.get(ctx, objectName(o.ID), at, s.buf); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	if err := object.CheckBlock(s.buf, o.Blocks[s.key.block].CRC); err != nil {
		t.event(EventObjectCorrupt, fmt.Sprintf("block %d of %s does not match its CRC and is not served", s.key.block, objectName(o.ID)), map[string]any{"object": objectName(o.ID), "block": int(s.key.block)})
		return fmt.Errorf("%w: block %d of %s: %w", ErrCorrupt, s.key.block, objectName(o.ID), err)
	}
	return nil
}
