package broker

import (
	"bytes"
	"context"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/test/alloctest"
)

// bare is as much of a broker as the codecs need.
func bare() *Broker {
	return &Broker{telemetry: NewTelemetry(TelemetryOptions{}), budget: newBudget(minBudget), ctx: context.Background()}
}

// produceLike decodes a Produce body with our codec and gives it in kmsg's form.
func produceLike(b *Broker, body []byte, version int16) (*kmsg.ProduceRequest, error) {
	l := b.budget.lease(len(body))
	defer l.release()
	c := &produceCall{wire: wire{key: keyProduce, version: version, flexible: 9}, b: b, r: &request{lease: &l}}
	if err := c.parse(body); err != nil {
		return nil, err
	}
	out := &kmsg.ProduceRequest{Version: version, Acks: c.acks}
	for _, t := range c.topics {
		topic := kmsg.ProduceRequestTopic{Topic: t.name, TopicID: t.id}
		for _, p := range c.parts[t.from:t.to] {
			topic.Partitions = append(topic.Partitions, kmsg.ProduceRequestTopicPartition{Partition: p.index, Records: p.records})
		}
		out.Topics = append(out.Topics, topic)
	}
	return out, nil
}

// fetchLike does the same for a Fetch body.
func fetchLike(b *Broker, body []byte, version int16) (*kmsg.FetchRequest, error) {
	r, err := b.parseFetch(body, version, func(int64) error { return nil })
	if err != nil {
		return nil, err
	}
	out := &kmsg.FetchRequest{Version: version, MaxWaitMillis: r.maxWait, MinBytes: r.minBytes, MaxBytes: r.maxBytes, SessionID: r.session, SessionEpoch: r.epoch}
	if r.committed {
		out.IsolationLevel = 1
	}
	for _, p := range r.parts {
		n := len(out.Topics)
		if n == 0 || out.Topics[n-1].Topic != p.name || out.Topics[n-1].TopicID != [16]byte(p.id) {
			out.Topics = append(out.Topics, kmsg.FetchRequestTopic{Topic: p.name, TopicID: p.id})
			n++
		}
		out.Topics[n-1].Partitions = append(out.Topics[n-1].Partitions, kmsg.FetchRequestTopicPartition{
			Partition: p.index, CurrentLeaderEpoch: p.epoch, FetchOffset: p.offset, LastFetchedEpoch: p.lastEpoch, PartitionMaxBytes: p.maxBytes,
		})
	}
	for _, k := range r.forgotten {
		out.ForgottenTopics = append(out.ForgottenTopics, kmsg.FetchRequestForgottenTopic{Topic: k.name, TopicID: k.id, Partitions: []int32{k.index}})
	}
	return out, nil
}

func sameProduce(a, b *kmsg.ProduceRequest) bool {
	if a.Acks != b.Acks || len(a.Topics) != len(b.Topics) {
		return false
	}
	for i := range a.Topics {
		x, y := a.Topics[i], b.Topics[i]
		if x.Topic != y.Topic || x.TopicID != y.TopicID || len(x.Partitions) != len(y.Partitions) {
			return false
		}
		for j := range x.Partitions {
			if x.Partitions[j].Partition != y.Partitions[j].Partition || !bytes.Equal(x.Partitions[j].Records, y.Partitions[j].Records) {
				return false
			}
		}
	}
	return true
}

// flatFetch is what of a Fetch matters, one row for each partition.
func flatFetch(r *kmsg.FetchRequest) (rows []any) {
	rows = append(rows, r.MaxWaitMillis, r.MinBytes, r.MaxBytes, r.IsolationLevel == 1)
	if r.Version >= 7 {
		rows = append(rows, r.SessionID, r.SessionEpoch)
	}
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			row := []any{t.Topic, t.TopicID, p.Partition, p.FetchOffset, p.PartitionMaxBytes}
			if r.Version >= 9 {
				row = append(row, p.CurrentLeaderEpoch)
			}
			if r.Version >= 12 {
				row = append(row, p.LastFetchedEpoch)
			}
			rows = append(rows, row)
		}
	}
	for _, t := range r.ForgottenTopics {
		for _, p := range t.Partitions {
			rows = append(rows, []any{"forgotten", t.Topic, t.TopicID, p})
		}
	}
	return rows
}

