package batch

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The reasons a batch is refused. Errors of Check wrap one of them.
var (
	// ErrCorrupt means the bytes are no valid v2 batch: length, CRC or counts disagree.
	ErrCorrupt = errors.New("corrupt record batch")
	// ErrMagic means an older message format.
	ErrMagic = errors.New("unsupported message format")
	// ErrTooLarge means a batch is larger than the topic allows.
	ErrTooLarge = errors.New("record batch is too large")
	// ErrCodec means a compression codec nobody defined.
	ErrCodec = errors.New("unsupported compression codec")
)

// CheckOptions say how strict Check is; the zero value checks everything and limits nothing.
type CheckOptions struct {
	MaxBatchBytes int  // largest batch accepted; 0 = any
	SkipCRC       bool // for bytes that were summed before
	AllowControl  bool // accept what coordinators write and clients must not: markers, and a producer without a sequence
}

// Check walks the batches in b and returns the first reason to refuse them, or nil when all of b is whole, valid v2
// batches (at least one). It allocates nothing unless it fails, whatever the batches claim: uncompressed records are
// walked in place, compressed ones are left closed.
func Check(b []byte, o CheckOptions) error {
	if len(b) == 0 {
		return fmt.Errorf("no batch at all: %w", ErrCorrupt)
	}
	for pos := 0; len(b) > 0; {
		h, rest, ok := Next(b)
		if !ok {
			return fmt.Errorf("batch at byte %d does not fit its %d bytes: %w", pos, len(b), ErrCorrupt)
		}
		if err := checkOne(h, o); err != nil {
			return fmt.Errorf("batch at byte %d: %w", pos, err)
		}
		pos += len(h)
		b = rest
	}
	return nil
}

func checkOne(h Header, o CheckOptions) error {
	if h.Magic() != Magic {
		return fmt.Errorf("magic %d: %w", h.Magic(), ErrMagic)
	}
	if o.MaxBatchBytes > 0 && len(h) > o.MaxBatchBytes {
		return fmt.Errorf("%d bytes, the topic allows %d: %w", len(h), o.MaxBatchBytes, ErrTooLarge)
	}
	if h.Codec() > Zstd {
		return fmt.Errorf("codec %d: %w", h.Codec(), ErrCodec)
	}
	n := h.RecordCount()
	switch {
	case n <= 0:
		return fmt.Errorf("%d records: %w", n, ErrCorrupt)
	case h.LastOffsetDelta() != n-1:
		return fmt.Errorf("%d records but last offset delta %d: %w", n, h.LastOffsetDelta(), ErrCorrupt)
	case h.IsControl() && !o.AllowControl:
		return fmt.Errorf("control batch from a client: %w", ErrCorrupt)
	case h.ProducerID() >= 0 && (h.BaseSequence() < 0 || h.ProducerEpoch() < 0) && !o.AllowControl:
		return fmt.Errorf("producer %d without a sequence: %w", h.ProducerID(), ErrCorrupt)
	}
	if !o.SkipCRC {
		if got := h.ComputeCRC(); got != h.CRC() {
			return fmt.Errorf("crc %08x, header says %08x: %w", got, h.CRC(), ErrCorrupt)
		}
	}
	if h.Codec() == None {
		return checkRecords(h[HeaderSize:], n)
	}
	return nil
}

// checkRecords verifies that n length-prefixed records fill b exactly.
func checkRecords(b []byte, n int32) error {
	for i := range n {
		size, w := binary.Varint(b)
		if w <= 0 || size < 0 || size > int64(len(b)-w) {
			return fmt.Errorf("record %d of %d does not fit: %w", i, n, ErrCorrupt)
		}
		b = b[w+int(size):]
	}
	if len(b) > 0 {
		return fmt.Errorf("%d bytes after the last of %d records: %w", len(b), n, ErrCorrupt)
	}
	return nil
}
