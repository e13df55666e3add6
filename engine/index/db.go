package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/streamkeeper-io/streamkeeper/engine/guard"
)

// Options configure a DB.
type Options struct {
	FS       vfs.FS
	Dir      string
	MemBytes uint64 // Pebble's memtable; 0 = 16 MiB
	Cache    int64  // Pebble's block cache; 0 = 32 MiB
	ReadOnly bool
	// Failed is told when the index cannot be written any more, or a file of it is damaged. Writes, or reads of the file,
	// fail from then on; it must not call the index.
	Failed func(error)
}

// DB is the open index; safe for concurrent use.
type DB struct {
	db      *pebble.DB
	guard   *guard.Guard
	applied atomic.Uint64 // watermark in Pebble, durable or not
	durable atomic.Uint64 // watermark that survives a crash
}

// Open opens or creates the index.
func Open(o Options) (*DB, error) {
	if o.MemBytes == 0 {
		o.MemBytes = 16 << 20
	}
	if o.Cache == 0 {
		o.Cache = 32 << 20
	}
	cache := pebble.NewCache(o.Cache)
	defer cache.Unref()
	d := &DB{guard: guard.New("index", o.Failed)}
	err := d.guard.Do(func() (err error) {
		d.db, err = pebble.Open(o.Dir, d.guard.Configure(&pebble.Options{
			FS: o.FS, Cache: cache, DisableWAL: true, ReadOnly: o.ReadOnly, MemTableSize: o.MemBytes,
			FormatMajorVersion: pebble.FormatNewest,
		}))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening index: %w", err)
	}
	v, done, err := d.db.Get([]byte{'w'})
	switch {
	case errors.Is(err, pebble.ErrNotFound):
	case err != nil || len(v) != 8:
		return nil, errors.Join(fmt.Errorf("reading index watermark: %w", errors.Join(err, errRow)), d.Abandon())
	default:
		d.applied.Store(binary.BigEndian.Uint64(v))
		d.durable.Store(binary.BigEndian.Uint64(v))
		if err := done.Close(); err != nil {
			return nil, errors.Join(err, d.Abandon())
		}
	}
	return d, nil
}

// Watermark is the LSN below which the log is in the index.
func (d *DB) Watermark() uint64 { return d.applied.Load() }

// Durable is the watermark a crash would leave.
func (d *DB) Durable() uint64 { return d.durable.Load() }

// Flush makes everything committed so far durable.
func (d *DB) Flush() error {
	w := d.applied.Load()
	var flushed <-chan struct{}
	err := d.guard.Do(func() (err error) { flushed, err = d.db.AsyncFlush(); return err })
	if err == nil {
		select {
		case <-flushed:
		case <-d.guard.Failed():
			err = d.guard.Err()
		}
	}
	if err != nil {
		return fmt.Errorf("flushing index: %w", err)
	}
	d.durable.Store(max(w, d.durable.Load()))
	return nil
}

// Close flushes and closes.
func (d *DB) Close() error {
	if err := errors.Join(d.Flush(), d.Abandon()); err != nil {
		return fmt.Errorf("closing index: %w", err)
	}
	return nil
}

// Abandon closes without a flush; for shutting down after the log failed.
func (d *DB) Abandon() error { return d.guard.Close(d.db.Close) }

func key32(p byte, stream uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{p}, stream)
}

func key64(p byte, id uint64) []byte { return binary.BigEndian.AppendUint64([]byte{p}, id) }

func runKey(stream uint32, base int64) []byte {
	return binary.BigEndian.AppendUint64(key32('l', stream), uint64(base))
}

func producerKey(stream uint32, id int64) []byte {
	return binary.BigEndian.AppendUint64(key32('q', stream), uint64(id))
}

// scan calls fn for each row with the prefix; key is without it. Both are valid during the call only.
func (d *DB) scan(prefix []byte, fn func(key, value []byte) error) error {
	it, err := d.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return fmt.Errorf("reading index: %w", err)
	}
	for it.First(); it.Valid(); it.Next() {
		if err := fn(it.Key()[len(prefix):], it.Value()); err != nil {
			return errors.Join(err, it.Close())
		}
	}
	if err := it.Close(); err != nil {
		return fmt.Errorf("reading index: %w", err)
	}
	return nil
}

// after is the smallest key larger than every key with the prefix.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// Segments returns the sealed segments still in the ring, oldest first.
func (d *DB) Segments() ([]Segment, error) {
	var out []Segment
	err := d.scan([]byte{'s'}, func(k, v []byte) error {
		s, err := decodeSegment(binary.BigEndian.Uint64(k), v)
		out = append(out, s)
		return err
	})
	return out, err
}