func TestRequestCodecsFollowKmsg(t *testing.T) {
	b, r := bare(), rand.New(rand.NewPCG(3, 4))
	for range 200 {
		for v := int16(0); v <= 13; v++ {
			want := kmsg.NewPtrProduceRequest()
			fill(reflect.ValueOf(want).Elem(), r)
			want.Version = v
			got, err := produceLike(b, want.AppendTo(nil), v)
			if again := reread(want); err != nil || !sameProduce(got, again.(*kmsg.ProduceRequest)) {
				t.Fatalf("Produce %d: %v\ngot  %+v\nwant %+v", v, err, got, want)
			}
		}
		for v := int16(4); v <= 18; v++ {
			want := kmsg.NewPtrFetchRequest()
			fill(reflect.ValueOf(want).Elem(), r)
			want.Version = v
			got, err := fetchLike(b, want.AppendTo(nil), v)
			if err != nil {
				t.Fatalf("Fetch %d: %v", v, err)
			}
			if again := reread(want).(*kmsg.FetchRequest); !reflect.DeepEqual(flatFetch(got), flatFetch(again)) {
				t.Fatalf("Fetch %d:\ngot  %v\nwant %v", v, flatFetch(got), flatFetch(again))
			}
		}
	}
}

// reread passes a request through kmsg's codec, which drops the fields its version lacks.
func reread(req kmsg.Request) kmsg.Request {
	again := kmsg.RequestForKey(req.Key())
	again.SetVersion(req.GetVersion())
	if err := again.ReadFrom(req.AppendTo(nil)); err != nil {
		panic(err)
	}
	return again
}

func TestProduceResponseFollowsKmsg(t *testing.T) {
	b := bare()
	for v := int16(0); v <= 13; v++ {
		c := &produceCall{wire: wire{key: keyProduce, version: v, flexible: 9}, b: b, throttle: 7}
		c.topics = []produceTopic{{name: "a", id: engine.TopicID{1}, from: 0, to: 2}, {name: "b", id: engine.TopicID{2}, from: 2, to: 2}}
		c.parts = []*producePart{{index: 3, base: 40, appTime: -1, start: 5}, {index: 4, code: 87, message: "bad", base: -1, appTime: -1, start: -1}}
		resp := kmsg.NewPtrProduceResponse()
		resp.Version = v
		if err := resp.ReadFrom(c.AppendTo(nil)); err != nil {
			t.Fatalf("version %d: %v", v, err)
		}
		p := resp.Topics[0].Partitions
		if len(resp.Topics) != 2 || len(p) != 2 || p[0].BaseOffset != 40 || p[1].ErrorCode != 87 || v >= 1 && resp.ThrottleMillis != 7 {
			t.Errorf("version %d: %+v", v, resp)
		}
		if v >= 8 && (p[1].ErrorMessage == nil || *p[1].ErrorMessage != "bad" || p[0].ErrorMessage != nil) {
			t.Errorf("version %d: messages %v %v", v, p[0].ErrorMessage, p[1].ErrorMessage)
		}
		// kmsg's own encoder must make the same bytes of what it read.
		if got := resp.AppendTo(nil); !bytes.Equal(got, c.AppendTo(nil)) {
			t.Errorf("version %d: kmsg encodes it differently", v)
		}
	}
}

