package broker

import (
	"encoding/binary"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// decoder reads fields of a hand-written codec. After the first field that does not fit it is bad and returns zeros.
// Strings and bytes alias the frame.
type decoder struct{ walker }

func (d *decoder) int8() int8 {
	if len(d.b) < 1 {
		d.bad = true
		return 0
	}
	v := int8(d.b[0])
	d.b = d.b[1:]
	return v
}

func (d *decoder) int16() int16 {
	if len(d.b) < 2 {
		d.bad, d.b = true, nil
		return 0
	}
	v := int16(binary.BigEndian.Uint16(d.b))
	d.b = d.b[2:]
	return v
}

func (d *decoder) int32() int32 {
	if len(d.b) < 4 {
		d.bad, d.b = true, nil
		return 0
	}
	v := int32(binary.BigEndian.Uint32(d.b))
	d.b = d.b[4:]
	return v
}

func (d *decoder) int64() int64 {
	if len(d.b) < 8 {
		d.bad, d.b = true, nil
		return 0
	}
	v := int64(binary.BigEndian.Uint64(d.b))
	d.b = d.b[8:]
	return v
}

func (d *decoder) uuid() (id [16]byte) {
	if len(d.b) < 16 {
		d.bad, d.b = true, nil
		return id
	}
	copy(id[:], d.b)
	d.b = d.b[16:]
	return id
}

// bytes reads a string (width 2) or bytes (width 4); null is nil.
func (d *decoder) bytes(width int) []byte {
	n := d.length(width)
	if d.bad || n > len(d.b) {
		d.bad, d.b = true, nil
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

// text reads a string that may not be null.
func (d *decoder) text() []byte {
	null := len(d.b) < 2 || d.b[0]&0x80 != 0 // a negative length
	if d.flexible {
		null = len(d.b) == 0 || d.b[0] == 0
	}
	if null {
		d.bad = true
		d.b = nil
		return nil
	}
	return d.bytes(2)
}

// array reads a length and refuses one that could not fit when every element takes at least atLeast bytes.
func (d *decoder) array(atLeast int) int {
	n := d.length(4)
	if n*atLeast > len(d.b) {
		d.bad, d.b = true, nil
		return 0
	}
	return n
}

// endStruct steps over a struct's tags where the version has them.
func (d *decoder) endStruct() {
	if d.flexible && !d.bad {
		d.tags()
	}
}

// wire is the part of kmsg.Response that hand-written responses share; they add AppendTo.
type wire struct {
	key, version, flexible int16
}

// Key implements kmsg.Response.
func (w *wire) Key() int16 { return w.key }

// MaxVersion implements kmsg.Response.
func (w *wire) MaxVersion() int16 { return w.version }

// SetVersion implements kmsg.Response.
func (w *wire) SetVersion(v int16) { w.version = v }

// GetVersion implements kmsg.Response.
func (w *wire) GetVersion() int16 { return w.version }

// IsFlexible implements kmsg.Response.
func (w *wire) IsFlexible() bool { return w.version >= w.flexible }

// ReadFrom implements kmsg.Response; a broker does not read its own responses.
func (w *wire) ReadFrom([]byte) error { return errors.New("a broker does not read responses") }

// RequestKind implements kmsg.Response.
func (w *wire) RequestKind() kmsg.Request { return kmsg.RequestForKey(w.key) }

func appendArrayLen(b []byte, flexible bool, n int) []byte {
	if flexible {
		return binary.AppendUvarint(b, uint64(n)+1)
	}
	return binary.BigEndian.AppendUint32(b, uint32(n))
}

func appendString(b []byte, flexible bool, s string) []byte {
	if flexible {
		b = binary.AppendUvarint(b, uint64(len(s))+1)
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	}
	return append(b, s...)
}

// appendNullableString writes null for the empty string.
func appendNullableString(b []byte, flexible bool, s string) []byte {
	switch {
	case s != "":
		return appendString(b, flexible, s)
	case flexible:
		return append(b, 0)
	}
	return append(b, 0xff, 0xff)
}

func appendTags(b []byte, flexible bool) []byte {
	if flexible {
		return append(b, 0)
	}
	return b
}

func appendInt16(b []byte, v int16) []byte { return binary.BigEndian.AppendUint16(b, uint16(v)) }
func appendInt32(b []byte, v int32) []byte { return binary.BigEndian.AppendUint32(b, uint32(v)) }
func appendInt64(b []byte, v int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(v)) }
