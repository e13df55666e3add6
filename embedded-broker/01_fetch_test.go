package broker

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper/engine"
)

// asking makes a Fetch of partitions of one topic at offsets.
func asking(topic engine.Topic, session, epoch, wait int32, offsets map[int32]int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = wait, 1, 10<<20
	req.SessionID, req.SessionEpoch = session, epoch
	t := kmsg.FetchRequestTopic{Topic: topic.Name, TopicID: topic.ID}
	for i := range topic.Partitions {
		if o, ok := offsets[i]; ok {
			p := kmsg.NewFetchRequestTopicPartition()
			p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.LastFetchedEpoch = i, o, 1<<20, -1
			t.Partitions = append(t.Partitions, p)
		}
	}
	if len(t.Partitions) > 0 {
		req.Topics = append(req.Topics, t)
	}
	return req
}

func (w *wireConn) produce(topic string, partition int32, values ...string) {
	w.t.Helper()
	var list [][]byte
	for _, v := range values {
		list = append(list, []byte(v))
	}
	r := w.ask(produceOne(topic, partition, oneBatch(list...)), 9).(*kmsg.ProduceResponse)
	if code := r.Topics[0].Partitions[0].ErrorCode; code != 0 {
		w.t.Fatalf("producing to %s/%d: %s", topic, partition, codeName(code))
	}
}

// answered lists the partitions of an answer with their bytes.
func answered(r kmsg.Response) map[int32]int {
	m := map[int32]int{}
	for _, t := range r.(*kmsg.FetchResponse).Topics {
		for _, p := range t.Partitions {
			m[p.Partition] = len(p.RecordBatches)
		}
	}
	return m
}

func TestFetchEveryVersion(t *testing.T) {
	h := start(t)
	topic := h.create("t", 2, nil)
	w := h.dial()
	w.produce("t", 0, "a", "b")
	for v := int16(4); v <= 18; v++ {
		r := w.ask(asking(topic, 0, -1, 0, map[int32]int64{0: 0, 1: 0}), v).(*kmsg.FetchResponse)
		ps := r.Topics[0].Partitions
		if len(ps) != 2 || len(ps[0].RecordBatches) == 0 || ps[0].HighWatermark != 2 || ps[0].LastStableOffset != 2 || ps[1].HighWatermark != 0 {
			t.Errorf("version %d: %+v", v, r)
		}
		if ps[0].AbortedTransactions != nil {
			t.Errorf("version %d: aborted transactions for a reader of everything", v)
		}
	}
}

func TestFetchErrors(t *testing.T) {
	h := start(t)
	topic := h.create("t", 1, nil)
	w := h.dial()
	w.produce("t", 0, "a")
	epoch := h.leaderEpoch(topic)
	for _, test := range []struct {
		name   string
		code   int16
		change func(*kmsg.FetchRequest)
	}{
		{"past the end", codeOffsetOutOfRange, func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].FetchOffset = 9 }},
		{"before the start", codeOffsetOutOfRange, func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].FetchOffset = -1 }},
		{"unknown partition", codeUnknownTopic, func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].Partition = 7 }},
		{"unknown id", codeUnknownTopicID, func(r *kmsg.FetchRequest) { r.Topics[0].TopicID[0]++ }},
		{"old epoch", codeFencedLeaderEpoch, func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch - 1 }},
		{"epoch to come", codeUnknownLeaderEpoch, func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch + 1 }},
		{"fine", 0, func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch }},
	} {
		req := asking(topic, 0, -1, 5000, map[int32]int64{0: 0})
		test.change(req)
		if req.Topics[0].Partitions[0].CurrentLeaderEpoch == -1 && test.name == "old epoch" {
			continue // the first epoch has none before it
		}
		began := time.Now()
		r := w.ask(req, 16).(*kmsg.FetchResponse)
		if got := r.Topics[0].Partitions[0].ErrorCode; got != test.code {
			t.Errorf("%s: %s, want %s", test.name, codeName(got), codeName(test.code))
		}
		if time.Since(began) > time.Second {
			t.Errorf("%s: an error waits", test.name)
		}
	}
}

func TestFetchWaitsForData(t *testing.T) {
	h := start(t)
	topic := h.create("t", 1, nil)
	w, p := h.dial(), h.dial()
	req := asking(topic, 0, -1, 10_000, map[int32]int64{0: 0})
	w.send(req, 12)
	wait(t, "the Fetch", func() bool { return h.conns.count() == 2 && busyConns(h) == 1 })
	began := time.Now()
	p.produce("t", 0, "a")
	if got := answered(w.receive(req, w.corr)); got[0] == 0 {
		t.Errorf("answered %v", got)
	}
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("woke after %v", d)
	}
	// With MinBytes above one batch it waits for more.
	req = asking(topic, 0, -1, 10_000, map[int32]int64{0: 0})
	req.MinBytes = 250
	w.send(req, 12)
	for i := range 8 {
		p.produce("t", 0, fmt.Sprintf("record %d", i))
	}
	if got := answered(w.receive(req, w.corr)); got[0] < 250 {
		t.Errorf("answered %v before MinBytes", got)
	}
}

func busyConns(h *harness) (n int) {
	for _, c := range h.conns.all() {
		if c.busy() {
			n++
		}
	}
	return n
}