func TestFetchResponseFollowsKmsg(t *testing.T) {
	for v := int16(4); v <= 18; v++ {
		for _, committed := range []bool{false, true} {
			f := newFetchResponse(bare(), v)
			f.code, f.session, f.committed = 70, 9, committed
			a := askedPart{fetchKey: fetchKey{name: "a", id: engine.TopicID{1}, index: 1}}
			a2, b := a, askedPart{fetchKey: fetchKey{name: "b", id: engine.TopicID{2}, index: 0}}
			a2.index = 2
			f.parts = []fetchPart{
				{askedPart: &a, hw: 10, start: 1, bytes: 6, read: engine.Read{Bytes: [][]byte{[]byte("abc"), []byte("def")}}},
				{askedPart: &a2, code: 1, hw: -1, start: -1},
				{askedPart: &b, hw: 5, start: 0, diverging: v >= 12, divergeAt: 3, divergeEnd: 4},
			}
			resp := kmsg.NewPtrFetchResponse()
			resp.Version = v
			if err := resp.ReadFrom(f.AppendTo(nil)); err != nil {
				t.Fatalf("version %d: %v", v, err)
			}
			if len(resp.Topics) != 2 || string(resp.Topics[0].Partitions[0].RecordBatches) != "abcdef" || resp.Topics[0].Partitions[1].ErrorCode != 1 {
				t.Errorf("version %d: %+v", v, resp)
			}
			if v >= 12 && resp.Topics[1].Partitions[0].DivergingEpoch.EndOffset != 4 {
				t.Errorf("version %d: diverging epoch %+v", v, resp.Topics[1].Partitions[0].DivergingEpoch)
			}
			if got, want := resp.AppendTo(nil), f.AppendTo(nil); !bytes.Equal(got, want) {
				t.Errorf("version %d: kmsg encodes\n%x, we\n%x", v, got, want)
			}
		}
	}
}

func FuzzProduceRequest(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for v := int16(0); v <= 13; v++ {
		req := kmsg.NewPtrProduceRequest()
		fill(reflect.ValueOf(req).Elem(), r)
		req.Version = v
		f.Add(req.AppendTo(nil), v)
	}
	b := bare()
	f.Fuzz(func(t *testing.T, body []byte, version int16) {
		version = min(max(version, 0), 13)
		var got *kmsg.ProduceRequest
		var err error
		alloctest.Bound(t, len(body), 100, func() { got, err = produceLike(b, body, version) })
		if err != nil {
			return
		}
		want := kmsg.NewPtrProduceRequest()
		want.Version = version
		if err := want.ReadFrom(body); err != nil || !sameProduce(got, want) {
			t.Errorf("version %d: kmsg says %v\ngot  %+v\nwant %+v", version, err, got, want)
		}
	})
}

func FuzzFetchRequest(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 8))
	for v := int16(4); v <= 18; v++ {
		req := kmsg.NewPtrFetchRequest()
		fill(reflect.ValueOf(req).Elem(), r)
		req.Version = v
		f.Add(req.AppendTo(nil), v)
	}
	b := bare()
	f.Fuzz(func(t *testing.T, body []byte, version int16) {
		version = min(max(version, 4), 18)
		var got *kmsg.FetchRequest
		var err error
		alloctest.Bound(t, len(body), 40, func() { got, err = fetchLike(b, body, version) })
		if err != nil {
			return
		}
		want := kmsg.NewPtrFetchRequest()
		want.Version = version
		if err := want.ReadFrom(body); err != nil {
			// kmsg also reads into known tags, which we step over.
			return
		}
		if !reflect.DeepEqual(flatFetch(got), flatFetch(want)) {
			t.Errorf("version %d:\ngot  %v\nwant %v", version, flatFetch(got), flatFetch(want))
		}
	})
}

func FuzzGuard(f *testing.F) {
	r := rand.New(rand.NewPCG(9, 10))
	schemaRequests(func(req kmsg.Request, key, version int16) {
		fill(reflect.ValueOf(req).Elem(), r)
		f.Add(req.AppendTo(nil), key, version)
	})
	f.Fuzz(func(t *testing.T, body []byte, key, version int16) {
		if requestSchemas[key].layout == "" {
			return
		}
		req := kmsg.RequestForKey(key)
		version = min(max(version, 0), req.MaxVersion())
		cost, err := guard(key, version, body)
		if err != nil {
			return
		}
		req.SetVersion(version)
		// cost follows the body (guardLimit), and covers what decoding allocates.
		alloctest.Bound(t, int(cost), 4, func() { _ = req.ReadFrom(body) })
	})
}
