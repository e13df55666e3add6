package otlp

import (
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/streamkeeper-io/streamkeeper/test/alloctest"
)

// message builds protobuf by hand.
type message []byte

func (m message) bytes(number int, b []byte) message {
	m = binary.AppendUvarint(m, uint64(number)<<3|wireBytes)
	return append(binary.AppendUvarint(m, uint64(len(b))), b...)
}

func (m message) fixed(number int, v uint64) message {
	return binary.LittleEndian.AppendUint64(binary.AppendUvarint(m, uint64(number)<<3|wireFixed64), v)
}

func (m message) varint(number int, v uint64) message {
	return binary.AppendUvarint(binary.AppendUvarint(m, uint64(number)<<3), v)
}

func text(key, value string) message {
	return message(nil).bytes(1, []byte(key)).bytes(2, message(nil).bytes(1, []byte(value)))
}

func sample() []byte {
	gauge := message(nil).bytes(1, message(nil).bytes(7, text("topic", "t")).fixed(3, 1).fixed(4, math.Float64bits(0.25)))
	sum := message(nil).varint(2, temporalityDelta).varint(3, 1).bytes(1, message(nil).fixed(6, 7)).bytes(1, message(nil).fixed(3, 1)) // the second has no value
	metrics := message(nil).
		bytes(2, message(nil).bytes(1, []byte("ratio")).bytes(3, []byte("1")).bytes(5, gauge)).
		bytes(2, message(nil).bytes(7, sum).bytes(1, []byte("total"))).
		bytes(2, message(nil).bytes(1, []byte("histogram")).bytes(9, []byte{1, 2}))
	resource := message(nil).bytes(1, text("group_id", "g")).bytes(1, message(nil).bytes(1, []byte("number")).bytes(2, message(nil).varint(3, 5)))
	return message(nil).bytes(1, message(nil).bytes(2, metrics).bytes(1, resource)) // the resource may come last
}

func TestDecode(t *testing.T) {
	var got []string
	err := Decode(sample(), func(p *Point) {
		got = append(got, string(p.Name)+" "+string(p.Attributes.Get("topic"))+" "+string(p.Resource.Get("group_id"))+string(p.Resource.Get("number")))
		switch string(p.Name) {
		case "ratio":
			if p.Value != 0.25 || p.Sum || p.Delta {
				t.Errorf("the gauge is %+v", p)
			}
		case "total":
			if p.Value != 7 || !p.Sum || !p.Delta {
				t.Errorf("the sum is %+v", p)
			}
		}
	})
	if err != nil || strings.Join(got, ",") != "ratio t g,total  g" {
		t.Errorf("got %q, %v", got, err)
	}
	payload, calls := sample(), 0
	if n := testing.AllocsPerRun(20, func() { _ = Decode(payload, func(*Point) { calls++ }) }); n > 20 {
		t.Errorf("decoding allocates %v times", n)
	}
	for name, b := range map[string][]byte{
		"a length beyond the end": {0x0a, 200, 1, 2}, "a group": {0x0b}, "a cut varint": {0x08, 0x80}, "a cut number": {0x09, 1}, "a cut tag": {0x80},
	} {
		if err := Decode(b, func(*Point) {}); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzDecode: every point costs bytes, and every text lies within the payload.
func FuzzDecode(f *testing.F) {
	f.Add(sample())
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		points := 0
		alloctest.Bound(t, len(b), 0, func() { // everything aliases the payload
			points = 0
			_ = Decode(b, func(p *Point) {
				points++
				if len(p.Name) > len(b) || p.Attributes.n > MaxAttributes || p.Resource.n > MaxAttributes {
					t.Fatalf("%+v out of %d bytes", p, len(b))
				}
			})
		})
		if points*9 > len(b) {
			t.Fatalf("%d points out of %d bytes", points, len(b))
		}
	})
}
