package batch

import (
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMarker_RoundTrips(t *testing.T) {
	for _, want := range []Marker{{Commit: true, Coordinator: 7}, {Coordinator: -1}} {
		b := AppendMarker(nil, Producer{ID: 9, Epoch: 3}, want, 1234)
		if err := Check(b, CheckOptions{AllowControl: true}); err != nil {
			t.Fatal(err)
		}
		if err := Check(b, CheckOptions{}); err == nil {
			t.Error("a client may send a marker")
		}
		h := Header(b)
		if !h.IsControl() || !h.IsTransactional() || h.ProducerID() != 9 || h.ProducerEpoch() != 3 || h.BaseSequence() != -1 {
			t.Errorf("header of %+v: attributes %x, producer %d/%d, sequence %d", want, h.Attributes(), h.ProducerID(), h.ProducerEpoch(), h.BaseSequence())
		}
		got, ok, err := ReadMarker(h)
		if err != nil || !ok {
			t.Fatalf("reading %+v: %v, %v", want, ok, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

// The record of a commit as Kafka writes it: key 0000 0001, value 0000 and the epoch.
func TestMarker_IsKafkas(t *testing.T) {
	b := AppendMarker(nil, Producer{ID: 1, Epoch: 0}, Marker{Commit: true, Coordinator: 5}, 0)
	if got, want := hex.EncodeToString(b[HeaderSize:]), "200000000800000001"+"0c000000000005"+"00"; got != want {
		t.Errorf("record %s, want %s", got, want)
	}
}

func FuzzReadMarker(f *testing.F) {
	f.Add(AppendMarker(nil, Producer{ID: 1}, Marker{Commit: true}, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, _, ok := Next(b); ok {
			_, _, _ = ReadMarker(h)
		}
	})
}
