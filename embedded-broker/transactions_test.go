package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
)

// txnClient speaks the transaction APIs by hand, each at the version it is told.
type txnClient struct {
	*wireConn
	h     *harness
	id    string
	pid   int64
	epoch int16
	seq   int32
}

func (h *harness) transactional(id string, version int16) *txnClient {
	h.t.Helper()
	c := &txnClient{wireConn: h.dial(), h: h, id: id, pid: -1, epoch: -1}
	if code := c.init(version, -1, -1); code != 0 {
		h.t.Fatalf("init version %d: %s", version, codeName(code))
	}
	return c
}

func (c *txnClient) init(version int16, pid int64, epoch int16) int16 {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID, req.TransactionTimeoutMillis, req.ProducerID, req.ProducerEpoch = &c.id, 60000, pid, epoch
	r := c.ask(req, version).(*kmsg.InitProducerIDResponse)
	if r.ErrorCode == 0 {
		c.pid, c.epoch, c.seq = r.ProducerID, r.ProducerEpoch, 0
	}
	return r.ErrorCode
}

func (c *txnClient) add(version int16, topic string, partitions ...int32) []int16 {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = c.id, c.pid, c.epoch
	req.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: topic, Partitions: partitions}}
	var codes []int16
	for _, p := range c.ask(req, version).(*kmsg.AddPartitionsToTxnResponse).Topics[0].Partitions {
		codes = append(codes, p.ErrorCode)
	}
	return codes
}

func (c *txnClient) produce(version int16, topic string, partition int32, values ...string) int16 {
	var rs []batch.Record
	for _, v := range values {
		rs = append(rs, batch.Record{Timestamp: time.Now().UnixMilli(), Value: []byte(v)})
	}
	b := batch.Append(nil, batch.Producer{ID: c.pid, Epoch: c.epoch, Sequence: c.seq}, rs)
	batch.Header(b).Mark(batch.Transactional)
	req := produceOne(topic, partition, b)
	req.TransactionID = &c.id
	if version >= 13 {
		t, _ := c.h.engine.Topic(topic)
		req.Topics[0].TopicID = t.ID
	}
	code := c.ask(req, version).(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode
	if code == 0 {
		c.seq += int32(len(values))
	}
	return code
}

func (c *txnClient) addGroup(version int16, group string) int16 {
	req := kmsg.NewPtrAddOffsetsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = c.id, c.pid, c.epoch, group
	return c.ask(req, version).(*kmsg.AddOffsetsToTxnResponse).ErrorCode
}

func (c *txnClient) commitOffset(version int16, group, topic string, offset int64) int16 {
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group, req.Generation = c.id, c.pid, c.epoch, group, -1
	p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	p.Offset = offset
	req.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{p}}}
	return c.ask(req, version).(*kmsg.TxnOffsetCommitResponse).Topics[0].Partitions[0].ErrorCode
}

func (c *txnClient) end(version int16, commit bool) int16 {
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = c.id, c.pid, c.epoch, commit
	r := c.ask(req, version).(*kmsg.EndTxnResponse)
	if r.ErrorCode == 0 && version >= bumpsSince && r.ProducerEpoch != c.epoch {
		c.pid, c.epoch, c.seq = r.ProducerID, r.ProducerEpoch, 0
	}
	return r.ErrorCode
}

// fetchOffset is a group's offset of partition 0 as OffsetFetch tells it.
func (c *txnClient) fetchOffset(group, topic string, stable bool) (int64, int16) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.RequireStable = stable
	req.Groups = []kmsg.OffsetFetchRequestGroup{{
		Group: group, MemberEpoch: -1, Topics: []kmsg.OffsetFetchRequestGroupTopic{{Topic: topic, Partitions: []int32{0}}},
	}}
	p := c.ask(req, 9).(*kmsg.OffsetFetchResponse).Groups[0].Topics[0].Partitions[0]
	return p.Offset, p.ErrorCode
}

// wants fails the test when a code is not the wanted one.
func wants(t *testing.T, what string, got int16, want *kerr.Error) {
	t.Helper()
	code := int16(0)
	if want != nil {
		code = want.Code
	}
	if got != code {
		t.Errorf("%s: %s, want %s", what, codeName(got), codeName(code))
	}
}

