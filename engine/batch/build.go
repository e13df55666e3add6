package batch

import "encoding/binary"

// Producer names the idempotent producer of a batch.
type Producer struct {
	ID       int64
	Epoch    int16
	Sequence int32
}

// NoProducer marks batches without idempotence.
var NoProducer = Producer{ID: -1, Epoch: -1, Sequence: -1}

// Append appends one uncompressed v2 batch of records to dst and returns it. Record offsets are taken as 0, 1, 2 … from
// base offset 0; timestamps are the records' own. The engine uses it for its own topics, tests for everything.
func Append(dst []byte, p Producer, records []Record) []byte {
	if len(records) == 0 {
		return dst
	}
	start := len(dst)
	dst = append(dst, make([]byte, HeaderSize)...)
	base, latest := records[0].Timestamp, records[0].Timestamp
	var scratch []byte
	for i, r := range records {
		latest = max(latest, r.Timestamp)
		scratch = appendRecord(scratch[:0], r, r.Timestamp-base, int64(i))
		dst = binary.AppendVarint(dst, int64(len(scratch)))
		dst = append(dst, scratch...)
	}
	h := Header(dst[start:])
	binary.BigEndian.PutUint32(h[offLength:], uint32(len(h)-lengthOverhead))
	h.SetLeaderEpoch(-1)
	h[offMagic] = Magic
	binary.BigEndian.PutUint32(h[offLastDelta:], uint32(len(records)-1))
	binary.BigEndian.PutUint64(h[offBaseTime:], uint64(base))
	binary.BigEndian.PutUint64(h[offMaxTime:], uint64(latest))
	binary.BigEndian.PutUint64(h[offProducerID:], uint64(p.ID))
	binary.BigEndian.PutUint16(h[offProducerEp:], uint16(p.Epoch))
	binary.BigEndian.PutUint32(h[offSequence:], uint32(p.Sequence))
	binary.BigEndian.PutUint32(h[offRecordCount:], uint32(len(records)))
	h.SetCRC()
	return dst
}

func appendRecord(b []byte, r Record, dt, do int64) []byte {
	b = append(b, 0)
	b = binary.AppendVarint(b, dt)
	b = binary.AppendVarint(b, do)
	b = appendBytes(b, r.Key)
	b = appendBytes(b, r.Value)
	b = binary.AppendVarint(b, int64(len(r.Headers)))
	for _, f := range r.Headers {
		b = binary.AppendVarint(b, int64(len(f.Key)))
		b = append(b, f.Key...)
		b = appendBytes(b, f.Value)
	}
	return b
}

// appendBytes writes null as length -1.
func appendBytes(b, v []byte) []byte {
	if v == nil {
		return binary.AppendVarint(b, -1)
	}
	b = binary.AppendVarint(b, int64(len(v)))
	return append(b, v...)
}
