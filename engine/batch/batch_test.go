package batch

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/streamkeeper-io/streamkeeper/test/alloctest"
)

func sample() Header {
	return Append(nil, Producer{ID: 7, Epoch: 2, Sequence: 40}, []Record{
		{Timestamp: 1000, Key: []byte("k"), Value: []byte("v"), Headers: []Field{{"h", []byte("x")}, {"nil", nil}}},
		{Timestamp: 990, Key: nil, Value: nil},
		{Timestamp: 1010, Key: []byte{}, Value: []byte{}},
	})
}

func TestHeader_FieldsOfABuiltBatch(t *testing.T) {
	h := sample()
	h.SetBaseOffset(500)
	h.SetLeaderEpoch(9)
	if err := Check(h, CheckOptions{}); err != nil {
		t.Fatalf("offset and epoch are outside the CRC: %v", err)
	}
	got := []int64{
		h.BaseOffset(), int64(h.Size()), int64(h.LeaderEpoch()), int64(h.LastOffsetDelta()), h.LastOffset(), h.NextOffset(),
		h.BaseTimestamp(), h.MaxTimestamp(), h.ProducerID(), int64(h.ProducerEpoch()), int64(h.BaseSequence()), int64(h.LastSequence()), int64(h.RecordCount()),
	}
	want := []int64{500, int64(len(h)), 9, 2, 502, 503, 1000, 1010, 7, 2, 40, 42, 3}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
}