func TestFetchLimits(t *testing.T) {
	h := start(t)
	topic := h.create("t", 3, nil)
	w := h.dial()
	for p := range int32(3) {
		for range 4 {
			w.produce("t", p, string(make([]byte, 10_000)))
		}
	}
	req := asking(topic, 0, -1, 0, map[int32]int64{0: 0, 1: 0, 2: 0})
	req.MaxBytes = 1
	if got := answered(w.ask(req, 12)); got[0] < 10_000 || got[0] > 11_000 || got[1]+got[2] > 0 {
		t.Errorf("MaxBytes 1: %v, want one whole batch of the first partition", got)
	}
	req.MaxBytes = 35_000
	got := answered(w.ask(req, 12))
	if sum := got[0] + got[1] + got[2]; sum > 35_000 || sum < 30_000 {
		t.Errorf("MaxBytes 35000: %v", got)
	}
	req.MaxBytes = 1 << 20
	for i := range req.Topics[0].Partitions {
		req.Topics[0].Partitions[i].PartitionMaxBytes = 1
	}
	if got := answered(w.ask(req, 12)); got[0] == 0 || got[1] == 0 || got[2] == 0 {
		t.Errorf("PartitionMaxBytes 1: %v, want one batch of each", got)
	}
}

func TestFetchSession(t *testing.T) {
	h := start(t)
	topic := h.create("t", 3, nil)
	for _, version := range []int16{7, 12, 13, 18} {
		w := h.dial()
		start := map[int32]int64{}
		for i := range int32(3) {
			p, err := h.engine.Partition("t", i)
			if err != nil {
				t.Fatal(err)
			}
			start[i] = p.HighWatermark()
		}
		full := w.ask(asking(topic, 0, 0, 0, start), version).(*kmsg.FetchResponse)
		if full.SessionID == 0 || len(answered(full)) != 3 {
			t.Fatalf("version %d: session %d, %d partitions", version, full.SessionID, len(answered(full)))
		}
		id, epoch := full.SessionID, int32(1)
		next := func(offsets map[int32]int64) *kmsg.FetchResponse {
			r := w.ask(asking(topic, id, epoch, 0, offsets), version).(*kmsg.FetchResponse)
			epoch++
			return r
		}
		if r := next(nil); len(answered(r)) != 0 || r.SessionID != id {
			t.Errorf("version %d: no news, answered %v", version, answered(r))
		}
		w.produce("t", 1, "x")
		if got := answered(next(nil)); len(got) != 1 || got[1] == 0 {
			t.Errorf("version %d: answered %v, want partition 1", version, got)
		}
		if got := answered(next(map[int32]int64{1: start[1] + 1})); len(got) != 0 {
			t.Errorf("version %d: answered %v after moving on", version, got)
		}
		forget := asking(topic, id, epoch, 0, nil)
		forget.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{Topic: "t", TopicID: topic.ID, Partitions: []int32{0}}}
		w.ask(forget, version)
		epoch++
		w.produce("t", 0, "y")
		if got := answered(next(nil)); len(got) != 0 {
			t.Errorf("version %d: a forgotten partition is answered: %v", version, got)
		}
		if r := w.ask(asking(topic, id, epoch+5, 0, nil), version).(*kmsg.FetchResponse); r.ErrorCode != codeFetchSessionEpoch {
			t.Errorf("version %d: wrong epoch: %s", version, codeName(r.ErrorCode))
		}
		if r := w.ask(asking(topic, id+1, 3, 0, nil), version).(*kmsg.FetchResponse); r.ErrorCode != codeFetchSessionUnknown {
			t.Errorf("version %d: unknown session: %s", version, codeName(r.ErrorCode))
		}
		if r := w.ask(asking(topic, id, -1, 0, start), version).(*kmsg.FetchResponse); r.SessionID != 0 || len(answered(r)) != 3 {
			t.Errorf("version %d: closing the session: id %d, %v", version, r.SessionID, answered(r))
		}
		if n, parts := h.sessions.count(); n != 0 || parts != 0 {
			t.Errorf("version %d: %d sessions with %d partitions are left", version, n, parts)
		}
	}
	w := h.dial()
	id := w.ask(asking(topic, 0, 0, 0, map[int32]int64{0: 0}), 12).(*kmsg.FetchResponse).SessionID
	if r := w.ask(asking(topic, id, 1, 0, nil), 13).(*kmsg.FetchResponse); r.ErrorCode != codeSessionTopicID {
		t.Errorf("names then ids: %s", codeName(r.ErrorCode))
	}
	w.Close()
	wait(t, "the session to end with its connection", func() bool { n, _ := h.sessions.count(); return n == 0 })
}

func TestFetchSessionTakesTurns(t *testing.T) {
	h := start(t)
	topic := h.create("t", 3, nil)
	w := h.dial()
	for p := range int32(3) {
		w.produce("t", p, string(make([]byte, 5000)))
	}
	req := asking(topic, 0, 0, 0, map[int32]int64{0: 0, 1: 0, 2: 0})
	req.MaxBytes = 1
	r := w.ask(req, 12).(*kmsg.FetchResponse)
	seen := map[int32]bool{}
	for epoch := int32(1); epoch <= 3; epoch++ {
		again := asking(topic, r.SessionID, epoch, 0, nil)
		again.MaxBytes = 1
		for p, n := range answered(w.ask(again, 12)) {
			seen[p] = seen[p] || n > 0
		}
	}
	if len(seen) != 3 || !seen[0] || !seen[1] || !seen[2] {
		t.Errorf("partitions served in three answers: %v", seen)
	}
}

func TestFetchOfDeletedTopic(t *testing.T) {
	h := start(t)
	topic := h.create("t", 1, nil)
	w := h.dial()
	req := asking(topic, 0, -1, 20_000, map[int32]int64{0: 0})
	w.send(req, 13)
	wait(t, "the Fetch", func() bool { return busyConns(h) == 1 })
	if err := h.engine.DeleteTopic(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	h.create("t", 1, nil)
	if got := w.receive(req, w.corr).(*kmsg.FetchResponse).Topics[0].Partitions[0].ErrorCode; got != codeUnknownTopicID {
		t.Errorf("a topic that was replaced: %s", codeName(got))
	}
}
