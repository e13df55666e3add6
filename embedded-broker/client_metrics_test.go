package broker

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// pushes collects what is handed on.
type pushes struct {
	mu  sync.Mutex
	all []ClientPush
}

func (p *pushes) ClientMetrics(c ClientPush) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, c)
}

// watch is a clock that tests set.
type watch struct {
	mu  sync.Mutex
	now time.Time
}

func (w *watch) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *watch) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// telemetryLab is a broker on a clock of its own, without a built-in subscription unless every says so.
func telemetryLab(t *testing.T, every time.Duration) (*groupLab, *watch, *pushes) {
	t.Helper()
	l, w, p := newGroupLab(t, nextGen), &watch{now: time.Now()}, &pushes{}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := l.broker.Close(ctx); err != nil {
		t.Fatal(err)
	}
	l.telemetry = NewTelemetry(TelemetryOptions{Now: w.Now})
	var err error
	l.broker, err = Start(ctx, Options{
		Engine: l.engine, Telemetry: l.telemetry, Listen: "127.0.0.1:0", Group: l.o, Now: w.Now,
		ClientMetrics: p, ClientMetricsInterval: every,
	})
	if err != nil {
		t.Fatal(err)
	}
	return l, w, p
}

// gauge is MetricsData with one gauge of a client of a group.
func gauge(name string, value float64) []byte {
	field := func(b []byte, number int, v []byte) []byte {
		b = binary.AppendUvarint(b, uint64(number)<<3|2)
		return append(binary.AppendUvarint(b, uint64(len(v))), v...)
	}
	point := binary.LittleEndian.AppendUint64([]byte{4<<3 | 1}, math.Float64bits(value))
	metric := field(field(nil, 1, []byte(name)), 5, field(nil, 1, point))
	group := field(field(nil, 1, []byte("group_id")), 2, field(nil, 1, []byte("g")))
	return field(nil, 1, field(field(nil, 1, field(nil, 1, group)), 2, field(nil, 2, metric)))
}

func (r *raw) subscribe(id [16]byte) *kmsg.GetTelemetrySubscriptionsResponse {
	r.l.t.Helper()
	req := kmsg.NewPtrGetTelemetrySubscriptionsRequest()
	req.ClientInstanceID = id
	return request1[*kmsg.GetTelemetrySubscriptionsResponse](r, req)
}

func (r *raw) push(id [16]byte, subscription int32, change func(*kmsg.PushTelemetryRequest)) string {
	r.l.t.Helper()
	req := kmsg.NewPtrPushTelemetryRequest()
	req.ClientInstanceID, req.SubscriptionID, req.Metrics = id, subscription, gauge("org.apache.kafka.consumer.poll.idle.ratio.avg", 0.25)
	if change != nil {
		change(req)
	}
	return codeName(request1[*kmsg.PushTelemetryResponse](r, req).ErrorCode)
}

func (l *groupLab) clientMetrics(name string, configs map[string]string) {
	l.t.Helper()
	if err := l.broker.alterResource("client_metrics", name, configChange{set: configs}, false); err != nil {
		l.t.Fatal(err)
	}
}

