package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
)

const (
	fetchVersion = 12
	fetchMax     = 50 << 20 // clients' defaults
	fetchPart    = 1 << 20
	fetchWait    = 500 // milliseconds
)

// Consume reads every partition from the given offsets (the start where nil) until it has read records in all, and
// returns where it came to. The partitions are shared among the connections. With a rate it reads no faster.
func Consume(ctx context.Context, s Spec, records int64, from []int64) (Result, []int64, error) {
	return consume(ctx, s, records, from, nil)
}

// reading is what the connections of a consumer share.
type reading struct {
	spec  Spec
	began time.Time
	all   int64        // records to read
	left  atomic.Int64 // of them
	at    []int64      // a partition's next offset; only its connection touches it
	seen  func(partition int32, next int64)
}

// pause waits until a rate allows to go on.
func (r *reading) pause(ctx context.Context) {
	if r.spec.Rate <= 0 {
		return
	}
	read := float64(r.all-r.left.Load()) * float64(r.spec.RecordBytes)
	timer := time.NewTimer(time.Until(r.began.Add(time.Duration(read / r.spec.Rate * float64(time.Second)))))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// consume is Consume; seen, if there is one, hears of each batch on the connections' goroutines.
func consume(ctx context.Context, s Spec, records int64, from []int64, seen func(int32, int64)) (Result, []int64, error) {
	r := &reading{spec: s, began: time.Now(), all: records, at: make([]int64, s.Partitions), seen: seen}
	copy(r.at, from)
	r.left.Store(records)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, s.Connections)
	var wg sync.WaitGroup
	for i := range s.Connections {
		wg.Go(func() {
			errs[i] = r.some(ctx, i)
			if errs[i] != nil || r.left.Load() <= 0 {
				stop() // the others wait for records that need not come
			}
		})
	}
	wg.Wait()
	left := r.left.Load()
	out := Result{Records: records - left, Elapsed: time.Since(r.began)}
	out.Bytes = out.Records * int64(s.RecordBytes)
	if left <= 0 {
		return out, r.at, nil
	}
	return out, r.at, errors.Join(append(errs, ctx.Err())...)
}

// some reads the partitions id, id + connections, … .
func (r *reading) some(ctx context.Context, id int) error {
	c, err := dial(ctx, r.spec.Address)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = fetchVersion
	var frame []byte
	for r.left.Load() > 0 && ctx.Err() == nil {
		frame = formatter.AppendRequest(frame[:0], r.spec.fetch(id, r.at), 0)
		if err := c.send(frame); err != nil {
			return err
		}
		_, body, err := c.response(true)
		if err != nil {
			return err
		}
		n, err := walk(resp, body, r.at, r.seen)
		if err != nil {
			return err
		}
		r.left.Add(-n)
		r.pause(ctx)
	}
	return nil
}

func (s Spec) fetch(id int, at []int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = fetchVersion, fetchWait, 1, fetchMax
	t := kmsg.NewFetchRequestTopic()
	t.Topic = s.Topic
	for p := id; p < s.Partitions; p += s.Connections {
		part := kmsg.NewFetchRequestTopicPartition()
		part.Partition, part.FetchOffset, part.PartitionMaxBytes = int32(p), at[p], fetchPart
		t.Partitions = append(t.Partitions, part)
	}
	req.Topics = append(req.Topics, t)
	return req
}

// walk steps over the batches of a response by their headers, moves the offsets on and counts the records. An offset
// that does not follow is an error.
func walk(resp *kmsg.FetchResponse, body []byte, at []int64, seen func(int32, int64)) (records int64, err error) {
	if err := resp.UnsafeReadFrom(body); err != nil {
		return 0, err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return 0, err
	}
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			part := &resp.Topics[i].Partitions[j]
			if err := kerr.ErrorForCode(part.ErrorCode); err != nil {
				return records, fmt.Errorf("partition %d: %w", part.Partition, err)
			}
			if part.Partition < 0 || int(part.Partition) >= len(at) {
				return records, fmt.Errorf("partition %d was not asked for", part.Partition)
			}
			next := &at[part.Partition]
			for rest := part.RecordBatches; ; {
				h, after, ok := batch.Next(rest)
				if !ok {
					break // a batch cut by the limit
				}
				if h.BaseOffset() != *next {
					return records, fmt.Errorf("partition %d: offset %d follows %d", part.Partition, h.BaseOffset(), *next-1)
				}
				*next = h.NextOffset()
				records += int64(h.RecordCount())
				rest = after
				if seen != nil {
					seen(part.Partition, *next)
				}
			}
		}
	}
	return records, nil
}
