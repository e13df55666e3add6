package engine

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper/engine/txn"
	"github.com/streamkeeper-io/streamkeeper/test/alloctest"
)

func TestTransactionValue_RoundTrips(t *testing.T) {
	for _, s := range []txn.Snapshot{
		{ID: "a", Producer: txn.Producer{ID: 1}, LastEpoch: -1, PreviousID: -1, NextID: -1, Timeout: time.Minute, Updated: time.UnixMilli(5)},
		{
			ID: "b", Producer: txn.Producer{ID: 1, Epoch: 32767}, LastEpoch: -1, PreviousID: 0, NextID: 9, Timeout: time.Second,
			State: txn.PrepareCommit, Started: time.UnixMilli(3), Updated: time.UnixMilli(5), Bumps: true,
			Partitions: []txn.Partition{{Topic: "t", Index: 0}, {Topic: "t", Index: 2}, {Topic: "u", Index: 1}},
		},
	} {
		got, err := decodeTransactionValue(s.ID, transactionValueBytes(s))
		if diff := cmp.Diff(s, got); err != nil || diff != "" {
			t.Error(err, diff)
		}
		if id, ok := decodeTransactionKey(transactionKeyBytes(s.ID)); !ok || id != s.ID {
			t.Errorf("key of %q is read as %q, %v", s.ID, id, ok)
		}
	}
}

// Version 0 is what Kafka before 4.0 wrote.
func TestTransactionValue_FirstVersion(t *testing.T) {
	v := kmsg.NewTxnMetadataValue()
	v.ProducerID, v.ProducerEpoch, v.TimeoutMillis, v.State, v.StartTimestamp, v.LastUpdateTimestamp = 4, 2, 1000, 4, -1, 9
	got, err := decodeTransactionValue("a", v.AppendTo(nil))
	want := txn.Snapshot{
		ID: "a", Producer: txn.Producer{ID: 4, Epoch: 2}, LastEpoch: -1, PreviousID: -1, NextID: -1, Timeout: time.Second,
		State: txn.CompleteCommit, Updated: time.UnixMilli(9),
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func FuzzTransactionState(f *testing.F) {
	s := txn.Snapshot{Producer: txn.Producer{ID: 1}, State: txn.Ongoing, Partitions: []txn.Partition{{Topic: "t", Index: 2}}}
	f.Add(transactionKeyBytes("id"), transactionValueBytes(s))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if id, ok := decodeTransactionKey(key); ok && len(id) > len(key) {
			t.Error("a key longer than its bytes")
		}
		var s txn.Snapshot
		var err error
		alloctest.Bound(t, len(value), 24, func() { s, err = decodeTransactionValue("id", value) }) // a Partition for 4 bytes
		if err == nil && len(s.Partitions) > len(value) {
			t.Error("more partitions than bytes")
		}
	})
}
