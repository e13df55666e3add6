package broker

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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

// Telemetry is everything the broker tells about itself: metrics and the event ring.
type Telemetry struct{ o TelemetryOptions }

// NewTelemetry makes a Telemetry; it exists before the engine it observes.
func NewTelemetry(o TelemetryOptions) *Telemetry { return &Telemetry{o: o} }

func (t *Telemetry) serving(*Broker)              {}
func (t *Telemetry) shutdownRequested()           {}
func (t *Telemetry) answered(*pending, time.Time) {}
func (t *Telemetry) refused(string)               {}

// Emit adds an event to the ring.
func (t *Telemetry) Emit(ev streamkeeper.Event) {}

// Events serves the ring.
func (t *Telemetry) Events() http.Handler { return http.NotFoundHandler() }

// Flushed implements engine.Observer.
func (t *Telemetry) Flushed(engine.Flush) {}

// StoreCall implements engine.Observer.
func (t *Telemetry) StoreCall(engine.StoreCall) {}

// Event implements engine.Observer.
func (t *Telemetry) Event(engine.Event) {}

// Describe implements prometheus.Collector: it is unchecked.
func (t *Telemetry) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (t *Telemetry) Collect(chan<- prometheus.Metric) {}
