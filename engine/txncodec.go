package engine

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper/engine/fields"
	"github.com/streamkeeper-io/streamkeeper/engine/txn"
)

// The bytes of __transaction_state are Kafka's: TransactionLogKey version 0 and TransactionLogValue version 1 (version 0
// is read too).
const (
	txnKeyVersion   = 0
	txnValueVersion = 1
)

// Kafka's transaction.version, as the value keeps it: from 2 on the epoch is raised with every transaction.
const (
	txnVersionPlain = 0
	txnVersionBumps = 2
)

func transactionKeyBytes(id string) []byte {
	return appendString(binary.BigEndian.AppendUint16(nil, txnKeyVersion), id)
}

func decodeTransactionKey(b []byte) (id string, ok bool) {
	f := fields.Of(b)
	version := f.Int16()
	id = f.Text()
	return id, version == txnKeyVersion && f.Done()
}

// millis is Kafka's -1 for a time that is not.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return -1
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms < 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

func transactionValueBytes(s txn.Snapshot) []byte {
	v := kmsg.NewTxnMetadataValue()
	v.Version = txnValueVersion
	v.ProducerID, v.ProducerEpoch, v.TimeoutMillis = s.Producer.ID, s.Producer.Epoch, int32(s.Timeout.Milliseconds())
	v.State = kmsg.TransactionState(s.State)
	v.PreviousProducerID, v.NextProducerID, v.ClientTransactionVersion = s.PreviousID, s.NextID, txnVersionPlain
	if s.Bumps {
		v.ClientTransactionVersion = txnVersionBumps
	}
	v.LastUpdateTimestamp, v.StartTimestamp = millis(s.Updated), millis(s.Started)
	for _, p := range s.Partitions { // sorted
		if n := len(v.Topics); n == 0 || v.Topics[n-1].Topic != p.Topic {
			t := kmsg.NewTxnMetadataValueTopic()
			t.Topic = p.Topic
			v.Topics = append(v.Topics, t)
		}
		t := &v.Topics[len(v.Topics)-1]
		t.Partitions = append(t.Partitions, p.Index)
	}
	return v.AppendTo(nil)
}

// decodeTransactionValue reads a state. kmsg would loop as often as a count says, whatever there is to read.
func decodeTransactionValue(id string, b []byte) (txn.Snapshot, error) {
	f := fields.Of(b)
	version := f.Int16()
	f.Compact = version == txnValueVersion
	s := txn.Snapshot{
		ID: id, Producer: txn.Producer{ID: f.Int64(), Epoch: f.Int16()}, LastEpoch: -1, PreviousID: -1, NextID: -1,
		Timeout: time.Duration(f.Int32()) * time.Millisecond, State: txn.State(f.Int8()),
	}
	for range f.Array(3) {
		topic := f.Text()
		for range f.Array(4) {
			s.Partitions = append(s.Partitions, txn.Partition{Topic: topic, Index: f.Int32()})
		}
		f.Tags(nil)
	}
	s.Updated, s.Started = fromMillis(f.Int64()), fromMillis(f.Int64())
	f.Tags(func(key uint64, v *fields.Reader) {
		switch key {
		case 0:
			s.PreviousID = v.Int64()
		case 1:
			s.NextID = v.Int64()
		case 2:
			s.Bumps = v.Int16() >= txnVersionBumps
		}
	})
	switch {
	case version < 0 || version > txnValueVersion || s.State > txn.CompleteAbort:
		return s, fmt.Errorf("state of transactional id %q: version %d, state %d; a newer build wrote it?", id, version, s.State)
	case !f.Done():
		return s, fmt.Errorf("state of transactional id %q: it is cut or damaged", id)
	}
	return s, nil
}
