package engine

import (
	"testing"
	"time"

	"github.com/streamkeeper-io/streamkeeper/test/alloctest"
)

func FuzzOffsets(f *testing.F) {
	at := CommittedOffset{Offset: 7, LeaderEpoch: 1, Metadata: "m", CommittedAt: time.UnixMilli(1700000000000)}
	f.Add(offsetKeyBytes("g", OffsetKey{Topic: "t", Partition: 3}), offsetValueBytes(at))
	f.Add(groupKeyBytes("g"), []byte{0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 10})
	f.Add([]byte{0, 5, 0, 1, 'g', 0, 1, 'm'}, []byte{0, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		var k groupKey
		var c CommittedOffset
		var okKey, okValue bool
		alloctest.Bound(t, len(key), 1, func() { k, okKey = decodeGroupKey(key) })
		alloctest.Bound(t, len(value), 1, func() { c, okValue = decodeOffsetValue(value) })
		if okKey && !k.isMeta && !k.isRecord {
			if again, ok := decodeGroupKey(offsetKeyBytes(k.group, k.offset)); !ok || again != k {
				t.Errorf("%+v comes back as %+v, %v", k, again, ok)
			}
		}
		if okValue {
			if again, ok := decodeOffsetValue(offsetValueBytes(c)); !ok || again != c {
				t.Errorf("%+v comes back as %+v, %v", c, again, ok)
			}
		}
	})
}
