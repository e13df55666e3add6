package tier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/object"
)

// Contents is what a journal says is in the store, for tools that look at a tier
// that does not run.
type Contents struct {
	Index   Index
	Objects []Object // live ones, oldest first
	Orphans int      // to be deleted
}

// ReadJournal replays a journal without opening a tier.
func ReadJournal(records iter.Seq2[[]byte, error]) (Contents, error) {
	s := newState(NewMemIndex())
	if err := s.replayAll(records); err != nil {
		return Contents{}, fmt.Errorf("replaying the tier's journal: %w", err)
	}
	c := Contents{Index: s.index, Orphans: len(s.objects) - s.live}
	for id, k := range s.objects {
		if k.phase != live {
			continue
		}
		o, _, err := s.index.Object(id)
		if err != nil {
			return c, err
		}
		c.Objects = append(c.Objects, o)
	}
	slices.SortFunc(c.Objects, func(a, b Object) int { return compareIDs(a.ID, b.ID) })
	return c, nil
}

// ReadRun reads the batches of a row from the store, a block at a time, and calls
// fn for each. Blocks and batches that do not match their CRC are not passed on.
func ReadRun(ctx context.Context, store Objects, o Object, row Row, fn func(batch.Header) error) error {
	var left []byte
	block := int64(o.Block)
	for i := row.Position / block; i*block < row.Position+row.Bytes; i++ {
		b := make([]byte, object.BlockLength(o.Data, o.Block, int(i)))
		in, err := store.Get(ctx, objectName(o.ID), object.HeaderSize+i*block, int64(len(b)))
		if err != nil {
			return fmt.Errorf("reading block %d of %s: %w", i, objectName(o.ID), err)
		}
		_, err = io.ReadFull(in, b)
		if err = errors.Join(err, in.Close()); err == nil {
			err = object.CheckBlock(b, o.Blocks[i].CRC)
		}
		if err != nil {
			return fmt.Errorf("reading block %d of %s: %w", i, objectName(o.ID), err)
		}
		from, to := max(row.Position-i*block, 0), min(row.Position+row.Bytes-i*block, int64(len(b)))
		left = append(left, b[from:to]...)
		for {
			h, rest, ok := batch.Next(left)
			if !ok {
				break
			}
			if err := fn(h); err != nil {
				return err
			}
			left = rest
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("%w: run %d–%d of stream %d in %s ends within a batch", ErrCorrupt, row.Base, row.Next, row.Stream, objectName(o.ID))
	}
	return nil
}
