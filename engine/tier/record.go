package tier

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/object"
)

// The kinds of journal records. The numbers are on disk.
const (
	recordPrepare   = 1 // id, not before, segment: an object may appear in the store
	recordCommit    = 2 // id, not before, footer: it is there and all its runs are cold data
	recordDestroy   = 3 // id, not before: its runs are dead, delete it
	recordTombstone = 4 // id: it is gone from the store
	recordTrim      = 5 // stream, before: its runs ending at or before that offset are dead
	recordEpoch     = 6 // epoch: the last fence claim, to find the next one
)

// record is a decoded journal record; fields not of its kind are zero.
type record struct {
	kind      byte
	id        ObjectID
	notBefore time.Time
	segment   uint64 // prepare
	footer    object.Footer
	size      int64 // commit: of the object
	stream    uint32
	before    int64
	epoch     uint64
}

var errRecord = errors.New("journal record is damaged")

func prepareRecord(id ObjectID, notBefore time.Time, segment uint64) []byte {
	return binary.AppendUvarint(objectRecord(recordPrepare, id, notBefore), segment)
}

func commitRecord(id ObjectID, notBefore time.Time, footer []byte) []byte {
	return append(objectRecord(recordCommit, id, notBefore), footer...)
}

func destroyRecord(id ObjectID, notBefore time.Time) []byte {
	return objectRecord(recordDestroy, id, notBefore)
}

func tombstoneRecord(id ObjectID) []byte {
	return append([]byte{recordTombstone}, id[:]...)
}

func trimRecord(stream uint32, before int64) []byte {
	b := binary.AppendUvarint([]byte{recordTrim}, uint64(stream))
	return binary.AppendVarint(b, before)
}

func epochRecord(epoch uint64) []byte {
	return binary.AppendUvarint([]byte{recordEpoch}, epoch)
}

func objectRecord(kind byte, id ObjectID, notBefore time.Time) []byte {
	b := append([]byte{kind}, id[:]...)
	return binary.AppendVarint(b, notBefore.UnixMilli())
}

// RecordKey names what a journal record is about, so that the journal can forget
// the records it supersedes: of each key only the last matters. dead means that
// not even this one does.
func RecordKey(rec []byte) (key string, dead bool, err error) {
	if len(rec) == 0 {
		return "", false, errRecord
	}
	switch kind := rec[0]; kind {
	case recordPrepare, recordCommit, recordDestroy, recordTombstone:
		if len(rec) < 17 {
			return "", false, errRecord
		}
		return "o" + string(rec[1:17]), kind == recordTombstone, nil
	case recordTrim:
		stream, n := binary.Uvarint(rec[1:])
		if n <= 0 || stream > math.MaxUint32 {
			return "", false, errRecord
		}
		return "t" + string(binary.BigEndian.AppendUint32(nil, uint32(stream))), false, nil
	case recordEpoch:
		return "e", false, nil
	}
	return "", false, fmt.Errorf("%w: kind %d; a newer build wrote it?", errRecord, rec[0])
}

// decodeRecord decodes rec; it keeps no reference to it.
func decodeRecord(rec []byte) (record, error) {
	if _, _, err := RecordKey(rec); err != nil {
		return record{}, err
	}
	r := record{kind: rec[0]}
	switch r.kind {
	case recordTrim:
		stream, n := binary.Uvarint(rec[1:])
		before, m := binary.Varint(rec[1+n:])
		if m <= 0 {
			return r, errRecord
		}
		r.stream, r.before = uint32(stream), before
		return r, nil
	case recordEpoch:
		epoch, n := binary.Uvarint(rec[1:])
		if n <= 0 {
			return r, errRecord
		}
		r.epoch = epoch
		return r, nil
	}
	copy(r.id[:], rec[1:17])
	if r.kind == recordTombstone {
		return r, nil
	}
	ms, n := binary.Varint(rec[17:])
	if n <= 0 {
		return r, errRecord
	}
	r.notBefore = time.UnixMilli(ms)
	rest := rec[17+n:]
	switch r.kind {
	case recordPrepare:
		segment, n := binary.Uvarint(rest)
		if n <= 0 {
			return r, errRecord
		}
		r.segment = segment
	case recordCommit:
		f, err := object.DecodeFooter(rest)
		if err != nil {
			return r, fmt.Errorf("%w: %w", errRecord, err)
		}
		if f.ID != r.id {
			return r, fmt.Errorf("%w: its footer is of another object", errRecord)
		}
		r.footer, r.size, r.segment = f, f.Size(len(rest)), f.Segment
	}
	return r, nil
}

// committed turns a footer into index rows.
func committed(f *object.Footer, size int64, notBefore time.Time) (Object, []Row) {
	rows := make([]Row, len(f.Runs))
	pos := int64(0)
	for i, r := range f.Runs {
		rows[i] = Row{Run: r, Object: f.ID, Position: pos}
		pos += r.Bytes
	}
	return Object{ID: f.ID, Size: size, Data: f.Data, Block: f.Block, Blocks: f.Blocks, NotBefore: notBefore}, rows
}
