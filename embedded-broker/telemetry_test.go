package broker

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/twmb/franz-go/pkg/kgo"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/engine"
)

// scrape gives the metrics as text.
func scrape(t testing.TB, tel *Telemetry) string {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(tel)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func TestMetrics(t *testing.T) {
	h := start(t)
	h.create("orders", 1, nil)
	for _, line := range []string{
		`streamkeeper_broker_up{broker="0"} 1`,
		`streamkeeper_broker_topic_messages_in_total{broker="0",topic="orders"} 0`,
		`streamkeeper_broker_requests_total{api="Produce",broker="0"} 0`,
		`streamkeeper_broker_store_calls_total{answered="false",broker="0",class="down",op="put",store="test"} 0`,
		`streamkeeper_broker_backpressure{broker="0",state="normal"} 1`,
		`streamkeeper_broker_object_bytes{broker="0",kind="dead",store="test"} 0`,
		`streamkeeper_broker_rewritten_bytes_total{broker="0",store="test"} 0`,
		`streamkeeper_broker_compactions_total{broker="0"} 0`,
	} {
		if text := scrape(t, h.telemetry); !strings.Contains(text, line+"\n") {
			t.Errorf("before any traffic there is no %s", line)
		}
	}
	c := h.client(kgo.ConsumeTopics("orders"))
	produceN(t, c, "orders", 20, func(int) []byte { return []byte("hello") })
	consumeN(t, c, 20)
	h.telemetry.StoreCall(engine.StoreCall{Op: "put", Class: "throttled", Answered: true, Duration: time.Second})
	ask0 := produceOne("orders", 7, oneBatch([]byte("x")))
	h.dial().ask(ask0, 9)
	wait(t, "the counters", func() bool { return strings.Contains(scrape(t, h.telemetry), `api="Produce",broker="0",phase="sync"`) })
	text := scrape(t, h.telemetry)
	for _, line := range []string{
		`streamkeeper_broker_topic_messages_in_total{broker="0",topic="orders"} 20`,
		`streamkeeper_broker_topic_producers{broker="0",topic="orders"} 2`,
		`streamkeeper_broker_topic_produce_errors_total{broker="0",code="UNKNOWN_TOPIC_OR_PARTITION",topic="orders"} 1`,
		`streamkeeper_broker_request_errors_total{api="Produce",broker="0",code="UNKNOWN_TOPIC_OR_PARTITION"} 1`,
		`streamkeeper_broker_store_calls_total{answered="true",broker="0",class="throttled",op="put",store="test"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("there is no %s in\n%s", line, grep(text, line[:strings.IndexByte(line, '{')]))
		}
	}
	for _, name := range []string{"topic_bytes_out_total", "topic_end_to_end_seconds_count", "request_seconds_count", "flush_seconds_count"} {
		if grep(text, "streamkeeper_broker_"+name) == "" {
			t.Errorf("no %s", name)
		}
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", err, problems)
	}
	if n := strings.Count(text, "\n"); n > 3000 {
		t.Errorf("%d lines for one topic", n)
	}
}

func grep(text, prefix string) string {
	var found []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}

func TestTopicSeriesAreBounded(t *testing.T) {
	tel := NewTelemetry(TelemetryOptions{})
	now := time.Now()
	for i := range 3 * maxTopicSeries {
		tel.topic(fmt.Sprint("topic-", i)).messagesIn.Add(1)
	}
	all := tel.sweep(now, func(string) bool { return true })
	if len(all) != maxTopicSeries+1 || all[maxTopicSeries].name != otherName || all[maxTopicSeries].messagesIn.Load() != 2*maxTopicSeries {
		t.Fatalf("%d series", len(all))
	}
	tel.topic("topic-1").messagesIn.Add(1)
	tel.sweep(now.Add(seriesIdle), func(string) bool { return true })
	if all = tel.sweep(now.Add(seriesIdle+time.Second), func(string) bool { return true }); len(all) != 2 || all[0].name != "topic-1" {
		t.Errorf("%d series stay while others need the place", len(all))
	}
	if m := tel.topic("new-one"); m == tel.other {
		t.Error("there is still no place")
	}
}

func TestHotPathCountsWithoutAllocating(t *testing.T) {
	tel := NewTelemetry(TelemetryOptions{})
	tel.topic("orders")
	name := []byte("orders")
	p := &pending{frame: frame{}, request: request{key: keyProduce}}
	tel.answered(p, time.Now())
	if n := testing.AllocsPerRun(100, func() {
		_, m := tel.intern(name)
		m.messagesIn.Add(1)
		m.endToEnd.observe(0.5)
		tel.answered(p, time.Time{})
		tel.phase(keyProduce, phaseSync, time.Millisecond)
		tel.Flushed(engine.Flush{Bytes: 5})
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func get(t testing.TB, url string) page {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var p page
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEventRing(t *testing.T) {
	tel := NewTelemetry(TelemetryOptions{NodeID: 4})
	srv := httptest.NewServer(tel.Events())
	defer srv.Close()
	if p := get(t, srv.URL); len(p.Events) != 0 || p.Lost != 0 || p.Boot == "" || !p.Watermark.From.IsZero() || p.Watermark.Through.IsZero() {
		t.Errorf("empty: %+v", p)
	}
	for i := range 5 {
		tel.Emit(streamkeeper.Event{Kind: "k", Text: fmt.Sprint(i)})
	}
	first := get(t, srv.URL+"?limit=3")
	if len(first.Events) != 3 || first.Next != first.Events[2].Seq || first.Watermark.Through.After(first.Events[2].At) {
		t.Fatalf("first page: %+v", first)
	}
	rest := get(t, fmt.Sprint(srv.URL, "?after=", first.Next))
	if len(rest.Events) != 2 || rest.Events[0].Text != "3" || rest.Lost != 0 {
		t.Errorf("second page: %+v", rest)
	}
	if p := get(t, fmt.Sprint(srv.URL, "?after=", rest.Next+1_000_000)); p.Next != rest.Next {
		t.Errorf("a position to come: next %d, want %d", p.Next, rest.Next)
	}
	for range ringSize + 10 {
		tel.Emit(streamkeeper.Event{Kind: "k"})
	}
	p := get(t, fmt.Sprint(srv.URL, "?after=", rest.Next))
	if p.Lost != 10 || p.Watermark.From.IsZero() {
		t.Errorf("after an overflow: lost %d, want 10; from %v", p.Lost, p.Watermark.From)
	}
	for _, bad := range []string{"?after=x", "?limit=0", "?limit=x"} {
		if resp, err := http.Get(srv.URL + bad); err != nil || resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %v", bad, resp.StatusCode)
		}
	}
}

func TestEventStream(t *testing.T) {
	tel := NewTelemetry(TelemetryOptions{})
	tel.Emit(streamkeeper.Event{Kind: "first"})
	srv := httptest.NewServer(tel.Events())
	defer srv.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	read := func(want string) {
		var got strings.Builder
		b := make([]byte, 4096)
		for !strings.Contains(got.String(), want) {
			n, err := resp.Body.Read(b)
			got.Write(b[:n])
			if err == io.EOF {
				t.Fatalf("the stream ended without %s:\n%s", want, got.String())
			}
		}
	}
	read("event: watermark")
	tel.Emit(streamkeeper.Event{Kind: "second"})
	read(`"kind":"second"`)
}

func TestShutdownIsToldAfterTheRestart(t *testing.T) {
	dir := t.TempDir()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	first := NewTelemetry(TelemetryOptions{Dir: dir, Now: func() time.Time { return at }})
	first.shutdownRequested()
	second := NewTelemetry(TelemetryOptions{Dir: dir})
	p, _ := second.ring.read(0, 10)
	if len(p.Events) != 1 || p.Events[0].Kind != "shutdown_requested" || !p.Events[0].At.Equal(at) || !p.Watermark.From.Equal(at) {
		t.Errorf("after a stop: %+v", p)
	}
	third := NewTelemetry(TelemetryOptions{Dir: dir})
	if p, _ := third.ring.read(0, 10); len(p.Events) != 0 || p.Watermark.From.IsZero() {
		t.Errorf("after a crash: %+v", p)
	}
}
