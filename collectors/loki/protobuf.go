package loki

import (
	"errors"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// The push request as clients write it (logproto.PushRequest of github.com/grafana/loki/pkg/push) is read in place: the
// generated decoder makes a string and a struct of every line, this one of none. A fuzz test holds the two equal.
const (
	fieldStreams = 1 // of a push request

	fieldLabels  = 1 // of a stream
	fieldEntries = 2

	fieldTimestamp = 1 // of an entry
	fieldLine      = 2
	fieldMetadata  = 3

	fieldSeconds = 1 // of a timestamp
	fieldNanos   = 2

	fieldName  = 1 // of a label pair
	fieldValue = 2
)

var errProto = errors.New("proto: the push request is cut short or malformed")

// fields calls see for each length-delimited field and number for each varint of a message; others are passed over.
func fields(b []byte, see func(n protowire.Number, v []byte) error, number func(n protowire.Number, v uint64)) error {
	for len(b) > 0 {
		n, t, size := protowire.ConsumeTag(b)
		if size < 0 {
			return errProto
		}
		b = b[size:]
		switch t {
		case protowire.BytesType:
			v, size := protowire.ConsumeBytes(b)
			if size < 0 {
				return errProto
			}
			if err := see(n, v); err != nil {
				return err
			}
			b = b[size:]
		case protowire.VarintType:
			v, size := protowire.ConsumeVarint(b)
			if size < 0 {
				return errProto
			}
			if number != nil {
				number(n, v)
			}
			b = b[size:]
		default:
			size := protowire.ConsumeFieldValue(n, t, b)
			if size < 0 {
				return errProto
			}
			b = b[size:]
		}
	}
	return nil
}

// protoStreams walks the streams of a request: their labels, and what reads their entries.
func protoStreams(body []byte, see func(labels []byte, entries func(func(entry) error) error) error) error {
	return fields(body, func(n protowire.Number, stream []byte) error {
		if n != fieldStreams {
			return nil
		}
		var labels []byte
		err := fields(stream, func(n protowire.Number, v []byte) error {
			if n == fieldLabels {
				labels = v
			}
			return nil
		}, nil)
		if err != nil {
			return err
		}
		return see(labels, func(each func(entry) error) error { return protoEntries(stream, each) })
	}, nil)
}

func protoEntries(stream []byte, each func(entry) error) error {
	return fields(stream, func(n protowire.Number, v []byte) error {
		if n != fieldEntries {
			return nil
		}
		e, err := protoEntry(v)
		if err != nil {
			return err
		}
		return each(e)
	}, nil)
}

// entry is one line in place. Nothing of it may be kept beyond the call that is given it.
type entry struct {
	at       time.Time
	line     []byte
	metadata func() map[string]string // structured metadata, read when asked for; nil when there is none
	raw      []byte                   // the protobuf entry that metadata is read from
}

func protoEntry(b []byte) (e entry, err error) {
	var seconds, nanos int64
	hasMetadata := false
	err = fields(b, func(n protowire.Number, v []byte) error {
		switch n {
		case fieldTimestamp:
			seconds, nanos = 0, 0
			return fields(v, func(protowire.Number, []byte) error { return nil }, func(n protowire.Number, v uint64) {
				switch n {
				case fieldSeconds:
					seconds = int64(v)
				case fieldNanos:
					nanos = int64(int32(v))
				}
			})
		case fieldLine:
			e.line = v
		case fieldMetadata:
			hasMetadata = true
		}
		return nil
	}, nil)
	e.at = time.Unix(seconds, nanos)
	if hasMetadata {
		e.raw = b
	}
	return e, err
}

// labelsOf gives an entry's structured metadata, as far as it is well-formed and within the limits.
func (e entry) labelsOf(l Limits) map[string]string {
	if e.metadata != nil {
		return e.metadata()
	}
	if e.raw == nil {
		return nil
	}
	out := map[string]string{}
	_ = fields(e.raw, func(n protowire.Number, v []byte) error {
		if n != fieldMetadata {
			return nil
		}
		var name, value string
		err := fields(v, func(n protowire.Number, v []byte) error {
			switch n {
			case fieldName:
				name = string(v)
			case fieldValue:
				value = string(v)
			}
			return nil
		}, nil)
		if err != nil {
			return err
		}
		return addLabel(out, name, value, l)
	}, nil)
	return out
}
