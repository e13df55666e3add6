package engine

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/fields"
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

// groupKey is a decoded key of __consumer_offsets.
type groupKey struct {
	group  string
	offset OffsetKey
	isMeta bool
	// isRecord is a record of a group of the consumer protocol; engine/group knows what it says.
	isRecord bool
}

func decodeGroupKey(b []byte) (groupKey, bool) {
	f := fields.Of(b)
	switch f.Int16() {
	case 0, offsetKeyVersion:
		k := groupKey{group: f.Text(), offset: OffsetKey{Topic: f.Text(), Partition: f.Int32()}}
		return k, f.Done()
	case groupKeyVersion:
		k := groupKey{group: f.Text(), isMeta: true}
		return k, f.Done()
	case 3, 5, 6, 7, 8:
		k := groupKey{group: f.Text(), isRecord: true}
		return k, !f.Bad()
	}
	return groupKey{}, false
}

func decodeOffsetValue(b []byte) (CommittedOffset, bool) {
	f := fields.Of(b)
	version := f.Int16()
	c := CommittedOffset{Offset: f.Int64(), LeaderEpoch: -1}
	if version == 3 {
		c.LeaderEpoch = f.Int32()
	}
	c.Metadata = f.Text()
	c.CommittedAt = time.UnixMilli(f.Int64())
	if version == 1 {
		f.Int64() // expiry
	}
	return c, f.Done() && version >= 0 && version <= 3
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
