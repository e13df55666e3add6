package otlp

import (
	"encoding/binary"
	"errors"
)

// The library builds whatever a body claims: two bytes make a struct of a hundred, and nesting is recursion. So a body is
// weighed first, for no more than one pass of its bytes at each depth.
const (
	maxParts = 500_000 // messages and arrays of one request
	maxDepth = 32      // of them within each other
)

var (
	errParts = errors.New("the request has too many parts")
	errDepth = errors.New("the request is nested too deeply")
)

// weighProto counts what could be messages. Texts may look like some: the limits leave room for that.
func weighProto(b []byte) error {
	w := weight{}
	w.message(b, 0)
	return w.err
}

type weight struct {
	parts int
	err   error
}

// message walks fields until one is malformed: what comes after it is never built.
func (w *weight) message(b []byte, depth int) {
	for len(b) > 0 && w.err == nil {
		tag, n := binary.Uvarint(b)
		if n <= 0 || tag>>3 == 0 {
			return
		}
		b = b[n:]
		size := 0
		switch tag & 7 {
		case 0:
			_, size = binary.Uvarint(b)
			if size <= 0 {
				return
			}
		case 1:
			size = 8
		case 5:
			size = 4
		case 2:
			length, used := binary.Uvarint(b)
			if used <= 0 || length > uint64(len(b)-used) {
				return
			}
			size = used + int(length)
			w.part(b[used:size], depth+1)
		case 3, 4: // groups, which libraries step over
		default:
			return
		}
		if size > len(b) {
			return
		}
		b = b[size:]
	}
}

func (w *weight) part(b []byte, depth int) {
	switch w.parts++; {
	case w.parts > maxParts:
		w.err = errParts
	case depth > maxDepth:
		w.err = errDepth
	default:
		w.message(b, depth)
	}
}

// weighJSON counts objects and arrays outside of strings.
func weighJSON(b []byte) error {
	parts, depth, quoted := 0, 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			parts++
			depth++
		case c == '}' || c == ']':
			depth--
		case c == ',':
			parts++ // a number, a text or null of a list
		}
		if parts > maxParts {
			return errParts
		}
		if depth > maxDepth {
			return errDepth
		}
	}
	return nil
}
