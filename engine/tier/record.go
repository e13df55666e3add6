package tier

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/fields"
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
	recordRewrite   = 7 // id, not before, moves, footer: a COMMIT whose runs replace those that moved
	recordManifest  = 8 // chains of manifests that may be in the store: epoch and first sequence of each
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
	at        time.Time // trim: when the stream was trimmed so far; zero in records of older builds
	epoch     uint64
	moves     []move // rewrite: what it replaces
	chains    []chain
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

func rewriteRecord(id ObjectID, notBefore time.Time, moves []move, footer []byte) []byte {
	b := objectRecord(recordRewrite, id, notBefore)
	b = binary.AppendUvarint(b, uint64(len(moves)))
	return append(appendMoves(b, moves), footer...)
}

func appendMoves(b []byte, moves []move) []byte {
	for _, m := range moves {
		b = append(b, m.source[:]...)
		b = binary.LittleEndian.AppendUint32(b, m.from)
		b = binary.LittleEndian.AppendUint32(b, m.to)
	}
	return b
}

// moveSize is the length of an encoded move.
const moveSize = len(ObjectID{}) + 8

// readMoves reads n of them; nil when there are none.
func readMoves(r *fields.Reader, n int) []move {
	b := r.Take(n * moveSize)
	if len(b) == 0 {
		return nil
	}
	moves := make([]move, 0, n)
	for ; len(b) >= moveSize; b = b[moveSize:] {
		moves = append(moves, move{ObjectID(b[:16]), binary.LittleEndian.Uint32(b[16:]), binary.LittleEndian.Uint32(b[20:])})
	}
	return moves
}

func trimRecord(stream uint32, before int64, at time.Time) []byte {
	b := binary.AppendUvarint([]byte{recordTrim}, uint64(stream))
	b = binary.AppendVarint(b, before)
	return binary.AppendVarint(b, at.UnixMilli())
}

func epochRecord(epoch uint64) []byte {
	return binary.AppendUvarint([]byte{recordEpoch}, epoch)
}

func manifestRecord(chains []chain) []byte {
	b := []byte{recordManifest}
	for _, c := range chains {
		b = binary.AppendUvarint(b, c.epoch)
		b = binary.AppendUvarint(b, c.first)
	}
	return b
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
	case recordPrepare, recordCommit, recordDestroy, recordTombstone, recordRewrite:
		if len(rec) < 17 {
			return "", false, errRecord
		}
		return "o" + string(rec[1:17]), kind == recordTombstone, nil
	case recordTrim:
		f := fields.Of(rec[1:])
		stream, before := f.Uvarint(math.MaxUint32), f.Varint()
		if f.Bad() {
			return "", false, errRecord
		}
		return "t" + string(binary.BigEndian.AppendUint32(nil, uint32(stream))), before == forgotten, nil
	case recordEpoch:
		return "e", false, nil
	case recordManifest:
		return "m", false, nil
	}
	return "", false, fmt.Errorf("%w: kind %d; a newer build wrote it?", errRecord, rec[0])
}

// TrimOf is what a record that trims a stream, but does not delete it, says: nothing
// below offset before is there any more. ok is false for all other records.
func TrimOf(rec []byte) (stream uint32, before int64, ok bool) {
	if len(rec) == 0 || rec[0] != recordTrim {
		return 0, 0, false
	}
	r, err := decodeRecord(rec)
	return r.stream, r.before, err == nil && r.before != deletedTopic && r.before != forgotten
}

// decodeRecord decodes rec; it keeps no reference to it.
func decodeRecord(rec []byte) (record, error) {
	if _, _, err := RecordKey(rec); err != nil {
		return record{}, err
	}
	r, f := record{kind: rec[0]}, fields.Of(rec[1:])
	switch r.kind {
	case recordTrim:
		r.stream, r.before = uint32(f.Uvarint(math.MaxUint32)), f.Varint()
		if f.Left() > 0 {
			r.at = time.UnixMilli(f.Varint())
		}
	case recordEpoch:
		r.epoch = f.Uvarint(math.MaxUint64)
	case recordManifest:
		for f.Left() > 0 {
			r.chains = append(r.chains, chain{f.Uvarint(math.MaxUint64), f.Uvarint(math.MaxUint64)})
		}
	default:
		return r, r.decodeObject(f)
	}
	if f.Bad() {
		return r, errRecord
	}
	return r, nil
}

// decodeObject decodes what is said of an object.
func (r *record) decodeObject(f fields.Reader) error {
	r.id = readID(&f)
	if r.kind != recordTombstone {
		r.notBefore = time.UnixMilli(f.Varint())
	}
	switch r.kind {
	case recordPrepare:
		r.segment = f.Uvarint(math.MaxUint64)
	case recordRewrite:
		r.moves = readMoves(&f, f.Count(moveSize))
	}
	if f.Bad() {
		return errRecord
	}
	if r.kind == recordCommit || r.kind == recordRewrite {
		return r.decodeFooter(f.Rest())
	}
	return nil
}

func (r *record) decodeFooter(b []byte) error {
	f, err := object.DecodeFooter(b)
	if err != nil {
		return fmt.Errorf("%w: %w", errRecord, err)
	}
	if f.ID != r.id {
		return fmt.Errorf("%w: its footer is of another object", errRecord)
	}
	r.footer, r.size, r.segment = f, f.Size(len(b)), f.Segment
	return nil
}

// overhead is what an object holds besides its runs and its footer.
const overhead = object.HeaderSize + object.TrailerSize

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
