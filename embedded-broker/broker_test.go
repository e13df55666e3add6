package broker

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/tier"
)

// harness is a broker over an engine in memory, with a client for each need.
type harness struct {
	*Broker
	t testing.TB
}

// start runs a broker; change adjusts its options.
func start(t testing.TB, change ...func(*Options)) *harness {
	t.Helper()
	return startOn(t, func(*engine.Options) {}, change...)
}

// startOn also adjusts the engine's options.
func startOn(t testing.TB, under func(*engine.Options), change ...func(*Options)) *harness {
	t.Helper()
	store, err := tier.OpenStore("file://"+t.TempDir(), func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	tel := NewTelemetry(TelemetryOptions{Dir: t.TempDir(), Store: "test"})
	eo := engine.Options{
		Dir: "data", FS: vfs.NewMem(), Store: store, CacheBytes: 8 << 20, Observer: tel,
		Log:  engine.LogOptions{SegmentBytes: 8 << 20},
		Tier: engine.TierOptions{OffloadAfter: time.Hour, LocalBytes: 256 << 20},
	}
	under(&eo)
	e, err := engine.Open(t.Context(), eo)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Engine: e, Telemetry: tel, Listen: "127.0.0.1:0", AutoCreateTopics: true, DefaultPartitions: 3, Logger: testLogger(t)}
	o.limits = defaultLimits()
	for _, f := range change {
		f(&o)
	}
	b, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Errorf("closing the broker: %v", err)
		}
		if err := e.Close(ctx); err != nil {
			t.Errorf("closing the engine: %v", err)
		}
	})
	return &harness{b, t}
}

type logWriter struct{ t testing.TB }

func (w logWriter) Write(b []byte) (int, error) {
	if w.t.Context().Err() == nil { // a test that ended takes no more
		w.t.Logf("%s", b)
	}
	return len(b), nil
}

func testLogger(t testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(logWriter{t}, nil)) }

// client dials the broker with franz-go.
func (h *harness) client(opts ...kgo.Opt) *kgo.Client {
	h.t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(h.Addr()), kgo.AllowAutoTopicCreation()}, opts...)...)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(c.Close)
	return c
}

func (h *harness) admin() *kadm.Client { return kadm.NewClient(h.client()) }

// create makes a topic and returns its id.
func (h *harness) create(name string, partitions int32, configs map[string]string) engine.Topic {
	h.t.Helper()
	topic, err := h.engine.CreateTopic(h.t.Context(), name, partitions, configs)
	if err != nil {
		h.t.Fatal(err)
	}
	return topic
}

// ask sends one request at a version over a connection of its own.
func ask[R kmsg.Response](h *harness, req kmsg.Request, version int16) R {
	h.t.Helper()
	w := h.dial()
	defer w.Close()
	return w.ask(req, version).(R)
}

// wireConn speaks the protocol by hand.
type wireConn struct {
	net.Conn
	t    testing.TB
	corr int32
}

func (h *harness) dial() *wireConn {
	h.t.Helper()
	c, err := net.Dial("tcp", h.Addr())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	w := &wireConn{Conn: c, t: h.t}
	w.patient()
	return w
}

// patient gives the next step its own time: many steps on a loaded machine take longer than one.
func (w *wireConn) patient() { w.SetDeadline(time.Now().Add(20 * time.Second)) }

// send writes a request without waiting for its answer.
func (w *wireConn) send(req kmsg.Request, version int16) {
	w.t.Helper()
	w.patient()
	req.SetVersion(version)
	w.corr++
	if _, err := w.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("by-hand")).AppendRequest(nil, req, w.corr)); err != nil {
		w.t.Fatal(err)
	}
}

// receive reads the answer to a request and checks its correlation id.
func (w *wireConn) receive(req kmsg.Request, corr int32) kmsg.Response {
	w.t.Helper()
	w.patient()
	body, got, err := readResponse(w)
	if err != nil {
		w.t.Fatalf("reading the answer to %s: %v", kmsg.NameForKey(req.Key()), err)
	}
	if got != corr {
		w.t.Fatalf("answer to %d, want %d", got, corr)
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if resp.IsFlexible() && req.Key() != keyAPIVersions {
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		w.t.Fatalf("decoding %s version %d: %v", kmsg.NameForKey(req.Key()), req.GetVersion(), err)
	}
	return resp
}

func (w *wireConn) ask(req kmsg.Request, version int16) kmsg.Response {
	w.t.Helper()
	w.send(req, version)
	return w.receive(req, w.corr)
}

// lineLogger writes a log for a test to read.
func lineLogger(mu *sync.Mutex, b *bytes.Buffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(lockedWriter{mu, b}, nil))
}

type lockedWriter struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (w lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(b)
}
