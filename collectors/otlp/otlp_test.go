package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// lab is a receiver for clusters c (and d), with the sink that their collectors hand over to.
type lab struct {
	t       *testing.T
	now     time.Time
	r       *Receiver
	c       *Source
	inv     map[string]streamkeeper.Inventory
	series  map[string]float64
	events  []streamkeeper.Event
	lines   []Line
	labels  map[string]string
	handler map[string]http.Handler
}

func newLab(t *testing.T, clusters ...string) *lab {
	l := &lab{t: t, now: epoch, inv: map[string]streamkeeper.Inventory{}, series: map[string]float64{}}
	l.r = NewReceiver(Options{World: l, Now: func() time.Time { return l.now }, Lines: func(_ string, labels map[string]string, lines []Line) (int, error) {
		l.lines, l.labels = append(l.lines, lines...), labels
		return 0, nil
	}})
	l.c = l.r.Source("c")
	for _, other := range clusters {
		l.r.Source(other)
	}
	l.inv["c"] = streamkeeper.Inventory{Groups: []streamkeeper.GroupInfo{{Name: "billing", Members: []streamkeeper.MemberInfo{{ClientID: "billing-1"}, {ClientID: "billing-2"}}}}}
	l.handler = l.r.Handlers()
	return l
}

func (l *lab) Inventory(cluster string) streamkeeper.Inventory { return l.inv[cluster] }

func (l *lab) Samples(_ context.Context, samples []streamkeeper.Sample) error {
	for _, s := range samples {
		key := strings.TrimPrefix(s.Metric, "streamkeeper_")
		for _, name := range []string{"group", "client", "dependency", "fact"} {
			if v := s.Labels[name]; v != "" {
				key += "/" + v
			}
		}
		if l.series[key] = s.Value; collectors.IsStale(s.Value) {
			delete(l.series, key)
		}
	}
	return nil
}

func (l *lab) Events(_ context.Context, events []streamkeeper.Event, w streamkeeper.Watermark) error {
	if w.Source != sourceName || w.Cluster == "" || !w.Through.IsZero() {
		l.t.Errorf("watermark %+v: want one that says whose the events are, for recordings, and covers nothing", w)
	}
	l.events = append(l.events, events...)
	return nil
}

func (l *lab) collect() {
	l.t.Helper()
	if err := l.c.Collect(l.t.Context(), l.now, sink{l}); err != nil {
		l.t.Fatal(err)
	}
}

// sink is the lab as a sink: its Inventory is the world's.
type sink struct{ *lab }

func (sink) Inventory(context.Context, streamkeeper.Inventory) error { return nil }

func (l *lab) post(path, kind string, body []byte, headers ...string) (int, string) {
	l.t.Helper()
	req := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	req.Header.Set("Content-Type", kind)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	l.handler[strings.Split(path, "?")[0]].ServeHTTP(w, req)
	return w.Code, w.Body.String()
}

func (l *lab) send(path string, m message) string {
	l.t.Helper()
	body, err := m.MarshalProto()
	if err != nil {
		l.t.Fatal(err)
	}
	code, answer := l.post(path, protobufType, body)
	if code != 200 {
		l.t.Fatalf("%d %s", code, answer)
	}
	return answer
}

func (l *lab) want(want map[string]float64) {
	l.t.Helper()
	for key, v := range want {
		if got, ok := l.series[key]; !ok || got < v-1e-9 || got > v+1e-9 {
			l.t.Errorf("%s = %v (there: %v), want %v", key, got, ok, v)
		}
	}
}

// gauges is one export of a client's numbers.
func gauges(at time.Time, attributes map[string]any, values map[string]float64) pmetricotlp.ExportRequest {
	md := pmetric.NewMetrics()
	sm := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty()
	for name, v := range values {
		m := sm.Metrics().AppendEmpty()
		m.SetName(name)
		p := m.SetEmptyGauge().DataPoints().AppendEmpty()
		p.SetDoubleValue(v)
		p.SetTimestamp(pcommon.NewTimestampFromTime(at))
		_ = p.Attributes().FromRaw(attributes)
	}
	return pmetricotlp.NewExportRequestFromMetrics(md)
}

