package load

import (
	"context"
	"testing"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
)

func TestQuantiles(t *testing.T) {
	var q Quantiles
	if got := q.At(0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	for i := 1; i <= 10000; i++ {
		q.Add(time.Duration(i) * time.Microsecond)
	}
	for share, want := range map[float64]time.Duration{0.5: 5 * time.Millisecond, 0.99: 9900 * time.Microsecond, 1: 10 * time.Millisecond} {
		if got := q.At(share); got < want || float64(got) > 1.017*float64(want) {
			t.Errorf("at %v: %v, want %v within 1.6 %%", share, got, want)
		}
	}
	var sum Quantiles
	sum.Add(time.Hour)
	sum.Add(-1) // a clock that stepped back
	sum.Merge(&q)
	if sum.Count() != 10002 || sum.At(1) != time.Hour {
		t.Errorf("merged: %d, at most %v", sum.Count(), sum.At(1))
	}
}

// TestSlot: slots follow each other without a gap, and hold what they say.
func TestSlot(t *testing.T) {
	for i := range doubles*steps - 1 {
		if got := slot(upper(i)); got != i {
			t.Fatalf("slot(upper(%d)) = %d", i, got)
		}
		if got := slot(upper(i) + 1); got != i+1 {
			t.Fatalf("slot(upper(%d)+1) = %d", i, got)
		}
	}
}

// TestEncode: what is sent must be what a broker accepts.
func TestEncode(t *testing.T) {
	for _, s := range []Spec{{RecordBytes: 1024, BatchBytes: 16 << 10}, {RecordBytes: 100, BatchBytes: 10}, {RecordBytes: 1024, BatchBytes: 64 << 10, LZ4: true}} {
		b, err := s.encode(time.Unix(1, 0), 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := batch.Check(b, batch.CheckOptions{}); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
		n := 0
		if err := batch.Records(batch.Header(b), 1<<20, func(batch.Record) bool { n++; return true }); err != nil || n != s.recordsPerBatch() {
			t.Errorf("%+v: %d records, %v", s, n, err)
		}
		if plain := s.recordsPerBatch() * s.RecordBytes; s.LZ4 && (len(b) > plain*2/3 || len(b) < plain/6) {
			t.Errorf("%d bytes became %d: the text compresses unlike real data", plain, len(b))
		}
	}
}

// TestProduce_BlackHole: every request is answered and counted, by limit of bytes and of time, and a rate is kept.
func TestProduce_BlackHole(t *testing.T) {
	s := Spec{Topic: "t", Partitions: 6, RecordBytes: 100, BatchBytes: 1000, Connections: 3, Window: 5, Acks: -1}
	hole, err := NewBlackHole(s)
	if err != nil {
		t.Fatal(err)
	}
	defer hole.Close()
	s.Address = hole.Address()
	r, err := Produce(context.Background(), s, Limit{Bytes: 600_000})
	if err != nil || r.Bytes != 600_000 || r.Records != 6000 || r.Latency.Count() != 100 {
		t.Fatalf("%d bytes, %d records, %d answers, %v", r.Bytes, r.Records, r.Latency.Count(), err)
	}
	s.Spread, s.Window, s.Rate = 1, 1, 100_000
	r, err = Produce(context.Background(), s, Limit{For: 300 * time.Millisecond})
	if err != nil || r.Bytes != 30_000 {
		t.Fatalf("%d bytes in 0.3 s at 100 kB/s, %v", r.Bytes, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := Produce(ctx, s, Limit{For: time.Hour}); err == nil {
		t.Error("a cancelled run ended well")
	}
}

// TestProduce_OneAtATime: requests that never overlap cannot have waited longer, together, than the run lasted.
func TestProduce_OneAtATime(t *testing.T) {
	s := Spec{Topic: "t", Partitions: 1, RecordBytes: 100, BatchBytes: 100, Connections: 1, Window: 1, Acks: -1}
	hole, err := NewBlackHole(s)
	if err != nil {
		t.Fatal(err)
	}
	defer hole.Close()
	s.Address = hole.Address()
	r, err := Produce(context.Background(), s, Limit{Bytes: 200_000})
	if err != nil {
		t.Fatal(err)
	}
	waited := time.Duration(0) // at least: the fastest of each tenth
	for tenth := range 9 {
		waited += time.Duration(r.Latency.Count()) / 10 * r.Latency.At(float64(tenth+1)/10)
	}
	if waited > r.Elapsed {
		t.Errorf("%d requests one after the other waited %v in %v", r.Latency.Count(), waited, r.Elapsed)
	}
}
