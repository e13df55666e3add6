package broker

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// kmsg allocates an array as soon as its length is read, and a length may be as large as the bytes that are left: 4 MiB
// of zeros make it allocate hundreds of megabytes. So every frame is walked first, without allocating: lengths must fit,
// and what decoding will allocate is summed and reserved.

const (
	maxDecode   = 16 << 20 // most memory decoding one frame may take
	decodeRatio = 16       // most bytes decoding may take for each byte of the frame
	decodeFree  = 64 << 10 // taken without asking for the ratio
	maxTags     = 64       // unknown tagged fields in one struct
)

// schema is a parsed layout.
type schema struct {
	flexible int16
	fields   []field
}

type field struct {
	kind   byte // one of "1248usb[<{"
	lo, hi int16
	size   int // Go size of an element
	nested []field
}

var parsedSchemas = sync.OnceValue(func() map[int16]*schema {
	m := map[int16]*schema{
		keyProduce: {flexible: 9},
		keyFetch:   {flexible: 12},
	}
	for key, s := range requestSchemas {
		tokens := strings.Fields(strings.NewReplacer("]", " ]", ">", " >", "}", " }").Replace(s.layout))
		fields, rest := parseFields(tokens, "")
		if len(rest) > 0 {
			panic("broker: schema of " + apiName(key) + " does not end")
		}
		m[key] = &schema{s.flexible, fields}
	}
	return m
})

func schemaOf(key int16) *schema { return parsedSchemas()[key] }

// parseFields reads tokens up to the closing one; what is wrong in the table is a programming error.
func parseFields(tokens []string, closing string) (fields []field, rest []string) {
	for len(tokens) > 0 {
		t := tokens[0]
		tokens = tokens[1:]
		if closing != "" && strings.HasPrefix(t, closing) {
			if len(fields) == 0 {
				panic("broker: empty struct in a schema")
			}
			_, versions, _ := strings.Cut(t, "@")
			return fields, append([]string{versions}, tokens...)
		}
		name, versions, _ := strings.Cut(t, "@")
		f := field{kind: name[0]}
		switch name[0] {
		case '[', '<':
			f.size = atoi(name[1:])
			f.nested, tokens = parseFields(tokens, map[byte]string{'[': "]", '<': ">"}[name[0]])
			versions, tokens = tokens[0], tokens[1:]
		case '?':
			f.kind = '{'
			f.nested, tokens = parseFields(tokens, "}")
			versions, tokens = tokens[0], tokens[1:]
		}
		f.lo, f.hi = parseVersions(versions)
		fields = append(fields, f)
	}
	return fields, nil
}

func parseVersions(s string) (lo, hi int16) {
	hi = noFlexible
	if s == "" {
		return 0, hi
	}
	from, to, _ := strings.Cut(s, "-")
	if to != "" {
		hi = int16(atoi(to))
	}
	return int16(atoi(from)), hi
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic("broker: number in a schema: " + err.Error())
	}
	return n
}

// guard walks the body of a request and returns how many bytes decoding it will allocate. It fails when a length does
// not fit, when bytes are left over, or when decoding would take out of proportion.
func guard(key, version int16, body []byte) (cost int64, err error) {
	s := schemaOf(key)
	if s == nil {
		return 0, fmt.Errorf("no schema")
	}
	w := walker{b: body, version: version, flexible: version >= s.flexible, limit: decodeFree + decodeRatio*int64(len(body))}
	w.limit = min(w.limit, maxDecode)
	w.fields(s.fields, true)
	switch {
	case w.greedy:
		return 0, fmt.Errorf("decoding %d bytes would take over %d: refused", len(body), w.limit)
	case w.bad:
		return 0, fmt.Errorf("a length does not fit the %d bytes of the body", len(body))
	}
	return w.cost, nil
}

// walker steps over encoded fields. Once bad or greedy it does nothing more.
type walker struct {
	b        []byte
	version  int16
	flexible bool
	bad      bool
	greedy   bool
	cost     int64
	limit    int64
}

func (w *walker) fields(fs []field, isStruct bool) {
	for i := range fs {
		f := &fs[i]
		if w.bad {
			return
		}
		if w.version >= f.lo && w.version <= f.hi {
			w.field(f)
		}
	}
	if isStruct && w.flexible {
		w.tags()
	}
}

func (w *walker) field(f *field) {
	switch f.kind {
	case '1', '2', '4', '8':
		w.skip(int(f.kind - '0'))
	case 'u':
		w.skip(16)
	case 's':
		w.text(2)
	case 'b':
		w.text(4)
	case '{':
		if len(w.b) > 0 && int8(w.b[0]) < 0 {
			w.skip(1)
			return
		}
		w.skip(1)
		w.fields(f.nested, true)
	default:
		n := w.length(4)
		if n > len(w.b) {
			w.bad = true
			return
		}
		w.spend(int64(n) * int64(f.size))
		for i := 0; i < n && !w.bad; i++ {
			w.fields(f.nested, f.kind == '[')
		}
	}
}

func (w *walker) spend(n int64) {
	w.cost += n
	if w.limit > 0 && w.cost > w.limit {
		w.greedy, w.bad = true, true
	}
}

// text steps over a string or bytes; width is that of a length that is not compact.
func (w *walker) text(width int) {
	n := w.length(width)
	w.skip(n)
	w.spend(int64(n))
}

// length reads a length; null and empty are 0.
func (w *walker) length(width int) int {
	if w.flexible {
		return max(int(w.uvarint())-1, 0)
	}
	if len(w.b) < width {
		w.bad = true
		return 0
	}
	n := int(int16(binary.BigEndian.Uint16(w.b)))
	if width == 4 {
		n = int(int32(binary.BigEndian.Uint32(w.b)))
	}
	w.b = w.b[width:]
	return max(n, 0)
}

func (w *walker) uvarint() uint32 {
	n, used := binary.Uvarint(w.b)
	if used <= 0 || used > 5 || n > 1<<31-1 { // Kafka reads five bytes at most
		w.bad = true
		return 0
	}
	w.b = w.b[used:]
	return uint32(n)
}

func (w *walker) skip(n int) {
	if n > len(w.b) {
		w.bad = true
		return
	}
	w.b = w.b[n:]
}

// tags steps over tagged fields. kmsg would loop as often as the count says, whatever there is to read.
func (w *walker) tags() {
	w.flexible = true
	n := int(w.uvarint())
	if n > maxTags || n > len(w.b) {
		w.bad = true
		return
	}
	for i := 0; i < n && !w.bad; i++ {
		w.uvarint()
		size := int(w.uvarint())
		w.skip(size)
		w.spend(128 + int64(size))
	}
}
