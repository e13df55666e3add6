package fields

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"
)

func TestReader_ReadsWhatWasWritten(t *testing.T) {
	b := binary.AppendUvarint(nil, 300)
	b = binary.AppendVarint(b, -300)
	b = AppendBytes(b, "name")
	b = binary.BigEndian.AppendUint16(b, 0xfffe)
	b = binary.BigEndian.AppendUint32(b, 7)
	b = binary.BigEndian.AppendUint64(b, math.MaxUint64)
	b = append(b, 0x80, 'r', 'e', 's', 't')
	r := Of(b)
	if v := r.Uvarint(300); v != 300 {
		t.Errorf("Uvarint = %d", v)
	}
	if v := r.Varint(); v != -300 {
		t.Errorf("Varint = %d", v)
	}
	if v := string(r.Bytes()); v != "name" {
		t.Errorf("Bytes = %q", v)
	}
	if a, b, c, d := r.Int16(), r.Int32(), r.Int64(), r.Int8(); a != -2 || b != 7 || c != -1 || d != -128 {
		t.Errorf("numbers = %d, %d, %d, %d", a, b, c, d)
	}
	if r.Done() || r.Left() != 4 {
		t.Errorf("%d bytes are left before the rest, want 4", r.Left())
	}
	if v := string(r.Rest()); v != "rest" || !r.Done() {
		t.Errorf("Rest = %q", v)
	}
}

// What is null, and what is more than there is, in both of Kafka's encodings.
func TestReader_TextAndArrays(t *testing.T) {
	for _, c := range []struct {
		name    string
		compact bool
		in      []byte
		text    string
		array   int
		bad     bool // both
	}{
		{name: "null text", in: []byte{0xff, 0xff}, array: 0, bad: false},
		{name: "text", in: []byte{0, 2, 'a', 'b'}, text: "ab"},
		{name: "text cut short", in: []byte{0, 3, 'a', 'b'}, bad: true},
		{name: "text of a negative length", in: []byte{0xff, 0xfe, 'a', 'b'}, bad: true},
		{name: "compact null", compact: true, in: []byte{0}},
		{name: "compact text", compact: true, in: []byte{3, 'a', 'b'}, text: "ab"},
		{name: "compact text cut short", compact: true, in: []byte{4, 'a', 'b'}, bad: true},
		{name: "compact length beyond 32 bits", compact: true, in: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 1, 'a'}, bad: true},
	} {
		r := Of(c.in)
		r.Compact = c.compact
		if got := r.Text(); got != c.text || r.Bad() != c.bad {
			t.Errorf("%s: %q, bad %t", c.name, got, r.Bad())
		}
	}
	for _, c := range []struct {
		name    string
		compact bool
		in      []byte
		n       int
		bad     bool
	}{
		{name: "null", in: []byte{0xff, 0xff, 0xff, 0xff}},
		{name: "two", in: []byte{0, 0, 0, 2, 1, 1, 1, 1}, n: 2},
		{name: "more than fits", in: []byte{0, 0, 0, 3, 1, 1, 1, 1}, bad: true},
		{name: "negative", in: []byte{0xff, 0xff, 0xff, 0xfe}, bad: true},
		{name: "cut short", in: []byte{0, 0}, bad: true},
		{name: "compact null", compact: true, in: []byte{0}},
		{name: "compact two", compact: true, in: []byte{3, 1, 1, 1, 1}, n: 2},
		{name: "compact more than fits", compact: true, in: []byte{4, 1, 1, 1, 1}, bad: true},
		{name: "compact nothing at all", compact: true, bad: true},
	} {
		r := Of(c.in)
		r.Compact = c.compact
		if n := r.Array(2); n != c.n || r.Bad() != c.bad {
			t.Errorf("array, %s: %d, bad %t", c.name, n, r.Bad())
		}
	}
}

func TestReader_Tags(t *testing.T) {
	b := []byte{2, 5, 1, 42, 9, 2, 0, 7}
	r := Of(b)
	r.Compact = true
	got := map[uint64]int{}
	r.Tags(func(tag uint64, v *Reader) {
		if tag == 9 {
			got[tag] = int(v.Int16())
			return
		}
		got[tag] = int(v.Int8())
	})
	if !r.Done() || got[5] != 42 || got[9] != 7 {
		t.Errorf("tags = %v, bad %t", got, r.Bad())
	}
	r = Of(b)
	r.Compact = true
	if r.Tags(func(_ uint64, v *Reader) { v.Int32() }); !r.Bad() {
		t.Error("a value too short was not noticed")
	}
	plain := Of(b)
	if plain.Tags(nil); plain.Left() != len(b) {
		t.Error("the older encoding has no tags, and some were read")
	}
}

// A failure sticks, whatever is asked afterwards.
func TestReader_FailureSticks(t *testing.T) {
	r := Of([]byte{0x80, 1, 2, 3, 4, 5, 6, 7, 8})
	r.Fail()
	if r.Take(1) != nil || r.Rest() != nil || r.Int64() != 0 || r.Uvarint(9) != 0 || r.Text() != "" || r.Count(1) != 0 || r.Left() != 0 {
		t.Error("something was read after a failure")
	}
	if !r.Bad() || r.Done() {
		t.Error("the failure is forgotten")
	}
	over := Of([]byte{200, 1})
	if over.Uvarint(199) != 0 || !over.Bad() {
		t.Error("a number beyond its limit was read")
	}
}

// FuzzReader drives a reader with operations that the input itself chooses: it never panics, never returns more than
// there is, and stays failed once it failed.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, AppendBytes([]byte{0, 2, 'a', 'b', 3, 'c', 'd'}, bytes.Repeat([]byte{1}, 40)), true)
	f.Fuzz(func(t *testing.T, ops, b []byte, compact bool) {
		r := Of(b)
		r.Compact = compact
		for _, op := range ops {
			was, left := r.Bad(), r.Left()
			switch op % 11 {
			case 0:
				r.Int8()
			case 1:
				r.Int16()
			case 2:
				r.Int32()
			case 3:
				r.Int64()
			case 4:
				r.Uvarint(uint64(op) << 20)
			case 5:
				r.Varint()
			case 6:
				if n := r.Count(int(op)/11 + 1); n > left {
					t.Fatalf("%d elements promised in %d bytes", n, left)
				}
			case 7:
				if n := r.Array(int(op)/11 + 1); n > left {
					t.Fatalf("%d elements promised in %d bytes", n, left)
				}
			case 8:
				if n := len(r.Text()); n > left {
					t.Fatalf("a text of %d bytes in %d", n, left)
				}
			case 9:
				r.Tags(func(_ uint64, v *Reader) { v.Text() })
			case 10:
				r.Take(int(op) - 100)
			}
			if r.Left() > left || was && !r.Bad() {
				t.Fatalf("operation %d went back", op%11)
			}
		}
	})
}
