package batch

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// NoHorizon keeps a batch's delete horizon as it is.
const NoHorizon = -1

// Rebuild returns h with only some of its records, none at all included. Base and last offset, producer fields, leader
// epoch, codec and flags stay, so that offsets keep their meaning and sequences their place. horizon, unless it is
// NoHorizon, is the time from which tombstones in the batch may go (Kafka's delete horizon).
func Rebuild(h Header, records []Record, horizon int64) ([]byte, error) {
	out := Header(append([]byte(nil), h[:HeaderSize]...))
	base, attributes := h.BaseTimestamp(), h.Attributes()
	if horizon != NoHorizon {
		base, attributes = horizon, attributes|DeleteHorizon
	}
	latest := int64(-1)
	var body, scratch []byte
	for _, r := range records {
		latest = max(latest, r.Timestamp)
		scratch = appendRecord(scratch[:0], r, r.Timestamp-base, r.Offset-h.BaseOffset())
		body = binary.AppendVarint(body, int64(len(scratch)))
		body = append(body, scratch...)
	}
	if len(records) == 0 {
		attributes &^= CodecMask
		latest = h.MaxTimestamp()
	}
	body, err := compress(Codec(attributes&CodecMask), body)
	if err != nil {
		return nil, fmt.Errorf("rebuilding the batch at offset %d: %w", h.BaseOffset(), err)
	}
	out = append(out, body...)
	binary.BigEndian.PutUint32(out[offLength:], uint32(len(out)-lengthOverhead))
	binary.BigEndian.PutUint16(out[offAttributes:], uint16(attributes))
	binary.BigEndian.PutUint64(out[offBaseTime:], uint64(base))
	if !h.IsLogAppendTime() {
		binary.BigEndian.PutUint64(out[offMaxTime:], uint64(latest))
	}
	binary.BigEndian.PutUint32(out[offRecordCount:], uint32(len(records)))
	out.SetCRC()
	return out, nil
}

// compress is the opposite of decompress.
func compress(c Codec, b []byte) ([]byte, error) {
	var out bytes.Buffer
	switch c {
	case None:
		return b, nil
	case Snappy:
		return s2.EncodeSnappy(nil, b), nil
	case Gzip:
		w := gzip.NewWriter(&out)
		_, err := w.Write(b)
		err = errors.Join(err, w.Close())
		return out.Bytes(), err
	case LZ4:
		w := lz4.NewWriter(&out)
		_, err := w.Write(b)
		err = errors.Join(err, w.Close())
		return out.Bytes(), err
	case Zstd:
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return w.EncodeAll(b, nil), w.Close()
	}
	return nil, fmt.Errorf("codec %d: %w", c, ErrCodec)
}