func TestMetrics_BothSpellings(t *testing.T) {
	l := newLab(t)
	// The Java agent names the client only; KIP-714, passed on by a broker's plugin, names the group.
	l.send("/v1/metrics", gauges(l.now, map[string]any{"client-id": "billing-1"}, map[string]float64{
		"kafka.consumer.poll_idle_ratio_avg": .2, "kafka.consumer.time_between_poll_max": 4000, "kafka.consumer.fetch_latency_avg": 12, "jvm.memory.used": 9,
	}))
	l.send("/v1/metrics", gauges(l.now, map[string]any{"client_id": "billing-2", "group_id": "billing"}, map[string]float64{
		"org.apache.kafka.consumer.poll.idle.ratio.avg": .9, "org.apache.kafka.consumer.fetch.manager.fetch.latency.avg": 30,
	}))
	l.collect() // the first round learns who is a member
	l.collect()
	l.want(map[string]float64{
		"client_poll_idle_ratio/billing-1": .2, "client_poll_idle_ratio/billing-2": .9, "client_fetch_latency_seconds/billing-2": .03,
		"client_time_between_polls_seconds_max/billing-1": 4, "group_client_poll_idle_ratio/billing": .2,
		"group_client_time_between_polls_seconds_max/billing": 4, "group_fact/billing/client_metrics": 1,
	})
	l.now = l.now.Add(staleAfter + time.Second)
	l.collect()
	if len(l.series) != 0 {
		t.Errorf("a client that went silent is still there: %v", l.series)
	}
}

