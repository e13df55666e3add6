package batch

import (
	"encoding/binary"
	"fmt"
)

// Marker is what a transaction's control batch says.
type Marker struct {
	Commit      bool
	Coordinator int32 // the coordinator's epoch
}

// The types of control records; Kafka defines more, which are not about transactions.
const (
	controlAbort  = 0
	controlCommit = 1
)

// AppendMarker appends the control batch that ends a producer's transaction, in Kafka's bytes: one record whose key is
// version and type and whose value is version and coordinator epoch.
func AppendMarker(dst []byte, p Producer, m Marker, ts int64) []byte {
	kind := uint16(controlAbort)
	if m.Commit {
		kind = controlCommit
	}
	key := binary.BigEndian.AppendUint16([]byte{0, 0}, kind)
	value := binary.BigEndian.AppendUint32([]byte{0, 0}, uint32(m.Coordinator))
	p.Sequence = -1
	start := len(dst)
	dst = Append(dst, p, []Record{{Timestamp: ts, Key: key, Value: value}})
	Header(dst[start:]).Mark(Transactional | Control)
	return dst
}

// Mark sets attribute bits and recomputes the CRC, which covers them; h must be cut to its own size.
func (h Header) Mark(bits int16) {
	binary.BigEndian.PutUint16(h[offAttributes:], uint16(h.Attributes()|bits))
	h.SetCRC()
}

// ReadMarker decodes the control batch h. ok is false for a control record of another type, which ends nothing.
func ReadMarker(h Header) (m Marker, ok bool, err error) {
	err = Records(h, 1<<10, func(r Record) bool {
		if len(r.Key) < 4 {
			return true
		}
		switch kind := binary.BigEndian.Uint16(r.Key[2:]); kind {
		case controlAbort, controlCommit:
			m.Commit, ok = kind == controlCommit, true
		}
		if len(r.Value) >= 6 {
			m.Coordinator = int32(binary.BigEndian.Uint32(r.Value[2:]))
		}
		return false
	})
	if err != nil {
		return m, false, fmt.Errorf("control batch at offset %d: %w", h.BaseOffset(), err)
	}
	return m, ok, nil
}
