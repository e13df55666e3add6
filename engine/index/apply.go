package index

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/streamkeeper-io/streamkeeper/engine/fields"
)

// Change collects rows that become visible together. The caller guarantees that all of it is durable in the log.
type Change struct {
	d   *DB
	b   *pebble.Batch
	w   writer
	at  uint64
	err error
}

// Change starts an empty one; end it with Commit or Drop.
func (d *DB) Change() *Change { return &Change{d: d, b: d.db.NewBatch()} }

func (c *Change) set(key, value []byte) {
	if c.err == nil {
		c.err = c.b.Set(key, value, nil)
	}
}

func (c *Change) del(key []byte) {
	if c.err == nil {
		c.err = c.b.Delete(key, nil)
	}
}

// Apply adds a sealed segment: its row, its runs' rows and the watermark at its end. Runs of streams that keep refuses
// (deleted topics) are left out. When none is left the segment gets no row: nothing points into it.
func (c *Change) Apply(s Segment, m *Memory, keep func(stream uint32) bool) Segment {
	s.Runs = s.Runs[:0]
	for _, r := range m.Runs() {
		if !keep(r.Stream) {
			continue
		}
		s.Runs = append(s.Runs, r)
		batches := m.Batches(r.Stream)
		for len(batches) > 0 {
			n := min(len(batches), chunkBatches)
			c.set(runKey(r.Stream, batches[0].Base), encodeChunk(chunk{segment: s.ID, epoch: r.Epoch, batches: batches[:n]}, &c.w))
			batches = batches[n:]
		}
	}
	if len(s.Runs) > 0 {
		c.set(key64('s', s.ID), encodeSegment(s))
	}
	c.at = s.End
	c.set([]byte{'w'}, binary.BigEndian.AppendUint64(nil, s.End))
	return s
}

// Release removes a segment's rows: its batches are found elsewhere from now on, and its file may be reused once this
// is durable.
func (c *Change) Release(s Segment) error {
	c.del(key64('s', s.ID))
	for _, r := range s.Runs {
		err := c.d.runs(r.Stream, r.Base, func(k chunk) bool {
			if k.segment == s.ID {
				c.del(runKey(r.Stream, k.batches[0].Base))
			}
			return k.next() < r.Next
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// SetStream stores a stream's state.
func (c *Change) SetStream(stream uint32, s Stream) { c.set(key32('p', stream), encodeStream(s)) }

// SetProducer stores a producer's state.
func (c *Change) SetProducer(stream uint32, p Producer) {
	c.set(producerKey(stream, p.ID), encodeProducer(p))
}

// DropProducer forgets a producer.
func (c *Change) DropProducer(stream uint32, id int64) { c.del(producerKey(stream, id)) }

// DropStream removes a stream's state. Its batches stay findable until their segments are released: an upload may be
// reading them.
func (c *Change) DropStream(stream uint32) {
	for _, p := range []byte{'p', 'q', 'a'} {
		if c.err == nil {
			c.err = c.b.DeleteRange(key32(p, stream), after(key32(p, stream)), nil)
		}
	}
}

// SetTier stores the last tier record of a key; nil forgets the key.
func (c *Change) SetTier(key string, rec []byte) { c.text('t', key, rec) }

// SetGroup stores a group's metadata; nil forgets the group.
func (c *Change) SetGroup(group string, v []byte) { c.text('g', group, v) }

// SetGroupRecord stores a record of a group by its key; nil forgets it.
func (c *Change) SetGroupRecord(group, key string, v []byte) {
	c.text('r', string(append(fields.AppendBytes(nil, group), key...)), v)
}

// SetOffset stores a committed offset; nil forgets it.
func (c *Change) SetOffset(group, topic string, partition int32, v []byte) {
	c.text('o', offsetKey(group, topic, partition), v)
}

// offsetKey is prefixed with the group's length: a group's name may hold any byte.
func offsetKey(group, topic string, partition int32) string {
	k := append(fields.AppendBytes(nil, group), topic...)
	return string(binary.BigEndian.AppendUint32(k, uint32(partition)))
}

func splitOffsetKey(k string) (group, topic string, partition int32, ok bool) {
	r := fields.Of([]byte(k))
	group = string(r.Bytes())
	topic = string(r.Take(r.Left() - 4))
	partition = r.Int32()
	return group, topic, partition, r.Done()
}

func (c *Change) text(p byte, key string, v []byte) {
	k := append([]byte{p}, key...)
	if v == nil {
		c.del(k)
		return
	}
	c.set(k, v)
}

// Commit makes the change visible to readers of the index; Flush makes it durable.
func (c *Change) Commit() error {
	if c.err == nil {
		c.err = c.d.guard.Do(func() error { return c.b.Commit(pebble.NoSync) })
	}
	if c.d.guard.Err() == nil { // else the batch may be in use for ever
		c.err = errors.Join(c.err, c.b.Close())
	}
	if c.err != nil {
		return fmt.Errorf("writing index: %w", c.err)
	}
	if c.at > 0 {
		c.d.applied.Store(c.at)
	}
	return nil
}

// Drop forgets the change.
func (c *Change) Drop() { _ = c.b.Close() }

// TierRecords calls fn for the last tier record of each key.
func (d *DB) TierRecords(fn func(key string, rec []byte)) error {
	return d.texts('t', func(k string, v []byte) error { fn(k, v); return nil })
}

// Groups calls fn for each group's metadata.
func (d *DB) Groups(fn func(group string, v []byte)) error {
	return d.texts('g', func(k string, v []byte) error { fn(k, v); return nil })
}

// GroupRecords calls fn for each record of a group.
func (d *DB) GroupRecords(fn func(group, key string, v []byte)) error {
	return d.texts('r', func(k string, v []byte) error {
		r := fields.Of([]byte(k))
		group, key := string(r.Bytes()), string(r.Rest())
		if r.Bad() {
			return fmt.Errorf("group record key %q: %w", k, errRow)
		}
		fn(group, key, v)
		return nil
	})
}

// Offsets calls fn for each committed offset.
func (d *DB) Offsets(fn func(group, topic string, partition int32, v []byte)) error {
	return d.texts('o', func(k string, v []byte) error {
		group, topic, partition, ok := splitOffsetKey(k)
		if !ok {
			return fmt.Errorf("offset key %q: %w", k, errRow)
		}
		fn(group, topic, partition, v)
		return nil
	})
}

func (d *DB) texts(p byte, fn func(key string, v []byte) error) error {
	return d.scan([]byte{p}, func(k, v []byte) error { return fn(string(k), append([]byte(nil), v...)) })
}
