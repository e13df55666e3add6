package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
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

// tamper changes a batch and, unless the change is to the sum, makes its sum right again.
func tamper(f func(h batch.Header)) []byte {
	b := oneBatch([]byte("a"), []byte("b"))
	f(batch.Header(b))
	batch.Header(b).SetCRC()
	return b
}

func TestProduceErrors(t *testing.T) {
	h := start(t)
	h.create("t", 1, map[string]string{"max.message.bytes": "2000"})
	good := oneBatch([]byte("a"))
	broken := oneBatch([]byte("a"))
	broken[len(broken)-1]++
	for _, test := range []struct {
		name    string
		code    int16
		version int16
		topic   string
		index   int32
		acks    int16
		records []byte
	}{
		{"fine", 0, 9, "t", 0, -1, good},
		{"leader only", 0, 9, "t", 0, 1, good},
		{"unknown topic", codeUnknownTopic, 9, "nope", 0, -1, good},
		{"unknown partition", codeUnknownTopic, 9, "t", 5, -1, good},
		{"negative partition", codeUnknownTopic, 9, "t", -1, -1, good},
		{"acks", codeInvalidRequiredAcks, 9, "t", 0, 2, good},
		{"sum", codeCorruptMessage, 9, "t", 0, -1, broken},
		{"nothing", codeCorruptMessage, 9, "t", 0, -1, nil},
		{"cut", codeCorruptMessage, 9, "t", 0, -1, good[:len(good)-1]},
		{"two batches", codeInvalidRecord, 9, "t", 0, -1, append(bytes.Clone(good), good...)},
		{"large", codeMessageTooLarge, 9, "t", 0, -1, oneBatch(make([]byte, 3000))},
		{"magic 1", codeInvalidRecord, 9, "t", 0, -1, tamper(func(h batch.Header) { h[16] = 1 })},
		{"transaction", codeTxnIDMissing, 9, "t", 0, -1, tamper(func(h batch.Header) { h[22] |= batch.Transactional })},
		{"codec 7", codeUnsupportedCodec, 9, "t", 0, -1, tamper(func(h batch.Header) { h[22] |= 7 })},
		{"early zstd", codeUnsupportedCodec, 6, "t", 0, -1, tamper(func(h batch.Header) { h[22] |= 4 })},
		{"version 0", codeUnsupportedVersion, 0, "t", 0, -1, good},
		{"version 2", codeUnsupportedVersion, 2, "t", 0, -1, good},
		{"version 13", codeUnknownTopicID, 13, "t", 0, -1, good},
	} {
		req := produceOne(test.topic, test.index, bytes.Clone(test.records))
		req.Acks = test.acks
		r := ask[*kmsg.ProduceResponse](h, req, test.version)
		if got := r.Topics[0].Partitions[0].ErrorCode; got != test.code {
			t.Errorf("%s: %s, want %s", test.name, codeName(got), codeName(test.code))
		}
	}
	if p, err := h.engine.Partition("t", 0); err != nil || p.HighWatermark() != 2 {
		t.Errorf("high watermark %d, want 2", p.HighWatermark())
	}
}

func TestProduceEveryVersion(t *testing.T) {
	h := start(t)
	topic := h.create("t", 1, nil)
	for v := int16(3); v <= 13; v++ {
		req := produceOne("t", 0, oneBatch([]byte("a")))
		req.Topics[0].TopicID = topic.ID
		r := ask[*kmsg.ProduceResponse](h, req, v).Topics[0]
		if p := r.Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != int64(v-3) || p.LogAppendTime != -1 || v >= 5 && p.LogStartOffset != 0 {
			t.Errorf("version %d: %+v", v, p)
		}
	}
}

func TestProduceWithoutAcks(t *testing.T) {
	h := start(t)
	h.create("t", 1, nil)
	w := h.dial()
	req := produceOne("t", 0, oneBatch([]byte("a")))
	req.Acks = 0
	w.send(req, 9)
	w.ask(kmsg.NewPtrMetadataRequest(), 9) // the next answer is this one's
	p, err := h.engine.Partition("t", 0)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, "the record", func() bool { return p.HighWatermark() == 1 })
	req = produceOne("nope", 0, oneBatch([]byte("a")))
	req.Acks = 0
	w.send(req, 9)
	if err := w.gone(); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a failed produce without acks keeps the connection: %v", err)
	}
}

func TestProduceTwiceIsStoredOnce(t *testing.T) {
	h := start(t)
	h.create("t", 1, nil)
	once := batch.Append(nil, batch.Producer{ID: 7, Epoch: 0, Sequence: 0}, []batch.Record{{Value: []byte("a")}})
	for range 2 {
		r := ask[*kmsg.ProduceResponse](h, produceOne("t", 0, bytes.Clone(once)), 9)
		if p := r.Topics[0].Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != 0 {
			t.Errorf("%+v", p)
		}
	}
	gap := batch.Append(nil, batch.Producer{ID: 7, Epoch: 0, Sequence: 5}, []batch.Record{{Value: []byte("b")}})
	if p := ask[*kmsg.ProduceResponse](h, produceOne("t", 0, gap), 9).Topics[0].Partitions[0]; p.ErrorCode != codeOutOfOrderSequence {
		t.Errorf("a gap: %s", codeName(p.ErrorCode))
	}
}

func TestProduceLargeRequests(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.create("t", 12, nil)
	c := h.client(kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	produceN(t, c, "t", 100, func(int) []byte { return make([]byte, 900_000) })
	if got := consumeN(t, h.client(kgo.ConsumeTopics("t")), 100); len(got) != 100 {
		t.Errorf("%d records", len(got))
	}
}

func TestCompactedTopicsWantKeys(t *testing.T) {
	h := start(t)
	h.create("t", 1, map[string]string{"cleanup.policy": "compact"})
	keyed := []batch.Record{{Key: []byte("a")}, {Key: []byte("b")}}
	for _, test := range []struct {
		records []batch.Record
		code    int16
	}{{keyed, 0}, {[]batch.Record{keyed[0], {}, {Value: []byte("v")}}, codeInvalidRecord}} {
		b := batch.Append(nil, batch.Producer{ID: -1, Epoch: -1, Sequence: -1}, test.records)
		p := ask[*kmsg.ProduceResponse](h, produceOne("t", 0, b), 9).Topics[0].Partitions[0]
		if p.ErrorCode != test.code {
			t.Errorf("%s, want %s", codeName(p.ErrorCode), codeName(test.code))
		}
		if test.code != 0 && (len(p.ErrorRecords) != 2 || p.ErrorRecords[0].RelativeOffset != 1 || p.ErrorRecords[1].RelativeOffset != 2) {
			t.Errorf("records refused: %+v", p.ErrorRecords)
		}
	}
	c := h.client(kgo.DefaultProduceTopic("t"), kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	big := bytes.Repeat([]byte("compress me "), 1000)
	if err := c.ProduceSync(t.Context(), &kgo.Record{Value: big}).FirstErr(); err == nil {
		t.Error("a compressed record without a key is accepted")
	}
	if err := c.ProduceSync(t.Context(), &kgo.Record{Key: []byte("k"), Value: big}).FirstErr(); err != nil {
		t.Error(err)
	}
}
