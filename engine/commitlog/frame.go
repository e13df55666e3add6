package commitlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// ErrCorrupt means the log lost or changed bytes it had made durable. It is not repaired by cutting.
var ErrCorrupt = errors.New("commit log is corrupt")

// errShort means that a frame's header is right and its payload is not all there.
var errShort = errors.New("frame does not fit")

// Kind says what a frame's payload is.
type Kind uint8

// The kinds of frames. Numbers are on disk and never reused.
const (
	KindHeader   Kind = 1 // first frame of a segment
	KindBatch    Kind = 2 // one record batch
	KindTier     Kind = 3 // a tier record
	KindLogStart Kind = 4 // BaseOffset is the stream's new first offset; read only: a tier record says it now
)

const (
	frameMagic   = 0x31464b53 // "SKF1", little-endian
	frameVersion = 1
	// HeaderSize is the length of a frame's header.
	HeaderSize = 64
	align      = 8
	// The first bytes of a record batch (base offset, length, leader epoch, magic, CRC) are not covered by the batch's
	// own CRC; the frame header repeats them and is summed itself, so that nothing is summed twice.
	batchPrefix = 21
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Frame is one entry of the log. For KindBatch the payload is a record batch whose base offset and leader epoch are
// final, and Sum is the batch's own CRC.
type Frame struct {
	Kind        Kind
	Stream      uint32
	BaseOffset  int64
	LeaderEpoch int32
	Sum         uint32
	Payload     []byte
}

// Place is where a frame lies.
type Place struct {
	LSN     uint64 // first byte of the frame
	End     uint64 // first byte after it
	Segment uint64
	Pos     int64 // of the payload in the segment
}

// FrameSize is the space a payload of n bytes takes, header and padding included.
func FrameSize(n int) int64 { return HeaderSize + int64(n+align-1)&^(align-1) }

// Sum is the payload checksum of every kind but KindBatch.
func Sum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// header is a decoded frame header. Layout, little-endian:
//
//	0 magic u32 | 4 version u8, kind u8, reserved u16 | 8 segment u64 | 16 lsn u64 | 24 synced u64
//	32 stream u32 | 36 length u32 | 40 base offset i64 | 48 leader epoch i32 | 52 payload crc u32
//	56 reserved u32 | 60 header crc u32 over 0..60
//
// synced promises that every byte below it was on disk before this frame was written: that tells corruption from a
// torn tail.
type header struct {
	kind       Kind
	segment    uint64
	lsn        uint64
	synced     uint64
	stream     uint32
	length     uint32
	baseOffset int64
	epoch      int32
	sum        uint32
}

func (h *header) encode(b []byte) {
	_ = b[HeaderSize-1]
	le := binary.LittleEndian
	le.PutUint32(b[0:], frameMagic)
	b[4], b[5], b[6], b[7] = frameVersion, byte(h.kind), 0, 0
	le.PutUint64(b[8:], h.segment)
	le.PutUint64(b[16:], h.lsn)
	le.PutUint64(b[24:], h.synced)
	le.PutUint32(b[32:], h.stream)
	le.PutUint32(b[36:], h.length)
	le.PutUint64(b[40:], uint64(h.baseOffset))
	le.PutUint32(b[48:], uint32(h.epoch))
	le.PutUint32(b[52:], h.sum)
	le.PutUint32(b[56:], 0)
	le.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
}

// decodeHeader returns false for anything that is not a whole header of this version.
func decodeHeader(b []byte) (header, bool) {
	if len(b) < HeaderSize {
		return header{}, false
	}
	le := binary.LittleEndian
	if le.Uint32(b) != frameMagic || b[4] != frameVersion || le.Uint32(b[60:]) != crc32.Checksum(b[:60], castagnoli) {
		return header{}, false
	}
	return header{
		kind:       Kind(b[5]),
		segment:    le.Uint64(b[8:]),
		lsn:        le.Uint64(b[16:]),
		synced:     le.Uint64(b[24:]),
		stream:     le.Uint32(b[32:]),
		length:     le.Uint32(b[36:]),
		baseOffset: int64(le.Uint64(b[40:])),
		epoch:      int32(le.Uint32(b[48:])),
		sum:        le.Uint32(b[52:]),
	}, true
}

func (h *header) frame(payload []byte) Frame {
	return Frame{Kind: h.kind, Stream: h.stream, BaseOffset: h.baseOffset, LeaderEpoch: h.epoch, Sum: h.sum, Payload: payload}
}

// decodeFrame reads the frame expected at lsn of a segment from the start of b. Any deviation is an error: the caller
// decides whether it is a torn tail. The payload references b.
func decodeFrame(b []byte, segment, lsn uint64) (header, []byte, error) {
	h, ok := decodeHeader(b)
	switch {
	case !ok:
		return h, nil, errors.New("no frame header")
	case h.segment != segment:
		return h, nil, fmt.Errorf("frame of segment %x", h.segment)
	case h.lsn != lsn:
		return h, nil, fmt.Errorf("frame of lsn %d", h.lsn)
	case FrameSize(int(h.length)) > int64(len(b)):
		return h, nil, fmt.Errorf("frame of %d bytes: %w", h.length, errShort)
	}
	p := b[HeaderSize : HeaderSize+int(h.length)]
	if !h.covers(p) {
		return h, nil, errors.New("payload does not match its checksum")
	}
	return h, p, nil
}

// covers verifies the payload: a batch by its repeated prefix and its own CRC, anything else by a plain sum.
func (h *header) covers(p []byte) bool {
	if h.kind != KindBatch {
		return Sum(p) == h.sum
	}
	be := binary.BigEndian
	return len(p) >= batchPrefix &&
		int64(be.Uint64(p)) == h.baseOffset &&
		int(be.Uint32(p[8:]))+12 == len(p) &&
		int32(be.Uint32(p[12:])) == h.epoch &&
		p[16] == 2 &&
		be.Uint32(p[17:]) == h.sum &&
		Sum(p[batchPrefix:]) == h.sum
}