func TestRecords_RoundTrip(t *testing.T) {
	h := sample()
	h.SetBaseOffset(10)
	var got []Record
	if err := Records(h, 0, func(r Record) bool { got = append(got, r); return true }); err != nil {
		t.Fatal(err)
	}
	want := []Record{
		{Offset: 10, Timestamp: 1000, Key: []byte("k"), Value: []byte("v"), Headers: []Field{{"h", []byte("x")}, {"nil", nil}}},
		{Offset: 11, Timestamp: 990},
		{Offset: 12, Timestamp: 1010, Key: []byte{}, Value: []byte{}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
}

func TestSetLogAppendTime_KeepsTheBatchValid(t *testing.T) {
	h := sample()
	h.SetLogAppendTime(77)
	if err := Check(h, CheckOptions{}); err != nil || !h.IsLogAppendTime() || h.MaxTimestamp() != 77 {
		t.Fatal(err, h.MaxTimestamp())
	}
	_ = Records(h, 0, func(r Record) bool {
		if r.Timestamp != 77 {
			t.Errorf("record %d has timestamp %d", r.Offset, r.Timestamp)
		}
		return true
	})
}

func TestAddSequence_Wraps(t *testing.T) {
	f := func(seq, n, want int32) {
		t.Helper()
		if got := AddSequence(seq, n); got != want {
			t.Errorf("%d + %d = %d, want %d", seq, n, got, want)
		}
	}
	f(0, 1, 1)
	f(1<<31-1, 1, 0)
	f(1<<31-2, 3, 1)
}

func TestCheck_RefusesWithTheReason(t *testing.T) {
	f := func(name string, want error, o CheckOptions, damage func(h Header) []byte) {
		t.Helper()
		if err := Check(damage(sample()), o); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	resum := func(h Header) []byte { h.SetCRC(); return h }
	f("nothing", ErrCorrupt, CheckOptions{}, func(Header) []byte { return nil })
	f("cut short", ErrCorrupt, CheckOptions{}, func(h Header) []byte { return h[:len(h)-1] })
	f("trailing byte", ErrCorrupt, CheckOptions{}, func(h Header) []byte { return append(h, 0) })
	f("old magic", ErrMagic, CheckOptions{}, func(h Header) []byte { h[offMagic] = 1; return h })
	f("flipped payload bit", ErrCorrupt, CheckOptions{}, func(h Header) []byte { h[len(h)-1] ^= 1; return h })
	f("flipped payload bit that breaks a length, crc skipped", ErrCorrupt, CheckOptions{SkipCRC: true}, func(h Header) []byte { h[HeaderSize] ^= 2; return h })
	f("length of a gigabyte", ErrCorrupt, CheckOptions{}, func(h Header) []byte { binary.BigEndian.PutUint32(h[offLength:], 1<<30); return h })
	f("negative length", ErrCorrupt, CheckOptions{}, func(h Header) []byte { binary.BigEndian.PutUint32(h[offLength:], 1<<31); return h })
	f("two billion records", ErrCorrupt, CheckOptions{}, func(h Header) []byte {
		binary.BigEndian.PutUint32(h[offRecordCount:], 1<<31-1)
		binary.BigEndian.PutUint32(h[offLastDelta:], 1<<31-2)
		return resum(h)
	})
	f("no records", ErrCorrupt, CheckOptions{}, func(h Header) []byte { binary.BigEndian.PutUint32(h[offRecordCount:], 0); return resum(h) })
	f("last offset delta disagrees", ErrCorrupt, CheckOptions{}, func(h Header) []byte { binary.BigEndian.PutUint32(h[offLastDelta:], 5); return resum(h) })
	f("codec 5", ErrCodec, CheckOptions{}, func(h Header) []byte { h[offAttributes+1] = 5; return resum(h) })
	f("control batch", ErrCorrupt, CheckOptions{}, func(h Header) []byte { h[offAttributes+1] = Control; return resum(h) })
	f("control batch allowed", nil, CheckOptions{AllowControl: true}, func(h Header) []byte { h[offAttributes+1] = Control; return resum(h) })
	f("producer without sequence", ErrCorrupt, CheckOptions{}, func(h Header) []byte { binary.BigEndian.PutUint32(h[offSequence:], 1<<32-1); return resum(h) })
	f("too large", ErrTooLarge, CheckOptions{MaxBatchBytes: 80}, func(h Header) []byte { return h })
	f("two batches", nil, CheckOptions{}, func(h Header) []byte { return append(h, sample()...) })
}

// compressed turns a batch into one of the given codec.
func compressed(t *testing.T, c Codec) Header {
	t.Helper()
	h := sample()
	var body bytes.Buffer
	var err error
	switch c {
	case Gzip:
		w := gzip.NewWriter(&body)
		_, err = w.Write(h[HeaderSize:])
		err = errors.Join(err, w.Close())
	case Snappy:
		body.Write(s2.EncodeSnappy(nil, h[HeaderSize:]))
	case LZ4:
		w := lz4.NewWriter(&body)
		_, err = w.Write(h[HeaderSize:])
		err = errors.Join(err, w.Close())
	case Zstd:
		w, werr := zstd.NewWriter(&body)
		if werr != nil {
			t.Fatal(werr)
		}
		_, err = w.Write(h[HeaderSize:])
		err = errors.Join(err, w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	h = append(h[:HeaderSize:HeaderSize], body.Bytes()...)
	binary.BigEndian.PutUint32(h[offLength:], uint32(len(h)-lengthOverhead))
	h[offAttributes+1] = byte(c)
	h.SetCRC()
	return h
}

func TestRecords_OpensEveryCodec(t *testing.T) {
	for _, c := range []Codec{Gzip, Snappy, LZ4, Zstd} {
		h := compressed(t, c)
		if err := Check(h, CheckOptions{}); err != nil {
			t.Fatal(c, err)
		}
		n := 0
		if err := Records(h, 0, func(Record) bool { n++; return true }); err != nil || n != 3 {
			t.Errorf("%s: %d records, %v", c, n, err)
		}
		if err := Records(h, 10, func(Record) bool { return true }); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: a bomb was opened: %v", c, err)
		}
	}
}

func TestRecords_XerialSnappy(t *testing.T) {
	h := sample()
	body := append(append([]byte(nil), xerial...), 0, 0, 0, 1, 0, 0, 0, 1)
	for half := range 2 {
		raw := h[HeaderSize:]
		raw = raw[half*len(raw)/2 : (half+1)*len(raw)/2]
		block := s2.EncodeSnappy(nil, raw)
		body = append(binary.BigEndian.AppendUint32(body, uint32(len(block))), block...)
	}
	got, err := decompress(Snappy, body, 1<<20)
	if err != nil || !bytes.Equal(got, h[HeaderSize:]) {
		t.Fatal(err)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte(sample()))
	f.Add(append([]byte(sample()), sample()...))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var err error
		alloctest.Bound(t, len(b), 1, func() { err = Check(b, CheckOptions{SkipCRC: true}) })
		if err != nil {
			return
		}
		for len(b) > 0 {
			h, rest, ok := Next(b)
			if !ok {
				t.Fatal("a checked batch does not cut")
			}
			const limit = 1 << 16
			n := int32(0)
			alloctest.Bound(t, limit+len(h), 256, func() { // what is decompressed, and the window of its codec
				n = 0
				err = Records(h, limit, func(Record) bool { n++; return true })
			})
			if err == nil && n != h.RecordCount() {
				t.Fatalf("%d records of %d", n, h.RecordCount())
			}
			b = rest
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	var rs []Record
	for range 64 {
		rs = append(rs, Record{Value: make([]byte, 1024)})
	}
	h := Append(nil, NoProducer, rs)
	b.SetBytes(int64(len(h)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Check(h, CheckOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
