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
// returns where it came to. The partitions are shared among the connections.
func Consume(ctx context.Context, s Spec, records int64, from []int64) (Result, []int64, error) {
	at := make([]int64, s.Partitions)
	copy(at, from)
	var left atomic.Int64
	left.Store(records)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	began := time.Now()
	errs := make([]error, s.Connections)
	var wg sync.WaitGroup
	for i := range s.Connections {
		wg.Go(func() {
			errs[i] = consumeSome(ctx, s, i, at, &left)
			if errs[i] != nil || left.Load() <= 0 {
				stop() // the others wait for records that need not come
			}
		})
	}
	wg.Wait()
	out := Result{Records: records - left.Load(), Elapsed: time.Since(began)}
	out.Bytes = out.Records * int64(s.RecordBytes)
	if left.Load() <= 0 {
		return out, at, nil
	}
	return out, at, errors.Join(append(errs, ctx.Err())...)
}

// consumeSome reads the partitions id, id + connections, … . Only it touches their offsets.
func consumeSome(ctx context.Context, s Spec, id int, at []int64, left *atomic.Int64) error {
	c, err := dial(ctx, s.Address)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = fetchVersion
	var frame []byte
	for left.Load() > 0 && ctx.Err() == nil {
		frame = formatter.AppendRequest(frame[:0], s.fetch(id, at), 0)
		if err := c.send(frame); err != nil {
			return err
		}
		_, body, err := c.response(true)
		if err != nil {
			return err
		}
		n, err := walk(resp, body, at)
		if err != nil {
			return err
		}
		left.Add(-n)
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
func walk(resp *kmsg.FetchResponse, body []byte, at []int64) (records int64, err error) {
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
			}
		}
	}
	return records, nil
}
