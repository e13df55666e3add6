// Package fields reads what our stored formats are made of: varints, and Kafka's big-endian and compact encodings.
//
// The first failure sticks and every later read returns nothing, so that a decoder asks once, at its end. Memory is
// bounded by the input: no count promises more elements than the bytes that are left can hold. What fields mean, and
// whether their values make sense, is the decoder's matter.
package fields

import (
	"encoding/binary"
	"math"
)

// Reader reads fields one after the other. The zero Reader is at its end.
type Reader struct {
	// Compact is Kafka's newer encoding: lengths are varints, and tagged fields end each struct.
	Compact bool

	b   []byte
	bad bool
}

// Of reads b, of which Take, Bytes and Rest return parts.
func Of(b []byte) Reader { return Reader{b: b} }

// Fail makes all that follows fail.
func (r *Reader) Fail() { r.b, r.bad = nil, true }

// Bad reports that something failed.
func (r *Reader) Bad() bool { return r.bad }

// Left is how many bytes are left, none after a failure.
func (r *Reader) Left() int { return len(r.b) }

// Done reports that nothing failed and nothing is left.
func (r *Reader) Done() bool { return !r.bad && len(r.b) == 0 }

// Take reads n bytes; nil when there are fewer, or n is negative.
func (r *Reader) Take(n int) []byte {
	if n < 0 || n > len(r.b) || r.bad {
		r.Fail()
		return nil
	}
	head := r.b[:n]
	r.b = r.b[n:]
	return head
}

// Rest reads what is left.
func (r *Reader) Rest() []byte { return r.Take(len(r.b)) }

// Int8 reads one byte.
func (r *Reader) Int8() int8 {
	if b := r.Take(1); b != nil {
		return int8(b[0])
	}
	return 0
}

// Int16 reads two bytes, big-endian.
func (r *Reader) Int16() int16 {
	if b := r.Take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

// Int32 reads four bytes, big-endian.
func (r *Reader) Int32() int32 {
	if b := r.Take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

// Int64 reads eight bytes, big-endian.
func (r *Reader) Int64() int64 {
	if b := r.Take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// Uvarint reads a number up to limit.
func (r *Reader) Uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > limit {
		r.Fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// Varint reads a signed number (zigzag).
func (r *Reader) Varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// Count reads how many elements of at least size bytes each follow.
func (r *Reader) Count(size int) int {
	n := r.Uvarint(math.MaxUint64)
	if n > uint64(len(r.b)/size) {
		r.Fail()
		return 0
	}
	return int(n)
}

// Bytes reads what AppendBytes wrote.
func (r *Reader) Bytes() []byte { return r.Take(r.Count(1)) }

// AppendBytes appends a length and so many bytes.
func AppendBytes[T ~[]byte | ~string](b []byte, v T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// Array reads how many elements of at least size bytes each Kafka says follow; null has none.
func (r *Reader) Array(size int) int {
	var n int64
	if r.Compact {
		n = int64(r.Uvarint(math.MaxInt32)) - 1
	} else {
		n = int64(r.Int32())
	}
	if r.bad || n < -1 || n > int64(len(r.b)/size) {
		r.Fail()
		return 0
	}
	return int(max(n, 0))
}

// Text reads Kafka's string; null is empty.
func (r *Reader) Text() string {
	if r.Compact {
		return string(r.Take(r.Array(1)))
	}
	n := int(r.Int16())
	if n == -1 {
		return ""
	}
	return string(r.Take(n))
}

// Tags reads the tagged fields that end a struct, of the compact encoding alone, and hands each to see, if there is
// one. A value that fails to be read fails the whole.
func (r *Reader) Tags(see func(tag uint64, value *Reader)) {
	if !r.Compact {
		return
	}
	for range r.Count(2) {
		tag, size := r.Uvarint(math.MaxUint32), r.Uvarint(math.MaxInt32)
		value := Reader{Compact: true, b: r.Take(int(size))}
		if r.bad || see == nil {
			continue
		}
		if see(tag, &value); value.bad {
			r.Fail()
		}
	}
}
