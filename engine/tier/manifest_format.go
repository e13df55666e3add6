package tier

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

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
		b = binary.AppendUvarint(b, uint64(len(scratch)))
		b = append(b, scratch...)
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
	for rest := body[manifestHeader:]; len(rest) > 0; {
		n, w := binary.Uvarint(rest)
		if w <= 0 || n == 0 || n > uint64(len(rest)-w) {
			return m, fmt.Errorf("%w: entry %d does not fit", errManifest, len(m.entries))
		}
		e, err := decodeEntry(rest[w : w+int(n)])
		if err != nil {
			return m, err
		}
		m.entries = append(m.entries, e)
		rest = rest[w+int(n):]
	}
	return m, nil
}

// fields reads varints; the first failure sticks.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(f.b)
	if n <= 0 || v > limit {
		f.bad, f.b = true, nil
		return 0
	}
	f.b = f.b[n:]
	return v
}

func (f *fields) varint() int64 {
	v, n := binary.Varint(f.b)
	if n <= 0 {
		f.bad, f.b = true, nil
		return 0
	}
	f.b = f.b[n:]
	return v
}

func (f *fields) id() (id ObjectID) {
	if len(f.b) < len(id) {
		f.bad, f.b = true, nil
		return id
	}
	f.b = f.b[copy(id[:], f.b):]
	return id
}

func decodeEntry(b []byte) (entry, error) {
	e, f := entry{kind: b[0]}, fields{b: b[1:]}
	switch e.kind {
	case entryObject:
		e.id = f.id()
		e.phase = phase(f.uvarint(0x7f))
		e.size, e.footer = int64(f.uvarint(math.MaxInt64)), int64(f.uvarint(object.MaxFooter))
		e.notBefore = time.UnixMilli(f.varint())
		f.bad = f.bad || e.phase != live && e.phase != destroyed || len(f.b)%moveSize != 0
		if len(f.b) > 0 && !f.bad {
			e.moves, f.b = decodeMoves(f.b), nil
		}
	case entryGone:
		e.id = f.id()
	case entryTrim:
		e.stream, e.before, e.at = uint32(f.uvarint(math.MaxUint32)), f.varint(), time.UnixMilli(f.varint())
	case entryMeta:
		e.meta, f.b = f.b, nil
	default:
		return e, fmt.Errorf("%w: an entry of kind %q; a newer build wrote it?", errManifest, e.kind)
	}
	if f.bad || len(f.b) > 0 {
		return e, fmt.Errorf("%w: an entry of kind %q does not decode", errManifest, e.kind)
	}
	return e, nil
}

// manifestName sorts by epoch and sequence.
func manifestName(node int32, epoch, sequence uint64) string {
	return fmt.Sprintf("%s%010d-%010d.skm", manifestPrefix(node), epoch, sequence)
}

func manifestPrefix(node int32) string { return fmt.Sprintf("manifest/node-%d/", node) }
