package load

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// TestFollow: all that is produced is read, its delivery is timed once it settled, and a reader keeps its rate.
func TestFollow(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "t"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	s := Spec{Address: cluster.ListenAddrs()[0], Topic: "t", Partitions: 3, RecordBytes: 100, BatchBytes: 1000, Window: 2, Acks: -1, Rate: 300_000}
	began := time.Now()
	f, err := Follow(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for f.Read() < 3*s.requestBytes() || time.Since(began) < settling+200*time.Millisecond {
		if time.Since(began) > time.Minute {
			t.Fatal("nothing is read")
		}
		time.Sleep(10 * time.Millisecond)
	}
	tail, err := f.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if tail.Produced.Bytes < f.Read() || tail.Delivery.Count() == 0 || tail.Delivery.At(1) > time.Since(began) {
		t.Errorf("%d bytes produced, %d read, %d deliveries, at most %v", tail.Produced.Bytes, f.Read(), tail.Delivery.Count(), tail.Delivery.At(1))
	}
	s.Connections, s.Rate = 1, float64(tail.Produced.Bytes)*2 // half a second
	r, _, err := Consume(t.Context(), s, tail.Produced.Records, nil)
	if err != nil || r.Bytes != tail.Produced.Bytes || r.Elapsed < 400*time.Millisecond {
		t.Errorf("%d of %d bytes in %v, %v", r.Bytes, tail.Produced.Bytes, r.Elapsed, err)
	}
}
