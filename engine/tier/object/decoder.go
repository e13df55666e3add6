package object

import "encoding/binary"

// decoder reads varints with bounds; the first error sticks and every later
// read returns zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = corrupt("footer: %s", what)
	}
	d.b = nil
}

func (d *decoder) take(n int) []byte {
	if d.err != nil || n > len(d.b) {
		d.fail("cut short")
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(d.b)
	if d.err != nil || n <= 0 || v > limit {
		d.fail("number out of range")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint(low, high int64) int64 {
	v, n := binary.Varint(d.b)
	if d.err != nil || n <= 0 || v < low || v > high {
		d.fail("number out of range")
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads a number of elements of at least size bytes each and refuses more
// than the rest of the input can hold.
func (d *decoder) count(size int) int {
	return int(d.uvarint(uint64(len(d.b) / size)))
}
