package remotewrite

import (
	"errors"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Requests are read in place: the generated decoders make a struct of a hundred bytes of two, so that a body within the
// limits would cost gigabytes. A fuzz test holds them equal. These are prometheus.WriteRequest (1.0) and
// io.prometheus.write.v2.Request.
const (
	v1Series  = 1 // of a request
	v2Symbols = 4
	v2Series  = 5

	v1Labels     = 1 // of a series
	v1Samples    = 2
	v1Histograms = 4
	v2LabelRefs  = 1
	v2Samples    = 2
	v2Histograms = 3

	labelName  = 1 // of a label of 1.0
	labelValue = 2

	sampleValue = 1
	sampleTime  = 2
)

var (
	errProto   = errors.New("proto: the write request is cut short or malformed")
	errSymbols = errors.New("the write request has too many symbols")
	errSymbol  = errors.New("a series refers to a symbol that the request does not have")
)

// field is one field of a message, in place.
type field struct {
	number  protowire.Number
	kind    protowire.Type
	bytes   []byte // of a length-delimited one
	integer uint64 // of a varint, or the bits of a fixed one
}

// fields walks a message.
func fields(b []byte, see func(field) error) error {
	for len(b) > 0 {
		var f field
		var size int
		if f.number, f.kind, size = protowire.ConsumeTag(b); size < 0 {
			return errProto
		}
		b = b[size:]
		switch f.kind {
		case protowire.BytesType:
			f.bytes, size = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			f.integer, size = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			f.integer, size = protowire.ConsumeFixed64(b)
		default:
			size = protowire.ConsumeFieldValue(f.number, f.kind, b)
		}
		if size < 0 {
			return errProto
		}
		if err := see(f); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}

// timeSeries is one series in place. Nothing of it may be kept beyond the call that is given it.
type timeSeries struct {
	raw     []byte
	version int
	symbols [][]byte // of 2.0
}

// readRequest walks the series of a request. An error that see returns ends it.
func readRequest(body []byte, version int, limits *Limits, see func(timeSeries) error) error {
	s := timeSeries{version: version}
	series := protowire.Number(v1Series)
	if version == 2 {
		series = v2Series
		var err error
		if s.symbols, err = symbolsOf(body, limits.Symbols); err != nil {
			return err
		}
	}
	return fields(body, func(f field) error {
		if f.number != series {
			return nil
		}
		if f.kind != protowire.BytesType {
			return errProto
		}
		s.raw = f.bytes
		return see(s)
	})
}

// symbolsOf are the texts that a request of 2.0 refers to; they may stand anywhere in it.
func symbolsOf(body []byte, limit int) (symbols [][]byte, err error) {
	err = fields(body, func(f field) error {
		switch {
		case f.number != v2Symbols:
			return nil
		case f.kind != protowire.BytesType:
			return errProto
		case len(symbols) == limit:
			return errSymbols
		}
		symbols = append(symbols, f.bytes)
		return nil
	})
	return symbols, err
}

// labels walks the labels, the metric's name among them.
func (s timeSeries) labels(see func(name, value []byte) error) error {
	if s.version == 2 {
		return s.labelRefs(see)
	}
	return fields(s.raw, func(f field) error {
		if f.number != v1Labels {
			return nil
		}
		if f.kind != protowire.BytesType {
			return errProto
		}
		var name, value []byte
		err := fields(f.bytes, func(f field) error {
			switch {
			case f.number != labelName && f.number != labelValue:
				return nil
			case f.kind != protowire.BytesType:
				return errProto
			case f.number == labelName:
				name = f.bytes
			default:
				value = f.bytes
			}
			return nil
		})
		if err != nil {
			return err
		}
		return see(name, value)
	})
}

// labelRefs walks the labels of 2.0: numbers of symbols, in pairs of a name and its value.
func (s timeSeries) labelRefs(see func(name, value []byte) error) error {
	var name []byte
	half := false
	one := func(ref uint64) error {
		if ref >= uint64(len(s.symbols)) {
			return errSymbol
		}
		if half = !half; half {
			name = s.symbols[ref]
			return nil
		}
		return see(name, s.symbols[ref])
	}
	err := fields(s.raw, func(f field) error {
		if f.number != v2LabelRefs {
			return nil
		}
		if f.kind == protowire.VarintType {
			return one(uint64(uint32(f.integer)))
		}
		if f.kind != protowire.BytesType {
			return errProto
		}
		for b := f.bytes; len(b) > 0; {
			ref, size := protowire.ConsumeVarint(b)
			if size < 0 {
				return errProto
			}
			if err := one(uint64(uint32(ref))); err != nil {
				return err
			}
			b = b[size:]
		}
		return nil
	})
	if err == nil && half {
		err = errSymbol
	}
	return err
}

// samples walks the samples, their times in milliseconds, and counts the native histograms beside them.
func (s timeSeries) samples(see func(value float64, ms int64) error) (histograms int, err error) {
	sample, histogram := protowire.Number(v1Samples), protowire.Number(v1Histograms)
	if s.version == 2 {
		sample, histogram = v2Samples, v2Histograms
	}
	err = fields(s.raw, func(f field) error {
		switch {
		case f.number == histogram:
			histograms++
			return nil
		case f.number != sample:
			return nil
		case f.kind != protowire.BytesType:
			return errProto
		}
		var value float64
		var ms int64
		err := fields(f.bytes, func(f field) error {
			switch {
			case f.number == sampleValue && f.kind == protowire.Fixed64Type:
				value = math.Float64frombits(f.integer)
			case f.number == sampleTime && f.kind == protowire.VarintType:
				ms = int64(f.integer)
			case f.number == sampleValue, f.number == sampleTime:
				return errProto
			}
			return nil
		})
		if err != nil {
			return err
		}
		return see(value, ms)
	})
	return histograms, err
}