func TestMetrics_JSONAndWhatIsRejected(t *testing.T) {
	l := newLab(t)
	body := fmt.Sprintf(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"kafka.consumer.poll_idle_ratio_avg","gauge":{"dataPoints":[
		{"asDouble":0.5,"timeUnixNano":"%d","attributes":[{"key":"client-id","value":{"stringValue":"billing-1"}}]},
		{"asDouble":0.1,"timeUnixNano":"%d","attributes":[{"key":"client-id","value":{"stringValue":"billing-2"}}]}]}}]}]}]}`,
		l.now.UnixNano(), l.now.Add(-time.Hour).UnixNano())
	code, answer := l.post("/v1/metrics", jsonType, []byte(body))
	if code != 200 || !strings.Contains(answer, `"rejectedDataPoints":"1"`) || !strings.Contains(answer, "older") {
		t.Errorf("%d %s", code, answer)
	}
	l.collect()
	l.want(map[string]float64{"client_poll_idle_ratio/billing-1": .5})
	if _, ok := l.series["client_poll_idle_ratio/billing-2"]; ok {
		t.Error("a point of an hour ago is told as now")
	}
}

func TestReceiver_FindsTheCluster(t *testing.T) {
	l := newLab(t, "d")
	l.c.members.learn(l.inv["c"])
	idle := map[string]float64{"kafka.consumer.poll_idle_ratio_avg": .5}
	l.send("/v1/metrics", gauges(l.now, map[string]any{"client-id": "nobody"}, idle))
	l.send("/v1/metrics", gauges(l.now, map[string]any{"client-id": "named", "kafka_cluster": "c"}, idle))
	l.send("/v1/metrics", gauges(l.now, map[string]any{"client-id": "grouped", "group_id": "billing"}, idle))
	l.send("/v1/metrics?cluster=c", gauges(l.now, map[string]any{"client-id": "asked"}, idle))
	l.collect()
	l.want(map[string]float64{"client_poll_idle_ratio/named": .5, "client_poll_idle_ratio/grouped": .5, "client_poll_idle_ratio/asked": .5})
	if _, ok := l.series["client_poll_idle_ratio/nobody"]; ok || l.r.counts.unclaimed[metricsSignal].Load() != 1 {
		t.Error("a client of no known cluster was given to one")
	}
}

func TestHTTP_Refusals(t *testing.T) {
	l := newLab(t)
	zip := func(b []byte) []byte {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		_, _ = w.Write(b)
		_ = w.Close()
		return out.Bytes()
	}
	for _, c := range []struct {
		name, path, kind string
		body             []byte
		headers          []string
		code             int
		want             string
	}{
		{"no protobuf", "/v1/metrics", protobufType, []byte{0xff, 0xff}, nil, 400, ""},
		{"no JSON", "/v1/traces", jsonType, []byte("{"), nil, 400, `"code":3`},
		{"a content type of another kind", "/v1/logs", "text/plain", []byte("x"), nil, 415, "application/json"},
		{"an encoding of another kind", "/v1/logs", protobufType, []byte("x"), []string{"Content-Encoding", "br"}, 415, "gzip"},
		{"no gzip", "/v1/logs", jsonType, []byte("x"), []string{"Content-Encoding", "gzip"}, 400, `"code":3`},
		{"too long", "/v1/logs", jsonType, bytes.Repeat([]byte(" "), 4<<20+1), nil, 413, `"code":8`},
		{"a gzip bomb", "/v1/logs", jsonType, zip(bytes.Repeat([]byte(" "), 64<<20)), []string{"Content-Encoding", "gzip"}, 413, `"code":8`},
		{"a protobuf bomb", "/v1/traces", protobufType, bytes.Repeat([]byte{0x0a, 0x00}, 1<<20), nil, 413, "too many parts"},
		{"a JSON bomb", "/v1/traces", jsonType, []byte(`{"resourceSpans":[` + strings.Repeat("{},", 1<<20) + `{}]}`), nil, 413, "too many parts"},
		{"deep JSON", "/v1/traces", jsonType, []byte(strings.Repeat("[", 1000)), nil, 413, "nested"},
		{"deep protobuf", "/v1/metrics", protobufType, nested(1000), nil, 413, "nested"},
	} {
		if code, answer := l.post(c.path, c.kind, c.body, c.headers...); code != c.code || !strings.Contains(answer, c.want) {
			t.Errorf("%s: %d %.200q, want %d with %q", c.name, code, answer, c.code, c.want)
		}
	}
	l.r.bodies = collectors.NewBodies(0, time.Millisecond)
	if code, answer := l.post("/v1/logs", jsonType, []byte("{}")); code != 429 || !strings.Contains(answer, `"code":8`) {
		t.Errorf("while others are read: %d %s", code, answer)
	}
}

// nested is a field within a field within …
func nested(depth int) []byte {
	var b []byte
	for range depth {
		b = append([]byte{0x0a, byte(len(b)&0x7f | 0x80), byte(len(b) >> 7)}, b...)
	}
	return b
}

// record is one trace of a record: its processing, and a call two spans below that is inside another call.
func record(at time.Time, n byte, took, waited time.Duration) ptraceotlp.ExportRequest {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "billing")
	ss := rs.ScopeSpans().AppendEmpty()
	add := func(id, up byte, kind ptrace.SpanKind, took time.Duration, attributes map[string]any) {
		sp := ss.Spans().AppendEmpty()
		sp.SetTraceID(pcommon.TraceID{1, n})
		sp.SetSpanID(pcommon.SpanID{id, n})
		if up != 0 {
			sp.SetParentSpanID(pcommon.SpanID{up, n})
		}
		sp.SetKind(kind)
		sp.SetStartTimestamp(pcommon.NewTimestampFromTime(at))
		sp.SetEndTimestamp(pcommon.NewTimestampFromTime(at.Add(took)))
		_ = sp.Attributes().FromRaw(attributes)
	}
	add(4, 3, ptrace.SpanKindClient, waited/2, map[string]any{"server.address": "inner"})
	add(3, 2, ptrace.SpanKindClient, waited, map[string]any{"db.system.name": "postgresql", "db.namespace": "ledger", "server.address": "db-1"})
	add(2, 1, ptrace.SpanKindInternal, waited, nil)
	add(1, 9, ptrace.SpanKindConsumer, took, map[string]any{
		"messaging.system": "kafka", "messaging.operation.type": "process", "messaging.consumer.group.name": "billing",
		"messaging.destination.name": "orders", "messaging.client.id": "billing-1", "messaging.kafka.offset": int64(n),
	})
	return ptraceotlp.NewExportRequestFromTraces(td)
}

func TestTraces_NameTheSlowDependency(t *testing.T) {
	l := newLab(t)
	l.c.members.learn(l.inv["c"])
	n := byte(0)
	minute := func(took, waited time.Duration) {
		for range 12 {
			for range 5 {
				n++
				l.send("/v1/traces", record(l.now, n, took, waited))
			}
			l.now = l.now.Add(5 * time.Second)
			l.collect()
		}
	}
	const peer = "postgresql ledger at db-1"
	for range 4 {
		minute(30*time.Millisecond, 20*time.Millisecond)
	}
	l.want(map[string]float64{
		"group_processing_records_total/billing": 240, "group_processing_seconds_total/billing": 7.2, "client_processing_records_total/billing-1": 240,
		"group_dependency_calls_total/billing/" + peer: 240, "group_dependency_seconds_total/billing/" + peer: 4.8,
	})
	if _, ok := l.series["group_dependency_calls_total/billing/inner"]; ok {
		t.Error("a call inside a call was counted besides")
	}
	if len(l.events) != 0 {
		t.Errorf("nothing changed: %+v", l.events)
	}
	minute(490*time.Millisecond, 480*time.Millisecond)
	if len(l.events) == 0 {
		t.Fatal("a call that takes 24 times as long is not told")
	}
	e := l.events[0]
	usual, _ := e.Number("usual_seconds")
	share, _ := e.Number("share")
	if e.Kind != "dependency_slowed" || e.Entity.Name != "billing" || e.String("dependency") != peer || usual < .019 || usual > .021 || share < .8 {
		t.Errorf("%+v", e)
	}
	for range 2 {
		minute(30*time.Millisecond, 20*time.Millisecond)
	}
	if last := l.events[len(l.events)-1]; last.Kind != "dependency_recovered" {
		t.Errorf("%+v", last)
	}
}

// TestTraces_OutOfOrder sends each span by itself, the outermost last or first.
func TestTraces_OutOfOrder(t *testing.T) {
	for _, reversed := range []bool{false, true} {
		l := newLab(t)
		l.c.members.learn(l.inv["c"])
		spans := record(l.now, 1, time.Second, 900*time.Millisecond).Traces().ResourceSpans().At(0).ScopeSpans().At(0).Spans()
		for i := range spans.Len() {
			if reversed {
				i = spans.Len() - 1 - i
			}
			td := ptrace.NewTraces()
			spans.At(i).CopyTo(td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty())
			l.send("/v1/traces", ptraceotlp.NewExportRequestFromTraces(td))
			l.collect()
		}
		l.collect()
		l.want(map[string]float64{"group_dependency_calls_total/billing/postgresql ledger at db-1": 1})
	}
}

func TestTraces_AreBounded(t *testing.T) {
	l := newLab(t)
	l.r.limits.Spans, l.r.limits.Calls, l.r.limits.Peers = 100, 50, 3
	l.r.spans = newSpans(l.r.limits)
	l.c.members.learn(l.inv["c"])
	for n := range 200 {
		l.send("/v1/traces", record(l.now, byte(n), time.Second, time.Millisecond))
		l.c.called("billing", call{peer: fmt.Sprint(n), came: l.now})
	}
	if len(l.r.spans.links) > 100 || len(l.r.spans.order) > 100 || len(l.r.spans.calls) > 50 || len(l.c.works["billing"].peers) > 4 {
		t.Errorf("%d links, %d calls, %d peers", len(l.r.spans.links), len(l.r.spans.calls), len(l.c.works["billing"].peers))
	}
	l.now = l.now.Add(2 * callWait)
	l.r.settle(l.now)
	if len(l.r.spans.calls) != 0 {
		t.Errorf("%d calls wait for ever", len(l.r.spans.calls))
	}
}

func TestLogs_GoToWhoReadsLines(t *testing.T) {
	l := newLab(t)
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("k8s.pod.name", "billing-0")
	rec := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	rec.Body().SetStr("consumer poll timeout has expired")
	rec.Attributes().PutStr("consumer.group", "billing")
	rec.SetTimestamp(pcommon.NewTimestampFromTime(l.now))
	l.send("/v1/logs", plogotlp.NewExportRequestFromLogs(ld))
	if len(l.lines) != 1 || string(l.lines[0].Text) != "consumer poll timeout has expired" || l.labels["k8s_pod_name"] != "billing-0" ||
		l.lines[0].More["consumer_group"] != "billing" || !l.lines[0].At.Equal(l.now) {
		t.Errorf("%+v %v", l.lines, l.labels)
	}
}

func TestGRPC(t *testing.T) {
	l := newLab(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := l.r.GRPCServer()
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	defer func() { server.Stop(); <-done }()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.UseCompressor("gzip")))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	idle := map[string]float64{"kafka.consumer.poll_idle_ratio_avg": .5}
	metrics := pmetricotlp.NewGRPCClient(conn)
	if _, err := metrics.Export(t.Context(), gauges(l.now, map[string]any{"client-id": "billing-1"}, idle)); err != nil {
		t.Fatal(err)
	}
	answer, err := metrics.Export(t.Context(), gauges(l.now.Add(-time.Hour), map[string]any{"client-id": "billing-1"}, idle))
	if err != nil || answer.PartialSuccess().RejectedDataPoints() != 1 {
		t.Errorf("%v, %d rejected", err, answer.PartialSuccess().RejectedDataPoints())
	}
	if _, err := ptraceotlp.NewGRPCClient(conn).Export(t.Context(), record(l.now, 1, time.Second, time.Millisecond)); err != nil {
		t.Error(err)
	}
	if _, err := plogotlp.NewGRPCClient(conn).Export(t.Context(), plogotlp.NewExportRequest()); err != nil {
		t.Error(err)
	}
	l.collect()
	l.want(map[string]float64{"client_poll_idle_ratio/billing-1": .5, "group_processing_records_total/billing": 1})
	large := pmetric.NewMetrics()
	large.ResourceMetrics().AppendEmpty().SetSchemaUrl(strings.Repeat("x", 9<<20))
	if _, err := metrics.Export(t.Context(), pmetricotlp.NewExportRequestFromMetrics(large)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("9 MiB: %v", err)
	}
	parts := pmetric.NewMetrics()
	for range maxParts + 1 {
		parts.ResourceMetrics().AppendEmpty()
	}
	if _, err := metrics.Export(t.Context(), pmetricotlp.NewExportRequestFromMetrics(parts)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("too many parts: %v", err)
	}
}

func FuzzExport(f *testing.F) {
	seed := gauges(epoch, map[string]any{"client-id": "billing-1"}, map[string]float64{"kafka.consumer.poll_idle_ratio_avg": .5})
	traces := record(epoch, 1, time.Second, time.Millisecond)
	for s, m := range []message{seed, traces} {
		b, _ := m.MarshalProto()
		j, _ := m.MarshalJSON()
		f.Add(byte(s), false, b)
		f.Add(byte(s), true, j)
	}
	f.Add(byte(2), false, nested(100))
	f.Fuzz(func(t *testing.T, s byte, isJSON bool, body []byte) {
		l := newLab(t)
		l.c.members.learn(l.inv["c"])
		_, _ = l.r.export(signal(s%byte(signals)), isJSON, body, "")
		l.collect()
	})
}
