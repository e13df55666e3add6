package loki

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/google/go-cmp/cmp"
	"github.com/grafana/loki/pkg/push"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// fakeWorld is one inventory for every cluster.
type fakeWorld struct{ inv streamkeeper.Inventory }

func (w *fakeWorld) Inventory(string) streamkeeper.Inventory { return w.inv }

// keeper is a Sink that keeps what it is given.
type keeper struct {
	events  []streamkeeper.Event
	marks   []streamkeeper.Watermark
	samples []streamkeeper.Sample
}

func (k *keeper) Samples(_ context.Context, s []streamkeeper.Sample) error {
	k.samples = append(k.samples, s...)
	return nil
}

func (k *keeper) Events(_ context.Context, ev []streamkeeper.Event, w streamkeeper.Watermark) error {
	k.events, k.marks = append(k.events, ev...), append(k.marks, w)
	return nil
}
func (k *keeper) Inventory(context.Context, streamkeeper.Inventory) error { return nil }

// bench is a receiver under test with its clock and world.
type bench struct {
	*Receiver
	t     testing.TB
	at    time.Time
	world *fakeWorld
}

func newBench(t testing.TB, l Limits) *bench {
	b := &bench{t: t, at: noon, world: &fakeWorld{}}
	var err error
	b.Receiver, err = NewReceiver(Options{Patterns: builtIn(t), Limits: l, World: b.world, Now: func() time.Time { return b.at }})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) do(body []byte, headers ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	return b.doAt("/loki/api/v1/push", body, headers...)
}

func (b *bench) doAt(path string, body []byte, headers ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	req := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, req)
	return w
}

// send pushes as Promtail and Alloy do, and must be answered 204.
func (b *bench) send(labels string, lines ...string) {
	b.t.Helper()
	if w := b.do(encode(b.t, pushed(labels, b.at, lines...)), "Content-Type", "application/x-protobuf"); w.Code != http.StatusNoContent {
		b.t.Fatalf("%d %s", w.Code, w.Body)
	}
}

func pushed(labels string, at time.Time, lines ...string) push.Stream {
	s := push.Stream{Labels: labels}
	for _, l := range lines {
		s.Entries = append(s.Entries, push.Entry{Timestamp: at, Line: l})
	}
	return s
}

