package broker

import (
	"strconv"
	"sync/atomic"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/engine"
)

// TelemetryOptions configure Telemetry.
type TelemetryOptions struct {
	Dir    string // where shutdown_requested is kept over a restart; "" = nowhere
	NodeID int32
	Store  string           // name of the object store, for the store label
	Now    func() time.Time // nil = time.Now
}

// Telemetry is everything the broker tells about itself: metrics (a prometheus.Collector) and the event ring. It
// observes the engine, so it exists before it. Safe for concurrent use; counting takes no lock on the hot path, and the
// number of series is bounded.
type Telemetry struct {
	o       TelemetryOptions
	descs   *descs
	started time.Time
	broker  atomic.Pointer[Broker] // nil while none serves
	ring    *ring

	*topicTable
	apis      [maxAPIKey]apiMetrics
	errors    *counts[errorKey]
	throttles *counts[throttleKey]
	refusals  *counts[string]
	full      *counts[string] // batches that met a full local log, by what became of them
	calls     *counts[callKey]
	pushes    *counts[string] // of clients' metrics, by code
	clients   *clientDescs
	callTimes [len(storeOps)][2]*histogram // by op, failed
	offloaded atomic.Int64
	cold      *histogram
	flushTime *histogram
	flushSize *histogram
	stopped   bool // the last run said that it stops; set once by NewTelemetry
}

// callKey is a kind of store call and its outcome.
type callKey struct {
	op, class string
	answered  bool
}

var storeOps = [...]string{"put", "get", "head", "delete", "list", "probe"}

// storeOutcomes are the outcomes a call can have; a class that needs an answer has no unanswered form.
var storeOutcomes = []callKey{
	{class: "ok", answered: true},
	{class: "throttled", answered: true},
	{class: "denied", answered: true},
	{class: "not_found", answered: true},
	{class: "down", answered: true},
	{class: "down"},
	{class: "other", answered: true},
	{class: "other"},
}

// NewTelemetry makes a Telemetry and tells again that the last run was asked to stop, if it was.
func NewTelemetry(o TelemetryOptions) *Telemetry {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Store == "" {
		o.Store = "store"
	}
	t := &Telemetry{
		o: o, descs: newDescs(strconv.Itoa(int(o.NodeID))), started: o.Now(), topicTable: newTopicTable(),
		errors:    newCounts(maxErrorSeries, errorKey{maxAPIKey - 1, codeUnknown}),
		throttles: newCounts(maxClientSeries, throttleKey{otherName, "store"}),
		refusals:  newCounts(8, otherName),
		full:      newCounts(3, otherName),
		pushes:    newCounts(16, otherName),
		clients:   newClientDescs(strconv.Itoa(int(o.NodeID))),
		calls:     newCounts(len(storeOps)*len(storeOutcomes)+16, callKey{"other", "other", false}),
		cold:      newHistogram(latencyBuckets), flushTime: newHistogram(latencyBuckets), flushSize: newHistogram(sizeBuckets),
	}
	for _, outcome := range []string{fullWaited, fullRefused, fullFailedFast} {
		t.full.add(outcome, 0)
	}
	at, stopped := readShutdown(o.Dir)
	t.ring = newRing(o.Now, strconv.Itoa(int(o.NodeID)), coveredFrom(o.Dir, t.started, at))
	for i, op := range storeOps {
		t.callTimes[i] = [2]*histogram{newHistogram(latencyBuckets), newHistogram(latencyBuckets)}
		for _, k := range storeOutcomes {
			t.calls.add(callKey{op, k.class, k.answered}, 0)
		}
	}
	if t.stopped = stopped; stopped {
		ev := shutdownEvent(at)
		ev.Entity = t.entity()
		t.Emit(ev)
	}
	return t
}

// serving is told when a broker starts (b) and when it ended (nil).
func (t *Telemetry) serving(b *Broker) {
	t.broker.Store(b)
	if b != nil {
		t.Emit(streamkeeper.Event{
			Kind: "broker_started", Entity: t.entity(),
			Text: "the broker serves on " + b.Addr(), Attrs: map[string]any{"clean": t.stopped},
		})
	}
}

func (t *Telemetry) entity() streamkeeper.Entity {
	return streamkeeper.Entity{Kind: streamkeeper.KindBroker, Name: strconv.Itoa(int(t.o.NodeID))}
}

// Flushed implements engine.Observer.
func (t *Telemetry) Flushed(f engine.Flush) {
	t.flushTime.since(f.Sync)
	t.flushSize.observe(float64(f.Bytes))
}

// StoreCall implements engine.Observer.
func (t *Telemetry) StoreCall(c engine.StoreCall) {
	t.calls.add(callKey{c.Op, c.Class, c.Answered}, 1)
	for i, op := range storeOps {
		if op != c.Op {
			continue
		}
		failed := 0
		if c.Class != "ok" {
			failed = 1
		}
		t.callTimes[i][failed].since(c.Duration)
		if op == "put" && failed == 0 {
			t.offloaded.Add(c.Bytes)
		}
	}
}

// Event implements engine.Observer: the engine's events go into the ring with everybody else's.
func (t *Telemetry) Event(e engine.Event) {
	ev := streamkeeper.Event{At: e.At, Kind: e.Kind, Text: e.Text, Attrs: plain(e.Attrs), Entity: t.entity()}
	if topic, ok := ev.Attrs["topic"].(string); ok {
		ev.Entity = streamkeeper.Entity{Kind: streamkeeper.KindTopic, Name: topic}
	} else if e.Kind == engine.EventStoreFailing || e.Kind == engine.EventStoreRecovered {
		ev.Entity = streamkeeper.Entity{Kind: streamkeeper.KindStore, Name: t.o.Store}
		if ev.Attrs == nil {
			ev.Attrs = map[string]any{}
		}
		ev.Attrs["store"] = t.o.Store
	}
	t.Emit(ev)
}

// plain keeps attributes that survive JSON: strings, float64 and bool; other numbers become float64, the rest is left
// out.
func plain(attrs map[string]any) map[string]any {
	if len(attrs) == 0 {
		return nil
	}
	out := make(map[string]any, len(attrs))
	for k, v := range attrs {
		switch v := v.(type) {
		case string, float64, bool:
			out[k] = v
		case int:
			out[k] = float64(v)
		case int32:
			out[k] = float64(v)
		case int64:
			out[k] = float64(v)
		case uint64:
			out[k] = float64(v)
		case float32:
			out[k] = float64(v)
		case time.Duration:
			out[k] = v.Seconds()
		case interface{ String() string }:
			out[k] = v.String()
		}
	}
	return out
}