func TestClientMetrics_Protocol(t *testing.T) {
	t.Parallel()
	l, w, got := telemetryLab(t, -1)
	r := l.raw("app-1")
	nobody := r.subscribe([16]byte{})
	if len(nobody.RequestedMetrics) != 0 || nobody.PushIntervalMillis != 300_000 || nobody.ClientInstanceID == ([16]byte{}) || nobody.TelemetryMaxBytes != 1<<20 || !nobody.DeltaTemporality {
		t.Fatalf("without subscriptions: %+v", nobody)
	}
	id := nobody.ClientInstanceID
	if code := r.subscribe(id).ErrorCode; codeName(code) != "THROTTLING_QUOTA_EXCEEDED" {
		t.Errorf("asking again at once is answered %s", codeName(code))
	}
	l.clientMetrics("mine", map[string]string{"metrics": "org.apache.kafka.consumer.", "interval.ms": "1000", "match": "client_id=app-.*,client_source_address=127.0.0.1"})
	l.clientMetrics("others", map[string]string{"metrics": "*", "match": "client_id=web-.*"})
	if code := r.push(id, nobody.SubscriptionID, nil); code != "UNKNOWN_SUBSCRIPTION_ID" {
		t.Errorf("a push to a subscription that changed is answered %s", code)
	}
	s := r.subscribe(id) // told to ask again: it may at once
	if s.ErrorCode != 0 || strings.Join(s.RequestedMetrics, " ") != "org.apache.kafka.consumer." || s.PushIntervalMillis != 1000 || s.ClientInstanceID != ([16]byte{}) {
		t.Fatalf("with one: %+v", s)
	}
	for _, c := range []struct {
		name   string
		change func(*kmsg.PushTelemetryRequest)
		want   string
	}{
		{"nobody", func(p *kmsg.PushTelemetryRequest) { p.ClientInstanceID = [16]byte{} }, "INVALID_REQUEST"},
		{"a stranger", func(p *kmsg.PushTelemetryRequest) { p.ClientInstanceID = [16]byte{1} }, "UNKNOWN_SUBSCRIPTION_ID"},
		{"too large", func(p *kmsg.PushTelemetryRequest) { p.Metrics = make([]byte, 1<<20+1) }, "TELEMETRY_TOO_LARGE"},
		{"an unknown codec", func(p *kmsg.PushTelemetryRequest) { p.CompressionType = 9 }, "UNSUPPORTED_COMPRESSION_TYPE"},
		{"the first", nil, "NONE"},
		{"the second at once", nil, "THROTTLING_QUOTA_EXCEEDED"},
	} {
		if code := r.push(id, s.SubscriptionID, c.change); code != c.want {
			t.Errorf("%s: %s, want %s", c.name, code, c.want)
		}
	}
	for name, c := range map[string]struct {
		change func(*kmsg.PushTelemetryRequest)
		want   string
	}{
		"garbage":        {func(p *kmsg.PushTelemetryRequest) { p.Metrics = []byte{0xff} }, "INVALID_RECORD"},
		"garbage, gzip":  {func(p *kmsg.PushTelemetryRequest) { p.CompressionType = 1 }, "INVALID_RECORD"},
		"a bomb":         {func(p *kmsg.PushTelemetryRequest) { p.CompressionType, p.Metrics = 4, pack(t, 4, make([]byte, 5<<20)) }, "TELEMETRY_TOO_LARGE"},
		"gzip":           {func(p *kmsg.PushTelemetryRequest) { p.CompressionType, p.Metrics = 1, pack(t, 1, p.Metrics) }, "NONE"},
		"snappy":         {func(p *kmsg.PushTelemetryRequest) { p.CompressionType, p.Metrics = 2, pack(t, 2, p.Metrics) }, "NONE"},
		"lz4":            {func(p *kmsg.PushTelemetryRequest) { p.CompressionType, p.Metrics = 3, pack(t, 3, p.Metrics) }, "NONE"},
		"zstd":           {func(p *kmsg.PushTelemetryRequest) { p.CompressionType, p.Metrics = 4, pack(t, 4, p.Metrics) }, "NONE"},
		"a little early": {func(*kmsg.PushTelemetryRequest) { w.pass(-50 * time.Millisecond) }, "NONE"},
	} {
		w.pass(time.Second)
		if code := r.push(id, s.SubscriptionID, c.change); code != c.want {
			t.Errorf("%s: %s, want %s", name, code, c.want)
		}
	}
	last := func(p *kmsg.PushTelemetryRequest) { p.Terminating = true }
	if first, second := r.push(id, s.SubscriptionID, last), r.push(id, s.SubscriptionID, last); first != "NONE" || second != "INVALID_REQUEST" {
		t.Errorf("the last push is answered %s, another last one %s", first, second)
	}
	got.mu.Lock()
	defer got.mu.Unlock()
	if len(got.all) != 7 {
		t.Fatalf("%d pushes were handed on, want 7", len(got.all))
	}
	want := gauge("org.apache.kafka.consumer.poll.idle.ratio.avg", 0.25)
	for i, p := range got.all {
		if !bytes.Equal(p.Metrics, want) || p.ClientID != "app-1" || p.InstanceID != id || p.Software != "kgo" || p.Terminating != (i == 6) {
			t.Errorf("handed on: %+v", p)
		}
	}
}

