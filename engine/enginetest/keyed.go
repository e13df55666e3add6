package enginetest

import (
	"hash/fnv"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
)

// Keyed holds what was promised of partitions whose topic is compacted: the last record of each key. It reports to a
// Checker and is safe for concurrent use as that is.
type Keyed struct {
	c     *Checker
	parts map[string]*keyedPart
}

type keyedPart struct {
	sent    int64                // how many records were sent
	records map[int64]uint64     // what was acknowledged or read, by offset: must not change
	keys    map[string]*keyTrack // in the order in which they were sent
}

// keyTrack is the fate of a key. Sends are numbered.
type keyTrack struct {
	offset  int64 // of the last record acknowledged
	acked   int64 // its number, 0 = none was
	removed int64 // number of the last tombstone that was sent
}

// NewKeyed returns one that knows nothing.
func NewKeyed(c *Checker) *Keyed { return &Keyed{c: c, parts: map[string]*keyedPart{}} }

func (k *Keyed) part(name string) *keyedPart {
	p := k.parts[name]
	if p == nil {
		p = &keyedPart{records: map[int64]uint64{}, keys: map[string]*keyTrack{}}
		k.parts[name] = p
	}
	return p
}

func (p *keyedPart) key(name string) *keyTrack {
	if p.keys[name] == nil {
		p.keys[name] = &keyTrack{}
	}
	return p.keys[name]
}

// Sending notes a batch before it is sent; batches of a partition are sent one after the other. It returns the number of
// the batch's first record, for Acked.
func (k *Keyed) Sending(part string, b batch.Header) (number int64) {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	p := k.part(part)
	number = p.sent + 1
	_ = batch.Records(b, 0, func(r batch.Record) bool {
		p.sent++
		if r.Value == nil {
			p.key(string(r.Key)).removed = p.sent
		}
		return true
	})
	return number
}

// Acked notes that a batch was acknowledged as durable at base.
func (k *Keyed) Acked(part string, base, number int64, b batch.Header) {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	p := k.part(part)
	_ = batch.Records(b, 0, func(r batch.Record) bool {
		t := p.key(string(r.Key))
		if number > t.acked {
			t.offset, t.acked = base, number
		}
		p.records[base] = recordHash(r)
		base, number = base+1, number+1
		return true
	})
}

func recordHash(r batch.Record) uint64 {
	f := fnv.New64a()
	_, _ = f.Write(r.Key)
	if r.Value == nil {
		_, _ = f.Write([]byte{0})
	}
	_, _ = f.Write([]byte{1})
	_, _ = f.Write(r.Value)
	return f.Sum64()
}

// Read verifies batches that were read: what an offset holds never changes, it only goes. It returns where they end.
func (k *Keyed) Read(part string, raw []byte) {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	k.read(part, raw, func(batch.Record) {})
}

func (k *Keyed) read(part string, raw []byte, each func(batch.Record)) (end int64) {
	p := k.part(part)
	end = -1
	for len(raw) > 0 {
		h, rest, ok := batch.Next(raw)
		if !ok {
			k.c.failf("%s: a read returned a partial batch of %d bytes", part, len(raw))
			return end
		}
		if h.ComputeCRC() != h.CRC() {
			k.c.failf("%s: the batch at %d does not match its checksum", part, h.BaseOffset())
			return end
		}
		if h.BaseOffset() < end {
			k.c.failf("%s: the batch at %d begins before the one before it ends, at %d", part, h.BaseOffset(), end)
		}
		end = h.NextOffset()
		err := batch.Records(h, 0, func(r batch.Record) bool {
			hash := recordHash(r)
			if old, ok := p.records[r.Offset]; ok && old != hash {
				k.c.failf("%s: the record at offset %d changed", part, r.Offset)
			}
			p.records[r.Offset] = hash
			each(r)
			return true
		})
		if err != nil {
			k.c.failf("%s: the batch at %d: %v", part, h.BaseOffset(), err)
		}
		raw = rest
	}
	return end
}

// Whole verifies a partition: raw is all of it, from logStart to the high watermark. It returns how many records
// compaction took away.
func (k *Keyed) Whole(part string, logStart, hw int64, raw []byte) (gone int) {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	last, count := map[string]int64{}, 0
	end := k.read(part, raw, func(r batch.Record) {
		last[string(r.Key)] = r.Offset
		if r.Offset >= logStart {
			count++
		}
	})
	if end >= 0 && end != hw || end < 0 && logStart < hw {
		k.c.failf("%s: ends at %d, high watermark is %d", part, end, hw)
	}
	for name, t := range k.part(part).keys {
		if t.acked == 0 || t.offset < logStart || t.removed >= t.acked {
			continue // nothing was promised, or it may be gone
		}
		if at, ok := last[name]; !ok || at < t.offset {
			k.c.failf("%s: the last record of key %s, at offset %d, is gone (log %d to %d)", part, name, t.offset, logStart, hw)
		}
	}
	return int(hw-logStart) - count
}

// Forget drops every promise, as a crash does in a mode that promises none.
func (k *Keyed) Forget() {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	clear(k.parts)
}
