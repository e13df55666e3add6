package batch

import (
	"encoding/binary"
	"fmt"
)

// Field is a record header: a key and a value that may be nil.
type Field struct {
	Key   string
	Value []byte
}

// Record is one decoded record. Key and Value are nil when the record says null; they reference the batch's bytes or
// the buffer it was decompressed into.
type Record struct {
	Offset    int64
	Timestamp int64
	Key       []byte
	Value     []byte
	Headers   []Field
}

// DefaultRecordLimit bounds what Records decompresses when the caller gives no limit.
const DefaultRecordLimit = 64 << 20

// Records calls fn for each record of one batch in offset order until fn returns false. limit bounds the decompressed
// size in bytes (0 = DefaultRecordLimit). It is for compaction, time look-ups and tests: the hot path never needs it.
func Records(h Header, limit int, fn func(Record) bool) error {
	if limit <= 0 {
		limit = DefaultRecordLimit
	}
	body, err := decompress(h.Codec(), h[HeaderSize:h.Size()], limit)
	if err != nil {
		return err
	}
	for i := range h.RecordCount() {
		size, w := binary.Varint(body)
		if w <= 0 || size < 0 || size > int64(len(body)-w) {
			return fmt.Errorf("record %d of %d does not fit: %w", i, h.RecordCount(), ErrCorrupt)
		}
		r, err := parseRecord(h, body[w:w+int(size)])
		if err != nil {
			return fmt.Errorf("record %d of %d: %w", i, h.RecordCount(), err)
		}
		body = body[w+int(size):]
		if !fn(r) {
			return nil
		}
	}
	return nil
}

func parseRecord(h Header, b []byte) (Record, error) {
	d := decoder{b: b}
	d.byte() // attributes, unused in v2
	r := Record{Timestamp: h.BaseTimestamp() + d.varint()}
	if h.IsLogAppendTime() {
		r.Timestamp = h.MaxTimestamp()
	}
	r.Offset = h.BaseOffset() + d.varint()
	r.Key = d.bytes()
	r.Value = d.bytes()
	n := d.varint()
	// Each header takes two bytes at least, so a claim beyond that is a lie and would only size an allocation.
	if n < 0 || n > int64(len(d.b))/2 {
		d.bad = true
		n = 0
	}
	for range n {
		key := d.bytes()
		r.Headers = append(r.Headers, Field{Key: string(key), Value: d.bytes()})
	}
	if d.bad || len(d.b) > 0 {
		return Record{}, fmt.Errorf("malformed fields: %w", ErrCorrupt)
	}
	return r, nil
}

// decoder reads varint fields and remembers the first failure.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) byte() byte {
	if len(d.b) < 1 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) varint() int64 {
	v, w := binary.Varint(d.b)
	if w <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[w:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.varint()
	if n == -1 {
		return nil
	}
	if n < 0 || n > int64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}
