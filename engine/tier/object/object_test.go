package object_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/object"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/tiertest"
	"github.com/streamkeeper-io/streamkeeper/test/alloctest"
)

func encode(t testing.TB, seed uint64, block int32, streams, maxBatch, size int) (*tiertest.Segment, *object.Plan, []byte) {
	t.Helper()
	s := tiertest.NewLoad(seed, streams, maxBatch).Segment(size, time.Time{})
	p, err := object.NewPlan(object.Info{ID: object.ID{1, byte(seed)}, Cluster: "c1", Node: 2, Segment: 9, Created: 12345, Block: block}, s)
	if err != nil {
		t.Fatal(err)
	}
	body := p.Body()
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(b)) != p.Size() {
		t.Fatalf("body has %d bytes, Size says %d", len(b), p.Size())
	}
	return s, p, b
}

// Every batch of the segment can be found through the footer alone.
func TestObjectHoldsTheSegment(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 7))
		maxBatch := 1 + r.IntN(20_000)
		s, _, b := encode(t, seed, object.MinBlock, 1+r.IntN(40), maxBatch, 1+r.IntN(300_000))
		f, err := object.Verify(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		pos := int64(object.HeaderSize)
		for i, run := range f.Runs {
			in, _ := s.ReadRun(i)
			want, _ := io.ReadAll(in)
			if !bytes.Equal(b[pos:pos+run.Bytes], want) {
				t.Fatalf("seed %d run %d has other bytes", seed, i)
			}
			checkBlocksOfRun(t, f, b[object.HeaderSize:], i, pos-object.HeaderSize)
			pos += run.Bytes
		}
	}
}

// checkBlocksOfRun compares the block marks with a walk over the run.
func checkBlocksOfRun(t *testing.T, f object.Footer, data []byte, run int, pos int64) {
	t.Helper()
	rest := data[pos : pos+f.Runs[run].Bytes]
	latest, seen := map[int]int64{}, map[int]bool{}
	for len(rest) > 0 {
		h, next, ok := batch.Next(rest)
		if !ok {
			t.Fatalf("run %d does not consist of batches", run)
		}
		i, at := int(pos/int64(f.Block)), uint32(pos%int64(f.Block))
		k := f.Blocks[i]
		if k.First > at {
			t.Fatalf("block %d: first batch at %d, but one begins at %d", i, k.First, at)
		}
		if k.First == at {
			seen[i] = true
			if k.FirstOffset != h.BaseOffset() {
				t.Fatalf("block %d: first offset %d, want %d", i, k.FirstOffset, h.BaseOffset())
			}
		}
		if _, ok := latest[i]; !ok {
			latest[i] = -1
		}
		latest[i] = max(latest[i], h.MaxTimestamp())
		pos += int64(len(h))
		rest = next
	}
	for i := range seen {
		if f.Blocks[i].MaxTimestamp != latest[i] {
			t.Fatalf("block %d: max timestamp %d, want %d", i, f.Blocks[i].MaxTimestamp, latest[i])
		}
	}
}

func TestBodySeeksAndRereads(t *testing.T) {
	_, p, b := encode(t, 3, object.MinBlock, 5, 3000, 50_000)
	body := p.Body()
	defer body.Close()
	if err := iotest.TestReader(body, b); err != nil {
		t.Fatal(err)
	}
}

// Any single flipped bit of an object is detected.
func TestEveryFlippedBitIsDetected(t *testing.T) {
	_, _, b := encode(t, 4, object.MinBlock, 3, 300, 6000)
	r := rand.New(rand.NewPCG(1, 1))
	for i := 0; i < len(b)*8; i += 1 + r.IntN(40) {
		b[i/8] ^= 1 << (i % 8)
		if _, err := object.Verify(bytes.NewReader(b), int64(len(b))); err == nil {
			t.Fatalf("bit %d flipped unnoticed", i)
		}
		b[i/8] ^= 1 << (i % 8)
	}
}

