package tier

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/object"
)

// fetch is a worker that loads blocks until the pool is closed. What it loads is
// checked against the block's CRC; a GET goes on when its reader went away.
func (t *Tier) fetch(ctx context.Context) {
	for {
		run, ok := t.pool.next(t.pace.getBytes)
		if !ok {
			return
		}
		left, err := t.load(ctx, run)
		for _, s := range left {
			s.attempts++
			if s.attempts < 3 && ctx.Err() == nil && !errors.Is(err, ErrNotTiered) && !errors.Is(err, errMoved) {
				// A call that was given up may still write into the old buffer.
				s.buf = make([]byte, len(s.buf), cap(s.buf))
				t.pool.requeue(s, t.backoff(s.attempts-1, fetchBackoff))
				continue
			}
			t.pool.done(s, err, false)
		}
	}
}

// load fills blocks that follow each other with one GET and hands out each as soon
// as it is there. It returns those that it did not get, and why.
func (t *Tier) load(ctx context.Context, run []*slice) (left []*slice, err error) {
	key := run[0].key
	o, ok, err := t.o.Index.Object(key.object)
	if err != nil {
		return run, fmt.Errorf("%w: looking for object %s: %w", ErrStorage, objectName(key.object), err)
	}
	if !ok || !t.state.acquire(o.ID) {
		return run, errMoved
	}
	defer t.state.release(o.ID)
	if int(run[len(run)-1].key.block) >= len(o.Blocks) {
		return run, fmt.Errorf("%w: object %s has no such block", ErrNotTiered, objectName(key.object))
	}
	f := &filling{t: t, o: &o, run: run}
	pieces := make([][]byte, len(run))
	for i, s := range run {
		pieces[i] = s.buf
	}
	began := t.o.Clock.Now()
	at := object.HeaderSize + int64(key.block)*int64(o.Block)
	first, err := t.calls.getEach(ctx, objectName(o.ID), at, pieces, f.filled)
	f.close()
	if err == nil {
		size := int64(0)
		for _, p := range pieces {
			size += int64(len(p))
		}
		t.pace.saw(first, t.o.Clock.Now().Sub(began), size)
		return nil, nil
	}
	if !errors.Is(err, ErrCorrupt) {
		err = fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return run[f.n:], err
}

// filling hands out the blocks of a GET in order. A call that was given up may go on
// for a while: what it brings after close does not count.
type filling struct {
	t   *Tier
	o   *Object
	run []*slice

	mu     sync.Mutex
	n      int // handed out
	closed bool
}

// filled checks and hands out the next block.
func (f *filling) filled() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return errGivenUp
	}
	s := f.run[f.n]
	block, name := s.key.block, objectName(f.o.ID)
	if err := object.CheckBlock(s.buf, f.o.Blocks[block].CRC); err != nil {
		f.t.event(EventObjectCorrupt, fmt.Sprintf("block %d of %s does not match its CRC and is not served", block, name), map[string]any{"object": name, "block": int(block)})
		return fmt.Errorf("%w: block %d of %s: %w", ErrCorrupt, block, name, err)
	}
	f.n++
	f.t.pool.done(s, nil, true)
	return nil
}

func (f *filling) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
}

var errGivenUp = errors.New("the call was given up")

// errMoved ends the load of a block whose object was rewritten or trimmed after a read had found it. It is nobody's
// failure: the reader looks again, and the index, which changed before the object went, tells where the offset is now.
var errMoved = errors.New("the object was rewritten or trimmed")
