package engine

import (
	"encoding/binary"
	"math"
	"time"
)

// The bytes of __consumer_offsets are Kafka's: tools such as Burrow read them.
//
//	offset key    int16 version 1 · group · topic · int32 partition
//	offset value  int16 version 3 · int64 offset · int32 leader epoch · metadata · int64 commit time
//	              (versions 0 to 2 are read too: no leader epoch, version 1 with an expiry)
//	group key     int16 version 2 · group
//	record keys   int16 version 3, 5, 6, 7 or 8 · group · more: groups of the consumer protocol; kept as they are
//	strings       int16 length, bytes
const (
	offsetKeyVersion   = 1
	groupKeyVersion    = 2
	offsetValueVersion = 3
)

func appendString(b []byte, s string) []byte {
	if len(s) > math.MaxInt16 {
		s = s[:math.MaxInt16]
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

func offsetKeyBytes(group string, k OffsetKey) []byte {
	b := binary.BigEndian.AppendUint16(nil, offsetKeyVersion)
	b = appendString(b, group)
	b = appendString(b, k.Topic)
	return binary.BigEndian.AppendUint32(b, uint32(k.Partition))
}

func groupKeyBytes(group string) []byte {
	return appendString(binary.BigEndian.AppendUint16(nil, groupKeyVersion), group)
}

func offsetValueBytes(c CommittedOffset) []byte {
	b := binary.BigEndian.AppendUint16(nil, offsetValueVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Offset))
	b = binary.BigEndian.AppendUint32(b, uint32(c.LeaderEpoch))
	b = appendString(b, c.Metadata)
	return binary.BigEndian.AppendUint64(b, uint64(c.CommittedAt.UnixMilli()))
}

// fields reads big-endian fields and remembers the first failure.
type fields struct {
	b       []byte
	bad     bool
	compact bool // counts are varints, and tagged fields follow each struct
}

func (f *fields) take(n int) []byte {
	if n < 0 || n > len(f.b) {
		f.bad, f.b = true, nil
		return make([]byte, max(n, 0)&0xf)
	}
	v := f.b[:n]
	f.b = f.b[n:]
	return v
}

func (f *fields) i16() int16 { return int16(binary.BigEndian.Uint16(f.take(2))) }
func (f *fields) i32() int32 { return int32(binary.BigEndian.Uint32(f.take(4))) }
func (f *fields) i64() int64 { return int64(binary.BigEndian.Uint64(f.take(8))) }

func (f *fields) str() string {
	n := int(f.i16())
	if n < 0 || n > len(f.b) {
		f.bad = f.bad || n != -1
		return ""
	}
	return string(f.take(n))
}

func (f *fields) i8() int8 { return int8(f.take(1)[0]) }

func (f *fields) uvarint() uint64 {
	n, used := binary.Uvarint(f.b)
	if used <= 0 {
		f.bad, f.b = true, nil
		return 0
	}
	f.b = f.b[used:]
	return n
}

// count reads how many elements follow, 0 for null. None takes less than a byte.
func (f *fields) count() int {
	var n int64
	if f.compact {
		n = int64(min(f.uvarint(), math.MaxInt32)) - 1
	} else {
		n = int64(f.i32())
	}
	if n > int64(len(f.b)) {
		f.bad, f.b = true, nil
		return 0
	}
	return max(int(n), 0)
}

func (f *fields) text() string {
	if !f.compact {
		return f.str()
	}
	return string(f.take(f.count()))
}

// tags reads the tagged fields at the end of a struct; nil steps over them.
func (f *fields) tags(see func(key uint64, value *fields)) {
	if !f.compact {
		return
	}
	n := f.uvarint()
	if n > uint64(len(f.b)) {
		f.bad, f.b = true, nil
		return
	}
	for range n {
		key, size := f.uvarint(), f.uvarint()
		v := fields{b: f.take(int(min(size, math.MaxInt32)))}
		if see != nil && !f.bad {
			see(key, &v)
			f.bad = f.bad || v.bad
		}
	}
}

// groupKey is a decoded key of __consumer_offsets.
type groupKey struct {
	group  string
	offset OffsetKey
	isMeta bool
	// isRecord is a record of a group of the consumer protocol; engine/group knows what it says.
	isRecord bool
}

func decodeGroupKey(b []byte) (groupKey, bool) {
	f := fields{b: b}
	switch f.i16() {
	case 0, offsetKeyVersion:
		k := groupKey{group: f.str(), offset: OffsetKey{Topic: f.str(), Partition: f.i32()}}
		return k, !f.bad && len(f.b) == 0
	case groupKeyVersion:
		k := groupKey{group: f.str(), isMeta: true}
		return k, !f.bad && len(f.b) == 0
	case 3, 5, 6, 7, 8:
		k := groupKey{group: f.str(), isRecord: true}
		return k, !f.bad
	}
	return groupKey{}, false
}

func decodeOffsetValue(b []byte) (CommittedOffset, bool) {
	f := fields{b: b}
	version := f.i16()
	c := CommittedOffset{Offset: f.i64(), LeaderEpoch: -1}
	if version == 3 {
		c.LeaderEpoch = f.i32()
	}
	c.Metadata = f.str()
	c.CommittedAt = time.UnixMilli(f.i64())
	if version == 1 {
		f.i64() // expiry
	}
	return c, !f.bad && len(f.b) == 0 && version >= 0 && version <= 3
}

// javaHash is String.hashCode of a string, over its UTF-16 code units.
func javaHash(s string) int32 {
	var h int32
	for _, r := range s {
		if r >= 0x10000 {
			r -= 0x10000
			h = 31*h + 0xd800 + r>>10
			h = 31*h + 0xdc00 + r&0x3ff
			continue
		}
		h = 31*h + r
	}
	return h
}

// groupPartition is Kafka's Utils.abs(hashCode) % partitions.
func groupPartition(group string, partitions int32) int32 {
	return (javaHash(group) & math.MaxInt32) % partitions
}