// Each announced version of each API carries a whole transaction.
func TestTransactions_EveryVersion(t *testing.T) {
	h := start(t)
	h.create("t", 1, nil)
	for v := range int16(6) {
		t.Run(fmt.Sprintf("version %d", v), func(t *testing.T) {
			id := fmt.Sprintf("id-%d", v)
			c := h.transactional(id, v)
			produce := min(v+3, 11)
			if v == bumpsSince {
				produce = 12
			} else {
				for _, code := range c.add(min(v, 3), "t", 0) {
					wants(t, "add", code, nil)
				}
				wants(t, "add group", c.addGroup(min(v, 4), id), nil)
			}
			wants(t, "produce", c.produce(produce, "t", 0, "a"), nil)
			wants(t, "offset", c.commitOffset(v, id, "t", int64(v)+1), nil)
			if _, code := c.fetchOffset(id, "t", true); code != codeUnstableOffset {
				t.Errorf("a stable offset is asked for: %s", codeName(code))
			}
			if offset, code := c.fetchOffset(id, "t", false); code != 0 || offset != -1 {
				t.Errorf("any offset is asked for: %d, %s", offset, codeName(code))
			}
			wants(t, "end", c.end(v, true), nil)
			if offset, code := c.fetchOffset(id, "t", true); code != 0 || offset != int64(v)+1 {
				t.Errorf("after the commit: %d, %s", offset, codeName(code))
			}
			if v == bumpsSince && c.epoch != 1 {
				t.Errorf("epoch %d after the end", c.epoch)
			}
		})
	}
	if got := len(h.readCommitted("t", 0)); got != 6 {
		t.Errorf("%d records are committed", got)
	}
}

// readCommitted reads a partition with franz-go until its last stable offset.
func (h *harness) readCommitted(topic string, partition int32) (values []string) {
	h.t.Helper()
	p, err := h.engine.Partition(topic, partition)
	if err != nil {
		h.t.Fatal(err)
	}
	c := h.client(kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		topic: {partition: kgo.NewOffset().At(p.LogStart())},
	}))
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	for at, end := int64(0), p.LastStable(); at < end; {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			h.t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			at = r.Offset + 1
			if !r.Attrs.IsControl() {
				values = append(values, string(r.Value))
			}
		})
	}
	return values
}

func TestTransactions_Codes(t *testing.T) {
	h := start(t)
	h.create("t", 1, nil)
	c := h.transactional("a", 5)
	wants(t, "produce before add", c.produce(9, "t", 0, "x"), kerr.InvalidTxnState)
	wants(t, "produce before add, a newer client", c.produce(11, "t", 0, "x"), kerr.TransactionAbortable)
	wants(t, "offset before add", c.commitOffset(3, "g", "t", 1), kerr.InvalidTxnState)
	wants(t, "end of nothing", c.end(3, true), kerr.InvalidTxnState)
	if got := c.add(3, "t", 0, 7); got[0] != codeNotAttempted || got[1] != codeUnknownTopic {
		t.Errorf("a partition that does not exist: %v", got)
	}
	wants(t, "produce after a refused add", c.produce(9, "t", 0, "x"), kerr.InvalidTxnState)
	for _, tt := range []struct {
		name    string
		change  func(*txnClient)
		version int16
		want    *kerr.Error
	}{
		{"another producer id", func(c *txnClient) { c.pid++ }, 3, kerr.InvalidProducerIDMapping},
		{"another transactional id", func(c *txnClient) { c.id = "b" }, 3, kerr.InvalidProducerIDMapping},
		{"an old epoch", func(c *txnClient) { c.epoch-- }, 3, kerr.ProducerFenced},
		{"an old epoch, an old client", func(c *txnClient) { c.epoch-- }, 1, kerr.InvalidProducerEpoch},
	} {
		x := *c
		tt.change(&x)
		wants(t, tt.name+" adds", x.add(tt.version, "t", 0)[0], tt.want)
		wants(t, tt.name+" adds a group", x.addGroup(tt.version, "g"), tt.want)
		wants(t, tt.name+" ends", x.end(tt.version, true), tt.want)
	}
	wants(t, "add", c.add(3, "t", 0)[0], nil)
	wants(t, "produce", c.produce(9, "t", 0, "x"), nil)
	old := *c
	wants(t, "init again", c.init(4, -1, -1), nil)
	wants(t, "a fenced producer writes", old.produce(9, "t", 0, "y"), kerr.InvalidProducerEpoch)
	wants(t, "a fenced producer ends", old.end(3, true), kerr.ProducerFenced)
	wants(t, "a fenced producer goes on", old.init(4, old.pid, old.epoch), kerr.ProducerFenced)
	wants(t, "a fenced producer goes on, an old client", old.init(3, old.pid, old.epoch), kerr.InvalidProducerEpoch)
	wants(t, "goes on", c.init(4, c.pid, c.epoch), nil)
	long := kmsg.NewPtrInitProducerIDRequest()
	long.TransactionalID, long.TransactionTimeoutMillis = &c.id, 3_600_000
	wants(t, "a long timeout", ask[*kmsg.InitProducerIDResponse](h, long, 4).ErrorCode, kerr.InvalidTransactionTimeout)
	if got := h.readCommitted("t", 0); len(got) != 0 {
		t.Errorf("aborted records are shown: %v", got)
	}
}

