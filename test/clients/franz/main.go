// Command franz is the franz-go client of `task test:clients`: it creates a topic, produces and consumes
// records in a group with one codec, and commits.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	brokers := flag.String("brokers", "127.0.0.1:9092", "HOST:PORT")
	codec := flag.String("codec", "gzip", "gzip, snappy, lz4 or zstd")
	records := flag.Int("records", 10000, "how many")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := run(ctx, *brokers, *codec, *records); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, brokers, codec string, records int) error {
	codecs := map[string]kgo.CompressionCodec{
		"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	topic := fmt.Sprintf("franz-%s-%d", codec, time.Now().UnixNano())
	producer, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.ProducerBatchCompression(codecs[codec]), kgo.DefaultProduceTopic(topic))
	if err != nil {
		return err
	}
	defer producer.Close()
	if _, err := kadm.NewClient(producer).CreateTopic(ctx, 4, 1, nil, topic); err != nil {
		return err
	}
	for i := range records {
		text := fmt.Sprint("record-", i)
		producer.Produce(ctx, &kgo.Record{Key: []byte(text), Value: []byte(text)}, nil)
	}
	if err := producer.Flush(ctx); err != nil {
		return err
	}
	seen, err := consume(ctx, brokers, topic, records, time.Minute)
	if err != nil || len(seen) != records {
		return fmt.Errorf("consumed %d of %d: %w", len(seen), records, err)
	}
	committed, err := kadm.NewClient(producer).FetchOffsets(ctx, "g-"+topic)
	if err != nil {
		return err
	}
	total := int64(0)
	committed.Each(func(o kadm.OffsetResponse) { total += o.At })
	if total != int64(records) {
		return fmt.Errorf("committed %d of %d", total, records)
	}
	again, err := consume(ctx, brokers, topic, 1, 3*time.Second)
	if err != nil || len(again) != 0 {
		return fmt.Errorf("%d records were read again: offsets were not committed: %w", len(again), err)
	}
	return nil
}

func consume(ctx context.Context, brokers, topic string, want int, limit time.Duration) (map[string]bool, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.ConsumerGroup("g-"+topic), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit())
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	seen := map[string]bool{}
	for len(seen) < want && ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) { seen[string(r.Value)] = true })
	}
	if len(seen) == 0 {
		return seen, nil
	}
	return seen, client.CommitUncommittedOffsets(context.WithoutCancel(ctx))
}
