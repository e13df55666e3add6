package tier

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/object"
	"github.com/streamkeeper-io/streamkeeper/test/alloctest"
)

func sampleManifest() manifest {
	at := time.UnixMilli(1234567)
	return manifest{kind: kindDelta, epoch: 3, sequence: 9, entries: []entry{
		{kind: entryObject, id: ObjectID{1}, phase: live, size: 900, footer: 80, notBefore: at, moves: []move{{ObjectID{7}, 2, 1 << 30}, {ObjectID{8}, 0, 9}}},
		{kind: entryObject, id: ObjectID{2}, phase: destroyed, size: 1, footer: 1, notBefore: at},
		{kind: entryGone, id: ObjectID{3}},
		{kind: entryTrim, stream: 5, before: 99, at: at},
		{kind: entryMeta, meta: []byte("metadata")},
	}}
}

func TestManifest_RoundTripAndEveryFlippedByte(t *testing.T) {
	want := sampleManifest()
	b := want.encode()
	got, err := decodeManifest(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(manifest{}, entry{}, move{})); d != "" {
		t.Fatal(d)
	}
	for i := range b {
		b[i] ^= 1
		if _, err := decodeManifest(b); err == nil {
			t.Errorf("byte %d changed unnoticed", i)
		}
		b[i] ^= 1
	}
}

func FuzzDecodeManifest(f *testing.F) {
	m := sampleManifest()
	f.Add(m.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= 4 { // with its checksum, or the checksum is all that is ever tried
			b = b[: len(b)-4 : len(b)-4]
			b = binary.LittleEndian.AppendUint32(b, object.Checksum(b))
		}
		var m manifest
		var err error
		alloctest.Bound(t, len(b), 256, func() { m, err = decodeManifest(b) }) // an entry for 2 bytes
		if err != nil {
			return
		}
		again, err := decodeManifest(m.encode())
		if err != nil || len(again.entries) != len(m.entries) {
			t.Fatalf("decoding what was encoded: %v", err)
		}
	})
}

// The store tells what it holds after every kind of change, over restarts, and
// keeps no manifests it does not need.
func TestManifestsTellWhatIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 6, 6, 300)
		o := l.options()
		o.RewriteFan = 2
		for round := range uint32(4) {
			o.Replay = l.log.replay(round%2 == 0)
			l.start(o)
			for range 8 {
				l.log.seal(l.load.Segment(8_000, time.Now()))
				time.Sleep(3 * time.Second)
			}
			l.until("offloaded", time.Hour, l.drained)
			if err := l.tier.Trim(t.Context(), round, 1<<40); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			if n := l.tier.Stats().Untold; n != 0 {
				t.Fatalf("%d facts are untold", n)
			}
			r, err := Restore(context.Background(), RestoreOptions{Objects: l.store, Now: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			l.sameState(r)
			if len(r.Damaged) > 0 || r.Found > 0 {
				t.Errorf("%d damaged, %d found by listing", len(r.Damaged), r.Found)
			}
			l.stop()
			if n := len(l.store.Names("manifest/")); n > snapshotAfter+1 {
				t.Errorf("%d manifests are kept", n)
			}
		}
		for _, name := range l.store.Names("manifest/") { // damage is found
			b := slices.Clone(l.store.Object(name))
			b[len(b)/2] ^= 1
			l.store.Replace(name, b)
		}
		if _, err := Restore(context.Background(), RestoreOptions{Objects: l.store, Now: time.Now}); !errors.Is(err, errManifest) {
			t.Errorf("damaged manifests: %v", err)
		}
	})
}

// sameState compares the rows a restore would bring back with the tier's.
func (l *lab) sameState(r *Restored) {
	l.t.Helper()
	replay := func(yield func([]byte, error) bool) {
		for _, rec := range r.Records {
			if !yield(rec, nil) {
				return
			}
		}
	}
	o := l.options()
	o.Replay, o.Index = replay, NewMemIndex()
	again, err := Open(context.Background(), o)
	if err != nil {
		l.t.Fatal(err)
	}
	rows := func(t *Tier) (out []Row) {
		if err := t.o.Index.Scan(0, func(r Row) bool {
			if l.tier.state.trimmed(r.Stream).before != deletedTopic { // the metadata tells those
				out = append(out, r)
			}
			return true
		}); err != nil {
			l.t.Fatal(err)
		}
		return out
	}
	if d := cmp.Diff(rows(l.tier), rows(again)); d != "" {
		l.t.Fatal(d)
	}
}
