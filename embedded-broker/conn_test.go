package broker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
)

// closedBy waits until the broker closed the connection and gives its reason from the registry.
func (w *wireConn) gone() error {
	_, err := io.Copy(io.Discard, w)
	return err
}

// header is a frame's size and request header without a body.
func header(size uint32, key, version uint16) []byte {
	b := binary.BigEndian.AppendUint32(nil, size)
	b = binary.BigEndian.AppendUint16(b, key)
	b = binary.BigEndian.AppendUint16(b, version)
	return append(b, 0, 0, 0, 7, 0xff, 0xff)
}

func TestGarbageClosesTheConnection(t *testing.T) {
	var log bytes.Buffer
	var mu sync.Mutex
	h := start(t, func(o *Options) {
		o.limits.frameStall = 300 * time.Millisecond
		o.Logger = lineLogger(&mu, &log)
	})
	for _, test := range []struct {
		name, reason string
		bytes        []byte
	}{
		{"http", "not the Kafka protocol", []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")},
		{"negative size", "not the Kafka protocol", header(1<<31, 3, 1)},
		{"tiny", "not the Kafka protocol", header(4, 3, 1)},
		{"unknown key", "not supported", header(30, 199, 0)},
		{"version too new", "Metadata version 99 is not supported", header(30, 3, 99)},
		{"metadata too large", "at most", header(5<<20, 3, 1)},
		{"produce too large", "at most", header(101<<20, 0, 3)},
		{"claims too much", "does not fit", append(header(14, 3, 1), 0x7f, 0xff, 0xff, 0xff)},
		{"client id too long", "client id", append(header(12, 3, 1)[:12], 0x7f, 0xff, 1, 1)},
		{"half a frame", "stalled", header(1000, 3, 1)},
		{"half a size", "stalled", []byte{0, 0}},
	} {
		t.Run(test.name, func(t *testing.T) {
			mu.Lock()
			log.Reset()
			mu.Unlock()
			w := h.dial()
			if _, err := w.Write(test.bytes); err != nil {
				t.Fatal(err)
			}
			if err := w.gone(); err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Fatalf("the connection stays open: %v", err)
			}
			wait(t, "the reason", func() bool {
				mu.Lock()
				defer mu.Unlock()
				return strings.Contains(log.String(), test.reason)
			})
		})
	}
}

// wait polls a condition that another goroutine makes true.
func wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestHalfSentFrames(t *testing.T) {
	t.Parallel()
	h := start(t, func(o *Options) { o.limits.frameStall = time.Minute })
	h.create("t", 1, nil)
	runtime.GC()
	var before, during runtime.MemStats
	runtime.ReadMemStats(&before)
	body := make([]byte, 64<<10)
	held := func() int64 {
		small, large, _ := h.budget.usage()
		return small + large
	}
	var conns []*wireConn
	for range 200 {
		w := h.dial()
		conns = append(conns, w)
		w.Write(header(90<<20, 0, 9))
		w.Write(body)
	}
	wait(t, "all frames to be read", func() bool { return held() >= 200*firstChunk })
	produceN(t, h.client(), "t", 50, func(int) []byte { return make([]byte, 10<<10) })
	if held() < 200*firstChunk {
		t.Error("the half-sent frames had to be given up first")
	}
	runtime.ReadMemStats(&during)
	if grown := int64(during.HeapInuse) - int64(before.HeapInuse); grown > h.o.MemoryBudget {
		t.Errorf("the heap grew by %d MiB, the budget is %d MiB", grown>>20, h.o.MemoryBudget>>20)
	}
	for _, w := range conns {
		w.Close()
	}
	wait(t, "the memory of the half-sent frames", func() bool { return held() == 0 })
}

func TestPipelinedRequestsAnsweredInOrder(t *testing.T) {
	h := start(t)
	topic := h.create("t", 1, nil)
	w := h.dial()
	// A Fetch that waits, then a Metadata: the second answer is ready first and must not overtake.
	fetch := kmsg.NewPtrFetchRequest()
	fetch.MaxWaitMillis, fetch.MinBytes, fetch.MaxBytes = 300, 1, 1<<20
	fetch.Topics = []kmsg.FetchRequestTopic{{Topic: "t", TopicID: topic.ID, Partitions: []kmsg.FetchRequestTopicPartition{{CurrentLeaderEpoch: -1, PartitionMaxBytes: 1 << 20}}}}
	began := time.Now()
	w.send(fetch, 12)
	meta := kmsg.NewPtrMetadataRequest()
	w.send(meta, 9)
	w.receive(fetch, 1)
	if d := time.Since(began); d < 250*time.Millisecond {
		t.Errorf("the Fetch did not wait: %v", d)
	}
	w.receive(meta, 2)
}

func TestProduceOrderOnOneConnection(t *testing.T) {
	h := start(t)
	h.create("t", 1, nil)
	w := h.dial()
	const n = 100
	reqs := make([]*kmsg.ProduceRequest, n)
	for i := range n {
		reqs[i] = produceOne("t", 0, oneBatch(fmt.Appendf(nil, "%d", i)))
		w.send(reqs[i], 9)
	}
	for i := range n {
		p := w.receive(reqs[i], int32(i+1)).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
		if p.ErrorCode != 0 || p.BaseOffset != int64(i) {
			t.Fatalf("produce %d: offset %d, error %s", i, p.BaseOffset, codeName(p.ErrorCode))
		}
	}
}

func oneBatch(values ...[]byte) []byte {
	var rs []batch.Record
	for _, v := range values {
		rs = append(rs, batch.Record{Timestamp: time.Now().UnixMilli(), Value: v})
	}
	return batch.Append(nil, batch.Producer{ID: -1, Epoch: -1, Sequence: -1}, rs)
}

