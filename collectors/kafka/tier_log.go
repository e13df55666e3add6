package kafka

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kgo"
)

// tierLog is the topic that brokers write down in what they do with segments in the remote store, where Kafka's own
// RemoteLogMetadataManager keeps it.
const tierLog = "__remote_log_metadata"

// copied is one thing that a broker wrote of a segment and the store.
type copied struct {
	where   partition
	segment [16]byte
	state   copyState
	broker  int32
	at      time.Time // by the broker's clock
	base    int64     // of a copy that starts: the first offset
	size    int64     // and bytes
}

// copyState is what becomes of a segment: Kafka's RemoteLogSegmentState.
type copyState int8

const (
	copyStarted copyState = iota
	copyFinished
	deleteStarted
	deleteFinished
	partitionDeleted // of Kafka's RemotePartitionDeleteState, whichever
)

// Kinds of records, their one version, and the version of what comes before.
const (
	tierFrame     = 1
	tierSegment   = 0
	tierUpdate    = 1
	tierPartition = 2
	tierVersion   = 0
)

// readCopied reads what a record tells; ok is false for kinds and versions of later. Of a record that is not as it should be the
// error says what is wrong. It takes no more memory than some times the record. kmsg does not know these records: their
// fields are in Kafka's RemoteLogSegmentMetadataRecord.json and its neighbours.
func readCopied(r *kgo.Record) (l copied, ok bool, err error) {
	b := kbin.Reader{Src: r.Value}
	frame, kind, version := b.Uvarint(), b.Uvarint(), b.Uvarint()
	if !b.Ok() {
		return l, false, fmt.Errorf("a value of %d bytes", len(r.Value))
	}
	if frame != tierFrame || version != tierVersion || kind > tierPartition {
		return l, false, nil
	}
	if kind != tierPartition {
		l.where = readTierPartition(&b)
		l.segment = b.Uuid()
		skipTags(&b)
	}
	switch kind {
	case tierSegment:
		l.base = b.Int64()
		end := b.Int64()
		l.broker = b.Int32()
		b.Int64() // the latest timestamp in it
		l.at = time.UnixMilli(b.Int64())
		for n := b.CompactArrayLen(); n > 0 && b.Ok(); n-- {
			b.Int32() // leader epoch
			b.Int64() // its first offset
			skipTags(&b)
		}
		l.size = int64(b.Int32())
		b.CompactNullableBytes() // of the plugin
		l.state = copyState(b.Int8())
		if b.Ok() && (l.base < 0 || end < l.base || l.size < 0) {
			return l, false, fmt.Errorf("a segment from %d to %d of %d bytes", l.base, end, l.size)
		}
	case tierUpdate:
		l.broker = b.Int32()
		l.at = time.UnixMilli(b.Int64())
		b.CompactNullableBytes() // of the plugin
		l.state = copyState(b.Int8())
	case tierPartition:
		l.where = readTierPartition(&b)
		l.broker = b.Int32()
		l.at = time.UnixMilli(b.Int64())
		b.Int8() // how far it is deleted
		l.state = partitionDeleted
	}
	skipTags(&b)
	switch {
	case !b.Ok() || l.where.index < 0:
		return l, false, fmt.Errorf("a record of kind %d of %d bytes that ends early, or names no partition", kind, len(r.Value))
	case l.state < copyStarted || l.state > deleteFinished && kind != tierPartition:
		return l, false, nil // of later
	}
	return l, true, nil
}

// readTierPartition reads a partition with its topic's name and id. The name is unique while the topic is there.
func readTierPartition(b *kbin.Reader) partition {
	p := partition{topic: b.CompactString()}
	b.Uuid()
	p.index = b.Int32()
	skipTags(b)
	return p
}

// skipTags passes over what later versions may add. kmsg.SkipTags goes on counting after the end.
func skipTags(b *kbin.Reader) {
	for n := b.Uvarint(); n > 0 && b.Ok(); n-- {
		b.Uvarint()
		b.Span(int(b.Uvarint()))
	}
}
