package batch

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Codec is a compression codec of the message format.
type Codec int8

// The codecs of message format v2.
const (
	None Codec = iota
	Gzip
	Snappy
	LZ4
	Zstd
)

// String is the codec's name in Kafka's configuration.
func (c Codec) String() string {
	switch c {
	case None:
		return "none"
	case Gzip:
		return "gzip"
	case Snappy:
		return "snappy"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("codec(%d)", int8(c))
}

// Decompress opens src into at most limit bytes; more is ErrTooLarge.
func Decompress(c Codec, src []byte, limit int) ([]byte, error) { return decompress(c, src, limit) }

// decompress opens src into at most limit bytes; more is ErrTooLarge, so a bomb costs its limit and no more.
func decompress(c Codec, src []byte, limit int) ([]byte, error) {
	switch c {
	case None:
		return src, nil
	case Gzip:
		r, err := gzip.NewReader(bytes.NewReader(src))
		if err != nil {
			return nil, fmt.Errorf("opening gzip: %w", ErrCorrupt)
		}
		return readLimited(r, limit)
	case Snappy:
		return unsnappy(src, limit)
	case LZ4:
		return readLimited(lz4.NewReader(bytes.NewReader(src)), limit)
	case Zstd:
		d, err := zstd.NewReader(bytes.NewReader(src), zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(uint64(max(limit, 1<<20))))
		if err != nil {
			return nil, fmt.Errorf("opening zstd: %w", ErrCorrupt)
		}
		defer d.Close()
		return readLimited(d, limit)
	}
	return nil, fmt.Errorf("codec %d: %w", c, ErrCodec)
}

func readLimited(r io.Reader, limit int) ([]byte, error) {
	out, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) {
		return nil, fmt.Errorf("more than %d bytes decompressed: %w", limit, ErrTooLarge)
	}
	if err != nil {
		return nil, fmt.Errorf("decompressing: %v: %w", err, ErrCorrupt)
	}
	if len(out) > limit {
		return nil, fmt.Errorf("more than %d bytes decompressed: %w", limit, ErrTooLarge)
	}
	return out, nil
}

// xerial is the framing Java clients put around snappy blocks: magic, version, compatible version, then blocks with
// big-endian lengths.
var xerial = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

func unsnappy(src []byte, limit int) ([]byte, error) {
	if len(src) < 16 || !bytes.Equal(src[:8], xerial) {
		return snappyBlock(nil, src, limit)
	}
	var out []byte
	for src = src[16:]; len(src) > 0; {
		if len(src) < 4 {
			return nil, fmt.Errorf("cut snappy frame: %w", ErrCorrupt)
		}
		n := int(binary.BigEndian.Uint32(src))
		src = src[4:]
		if n < 0 || n > len(src) {
			return nil, fmt.Errorf("cut snappy frame: %w", ErrCorrupt)
		}
		var err error
		if out, err = snappyBlock(out, src[:n], limit); err != nil {
			return nil, err
		}
		src = src[n:]
	}
	return out, nil
}

func snappyBlock(out, src []byte, limit int) ([]byte, error) {
	n, err := s2.DecodedLen(src)
	if err != nil {
		return nil, fmt.Errorf("snappy block: %w", ErrCorrupt)
	}
	if n > limit-len(out) {
		return nil, fmt.Errorf("more than %d bytes decompressed: %w", limit, ErrTooLarge)
	}
	b, err := s2.Decode(nil, src)
	if err != nil {
		return nil, fmt.Errorf("snappy block: %w", ErrCorrupt)
	}
	return append(out, b...), nil
}
