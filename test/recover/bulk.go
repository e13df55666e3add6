package main

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/test/load"
)

// samples is how many places of the bulk are looked at again after each start.
const samples = 120

// bulk is what makes the log large. It is too much to read back each time: what is acknowledged is counted, and a sample
// of places must keep its content.
type bulk struct {
	spec  load.Spec
	acked int64 // records
	seen  map[bulkPlace]uint64
	seed  maphash.Seed
}

type bulkPlace struct {
	partition int32
	offset    int64
}

// fill produces n bytes as fast as they are taken.
func (b *bulk) fill(ctx context.Context, n int64) error {
	r, err := load.Produce(ctx, b.spec, load.Limit{Bytes: n})
	b.acked += r.Records
	return err
}

// load produces until the broker is killed, which looks like any other error.
func (b *bulk) load(ctx context.Context, rate float64) error {
	s := b.spec
	s.Rate = rate
	r, err := load.Produce(ctx, s, load.Limit{})
	b.acked += r.Records
	return err
}

// sample draws the places and notes what they hold.
func (b *bulk) sample(ctx context.Context) error {
	b.seed, b.seen = maphash.MakeSeed(), map[bulkPlace]uint64{}
	return b.with(func(client *kgo.Client) error {
		ends, err := b.ends(ctx, client)
		if err != nil {
			return err
		}
		random := rand.New(rand.NewPCG(1, 1))
		for n := range samples {
			at := bulkPlace{partition: int32(n % partitions)}
			if end := ends[at.partition]; end > 0 {
				at.offset = random.Int64N(end)
			}
			if b.seen[at], err = b.read(ctx, client, at); err != nil {
				return err
			}
		}
		return nil
	})
}

// check compares the count and the sample.
func (b *bulk) check(ctx context.Context) error {
	return b.with(func(client *kgo.Client) error {
		ends, err := b.ends(ctx, client)
		if err != nil {
			return err
		}
		there := int64(0)
		for p, end := range ends {
			there += end
			if end == 0 {
				continue
			}
			if _, err := b.read(ctx, client, bulkPlace{p, end - 1}); err != nil {
				return fmt.Errorf("the last record: %w", err)
			}
		}
		if there < b.acked {
			return fmt.Errorf("%d records of the bulk were acknowledged, %d are there", b.acked, there)
		}
		for at, h := range b.seen {
			switch got, err := b.read(ctx, client, at); {
			case err != nil:
				return err
			case got != h:
				return fmt.Errorf("partition %d offset %d of the bulk changed its content", at.partition, at.offset)
			}
		}
		return nil
	})
}

// fetchOld reads the oldest record there is.
func (b *bulk) fetchOld(ctx context.Context) error {
	return b.with(func(client *kgo.Client) error {
		_, err := b.read(ctx, client, bulkPlace{})
		return err
	})
}

func (b *bulk) with(fn func(*kgo.Client) error) error {
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(int16(kmsg.Fetch), 12) // the last that names topics by their names
	client, err := kgo.NewClient(kgo.SeedBrokers(b.spec.Address), kgo.MaxVersions(versions), kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond }))
	if err != nil {
		return err
	}
	defer client.Close()
	return fn(client)
}

func (b *bulk) ends(ctx context.Context, client *kgo.Client) (map[int32]int64, error) {
	listed, err := kadm.NewClient(client).ListEndOffsets(ctx, bulkTopic)
	if err == nil {
		err = listed.Error()
	}
	out := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) { out[o.Partition] = o.Offset })
	return out, err
}

// read fetches the record at a place and returns the hash of its value; the batch's checksum must be right.
func (b *bulk) read(ctx context.Context, client *kgo.Client, at bulkPlace) (uint64, error) {
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = -1, 1000, 1, 1<<20
	t := kmsg.NewFetchRequestTopic()
	t.Topic = bulkTopic
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = at.partition, at.offset, 1, -1
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	resp, err := client.SeedBrokers()[0].RetriableRequest(ctx, req)
	if err != nil {
		return 0, fmt.Errorf("fetch partition %d offset %d: %w", at.partition, at.offset, err)
	}
	h, err := b.find(resp.(*kmsg.FetchResponse), at.offset)
	if err != nil {
		return 0, fmt.Errorf("fetch partition %d offset %d: %w", at.partition, at.offset, err)
	}
	return h, nil
}

func (b *bulk) find(resp *kmsg.FetchResponse, offset int64) (hash uint64, err error) {
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return 0, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return 0, errors.New("an answer about something else")
	}
	part := resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(part.ErrorCode); err != nil {
		return 0, err
	}
	found := false
	for h, rest, ok := batch.Next(part.RecordBatches); ok && !found; h, rest, ok = batch.Next(rest) {
		if err := batch.Check(h, batch.CheckOptions{}); err != nil {
			return 0, err
		}
		err = batch.Records(h, 0, func(r batch.Record) bool {
			if found = r.Offset == offset; found {
				hash = maphash.Bytes(b.seed, r.Value)
			}
			return !found
		})
		if err != nil {
			return 0, err
		}
	}
	if !found {
		return 0, errors.New("the record is not there")
	}
	return hash, nil
}