func TestTransactions_AdminSeesAndEndsThem(t *testing.T) {
	h := start(t)
	h.create("t", 2, nil)
	c := h.transactional("a", 4)
	wants(t, "add", c.add(3, "t", 0, 1)[0], nil)
	wants(t, "produce", c.produce(9, "t", 1, "x", "y"), nil)
	ctx, adm := t.Context(), h.admin()
	listed, err := adm.ListTransactions(ctx, nil, []string{"Ongoing"})
	if err != nil || len(listed) != 1 || listed["a"].ProducerID != c.pid {
		t.Errorf("listed: %+v, %v", listed, err)
	}
	if none, err := adm.ListTransactions(ctx, []int64{c.pid + 1}, nil); err != nil || len(none) != 0 {
		t.Errorf("listed of another producer: %+v, %v", none, err)
	}
	described, err := adm.DescribeTransactions(ctx, "a", "b")
	if a := described["a"]; err != nil || a.State != "Ongoing" || a.TimeoutMillis != 60000 || a.StartTimestamp <= 0 || len(a.Topics["t"]) != 2 {
		t.Errorf("described: %+v, %v", described, err)
	}
	if !errors.Is(described["b"].Err, kerr.TransactionalIDNotFound) {
		t.Errorf("an unknown id: %v", described["b"].Err)
	}
	set := kadm.TopicsSet{}
	set.Add("t", 1)
	producers, err := adm.DescribeProducers(ctx, set)
	list := producers["t"].Partitions[1].ActiveProducers
	if err != nil || len(list) != 1 {
		t.Fatalf("producers: %+v, %v", producers, err)
	}
	for _, p := range list {
		if p.ProducerID != c.pid || p.CurrentTxnStartOffset != 0 || p.LastSequence != 1 || p.CoordinatorEpoch != -1 {
			t.Errorf("producer %+v", p)
		}
		answers, err := adm.WriteTxnMarkers(ctx, kadm.TxnMarkers{ProducerID: p.ProducerID, ProducerEpoch: p.ProducerEpoch, Topics: set})
		if err != nil {
			t.Errorf("%+v, %v", answers, err)
		}
	}
	part, _ := h.engine.Partition("t", 1)
	if part.LastStable() != 3 || len(h.readCommitted("t", 1)) != 0 {
		t.Errorf("last stable offset %d", part.LastStable())
	}
}

// A reader of committed records waits at an open transaction, and is woken by its end.
func TestTransactions_FetchWaitsForTheEnd(t *testing.T) {
	h := start(t)
	topic := h.create("t", 1, nil)
	c := h.transactional("a", 4)
	wants(t, "add", c.add(3, "t", 0)[0], nil)
	wants(t, "produce", c.produce(9, "t", 0, "x"), nil)
	committed := func(wait int32) *kmsg.FetchRequest {
		req := asking(topic, 0, -1, wait, map[int32]int64{0: 0})
		req.IsolationLevel = readCommitted
		return req
	}
	r := ask[*kmsg.FetchResponse](h, committed(1), 12).Topics[0].Partitions[0]
	if r.HighWatermark != 1 || r.LastStableOffset != 0 || len(r.RecordBatches) != 0 {
		t.Errorf("while it is open: high watermark %d, last stable offset %d, %d bytes", r.HighWatermark, r.LastStableOffset, len(r.RecordBatches))
	}
	w := h.dial()
	req := committed(15000)
	w.send(req, 12)
	wants(t, "abort", c.end(3, false), nil)
	r = w.receive(req, w.corr).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if r.LastStableOffset != 2 || len(r.RecordBatches) == 0 || len(r.AbortedTransactions) != 1 || r.AbortedTransactions[0].ProducerID != c.pid || r.AbortedTransactions[0].FirstOffset != 0 {
		t.Errorf("after the abort: %+v", r)
	}
	req = asking(topic, 0, -1, 1, map[int32]int64{0: 0})
	if r = ask[*kmsg.FetchResponse](h, req, 12).Topics[0].Partitions[0]; r.AbortedTransactions != nil || len(r.RecordBatches) == 0 {
		t.Errorf("a reader of everything: %+v", r)
	}
	list := kmsg.NewPtrListOffsetsRequest()
	list.IsolationLevel = readCommitted
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp, p.CurrentLeaderEpoch = tsLatest, -1
	list.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "t", Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	wants(t, "add", c.add(3, "t", 0)[0], nil)
	wants(t, "produce", c.produce(9, "t", 0, "z"), nil)
	if got := ask[*kmsg.ListOffsetsResponse](h, list, 7).Topics[0].Partitions[0].Offset; got != 2 {
		t.Errorf("the end for readers of committed records is %d, want 2", got)
	}
}