func produceOne(topic string, partition int32, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 1000
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: partition, Records: records}}}}
	return req
}

func TestSlowReaderIsDropped(t *testing.T) {
	h := start(t, func(o *Options) { o.limits.writeStall, o.limits.writeRate = 300*time.Millisecond, 1<<30 })
	topic := h.create("t", 1, map[string]string{"max.message.bytes": "20000000"})
	w := h.dial()
	for range 4 {
		if r := w.ask(produceOne("t", 0, oneBatch(make([]byte, 4<<20))), 9).(*kmsg.ProduceResponse); r.Topics[0].Partitions[0].ErrorCode != 0 {
			t.Fatal(codeName(r.Topics[0].Partitions[0].ErrorCode))
		}
	}
	fetch := kmsg.NewPtrFetchRequest()
	fetch.MaxWaitMillis, fetch.MinBytes, fetch.MaxBytes = 300, 1, 50<<20
	fetch.Topics = []kmsg.FetchRequestTopic{{Topic: "t", TopicID: topic.ID, Partitions: []kmsg.FetchRequestTopicPartition{{CurrentLeaderEpoch: -1, PartitionMaxBytes: 50 << 20}}}}
	slow := h.dial()
	slow.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	for range 3 {
		slow.send(fetch, 12)
	}
	wait(t, "the answer to be pinned", func() bool { return h.budget.pinned.used.Load() > 0 })
	if n := h.budget.pinned.used.Load(); n > 17<<20 {
		t.Errorf("one slow connection pins %d MiB", n>>20)
	}
	wait(t, "the slow reader to be dropped", func() bool { return h.budget.pinned.used.Load() == 0 })
}

func TestConnectionLimits(t *testing.T) {
	h := start(t, func(o *Options) { o.MaxConnections = 5; o.MaxConnectionsPerIP = 3 })
	meta := kmsg.NewPtrMetadataRequest()
	for range 3 {
		h.dial().ask(meta, 9)
	}
	if err := h.dial().gone(); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a fourth connection of one address stays open: %v", err)
	}
	wait(t, "the refusal to be counted", func() bool { return h.conns.count() == 3 })
}

func TestIdleConnectionIsClosed(t *testing.T) {
	h := start(t, func(o *Options) { o.limits.idle = 100 * time.Millisecond })
	if err := h.dial().gone(); err != nil {
		t.Errorf("an idle connection stays open: %v", err)
	}
}

func TestRegistryRemembersHowConnectionsEnd(t *testing.T) {
	h := start(t)
	meta := kmsg.NewPtrMetadataRequest()
	fin, rst, open := h.dial(), h.dial(), h.dial()
	for _, w := range []*wireConn{fin, rst, open} {
		w.ask(meta, 9)
	}
	fin.Close()
	wait(t, "the close", func() bool { return h.conns.count() == 2 })
	rst.Conn.(*net.TCPConn).SetLinger(0)
	rst.Close()
	wait(t, "the reset", func() bool { return h.conns.count() == 1 })
	var how []string
	for _, s := range h.conns.byClient("by-hand", "127.0.0.1") {
		how = append(how, s.closed)
	}
	if got := strings.Join(how, " "); got != " rst fin" {
		t.Errorf("ends %q, want open, rst, fin", got)
	}
}

func TestCloseAnswersWhatIsUnderWay(t *testing.T) {
	h := start(t)
	topic := h.create("t", 1, nil)
	w := h.dial()
	fetch := kmsg.NewPtrFetchRequest()
	fetch.MaxWaitMillis, fetch.MinBytes, fetch.MaxBytes = 60_000, 1, 1<<20
	fetch.Topics = []kmsg.FetchRequestTopic{{Topic: "t", TopicID: topic.ID, Partitions: []kmsg.FetchRequestTopicPartition{{CurrentLeaderEpoch: -1, PartitionMaxBytes: 1 << 20}}}}
	w.send(fetch, 12)
	wait(t, "the Fetch", func() bool { return len(h.conns.all()) == 1 && h.conns.all()[0].busy() })
	began := time.Now()
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("closing took %v", d)
	}
	w.receive(fetch, 1)
}

func TestStoppedReadersDoNotStarveOthers(t *testing.T) {
	t.Parallel()
	h := start(t, func(o *Options) {
		o.MemoryBudget = minBudget
		o.limits.writeStall = time.Minute // only those who wait make room
	})
	topic := h.create("t", 1, map[string]string{"max.message.bytes": "2000000"})
	w := h.dial()
	for range 60 {
		if r := w.ask(produceOne("t", 0, oneBatch(make([]byte, 1<<20))), 9).(*kmsg.ProduceResponse); r.Topics[0].Partitions[0].ErrorCode != 0 {
			t.Fatal(codeName(r.Topics[0].Partitions[0].ErrorCode))
		}
	}
	req := asking(topic, 0, -1, 1000, map[int32]int64{0: 0})
	req.MaxBytes, req.Topics[0].Partitions[0].PartitionMaxBytes = 50<<20, 50<<20
	for range 60 {
		slow := h.dial()
		slow.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		for range 5 {
			slow.send(req, 11)
		}
	}
	wait(t, "answers to pile up", func() bool { return h.budget.pinned.used.Load() > 4<<20 })
	if got := consumeN(t, h.client(kgo.ConsumeTopics("t")), 60); len(got) != 60 {
		t.Errorf("%d records", len(got))
	}
	if used, limit := h.budget.pinned.used.Load(), h.budget.pinned.limit; used > limit+limit/4 {
		t.Errorf("answers pin %d MiB, the limit is %d", used>>20, limit>>20)
	}
}
