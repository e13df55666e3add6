package broker

import (
	"encoding/binary"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper/test/alloctest"
)

// fill sets a request's fields at random, as a client might.
func fill(v reflect.Value, r *rand.Rand) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(r.IntN(100)))
	case reflect.String:
		v.SetString("some-text"[:r.IntN(10)])
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(uint64(r.IntN(256)))
		}
	case reflect.Slice:
		if r.IntN(4) == 0 {
			v.SetZero()
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(4), 4))
		for i := range v.Len() {
			if v.Type().Elem().Kind() == reflect.Uint8 {
				v.Index(i).SetUint(uint64(r.IntN(256)))
				continue
			}
			fill(v.Index(i), r)
		}
	case reflect.Pointer:
		if r.IntN(2) == 0 {
			v.SetZero()
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), r)
	case reflect.Struct:
		for i := range v.NumField() {
			switch name := v.Type().Field(i).Name; {
			case name == "Version":
			case name == "UnknownTags":
				if r.IntN(4) == 0 {
					tags := v.Field(i).Addr().Interface().(*kmsg.Tags)
					tags.Set(900+uint32(r.IntN(9)), []byte("later"))
				}
			default:
				fill(v.Field(i), r)
			}
		}
	}
}

// schemaRequests calls f for every version of every request the guard knows.
func schemaRequests(f func(req kmsg.Request, key, version int16)) {
	for key := range requestSchemas {
		for version := int16(0); version <= kmsg.RequestForKey(key).MaxVersion(); version++ {
			req := kmsg.RequestForKey(key)
			req.SetVersion(version)
			f(req, key, version)
		}
	}
}

func TestSchemasFollowKmsg(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	schemaRequests(func(req kmsg.Request, key, version int16) {
		if got := isFlexible(key, version); got != req.IsFlexible() {
			t.Errorf("%s %d: flexible %v, kmsg says %v", apiName(key), version, got, req.IsFlexible())
		}
		for range 50 {
			fill(reflect.ValueOf(req).Elem(), r)
			body := req.AppendTo(nil)
			s := schemaOf(key)
			w := walker{b: body, version: version, flexible: version >= s.flexible, limit: 1 << 40}
			w.fields(s.fields, true)
			if w.bad || len(w.b) != 0 {
				t.Fatalf("%s version %d: the walk failed (bad %v) with %d of %d bytes left: %+v", apiName(key), version, w.bad, len(w.b), len(body), req)
			}
			if len(body) == 0 {
				break
			}
			// A body that is cut off must never pass.
			cut := body[:r.IntN(len(body))]
			if _, err := guard(key, version, cut); err == nil && kmsg.RequestForKey(key) != nil {
				again := kmsg.RequestForKey(key)
				again.SetVersion(version)
				if again.ReadFrom(cut) != nil {
					t.Fatalf("%s version %d: the guard passes a cut body that kmsg does not", apiName(key), version)
				}
			}
		}
	})
}

// bombs are bodies whose lengths claim as much as they can, at every position.
func bombs(size int) [][]byte {
	var out [][]byte
	for _, start := range []int{0, 1, 2, 4, 6, 8, 10, 16, 17, 24} {
		for _, claim := range []uint32{uint32(size - start - 8), uint32(size / 2), uint32(size / 8), 1<<31 - 1} {
			fixed := make([]byte, size)
			binary.BigEndian.PutUint32(fixed[start:], claim)
			compact := make([]byte, size)
			binary.PutUvarint(compact[start:], uint64(claim)+1)
			ones := make([]byte, size)
			for i := range ones {
				ones[i] = 1
			}
			binary.PutUvarint(ones[start:], uint64(claim)+1)
			nested := make([]byte, 0, size+8)
			for len(nested) < size {
				nested = binary.BigEndian.AppendUint32(nested, claim)
			}
			out = append(out, fixed, compact, ones, nested[:size])
		}
	}
	return out
}

// TestNoMemoryBomb decodes hostile bodies of every request, version by version, as a connection would.
func TestNoMemoryBomb(t *testing.T) {
	const size = 64 << 10
	all := bombs(size)
	worst := int64(0)
	schemaRequests(func(req kmsg.Request, key, version int16) {
		for _, body := range all {
			cost := int64(0)
			decode := func() {
				var err error
				if cost, err = guard(key, version, body); err == nil {
					again := kmsg.RequestForKey(key)
					again.SetVersion(version)
					_ = again.ReadFrom(body)
				}
			}
			n := alloctest.Bytes(decode)
			most := 2*cost + 256<<10
			if n > most { // others may have been at work
				n = alloctest.Bytes(decode)
			}
			worst = max(worst, n)
			if n > most {
				t.Errorf("%s version %d: %d bytes allocated for a frame of %d (accounted %d)", apiName(key), version, n, size, cost)
				return
			}
		}
	})
	if most := int64(3 * decodeRatio * size); worst > most {
		t.Errorf("worst case %d bytes for a frame of %d, want at most %d", worst, size, most)
	}
	t.Logf("worst case %d KiB for a frame of %d KiB", worst>>10, size>>10)
}

// TestHugeCountsAreCheap: kmsg would loop over a count of tags that are not there.
func TestHugeCountsAreCheap(t *testing.T) {
	body := append(make([]byte, 0, 16), 0, 0, 0xff, 0xff, 0xff, 0xff, 0x07) // no topics, a flag, 2^31-1 tags
	if _, err := guard(3, 12, body); err == nil {
		t.Error("a Metadata with 2^31-1 tags passed")
	}
}
