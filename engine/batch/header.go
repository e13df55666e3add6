package batch

import (
	"encoding/binary"
	"hash/crc32"
)

// Offsets of the header's fields; every number is big-endian.
const (
	offBaseOffset  = 0
	offLength      = 8
	offEpoch       = 12
	offMagic       = 16
	offCRC         = 17
	offAttributes  = 21
	offLastDelta   = 23
	offBaseTime    = 27
	offMaxTime     = 35
	offProducerID  = 43
	offProducerEp  = 51
	offSequence    = 53
	offRecordCount = 57

	// HeaderSize is the length of a v2 batch without records.
	HeaderSize = 61
	// lengthOverhead is what the length field does not count: itself and the base offset.
	lengthOverhead = 12
	// Magic is the only format this package knows.
	Magic = 2
)

// Attribute bits of a v2 batch.
const (
	CodecMask     = 0x07
	LogAppendTime = 0x08
	Transactional = 0x10
	Control       = 0x20
	DeleteHorizon = 0x40
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Header is a view of one batch's bytes. Its methods panic when the bytes are shorter than HeaderSize, so check first
// (Check or Next). It copies nothing and is safe for concurrent reads.
type Header []byte

// BaseOffset is the offset of the first record.
func (h Header) BaseOffset() int64 { return int64(binary.BigEndian.Uint64(h[offBaseOffset:])) }

// Size is the batch's whole length in bytes, header included.
func (h Header) Size() int {
	return int(int32(binary.BigEndian.Uint32(h[offLength:]))) + lengthOverhead
}

// LeaderEpoch is the partition leader epoch.
func (h Header) LeaderEpoch() int32 { return int32(binary.BigEndian.Uint32(h[offEpoch:])) }

// Magic is the format version byte.
func (h Header) Magic() int8 { return int8(h[offMagic]) }

// CRC is the stored CRC-32C, which covers everything from the attributes on.
func (h Header) CRC() uint32 { return binary.BigEndian.Uint32(h[offCRC:]) }

// Attributes are the codec and flag bits.
func (h Header) Attributes() int16 { return int16(binary.BigEndian.Uint16(h[offAttributes:])) }

// Codec is the compression codec.
func (h Header) Codec() Codec { return Codec(h.Attributes() & CodecMask) }

// IsLogAppendTime reports whether the broker set the timestamps.
func (h Header) IsLogAppendTime() bool { return h.Attributes()&LogAppendTime != 0 }

// IsTransactional reports whether the batch belongs to a transaction.
func (h Header) IsTransactional() bool { return h.Attributes()&Transactional != 0 }

// IsControl reports whether the batch is a transaction marker rather than user data.
func (h Header) IsControl() bool { return h.Attributes()&Control != 0 }

// LastOffsetDelta is the last record's offset relative to the base.
func (h Header) LastOffsetDelta() int32 { return int32(binary.BigEndian.Uint32(h[offLastDelta:])) }

// LastOffset is the offset of the last record.
func (h Header) LastOffset() int64 { return h.BaseOffset() + int64(h.LastOffsetDelta()) }

// NextOffset is the offset after the batch.
func (h Header) NextOffset() int64 { return h.LastOffset() + 1 }

// BaseTimestamp is the first record's timestamp in milliseconds.
func (h Header) BaseTimestamp() int64 { return int64(binary.BigEndian.Uint64(h[offBaseTime:])) }

// MaxTimestamp is the largest timestamp in the batch in milliseconds.
func (h Header) MaxTimestamp() int64 { return int64(binary.BigEndian.Uint64(h[offMaxTime:])) }

// ProducerID is the idempotent producer's id, or -1.
func (h Header) ProducerID() int64 { return int64(binary.BigEndian.Uint64(h[offProducerID:])) }

// ProducerEpoch is the idempotent producer's epoch, or -1.
func (h Header) ProducerEpoch() int16 { return int16(binary.BigEndian.Uint16(h[offProducerEp:])) }

// BaseSequence is the first record's sequence number, or -1.
func (h Header) BaseSequence() int32 { return int32(binary.BigEndian.Uint32(h[offSequence:])) }

// LastSequence is the last record's sequence number; sequences wrap at 2^31 to 0.
func (h Header) LastSequence() int32 { return AddSequence(h.BaseSequence(), h.LastOffsetDelta()) }

// RecordCount is the number of records the batch claims.
func (h Header) RecordCount() int32 { return int32(binary.BigEndian.Uint32(h[offRecordCount:])) }

// SetBaseOffset patches the base offset in place; the CRC does not cover it.
func (h Header) SetBaseOffset(o int64) { binary.BigEndian.PutUint64(h[offBaseOffset:], uint64(o)) }

// SetLeaderEpoch patches the leader epoch in place; the CRC does not cover it.
func (h Header) SetLeaderEpoch(e int32) { binary.BigEndian.PutUint32(h[offEpoch:], uint32(e)) }

// SetLogAppendTime stamps the batch with the broker's time and recomputes the CRC, which covers the timestamps.
func (h Header) SetLogAppendTime(ms int64) {
	binary.BigEndian.PutUint16(h[offAttributes:], uint16(h.Attributes()|LogAppendTime))
	binary.BigEndian.PutUint64(h[offMaxTime:], uint64(ms))
	h.SetCRC()
}

// SetCRC stores the CRC of the batch as it stands.
func (h Header) SetCRC() { binary.BigEndian.PutUint32(h[offCRC:], h.ComputeCRC()) }

// ComputeCRC sums the batch; it must be cut to its own size.
func (h Header) ComputeCRC() uint32 { return crc32.Checksum(h[offAttributes:h.Size()], castagnoli) }

// AddSequence adds n to a sequence number; numbers run from 0 to 2^31-1 and wrap.
func AddSequence(seq, n int32) int32 { return int32((int64(seq) + int64(n)) & 0x7fffffff) }

// Next cuts the first batch off b. ok is false when b does not start with a whole batch: its header is short, its
// length is impossible or its bytes are not all there. It looks at nothing else.
func Next(b []byte) (h Header, rest []byte, ok bool) {
	if len(b) < HeaderSize {
		return nil, b, false
	}
	n := Header(b).Size()
	if n < HeaderSize || n > len(b) {
		return nil, b, false
	}
	return Header(b[:n:n]), b[n:], true
}