// Stream reads a stream's state.
func (d *DB) Stream(stream uint32) (Stream, bool, error) {
	v, done, err := d.db.Get(key32('p', stream))
	if errors.Is(err, pebble.ErrNotFound) {
		return Stream{}, false, nil
	}
	if err != nil {
		return Stream{}, false, fmt.Errorf("reading stream %d: %w", stream, err)
	}
	defer done.Close()
	s, err := decodeStream(v)
	return s, err == nil, err
}

// Producers reads the idempotent producers of a stream.
func (d *DB) Producers(stream uint32, fn func(Producer)) error {
	return d.scan(key32('q', stream), func(k, v []byte) error {
		p, err := decodeProducer(int64(binary.BigEndian.Uint64(k)), v)
		if err == nil {
			fn(p)
		}
		return err
	})
}

// Find is Memory.Find over the applied segments; it also says which segment the batches are in.
func (d *DB) Find(stream uint32, offset, limit int64, maxBytes int, out []Batch) (_ []Batch, segment uint64, ok bool, err error) {
	it, err := d.db.NewIter(&pebble.IterOptions{LowerBound: key32('l', stream), UpperBound: after(key32('l', stream))})
	if err != nil {
		return out, 0, false, fmt.Errorf("reading index: %w", err)
	}
	defer it.Close()
	var room [chunkBatches]Batch // on the stack: a reader behind memory looks up each megabyte
	for ok := it.SeekLT(runKey(stream, offset+1)); ok; ok = it.Next() {
		c, err := decodeChunk(int64(binary.BigEndian.Uint64(it.Key()[5:])), it.Value(), room[:])
		if err != nil {
			return out, 0, false, err
		}
		if len(out) == 0 {
			if offset >= c.next() {
				return out, 0, false, nil
			}
			segment = c.segment
		} else if c.segment != segment || c.batches[0].Base != out[len(out)-1].Next() {
			break
		}
		before := len(out)
		out = cut(c.batches, max(offset, c.batches[0].Base), limit, maxBytes, out)
		for _, b := range out[before:] {
			maxBytes -= int(b.Len)
		}
		if len(out) == 0 || out[len(out)-1].Next() != c.next() {
			break // the limits were reached inside this row
		}
	}
	return out, segment, len(out) > 0, it.Error()
}

// FirstAtTime is Memory.FirstAtTime over the applied segments.
func (d *DB) FirstAtTime(stream uint32, from, ts int64) (b Batch, segment uint64, ok bool, err error) {
	err = d.runs(stream, from, func(c chunk) bool {
		for _, x := range c.batches {
			if x.MaxTime >= ts && x.Next() > from {
				b, segment, ok = x, c.segment, true
				return false
			}
		}
		return true
	})
	return b, segment, ok, err
}

// FirstLocal returns the first offset of the stream in the applied segments.
func (d *DB) FirstLocal(stream uint32) (offset int64, ok bool, err error) {
	err = d.runs(stream, 0, func(c chunk) bool {
		offset, ok = c.batches[0].Base, true
		return false
	})
	return offset, ok, err
}

// Batches appends a run's batches in [base, next) to out.
func (d *DB) Batches(stream uint32, base, next int64, out []Batch) ([]Batch, error) {
	err := d.runs(stream, base, func(c chunk) bool {
		for _, b := range c.batches {
			if b.Base >= next {
				return false
			}
			if b.Base >= base {
				out = append(out, b)
			}
		}
		return true
	})
	return out, err
}

// runs calls fn for the chunks of a stream from the one that may hold from on.
func (d *DB) runs(stream uint32, from int64, fn func(chunk) bool) error {
	it, err := d.db.NewIter(&pebble.IterOptions{LowerBound: key32('l', stream), UpperBound: after(key32('l', stream))})
	if err != nil {
		return fmt.Errorf("reading index: %w", err)
	}
	defer it.Close()
	ok := it.SeekLT(runKey(stream, min(from, math.MaxInt64-1)+1))
	if !ok {
		ok = it.First()
	}
	for ; ok; ok = it.Next() {
		c, err := decodeChunk(int64(binary.BigEndian.Uint64(it.Key()[5:])), it.Value(), nil)
		if err != nil {
			return err
		}
		if !fn(c) {
			break
		}
	}
	return it.Error()
}
