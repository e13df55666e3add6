package index

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/streamkeeper-io/streamkeeper/test/alloctest"
)

func openDB(t *testing.T, fs vfs.FS) *DB {
	t.Helper()
	d, err := Open(Options{FS: fs, Dir: "index", MemBytes: 128 << 10, Failed: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// fill adds n batches per stream, of 1 to 5 offsets each, with rising positions.
func fill(rng *rand.Rand, m *Memory, next map[uint32]int64, streams uint32, n int) {
	pos := int64(64)
	for range n * int(streams) {
		s := rng.Uint32N(streams)
		b := Batch{Base: next[s], Pos: pos, Len: 100 + rng.Int32N(900), Records: 1 + rng.Int32N(5), MaxTime: 1000 + rng.Int64N(100000)}
		b.Delta = b.Records - 1
		m.Add(s, 3, b)
		next[s] = b.Next()
		pos += int64(b.Len) + 64
	}
}

// TestFind_SameFromMemoryAndRows: what a segment answers does not change when it moves to Pebble.
func TestFind_SameFromMemoryAndRows(t *testing.T) {
	fs := vfs.NewMem()
	d := openDB(t, fs)
	rng := rand.New(rand.NewPCG(1, 2))
	next := map[uint32]int64{}
	var mems []*Memory
	for seg := range uint64(3) {
		m := NewMemory(seg+1, time.UnixMilli(5))
		fill(rng, m, next, 4, 300)
		mems = append(mems, m)
		c := d.Change()
		c.Apply(Segment{ID: seg + 1, Slot: uint32(seg), Start: seg * 1000, End: (seg + 1) * 1000, SealedAt: m.Opened}, m, func(uint32) bool { return true })
		if err := c.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	for range 3000 {
		s := rng.Uint32N(4)
		offset, limit, size := rng.Int64N(next[s]), next[s]-rng.Int64N(3), rng.IntN(20000)
		if limit <= offset {
			continue
		}
		got, seg, _, err := d.Find(s, offset, limit, size, nil)
		if err != nil {
			t.Fatal(err)
		}
		var want []Batch
		var wantSeg uint64
		for _, m := range mems {
			if bs, ok := m.Find(s, offset, limit, size, nil); ok {
				want, wantSeg = bs, m.Segment
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("stream %d offset %d limit %d size %d:\n%s", s, offset, limit, size, d)
		}
		if len(got) > 0 && (seg != wantSeg || got[0].Base > offset || got[0].Next() <= offset) {
			t.Fatalf("offset %d found in segment %d at %+v", offset, seg, got[0])
		}
		ts := 1000 + rng.Int64N(100000)
		b, _, ok, err := d.FirstAtTime(s, offset, ts)
		if err != nil {
			t.Fatal(err)
		}
		var wb Batch
		wok := false
		for _, m := range mems {
			if wb, wok = m.FirstAtTime(s, offset, ts); wok {
				break
			}
		}
		if ok != wok || b != wb {
			t.Fatalf("time %d from %d: %+v %v, want %+v %v", ts, offset, b, ok, wb, wok)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}

	d = openDB(t, fs)
	if d.Watermark() != 3000 || d.Durable() != 3000 {
		t.Fatalf("watermark %d, durable %d", d.Watermark(), d.Durable())
	}
	segs, err := d.Segments()
	if err != nil || len(segs) != 3 {
		t.Fatal(err, segs)
	}
	if diff := cmp.Diff(mems[1].Runs(), segs[1].Runs); diff != "" || !segs[1].SealedAt.Equal(time.UnixMilli(5)) {
		t.Fatal(diff)
	}
	c := d.Change()
	if err := c.Release(segs[0]); err != nil {
		t.Fatal(err)
	}
	if err := c.Commit(); err != nil {
		t.Fatal(err)
	}
	for s := range uint32(4) {
		first, ok, err := d.FirstLocal(s)
		r, _ := mems[1].Run(s)
		if err != nil || !ok || first != r.Base {
			t.Fatalf("stream %d starts at %d, want %d (%v)", s, first, r.Base, err)
		}
	}
	if d.Watermark() != 3000 {
		t.Fatal("a release moved the watermark")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRows_RoundTrip(t *testing.T) {
	d := openDB(t, vfs.NewMem())
	s := Stream{Next: 90, LogStart: 3, MaxTime: -1, MaxAt: -1, Epochs: []Epoch{{0, 0}, {4, 50}}, Open: []OpenTxn{{1, 2, 3}, {4, 5, 6}}, Aborted: 88}
	p := Producer{ID: 77, Seen: 12345, MarkerEpoch: 2, Coordinator: 9, Last: []Sequence{{Epoch: 1, First: 0, Last: 4, Base: 10, Delta: 4, Time: -1}, {Epoch: 1, First: 5, Last: 5, Base: 15, Time: 9}}}
	c := d.Change()
	c.SetStream(6, s)
	c.SetProducer(6, p)
	c.SetProducer(7, Producer{ID: 1})
	c.SetTier("k", []byte("v"))
	c.SetTier("dead", nil)
	c.SetGroup("g\x00h", []byte{})
	c.SetOffset("g\x00h", "topic", 3, []byte("o"))
	c.SetGroupRecord("g\x00h", "key", []byte("r"))
	c.SetGroupRecord("g\x00h", "dead", nil)
	if err := c.Commit(); err != nil {
		t.Fatal(err)
	}
	got, ok, err := d.Stream(6)
	if diff := cmp.Diff(s, got); diff != "" || !ok || err != nil {
		t.Fatal(diff, ok, err)
	}
	var ps []Producer
	if err := d.Producers(6, func(p Producer) { ps = append(ps, p) }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Producer{p}, ps); diff != "" {
		t.Fatal(diff)
	}
	texts := map[string]string{}
	err = d.Offsets(func(g, topic string, part int32, v []byte) {
		if g != "g\x00h" || topic != "topic" || part != 3 {
			t.Errorf("offset of %q %q %d", g, topic, part)
		}
		texts["o"] = string(v)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Groups(func(g string, v []byte) { texts["g"] = g }); err != nil {
		t.Fatal(err)
	}
	if err := d.GroupRecords(func(g, k string, v []byte) { texts["r"+g+k] = string(v) }); err != nil {
		t.Fatal(err)
	}
	if err := d.TierRecords(func(k string, v []byte) { texts["t"+k] = string(v) }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"o": "o", "g": "g\x00h", "rg\x00hkey": "r", "tk": "v"}, texts); diff != "" {
		t.Fatal(diff)
	}
	c = d.Change()
	c.DropStream(6)
	if err := c.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := d.Stream(6); ok {
		t.Fatal("stream 6 is still there")
	}
	if err := d.Producers(7, func(Producer) { ok = true }); err != nil || !ok {
		t.Fatal("stream 7 went with stream 6")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// FuzzRows: no row makes a decoder panic or allocate what its bytes cannot hold.
func FuzzRows(f *testing.F) {
	f.Add(encodeStream(Stream{Epochs: []Epoch{{1, 2}}}))
	f.Add(encodeProducer(Producer{Last: []Sequence{{}}}))
	f.Add(encodeSegment(Segment{Runs: []Run{{Stream: 1, Next: 4}}}))
	f.Add(encodeChunk(chunk{segment: 1, batches: []Batch{{Base: 1, Pos: 2, Len: 3}}}, &writer{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		alloctest.Bound(t, len(b), 128, func() { // an Epoch for 2 bytes, an OpenTxn for 3, in slices that grow, and Runs and Batches
			_, _ = decodeStream(b)
			_, _ = decodeProducer(1, b)
			_, _ = decodeSegment(1, b)
			_, _ = decodeChunk(0, b, nil)
			_, _, _, _ = splitOffsetKey(string(b))
		})
	})
}

// Rows of the first format are read as what they were.
func TestRows_FirstVersion(t *testing.T) {
	s, err := decodeStream([]byte{1, 20, 0, 14, 6, 1, 2, 0})
	if diff := cmp.Diff(Stream{Next: 10, MaxTime: 7, MaxAt: 3, Epochs: []Epoch{{Epoch: 1}}}, s); err != nil || diff != "" {
		t.Error(err, diff)
	}
	p, err := decodeProducer(5, []byte{1, 6, 1, 0, 0, 2, 4, 2, 1})
	want := Producer{ID: 5, Seen: 3, MarkerEpoch: -1, Coordinator: -1, Last: []Sequence{{Last: 1, Base: 2, Delta: 1, Time: -1}}}
	if diff := cmp.Diff(want, p); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestDB_Aborted(t *testing.T) {
	d, err := Open(Options{FS: vfs.NewMem(), Dir: "index"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c := d.Change()
	all := []Aborted{{Producer: 1, First: 0, Last: 9, Stable: 4}, {Producer: 2, First: 4, Last: 300, Stable: 301}}
	for _, a := range all {
		c.AddAborted(7, a)
	}
	c.AddAborted(8, Aborted{Producer: 3, Last: 1})
	c.SetPending(1<<40, "g", "t", 3, []byte("v"))
	c.SetTransaction("id", []byte("x"))
	if err := c.Commit(); err != nil {
		t.Fatal(err)
	}
	read := func(from int64) (got []Aborted) {
		if err := d.Aborted(7, from, func(a Aborted) bool { got = append(got, a); return true }); err != nil {
			t.Fatal(err)
		}
		return got
	}
	for _, tt := range []struct {
		from int64
		want []Aborted
	}{{0, all}, {9, all}, {10, all[1:]}, {301, nil}} {
		if diff := cmp.Diff(tt.want, read(tt.from)); diff != "" {
			t.Errorf("from %d: %s", tt.from, diff)
		}
	}
	c = d.Change()
	c.DropAborted(7, 10)
	if err := c.Commit(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all[1:], read(0)); diff != "" {
		t.Error(diff)
	}
	err = d.Pending(func(producer int64, group, topic string, partition int32, v []byte) {
		if producer != 1<<40 || group != "g" || topic != "t" || partition != 3 || string(v) != "v" {
			t.Error(producer, group, topic, partition, v)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
