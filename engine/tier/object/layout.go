package object

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The fixed parts of an object. Numbers are little-endian.
const (
	// HeaderSize bytes come first; the data region starts after them.
	HeaderSize = 32
	// TrailerSize bytes come last and say where the footer is.
	TrailerSize = 28
	// Version of the format this package writes and the only one it reads.
	Version = 1

	headerMagic  = "SKOB"
	trailerMagic = "SKOE"

	// MinBlock and MaxBlock bound the block size, so that a reader can bound its
	// memory whatever an object claims.
	MinBlock = 4 << 10
	MaxBlock = 16 << 20
	// MaxFooter bounds the footer a reader is willing to hold.
	MaxFooter = 256 << 20
)

// ErrCorrupt marks bytes that are not what was written.
var ErrCorrupt = errors.New("object is corrupt")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum returns the CRC-32C the format uses for blocks and footers.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

func crcUpdate(sum uint32, b []byte) uint32 { return crc32.Update(sum, castagnoli, b) }

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// appendHeader writes: magic 4, version 1, zero 3, block size 4, id 16, CRC 4.
func appendHeader(b []byte, id ID, block int32) []byte {
	start := len(b)
	b = append(b, headerMagic...)
	b = append(b, Version, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(block))
	b = append(b, id[:]...)
	return binary.LittleEndian.AppendUint32(b, Checksum(b[start:]))
}

// CheckHeader verifies an object's first HeaderSize bytes and returns its id and
// block size.
func CheckHeader(b []byte) (ID, int32, error) {
	var id ID
	if len(b) < HeaderSize || string(b[:4]) != headerMagic {
		return id, 0, corrupt("it does not start with %s", headerMagic)
	}
	if got, want := Checksum(b[:HeaderSize-4]), binary.LittleEndian.Uint32(b[HeaderSize-4:]); got != want {
		return id, 0, corrupt("header CRC is %08x, want %08x", got, want)
	}
	if b[4] != Version {
		return id, 0, fmt.Errorf("object has format version %d, this build reads %d: use a newer build", b[4], Version)
	}
	copy(id[:], b[12:28])
	block := int32(binary.LittleEndian.Uint32(b[8:]))
	if block < MinBlock || block > MaxBlock {
		return id, 0, corrupt("block size %d is out of range", block)
	}
	return id, block, nil
}

// Trailer is the fixed end of an object.
type Trailer struct {
	Position int64 // of the footer from the start of the object
	Length   int64 // of the footer
	CRC      uint32
}

// appendTrailer writes: footer position 8, footer length 8, footer CRC 4,
// version 1, zero 3, magic 4.
func appendTrailer(b []byte, t Trailer) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(t.Position))
	b = binary.LittleEndian.AppendUint64(b, uint64(t.Length))
	b = binary.LittleEndian.AppendUint32(b, t.CRC)
	b = append(b, Version, 0, 0, 0)
	return append(b, trailerMagic...)
}

// DecodeTrailer reads the last TrailerSize bytes of an object of the given size.
func DecodeTrailer(b []byte, size int64) (Trailer, error) {
	if len(b) != TrailerSize || string(b[24:]) != trailerMagic {
		return Trailer{}, corrupt("it does not end with %s", trailerMagic)
	}
	if b[21]|b[22]|b[23] != 0 {
		return Trailer{}, corrupt("the trailer's reserved bytes are not zero")
	}
	if b[20] != Version {
		return Trailer{}, fmt.Errorf("object has format version %d, this build reads %d: use a newer build", b[20], Version)
	}
	t := Trailer{
		Position: int64(binary.LittleEndian.Uint64(b)),
		Length:   int64(binary.LittleEndian.Uint64(b[8:])),
		CRC:      binary.LittleEndian.Uint32(b[16:]),
	}
	if t.Position < HeaderSize || t.Length < 0 || t.Length > MaxFooter || t.Position != size-TrailerSize-t.Length {
		return Trailer{}, corrupt("the footer is said to be %d bytes at %d in an object of %d", t.Length, t.Position, size)
	}
	return t, nil
}
