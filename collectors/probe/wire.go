package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// mark is the header by which a probe knows its own records: instance/case/broker/number.
const mark = "streamkeeper-probe"

const (
	fetchWait  = 250 * time.Millisecond
	fetchBytes = 1 << 20
	recordHead = 49 // bytes of a batch from its leader's epoch to its records
)

// errNoAnswer is a response without the one thing it was asked for.
var errNoAnswer = errors.New("the broker's answer lacks what it was asked")

// markOf is the value of a lane's mark.
func markOf(instance string, key laneKey, seq uint64) string {
	return fmt.Sprintf("%s/%d/%d/%d", instance, key.of, key.broker, seq)
}

// marked reads a record's number if this instance's lane sent it.
func marked(r *kgo.Record, instance string, key laneKey) (seq uint64, ok bool) {
	for _, h := range r.Headers {
		if h.Key != mark {
			continue
		}
		i := strings.LastIndexByte(string(h.Value), '/')
		seq, err := strconv.ParseUint(string(h.Value[i+1:]), 10, 64)
		return seq, err == nil && string(h.Value) == markOf(instance, key, seq)
	}
	return 0, false
}

// batch is one record as a batch of its own.
func batch(c Case, id string, at time.Time) []byte {
	r := kmsg.NewRecord()
	r.Value = []byte(strings.Repeat("x", c.Size))
	r.Headers = append(r.Headers, kmsg.Header{Key: mark, Value: []byte(id)})
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		r.Headers = append(r.Headers, kmsg.Header{Key: name, Value: []byte(c.Headers[name])})
	}
	r.Length = int32(len(r.AppendTo(nil)) - 1) // a length of 0 takes one byte
	b := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, FirstTimestamp: at.UnixMilli(), MaxTimestamp: at.UnixMilli(),
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: 1, Records: r.AppendTo(nil),
	}
	b.Length = int32(recordHead + len(b.Records))
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}

// produce sends one batch and waits for the acknowledgement of all copies in sync.
func (p *Probe) produce(ctx context.Context, broker int32, c Case, id [16]byte, part int32, raw []byte) (offset int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, ackWithin)
	defer cancel()
	out := kmsg.NewProduceRequestTopicPartition()
	out.Partition, out.Records = part, raw
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID, t.Partitions = c.Topic, id, []kmsg.ProduceRequestTopicPartition{out}
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis, req.Topics = -1, int32(ackWithin.Milliseconds()), []kmsg.ProduceRequestTopic{t}
	answer, err := p.client.Broker(int(broker)).Request(ctx, req)
	if err != nil {
		return 0, err
	}
	for _, t := range answer.(*kmsg.ProduceResponse).Topics {
		for _, got := range t.Partitions {
			return got.BaseOffset, kerr.ErrorForCode(got.ErrorCode)
		}
	}
	return 0, errNoAnswer
}

// fetch reads a partition from an offset on: what is there now, or what comes within fetchWait. next is where reading
// goes on; records that a broker holds back or that were compacted away are stepped over.
func (p *Probe) fetch(ctx context.Context, broker int32, c Case, id [16]byte, part int32, from int64) (records []*kgo.Record, next int64, err error) {
	in := kmsg.NewFetchRequestTopicPartition()
	in.Partition, in.FetchOffset, in.PartitionMaxBytes, in.CurrentLeaderEpoch = part, from, fetchBytes, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID, t.Partitions = c.Topic, id, []kmsg.FetchRequestTopicPartition{in}
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.Topics = int32(fetchWait.Milliseconds()), 1, fetchBytes, []kmsg.FetchRequestTopic{t}
	answer, err := p.client.Broker(int(broker)).Request(ctx, req)
	if err != nil {
		return nil, from, err
	}
	resp := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, from, err
	}
	for _, t := range resp.Topics {
		for i := range t.Partitions {
			got, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Offset: from, Topic: c.Topic, Partition: part}, &t.Partitions[i], kgo.DefaultDecompressor(), nil)
			return got.Records, max(from, next), got.Err
		}
	}
	return nil, from, errNoAnswer
}

// commit commits an offset of our topic for a group of ours that the broker looks after.
func (p *Probe) commit(ctx context.Context, broker int32, group, topic string, id [16]byte, part int32, offset int64) error {
	ctx, cancel := context.WithTimeout(ctx, commitWithin)
	defer cancel()
	out := kmsg.NewOffsetCommitRequestTopicPartition()
	out.Partition, out.Offset = part, offset
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic, t.TopicID, t.Partitions = topic, id, []kmsg.OffsetCommitRequestTopicPartition{out}
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation, req.Topics = group, -1, []kmsg.OffsetCommitRequestTopic{t}
	answer, err := p.client.Broker(int(broker)).Request(ctx, req)
	if err != nil {
		return err
	}
	for _, t := range answer.(*kmsg.OffsetCommitResponse).Topics {
		for _, got := range t.Partitions {
			return kerr.ErrorForCode(got.ErrorCode)
		}
	}
	return errNoAnswer
}

// committed asks up to where a group has committed the partitions of a topic; one without a commit is left out.
func (p *Probe) committed(ctx context.Context, group, topic string, id [16]byte, parts []int32) (map[int32]int64, error) {
	t := kmsg.NewOffsetFetchRequestGroupTopic()
	t.Topic, t.TopicID, t.Partitions = topic, id, parts
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group, g.Topics = group, []kmsg.OffsetFetchRequestGroupTopic{t}
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Groups = []kmsg.OffsetFetchRequestGroup{g}
	answer, err := p.client.Request(ctx, req)
	if err != nil {
		return nil, err
	}
	out := map[int32]int64{}
	for _, g := range answer.(*kmsg.OffsetFetchResponse).Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
			return nil, fmt.Errorf("group %s: %w", group, err)
		}
		for _, t := range g.Topics {
			for _, got := range t.Partitions {
				if got.ErrorCode == 0 && got.Offset >= 0 {
					out[got.Partition] = got.Offset
				}
			}
		}
	}
	return out, nil
}