func encode(t testing.TB, streams ...push.Stream) []byte {
	t.Helper()
	raw, err := (&push.PushRequest{Streams: streams}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return snappy.Encode(nil, raw)
}

func collect(t testing.TB, s *Source, now time.Time) *keeper {
	t.Helper()
	k := &keeper{}
	if err := s.Collect(t.Context(), now, k); err != nil {
		t.Fatal(err)
	}
	return k
}

const pollTimeout = `[2026-03-04 12:00:00,000] WARN [Consumer clientId=orders-2, groupId=orders] consumer poll timeout has expired. This means the time between subsequent calls to poll() was longer than the configured max.poll.interval.ms, which typically implies that the poll loop is spending too much time processing messages. (org.apache.kafka.clients.consumer.internals.ConsumerCoordinator)`

func gzipped(t *testing.T, b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestPush_AllFormsGiveTheSameEvent(t *testing.T) {
	labels := `{app="orders", pod="orders-2"}`
	proto := encode(t, push.Stream{Labels: labels, Entries: []push.Entry{{
		Timestamp: noon, Line: pollTimeout, StructuredMetadata: push.LabelsAdapter{{Name: "pod_ip", Value: "10.0.4.17"}},
	}}})
	js := []byte(`{"streams":[{"values":[["` + strconv.FormatInt(noon.UnixNano(), 10) + `",` + strconv.Quote(pollTimeout) + `,{"pod_ip":"10.0.4.17"}]],"stream":{"pod":"orders-2","app":"orders"}}]}`)
	want := map[string]any{
		"group": "orders", "member": "orders-2@10.0.4.17", "client_id": "orders-2", "host": "10.0.4.17", "pod": "orders-2",
		"reason": "consumer poll timeout has expired.", "library": "apache-kafka-java", "told_by": "client",
	}
	for _, c := range []struct {
		name    string
		body    []byte
		headers []string
	}{
		{"protobuf", proto, []string{"Content-Type", "application/x-protobuf"}},
		{"protobuf without a content type", proto, nil},
		{"protobuf that names snappy", proto, []string{"Content-Encoding", "snappy"}},
		{"protobuf in gzip", gzipped(t, proto), []string{"Content-Type", "application/x-protobuf", "Content-Encoding", "gzip"}},
		{"JSON", js, []string{"Content-Type", "application/json"}},
		{"JSON with a charset", js, []string{"Content-Type", "application/json; charset=utf-8"}},
		{"JSON in gzip", gzipped(t, js), []string{"Content-Type", "application/json", "Content-Encoding", "gzip"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, Limits{})
			s := b.Source(SourceOptions{Cluster: "prod"})
			if w := b.do(c.body, c.headers...); w.Code != http.StatusNoContent || w.Body.Len() != 0 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			k := collect(t, s, noon)
			if len(k.events) != 1 {
				t.Fatalf("%d events", len(k.events))
			}
			e := k.events[0]
			if d := cmp.Diff(want, e.Attrs); d != "" {
				t.Error(d)
			}
			if e.Kind != "member_left" || !e.At.Equal(noon) || e.Entity.Key() != "group/orders@prod" || e.Source != "loki" {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestPush_RefusesAsLokiDoes(t *testing.T) {
	small := DefaultLimits()
	small.Streams, small.BodyBytes, small.DecodedBytes, small.JSONBytes, small.LineBytes = 50, 1<<20, 8<<20, 1<<20, 1000
	var many strings.Builder
	many.WriteString("{")
	for i := range 100_000 {
		fmt.Fprintf(&many, `l%d="v",`, i)
	}
	many.WriteString(`last="v"}`)
	manyStreams := make([]push.Stream, 100_000)
	for i := range manyStreams {
		manyStreams[i] = push.Stream{Labels: `{a="` + strconv.Itoa(i) + `"}`, Entries: []push.Entry{{Timestamp: noon, Line: "x"}}}
	}
	entryAt := func(at time.Time, line string) []byte {
		return encode(t, push.Stream{Labels: `{a="b"}`, Entries: []push.Entry{{Timestamp: at, Line: line}}})
	}
	random := make([]byte, 2<<20)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	jsonHeaders := []string{"Content-Type", "application/json"}
	for _, c := range []struct {
		name    string
		body    []byte
		headers []string
		status  int
		want    string
	}{
		{"garbage", []byte("garbage that is no snappy"), nil, 400, "snappy"},
		{"nothing", nil, nil, 400, "snappy"},
		{"snappy around garbage", snappy.Encode(nil, []byte("\xff\xff\xff garbage")), nil, 400, "proto"},
		{"a protobuf that is cut short", snappy.Encode(nil, []byte{10, 50, 1}), nil, 400, "proto"},
		{"a snappy bomb that says so", snappy.Encode(nil, make([]byte, 64<<20)), nil, 413, "too large"},
		{"a snappy header that lies", []byte("\xff\xff\xff\xff\x0f"), nil, 413, "too large"},
		{"a body over the limit", random, nil, 413, "too large"},
		{"a gzip bomb", gzipped(t, make([]byte, 64<<20)), []string{"Content-Type", "application/json", "Content-Encoding", "gzip"}, 413, "too large"},
		{"not gzip", []byte("x"), []string{"Content-Encoding", "gzip"}, 400, "push request"},
		{"an encoding nobody knows", []byte("x"), []string{"Content-Encoding", "lzma"}, 400, "not supported"},
		{"a type nobody knows", []byte("x"), []string{"Content-Type", "text/html"}, 400, "application/x-protobuf"},
		{"100,000 labels", encode(t, push.Stream{Labels: many.String(), Entries: []push.Entry{{Timestamp: noon}}}), nil, 400, "label names; limit"},
		{"100,000 streams", encode(t, manyStreams...), nil, 429, "Maximum active stream limit exceeded"},
		{"no labels", encode(t, push.Stream{Labels: "{}", Entries: []push.Entry{{Timestamp: noon}}}), nil, 400, "at least one label pair"},
		{"labels that are none", encode(t, push.Stream{Labels: `{a="b"`, Entries: []push.Entry{{Timestamp: noon}}}), nil, 400, "error parsing labels"},
		{"a line over the limit", entryAt(noon, strings.Repeat("x", 2000)), nil, 400, "Max entry size '1000' bytes exceeded"},
		{"a line of last week", entryAt(noon.Add(-7*24*time.Hour), "x"), nil, 400, "timestamp too old"},
		{"a line of tomorrow", entryAt(noon.Add(24*time.Hour), "x"), nil, 400, "timestamp too new"},
		{"JSON that is none", []byte(`{"streams":`), jsonHeaders, 400, ""},
		{"JSON of another kind", []byte(`[]`), jsonHeaders, 400, "want {"},
		{"JSON with a number for a time", []byte(`{"streams":[{"stream":{"a":"b"},"values":[[1,"x"]]}]}`), jsonHeaders, 400, "timestamp"},
		{"JSON with one part", []byte(`{"streams":[{"stream":{"a":"b"},"values":[["1"]]}]}`), jsonHeaders, 400, "1 parts"},
		{"JSON over the limit", []byte(`{"streams":[` + strings.Repeat(" ", 1<<20) + `]}`), jsonHeaders, 413, "too large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, small)
			b.Source(SourceOptions{Cluster: "prod"})
			w := b.do(c.body, c.headers...)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("%d %.200s, want %d %s", w.Code, w.Body, c.status, c.want)
			}
			if (w.Code == 429) != (w.Header().Get("Retry-After") != "") {
				t.Errorf("Retry-After %q with %d", w.Header().Get("Retry-After"), w.Code)
			}
			if n := len(b.streams); n > small.Streams {
				t.Errorf("%d streams remembered", n)
			}
		})
	}
}

// TestPush_TakesWhatIsWithinLimits: one bad line costs its sender a 400, not the good ones.
func TestPush_TakesWhatIsWithinLimits(t *testing.T) {
	b := newBench(t, Limits{})
	s := b.Source(SourceOptions{Cluster: "prod"})
	body := encode(t,
		push.Stream{Labels: `{}`, Entries: []push.Entry{{Timestamp: noon, Line: pollTimeout}}},
		push.Stream{Labels: `{a="b"}`, Entries: []push.Entry{{Timestamp: noon.Add(-48 * time.Hour), Line: pollTimeout}, {Timestamp: noon, Line: pollTimeout}}})
	if w := b.do(body); w.Code != 400 {
		t.Fatalf("%d", w.Code)
	}
	if k := collect(t, s, noon); len(k.events) != 1 {
		t.Errorf("%d events, want the good one", len(k.events))
	}
}

func TestPush_MoreAtOnceThanThereAreSpaces(t *testing.T) {
	l := DefaultLimits()
	l.PushWait = time.Millisecond
	b := newBench(t, l)
	b.Source(SourceOptions{Cluster: "prod"})
	var taken []*collectors.Body
	for range l.Pushes {
		taken = append(taken, b.bodies.Take(t.Context()))
	}
	w := b.do(encode(t, push.Stream{Labels: `{a="b"}`}))
	if w.Code != 429 || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	b.bodies.Return(taken[0])
	if w := b.do(encode(t, push.Stream{Labels: `{a="b"}`})); w.Code != 204 {
		t.Errorf("%d when there is room again", w.Code)
	}
}

func TestPush_StreamsAreForgotten(t *testing.T) {
	l := DefaultLimits()
	l.Streams = 2
	b := newBench(t, l)
	b.Source(SourceOptions{Cluster: "prod"})
	b.send(`{a="1"}`, "x")
	b.send(`{a="2"}`, "x")
	b.at = b.at.Add(2 * l.StreamIdle)
	b.send(`{a="3"}`, "x")
	if n := len(b.streams); n != 1 {
		t.Errorf("%d streams, want the new one", n)
	}
}

// FuzzPush holds the reader in place to the generated decoder, and all of it to its bounds.
func FuzzPush(f *testing.F) {
	good, err := (&push.PushRequest{Streams: []push.Stream{{
		Labels:  `{a="b", c="d\"e"}`,
		Entries: []push.Entry{{Timestamp: noon, Line: pollTimeout, StructuredMetadata: push.LabelsAdapter{{Name: "x", Value: "y"}}}, {Timestamp: time.Unix(-5, 7), Line: ""}},
		Hash:    7,
	}}}).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{10, 2, 18, 0})
	f.Add([]byte{10, 50, 1})
	f.Fuzz(func(t *testing.T, raw []byte) {
		type line struct {
			labels, line string
			at           int64
			meta         map[string]string
		}
		read := func(raw []byte) (got []line, err error) {
			err = protoStreams(raw, func(labels []byte, entries func(func(entry) error) error) error {
				return entries(func(e entry) error {
					got = append(got, line{string(labels), string(e.line), e.at.UnixNano(), e.labelsOf(DefaultLimits())})
					return nil
				})
			})
			return got, err
		}
		got, err := read(raw)
		var theirs push.PushRequest
		if theirs.Unmarshal(raw) != nil {
			return // stricter than we are: what matters is that nothing breaks
		}
		if err != nil { // it takes field numbers that protobuf does not have; what it makes of that must be read
			again, mistake := theirs.Marshal()
			if mistake != nil {
				return
			}
			if got, err = read(again); err != nil {
				t.Fatalf("refused what Loki writes: %v", err)
			}
		}
		var want []line
		for _, s := range theirs.Streams {
			for _, e := range s.Entries {
				want = append(want, line{s.Labels, e.Line, e.Timestamp.UnixNano(), nil})
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%d lines, want %d", len(got), len(want))
		}
		for i := range got {
			got[i].meta = nil
			if got[i].labels != want[i].labels || got[i].line != want[i].line {
				t.Errorf("line %d: %+v, want %+v", i, got[i], want[i])
			}
		}
	})
}

// TestPush_OneStreamFromManySenders is for the race detector: two pushes of one stream may learn its broker at once.
func TestPush_OneStreamFromManySenders(t *testing.T) {
	b := newBench(t, Limits{})
	s := b.Source(SourceOptions{Cluster: "prod"})
	line := "[2026-03-04 12:00:00,000] INFO [GroupCoordinator 2]: Preparing to rebalance group orders in state PreparingRebalance with old generation 4 (__consumer_offsets-12) (reason: Removing member orders-2-8c2f0d19-4a63-41e7-9b52-7e0a1f3c6d84 on LeaveGroup; client reason: consumer poll timeout has expired.) (kafka.coordinator.group.GroupCoordinator)"
	body := encode(t, pushed(`{app="kafka"}`, b.at, line, pollTimeout))
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			for range 20 {
				b.do(body)
			}
		})
	}
	senders.Wait()
	collect(t, s, noon)
	if got := b.streams[`{app="kafka"}`].broker; got != "2" {
		t.Errorf("broker %q", got)
	}
}

// FuzzBody sends anything as anything: the answer is one that Loki's clients know.
func FuzzBody(f *testing.F) {
	f.Add([]byte(`{"streams":[{"stream":{"a":"b"},"values":[["1","x",{"c":"d"}]]}]}`), byte(0))
	f.Add(snappy.Encode(nil, []byte{10, 2, 18, 0}), byte(1))
	f.Add([]byte("\x1f\x8b"), byte(2))
	l := DefaultLimits()
	l.Streams, l.DecodedBytes, l.JSONBytes = 100, 1<<20, 1<<20
	headers := [][]string{{"Content-Type", "application/json"}, nil, {"Content-Encoding", "gzip"}, {"Content-Type", "application/json", "Content-Encoding", "deflate"}}
	f.Fuzz(func(t *testing.T, body []byte, how byte) {
		b := newBench(t, l)
		s := b.Source(SourceOptions{Cluster: "c"})
		w := b.do(body, headers[int(how)%len(headers)]...)
		switch w.Code {
		case 204, 400, 413, 429:
		default:
			t.Errorf("%d", w.Code)
		}
		collect(t, s, noon)
	})
}

// FuzzLine reads any line with every pattern: no line may break one, and what is read keeps the rules of attributes.
func FuzzLine(f *testing.F) {
	patterns := builtIn(f)
	for _, p := range patterns {
		for _, l := range p.Lines {
			f.Add(l.Line)
		}
	}
	s, err := newScanner(patterns)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line string) {
		p, attrs, _ := s.read([]byte(line))
		if (p != nil) && !s.relevant([]byte(line)) {
			t.Error("read what the scan passes over")
		}
		for k, v := range attrs {
			if value(v) == nil {
				t.Errorf("%s is a %T", k, v)
			}
		}
	})
}