func pack(t *testing.T, codec int8, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var err error
	switch codec {
	case 1:
		z := gzip.NewWriter(&out)
		_, err = z.Write(b)
		z.Close()
	case 2:
		return s2.EncodeSnappy(nil, b)
	case 3:
		z := lz4.NewWriter(&out)
		_, err = z.Write(b)
		z.Close()
	case 4:
		var z *zstd.Encoder
		if z, err = zstd.NewWriter(&out); err == nil {
			_, err = z.Write(b)
			z.Close()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// The numbers are told as long as they are fresh, the worst of those with one client id, and of a group's.
func TestClientMetrics_Series(t *testing.T) {
	t.Parallel()
	l, w, _ := telemetryLab(t, 10*time.Second)
	l.topic("t", 1)
	r := l.raw("app")
	r.beat(joining("g", "m", "t"), 0)
	for _, ratio := range []float64{0.5, 0.25, 0.75} {
		s := r.subscribe([16]byte{})
		push := func(p *kmsg.PushTelemetryRequest) {
			p.Metrics = append(gauge("org.apache.kafka.consumer.poll.idle.ratio.avg", ratio), gauge("org.apache.kafka.consumer.time.between.poll.max", 1000*ratio)...)
			p.Metrics = append(p.Metrics, gauge("org.apache.kafka.consumer.last.poll.seconds.ago", math.NaN())...)
		}
		if code := r.push(s.ClientInstanceID, s.SubscriptionID, push); code != "NONE" {
			t.Fatal(code)
		}
	}
	want := []string{
		`client_poll_idle_ratio{broker="0",client="app"} 0.25`, `client_time_between_polls_seconds_max{broker="0",client="app"} 0.75`,
		`group_client_poll_idle_ratio{broker="0",group="g"} 0.25`, `group_client_time_between_polls_seconds_max{broker="0",group="g"} 0.75`,
		`group_fact{broker="0",fact="client_metrics",group="g"} 1`,
		`client_telemetry_clients{broker="0"} 3`, `client_telemetry_pushes_total{broker="0",code="NONE"} 3`,
	}
	text := scrape(t, l.telemetry)
	for _, line := range want {
		if !strings.Contains(text, "streamkeeper_broker_"+line+"\n") {
			t.Errorf("no %s in\n%s", line, grep(text, "client_"))
		}
	}
	if strings.Contains(text, "client_last_poll_seconds{") {
		t.Error("a NaN is told")
	}
	w.pass(30 * time.Second)
	if text := scrape(t, l.telemetry); strings.Contains(text, "client_poll_idle_ratio{") || strings.Contains(text, `fact="client_metrics",group="g"} 1`) || !strings.Contains(text, `client_telemetry_clients{broker="0"} 0`) {
		t.Error("stale numbers are told")
	}
}

func TestClientMetrics_Bounded(t *testing.T) {
	t.Parallel()
	l, w, _ := telemetryLab(t, -1)
	m := l.broker.clientMetrics
	r := &request{clientID: "c", conn: &conn{host: "h"}}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range maxClientInstances + 10 {
		w.pass(time.Microsecond)
		m.instance([16]byte{1, byte(i), byte(i >> 8)}, r).got = w.Now()
	}
	if n := len(m.instances); n > maxClientInstances || m.instances[[16]byte{1, 0, 0}] != nil || m.instances[[16]byte{1, 100, 0}] == nil {
		t.Errorf("%d instances are known; the oldest should have gone", n)
	}
}

// A real client pushes by itself.
func TestClientMetrics_FranzGo(t *testing.T) {
	t.Parallel()
	l := newGroupLab(t, nextGen)
	l.broker.clientMetrics.interval = 200 * time.Millisecond
	l.topic("t", 1)
	p := l.client(kgo.ClientID("producer"), kgo.DefaultProduceTopic("t"))
	l.consume("g", "t", kgo.ClientID("consumer"), kgo.ServerSideBalancer(), kgo.Balancers(kgo.RangeBalancer()))
	l.eventually("both say how they fare", func() bool {
		if err := p.ProduceSync(t.Context(), kgo.StringRecord("x")).FirstErr(); err != nil {
			t.Fatal(err)
		}
		text := scrape(t, l.telemetry)
		return strings.Contains(text, `client_request_latency_seconds{broker="0",client="producer"}`) && strings.Contains(text, `group_client_commit_latency_seconds_max{broker="0",group="g"}`)
	})
}