func TestTransactions_Telemetry(t *testing.T) {
	var ahead atomic.Int64
	h := start(t, func(o *Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		o.Telemetry.o.Now = o.Now
	})
	h.create("t", 1, nil)
	h.create("quiet", 1, nil)
	c := h.transactional("a\xff", 4)
	wants(t, "add", c.add(3, "t", 0)[0], nil)
	wants(t, "produce", c.produce(9, "t", 0, "x", "y"), nil)
	ahead.Store(int64(time.Minute))
	text := scrape(t, h.telemetry)
	for _, line := range []string{
		`streamkeeper_broker_transactions_open{broker="0"} 1`,
		`streamkeeper_broker_topic_open_transactions{broker="0",topic="t"} 1`,
		`streamkeeper_broker_topic_transaction_held_messages{broker="0",topic="t"} 2`,
		`streamkeeper_broker_topic_open_transactions{broker="0",topic="quiet"} 0`,
		`streamkeeper_broker_transaction_open_seconds{broker="0",transactional_id="\"a\\xff\""} 6`,
		`streamkeeper_broker_topic_transaction_oldest_seconds{broker="0",topic="t"} 6`,
	} {
		if !strings.Contains(text, line) {
			t.Errorf("there is no %s", line)
		}
	}
	wants(t, "end", c.end(3, true), nil)
	text = scrape(t, h.telemetry)
	for _, line := range []string{
		`streamkeeper_broker_transactions_open{broker="0"} 0`,
		`streamkeeper_broker_transactions_ended_total{broker="0",outcome="committed"} 1`,
		`streamkeeper_broker_topic_transaction_held_messages{broker="0",topic="t"} 0`,
	} {
		if !strings.Contains(text, line) {
			t.Errorf("after the end there is no %s", line)
		}
	}
}

// The coordinator's state lies in __transaction_state in Kafka's bytes.
func TestTransactions_KafkaReadsTheState(t *testing.T) {
	h := start(t)
	h.create("t", 1, nil)
	c := h.transactional("a", 4)
	wants(t, "add", c.add(3, "t", 0)[0], nil)
	wants(t, "produce", c.produce(9, "t", 0, "x"), nil)
	wants(t, "end", c.end(3, true), nil)
	var states []kmsg.TransactionState
	for i := range int32(50) {
		p, err := h.engine.Partition("__transaction_state", i)
		if err != nil {
			t.Fatal(err)
		}
		for at := int64(0); at < p.HighWatermark(); {
			r, err := p.Read(t.Context(), at, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range r.Bytes {
				_ = batch.Records(batch.Header(b), 0, func(rec batch.Record) bool {
					key, value := kmsg.NewTxnMetadataKey(), kmsg.NewTxnMetadataValue()
					if err := errors.Join(key.ReadFrom(rec.Key), value.ReadFrom(rec.Value)); err != nil || key.TransactionalID != "a" || value.ProducerID != c.pid {
						t.Errorf("%+v, %+v, %v", key, value, err)
					}
					states = append(states, value.State)
					return true
				})
			}
			at = r.NextOffset
			r.Release()
		}
	}
	if got := fmt.Sprint(states); got != "[Empty Ongoing PrepareCommit CompleteCommit]" {
		t.Errorf("states %s", got)
	}
}
