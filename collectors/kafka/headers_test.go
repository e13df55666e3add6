package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// batch is the wire form of a batch of n records from an offset on; what is in them does not matter.
func batch(base int64, n int32, attrs int16, producer, from, to int64) []byte {
	b := kmsg.RecordBatch{
		FirstOffset: base, Magic: 2, Attributes: attrs, LastOffsetDelta: n - 1, FirstTimestamp: from, MaxTimestamp: to,
		ProducerID: producer, NumRecords: n, Records: []byte("what nobody looks at"),
	}
	b.Length = int32(len(b.AppendTo(nil)) - batchPrefix)
	return b.AppendTo(nil)
}

func TestLookAt(t *testing.T) {
	const data, inTxn, marker = 0, attrInTxn, attrInTxn | attrControl
	join := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	aborted := []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 7, FirstOffset: 98}}
	for _, test := range []struct {
		name    string
		bytes   []byte
		aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction
		want    found
	}{
		{"nothing", nil, nil, found{next: 100, at: unset}},
		{"a record", batch(100, 5, data, -1, 50, 90), nil, found{next: 100, record: true, at: 50}},
		{"within a batch", batch(98, 5, data, -1, 50, 90), nil, found{next: 100, record: true, at: unset}},
		{"within a batch of one moment", batch(98, 5, data, -1, 90, 90), nil, found{next: 100, record: true, at: 90}},
		{"stamped by the broker", batch(98, 5, attrAppended, -1, 50, 90), nil, found{next: 100, record: true, at: 90}},
		{"behind a hole", batch(120, 5, data, -1, 50, 90), nil, found{next: 120, record: true, at: 50}},
		{"a marker, and no more", batch(100, 1, marker, 7, 50, 50), nil, found{next: 101, at: unset, transacted: true}},
		{"a marker, then a record", join(batch(100, 1, marker, 7, 50, 50), batch(101, 2, inTxn, 7, 60, 60)), nil, found{next: 101, record: true, at: 60, transacted: true}},
		{"aborted records and their marker", join(batch(98, 4, inTxn, 7, 50, 50), batch(102, 1, marker, 7, 60, 60)), aborted, found{next: 103, at: unset, transacted: true}},
		{
			"the next transaction of that producer", join(batch(98, 4, inTxn, 7, 50, 50), batch(102, 1, marker, 7, 60, 60), batch(103, 1, inTxn, 7, 70, 70)),
			aborted,
			found{next: 103, record: true, at: 70, transacted: true},
		},
		{"of another producer", batch(100, 4, inTxn, 8, 50, 50), aborted, found{next: 100, record: true, at: 50, transacted: true}},
		{"one that is cut off", batch(100, 5, data, -1, 50, 90)[:batchHead+3], nil, found{next: 100, record: true, at: 50}},
		{"a head that is cut off", batch(100, 5, data, -1, 50, 90)[:batchHead-1], nil, found{next: 100, at: unset}},
		{"no stamp", batch(100, 5, data, -1, -1, -1), nil, found{next: 100, record: true, at: unset}},
	} {
		if test.aborted != nil {
			test.aborted = aborted
		}
		got := lookAt(&kmsg.FetchResponseTopicPartition{RecordBatches: test.bytes, AbortedTransactions: test.aborted}, 100)
		if got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

func FuzzLookAt(f *testing.F) {
	f.Add(append(batch(5, 3, attrInTxn, 7, 1, 2), batch(8, 1, attrInTxn|attrControl, 7, 3, 3)...), int64(6), int64(7), int64(5))
	f.Add(batch(5, 3, 0, 7, 1, 2)[:70], int64(0), int64(0), int64(0))
	f.Fuzz(func(t *testing.T, b []byte, offset, producer, first int64) {
		p := &kmsg.FetchResponseTopicPartition{RecordBatches: b}
		p.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: producer, FirstOffset: first}}
		if got := lookAt(p, offset); got.next < offset || got.at < unset {
			t.Errorf("%+v from %d on", got, offset)
		}
	})
}
