package index

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// OpenTxn is a transaction that has records in a stream and no marker yet.
type OpenTxn struct {
	Producer int64
	First    int64 // offset of its first record
	Since    int64 // wall time of its first batch, ms
}

// Aborted is a transaction that was aborted: readers of committed records skip its producer's from First to Last.
type Aborted struct {
	Producer int64
	First    int64
	Last     int64 // offset of the marker
	// Stable was the last stable offset when the marker became visible: no transaction that ended later began before.
	Stable int64
}

func abortedKey(stream uint32, last int64) []byte {
	return binary.BigEndian.AppendUint64(key32('a', stream), uint64(last))
}

// AddAborted stores an aborted transaction.
func (c *Change) AddAborted(stream uint32, a Aborted) {
	w := writer{}
	w.u(1) // version
	w.i(a.Producer)
	w.i(a.First)
	w.i(a.Stable)
	c.set(abortedKey(stream, a.Last), w.b)
}

// DropAborted forgets the transactions whose marker lies below before: nobody can read their records.
func (c *Change) DropAborted(stream uint32, before int64) {
	if c.err == nil {
		c.err = c.b.DeleteRange(key32('a', stream), abortedKey(stream, before), nil)
	}
}

// Aborted calls fn for the aborted transactions of a stream whose marker lies at or after from, in the order of their
// markers, until fn returns false.
func (d *DB) Aborted(stream uint32, from int64, fn func(Aborted) bool) error {
	it, err := d.db.NewIter(&pebble.IterOptions{LowerBound: abortedKey(stream, from), UpperBound: after(key32('a', stream))})
	if err != nil {
		return fmt.Errorf("reading index: %w", err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		r := read(it.Value())
		r.u()
		a := Aborted{Last: int64(binary.BigEndian.Uint64(it.Key()[5:])), Producer: r.i(), First: r.i(), Stable: r.i()}
		if err := r.err("aborted transaction"); err != nil {
			return err
		}
		if !fn(a) {
			break
		}
	}
	return it.Error()
}

// SetPending stores an offset that a transaction commits when it ends; nil forgets it.
func (c *Change) SetPending(producer int64, group, topic string, partition int32, v []byte) {
	k := binary.BigEndian.AppendUint64(nil, uint64(producer))
	c.text('y', string(k)+offsetKey(group, topic, partition), v)
}

// Pending calls fn for each offset of a transaction that is not over.
func (d *DB) Pending(fn func(producer int64, group, topic string, partition int32, v []byte)) error {
	return d.texts('y', func(k string, v []byte) error {
		if len(k) < 8 {
			return fmt.Errorf("pending offset key %q: %w", k, errRow)
		}
		group, topic, partition, ok := splitOffsetKey(k[8:])
		if !ok {
			return fmt.Errorf("pending offset key %q: %w", k, errRow)
		}
		fn(int64(binary.BigEndian.Uint64([]byte(k[:8]))), group, topic, partition, v)
		return nil
	})
}

// SetTransaction stores a transactional id's last value; nil forgets the id.
func (c *Change) SetTransaction(id string, v []byte) { c.text('x', id, v) }

// Transactions calls fn for each transactional id.
func (d *DB) Transactions(fn func(id string, v []byte)) error {
	return d.texts('x', func(k string, v []byte) error { fn(k, v); return nil })
}
