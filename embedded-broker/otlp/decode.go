package otlp

import (
	"encoding/binary"
	"errors"
	"math"
)

// ErrMalformed means that the bytes are no MetricsData.
var ErrMalformed = errors.New("malformed OTLP metrics")

// MaxAttributes bounds the attributes kept of one point, and of the resource; more are ignored.
const MaxAttributes = 16

// Attribute is a text attribute. Its bytes alias the payload.
type Attribute struct{ Key, Value []byte }

// Attributes are the text attributes of a point or a resource.
type Attributes struct {
	list [MaxAttributes]Attribute
	n    int
}

// Get is the value of a key, nil when there is none.
func (a *Attributes) Get(key string) []byte {
	for i := range a.n {
		if string(a.list[i].Key) == key {
			return a.list[i].Value
		}
	}
	return nil
}

// Point is one number of a metric. Its bytes alias the payload, and it is valid only during the call.
type Point struct {
	Name       []byte
	Value      float64
	Sum, Delta bool // a sum, and one that counts from the point before
	Attributes Attributes
	Resource   Attributes
}

// The wire types of protobuf.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

const temporalityDelta = 1

// Decode calls each for every number in a MetricsData message. Calls made before an error is found stand.
func Decode(b []byte, each func(*Point)) error {
	d := decoder{each: each}
	err := fields(b, func(f field) error {
		if f.number == 1 && f.wire == wireBytes { // ResourceMetrics
			return d.resource(f.bytes)
		}
		return nil
	})
	return err
}

type decoder struct {
	each  func(*Point)
	point Point
}

func (d *decoder) resource(b []byte) error {
	d.point.Resource.n = 0
	// The resource comes first in what encoders write, but need not.
	err := fields(b, func(f field) error {
		if f.number == 1 && f.wire == wireBytes {
			return fields(f.bytes, func(f field) error { return d.point.Resource.read(f, 1) })
		}
		return nil
	})
	if err != nil {
		return err
	}
	return fields(b, func(f field) error {
		if f.number != 2 || f.wire != wireBytes { // ScopeMetrics
			return nil
		}
		return fields(f.bytes, func(f field) error {
			if f.number != 2 || f.wire != wireBytes { // Metric
				return nil
			}
			return d.metric(f.bytes)
		})
	})
}

func (d *decoder) metric(b []byte) error {
	d.point.Name = nil
	err := fields(b, func(f field) error {
		if f.number == 1 && f.wire == wireBytes {
			d.point.Name = f.bytes
		}
		return nil
	})
	if err != nil {
		return err
	}
	return fields(b, func(f field) error {
		if f.wire != wireBytes || f.number != 5 && f.number != 7 { // Gauge, Sum
			return nil
		}
		d.point.Sum, d.point.Delta = f.number == 7, false
		err := fields(f.bytes, func(f field) error {
			if f.number == 2 && f.wire == wireVarint {
				d.point.Delta = f.varint == temporalityDelta
			}
			return nil
		})
		if err != nil {
			return err
		}
		return fields(f.bytes, func(f field) error {
			if f.number == 1 && f.wire == wireBytes {
				return d.number(f.bytes)
			}
			return nil
		})
	})
}

// number reads a NumberDataPoint; one without a value is left out.
func (d *decoder) number(b []byte) error {
	p := &d.point
	p.Attributes.n = 0
	has := false
	err := fields(b, func(f field) error {
		switch {
		case f.number == 4 && f.wire == wireFixed64:
			p.Value, has = math.Float64frombits(f.varint), true
		case f.number == 6 && f.wire == wireFixed64:
			p.Value, has = float64(int64(f.varint)), true
		default:
			return p.Attributes.read(f, 7)
		}
		return nil
	})
	if err == nil && has {
		d.each(p)
	}
	return err
}

// read takes a KeyValue in field number if its value is a text.
func (a *Attributes) read(f field, number uint64) error {
	if f.number != number || f.wire != wireBytes || a.n == MaxAttributes {
		return nil
	}
	var at Attribute
	text := false
	err := fields(f.bytes, func(f field) error {
		switch {
		case f.number == 1 && f.wire == wireBytes:
			at.Key = f.bytes
		case f.number == 2 && f.wire == wireBytes:
			return fields(f.bytes, func(f field) error {
				if f.number == 1 && f.wire == wireBytes {
					at.Value, text = f.bytes, true
				}
				return nil
			})
		}
		return nil
	})
	if err == nil && text {
		a.list[a.n] = at
		a.n++
	}
	return err
}

// field is one field of a message: bytes for wireBytes, else varint.
type field struct {
	number uint64
	wire   uint64
	varint uint64
	bytes  []byte
}

// fields calls fn for each field of a message.
func fields(b []byte, fn func(field) error) error {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			return ErrMalformed
		}
		b = b[n:]
		f := field{number: tag >> 3, wire: tag & 7}
		switch f.wire {
		case wireVarint:
			if f.varint, n = binary.Uvarint(b); n <= 0 {
				return ErrMalformed
			}
		case wireFixed64:
			if n = 8; len(b) < n {
				return ErrMalformed
			}
			f.varint = binary.LittleEndian.Uint64(b)
		case wireFixed32:
			if n = 4; len(b) < n {
				return ErrMalformed
			}
		case wireBytes:
			size, used := binary.Uvarint(b)
			if used <= 0 || size > uint64(len(b)-used) {
				return ErrMalformed
			}
			n = used + int(size)
			f.bytes = b[used:n]
		default:
			return ErrMalformed
		}
		b = b[n:]
		if err := fn(f); err != nil {
			return err
		}
	}
	return nil
}
