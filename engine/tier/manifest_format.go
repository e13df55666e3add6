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

// A manifest object is:
//
//	0   "SKOM" | version 1 | kind | 0 0 | epoch u64 | sequence u64      (little-endian)
//	24  entries: length uvarint | bytes, the first of which is their kind
//	-4  CRC-32C of everything before
const (
	manifestMagic   = "SKOM"
	manifestVersion = 1
	manifestHeader  = 24

	kindSnapshot = 1 // everything
	kindDelta    = 2 // what changed since the manifest before it

	entryObject = 'o' // id, phase, size, footer length, not before, moves
	entryGone   = 'g' // id: it is not in the store any more
	entryTrim   = 't' // stream, before, at
	entryMeta   = 'm' // the engine's metadata, whole
)

// manifest is a decoded one.
type manifest struct {
	kind     byte
	epoch    uint64
	sequence uint64
	entries  []entry
}

// entry is one fact; fields not of its kind are zero.
type entry struct {
	kind      byte
	id        ObjectID
	phase     phase
	size      int64
	footer    int64 // length
	notBefore time.Time
	moves     []move // of a rewrite, from objects not destroyed
	stream    uint32
	before    int64
	at        time.Time
	meta      []byte
}

var errManifest = errors.New("manifest is damaged")

func (m *manifest) encode() []byte {
	b := append([]byte(manifestMagic), manifestVersion, m.kind, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, m.epoch)
	b = binary.LittleEndian.AppendUint64(b, m.sequence)
	var scratch []byte
	for i := range m.entries {
		scratch = m.entries[i].append(scratch[:0])
		b = fields.AppendBytes(b, scratch)
	}
	return binary.LittleEndian.AppendUint32(b, object.Checksum(b))
}

func (e *entry) append(b []byte) []byte {
	b = append(b, e.kind)
	switch e.kind {
	case entryObject:
		b = append(append(b, e.id[:]...), byte(e.phase))
		b = binary.AppendUvarint(b, uint64(e.size))
		b = binary.AppendUvarint(b, uint64(e.footer))
		b = binary.AppendVarint(b, e.notBefore.UnixMilli())
		b = appendMoves(b, e.moves)
	case entryGone:
		b = append(b, e.id[:]...)
	case entryTrim:
		b = binary.AppendUvarint(b, uint64(e.stream))
		b = binary.AppendVarint(b, e.before)
		b = binary.AppendVarint(b, e.at.UnixMilli())
	case entryMeta:
		b = append(b, e.meta...)
	}
	return b
}

// decodeManifest decodes and checks a manifest; entries refer to b.
func decodeManifest(b []byte) (manifest, error) {
	var m manifest
	if len(b) < manifestHeader+4 || string(b[:4]) != manifestMagic {
		return m, fmt.Errorf("%w: it does not start with %s", errManifest, manifestMagic)
	}
	body := b[:len(b)-4]
	if got, want := object.Checksum(body), binary.LittleEndian.Uint32(b[len(body):]); got != want {
		return m, fmt.Errorf("%w: its CRC is %08x, want %08x", errManifest, got, want)
	}
	if b[4] != manifestVersion {
		return m, fmt.Errorf("manifest has format version %d, this build reads %d: use a newer build", b[4], manifestVersion)
	}
	m.kind, m.epoch, m.sequence = b[5], binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])
	if m.kind != kindSnapshot && m.kind != kindDelta {
		return m, fmt.Errorf("%w: kind %d", errManifest, m.kind)
	}
	for r := fields.Of(body[manifestHeader:]); r.Left() > 0; {
		b := r.Bytes()
		if len(b) == 0 {
			return m, fmt.Errorf("%w: entry %d does not fit", errManifest, len(m.entries))
		}
		e, err := decodeEntry(b)
		if err != nil {
			return m, err
		}
		m.entries = append(m.entries, e)
	}
	return m, nil
}

func decodeEntry(b []byte) (entry, error) {
	e, r := entry{kind: b[0]}, fields.Of(b[1:])
	switch e.kind {
	case entryObject:
		e.id = readID(&r)
		e.phase = phase(r.Uvarint(0x7f))
		e.size, e.footer = int64(r.Uvarint(math.MaxInt64)), int64(r.Uvarint(object.MaxFooter))
		e.notBefore = time.UnixMilli(r.Varint())
		if e.phase != live && e.phase != destroyed {
			r.Fail()
		}
		e.moves = readMoves(&r, r.Left()/moveSize)
	case entryGone:
		e.id = readID(&r)
	case entryTrim:
		e.stream, e.before, e.at = uint32(r.Uvarint(math.MaxUint32)), r.Varint(), time.UnixMilli(r.Varint())
	case entryMeta:
		e.meta = r.Rest()
	default:
		return e, fmt.Errorf("%w: an entry of kind %q; a newer build wrote it?", errManifest, e.kind)
	}
	if !r.Done() {
		return e, fmt.Errorf("%w: an entry of kind %q does not decode", errManifest, e.kind)
	}
	return e, nil
}

func readID(r *fields.Reader) (id ObjectID) {
	copy(id[:], r.Take(len(id)))
	return id
}

// manifestName sorts by epoch and sequence.
func manifestName(node int32, epoch, sequence uint64) string {
	return fmt.Sprintf("%s%010d-%010d.skm", manifestPrefix(node), epoch, sequence)
}

func manifestPrefix(node int32) string { return fmt.Sprintf("manifest/node-%d/", node) }