func TestDamagedSegmentIsRefused(t *testing.T) {
	load := tiertest.NewLoad(5, 4, 500)
	info := object.Info{Block: object.MinBlock}
	for i := range 200 {
		s := load.Segment(3000, time.Time{})
		run := i % len(s.Runs())
		bits := int(s.Runs()[run].Bytes) * 8
		bit := load.Random.IntN(bits)
		if at := inBatch(t, s, run, bit/8); at < 8 || at >= 12 && at < 16 {
			continue // base offset and leader epoch lie outside the batch CRC
		}
		s.Corrupt(run, bit)
		if _, err := object.NewPlan(info, s); !errors.Is(err, object.ErrContent) {
			t.Fatalf("bit %d of run %d: %v", bit, run, err)
		}
	}
}

// inBatch returns the position of byte at of a run within its batch.
func inBatch(t *testing.T, s *tiertest.Segment, run, at int) int {
	t.Helper()
	in, _ := s.ReadRun(run)
	b, _ := io.ReadAll(in)
	for {
		h, rest, ok := batch.Next(b)
		if !ok {
			t.Fatal("not a batch")
		}
		if at < len(h) {
			return at
		}
		at, b = at-len(h), rest
	}
}

func TestContentThatChangesAfterPlanningIsNotStored(t *testing.T) {
	s := tiertest.NewLoad(6, 2, 500).Segment(30_000, time.Time{})
	p, err := object.NewPlan(object.Info{Block: object.MinBlock}, s)
	if err != nil {
		t.Fatal(err)
	}
	s.Corrupt(1, 8*1000)
	if _, err := io.ReadAll(p.Body()); !errors.Is(err, object.ErrContent) {
		t.Fatalf("got %v, want ErrContent", err)
	}
}

func TestPlanRefusesImpossibleRuns(t *testing.T) {
	load := tiertest.NewLoad(6, 4, 500)
	for name, change := range map[string]func(r []object.Run){
		"order":    func(r []object.Run) { r[0], r[1] = r[1], r[0] },
		"length":   func(r []object.Run) { r[0].Bytes-- },
		"too long": func(r []object.Run) { r[0].Bytes++ },
		"offsets":  func(r []object.Run) { r[0].Next-- },
		"empty":    func(r []object.Run) { r[0].Bytes = 0 },
	} {
		s := load.Segment(10_000, time.Time{})
		change(s.Runs())
		if _, err := object.NewPlan(object.Info{Block: object.MinBlock}, s); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzDecodeFooter(f *testing.F) {
	for seed := range uint64(3) {
		_, p, _ := encode(f, seed, object.MinBlock, 3, 2000, 20_000)
		f.Add(p.EncodedFooter())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var got object.Footer
		var err error
		alloctest.Bound(t, len(b), 16, func() { got, err = object.DecodeFooter(b) }) // a Run for 10 bytes
		if err != nil {
			if !errors.Is(err, object.ErrCorrupt) {
				t.Fatalf("error %v is not ErrCorrupt", err)
			}
			return
		}
		again, err := object.DecodeFooter(object.AppendFooter(nil, &got))
		if err != nil {
			t.Fatalf("decoding what was encoded: %v", err)
		}
		if d := cmp.Diff(got, again); d != "" {
			t.Fatal(d)
		}
	})
}

func FuzzVerify(f *testing.F) {
	for seed := range uint64(2) {
		_, _, b := encode(f, seed, object.MinBlock, 2, 400, 2000)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var err error
		alloctest.Bound(t, len(b), 16, func() { _, err = object.Verify(bytes.NewReader(b), int64(len(b))) })
		if err == nil {
			for _, k := range []int{0, len(b) / 2, len(b) - 1} {
				b[k] ^= 1
				if _, err := object.Verify(bytes.NewReader(b), int64(len(b))); err == nil {
					t.Fatalf("byte %d changed unnoticed", k)
				}
				b[k] ^= 1
			}
		}
	})
}
