package broker

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func produceN(t testing.TB, c *kgo.Client, topic string, n int, value func(int) []byte) {
	t.Helper()
	for i := range n {
		c.Produce(t.Context(), &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "key-%d", i), Value: value(i)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Errorf("record %d: %v", i, err)
			}
		})
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func consumeN(t testing.TB, c *kgo.Client, n int) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	var got []*kgo.Record
	for len(got) < n {
		fs := c.PollFetches(ctx)
		for _, e := range fs.Errors() {
			t.Fatalf("%s/%d: %v after %d of %d records", e.Topic, e.Partition, e.Err, len(got), n)
		}
		got = append(got, fs.Records()...)
	}
	return got
}

func TestProduceConsume(t *testing.T) {
	h := start(t)
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for name, codec := range codecs {
		t.Run(name, func(t *testing.T) {
			topic := "codec-" + name
			p := h.client(kgo.ProducerBatchCompression(codec))
			produceN(t, p, topic, 1000, func(i int) []byte { return fmt.Appendf(nil, "value %d of a record that compresses well well well", i) })
			c := h.client(kgo.ConsumeTopics(topic))
			seen := map[string]bool{}
			for _, r := range consumeN(t, c, 1000) {
				if r.Attrs.CompressionType() != map[string]uint8{"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}[name] {
					t.Fatalf("codec %d", r.Attrs.CompressionType())
				}
				seen[string(r.Value)] = true
			}
			if len(seen) != 1000 {
				t.Errorf("%d different records, want 1000", len(seen))
			}
		})
	}
}
