package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	broker "github.com/streamkeeper-io/streamkeeper/embedded-broker"
	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/objectstore"
)

// node is the bundled broker: engine, protocol and what it tells about itself.
type node struct {
	engine    *engine.Engine
	broker    *broker.Broker
	telemetry *broker.Telemetry
	metrics   http.Handler // of this broker only
	registry  *prometheus.Registry
	fresh     bool // started on an empty folder: nothing can have happened before
}

// closeNodeTimeout bounds a clean stop of the broker.
const closeNodeTimeout = 20 * time.Second

// startNode opens the engine on the data folder and serves the Kafka protocol. say hears how far a long recovery is.
func startNode(ctx context.Context, c Config, getenv func(string) string, log *slog.Logger, say func(string)) (*node, error) {
	dir := filepath.Join(c.Data, "broker")
	storeURL := c.Broker.Tier.ObjectStore
	if storeURL == "" {
		abs, err := filepath.Abs(filepath.Join(c.Data, "objects"))
		if err != nil {
			return nil, err
		}
		storeURL = "file://" + abs
	}
	store, err := objectstore.Open(storeURL, getenv)
	if err != nil {
		return nil, fmt.Errorf("object store: %w", err)
	}
	_, err = os.Stat(dir)
	fresh := errors.Is(err, fs.ErrNotExist)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	telemetry := broker.NewTelemetry(broker.TelemetryOptions{Dir: dir, Store: storeName(storeURL)})
	e, err := engine.Open(ctx, engine.Options{
		Dir: dir, Store: store, Observer: recovery{telemetry, log, say},
		Log: engine.LogOptions{
			SegmentBytes: int64(c.Broker.Log.SegmentBytes), Flush: engine.Flushing(c.Broker.Log.Flush),
			FlushInterval: c.Broker.Log.FlushInterval.Duration,
		},
		Tier: engine.TierOptions{
			OffloadAfter: c.Broker.Tier.OffloadAfter.Duration, LocalBytes: int64(c.Broker.Tier.LocalBytes),
			HardLocalBytes: int64(c.Broker.Tier.HardLocalBytes), SliceBytes: int64(c.Broker.Tier.SliceBytes),
			PoolBytes: int64(c.Broker.Tier.PoolBytes), ReadAhead: orNone(c.Broker.Tier.ReadAheadBytes), SpaceOnly: onDataDevice(storeURL, dir),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("open the broker's data in %s: %w", dir, err)
	}
	b, err := broker.Start(ctx, broker.Options{
		Engine: e, Telemetry: telemetry, Listen: c.Broker.Listen, Advertised: c.Broker.Advertised,
		AutoCreateTopics: c.Broker.AutoCreateTopics, DefaultPartitions: c.Broker.DefaultPartitions,
		MemoryBudget: int64(c.Broker.MemoryBytes), MaxConnections: c.Broker.MaxConnections,
		MaxConnectionsPerIP: c.Broker.MaxPerIP, Logger: log,
		ClientMetricsInterval: orNever(c.Broker.ClientMetricsInterval.Duration),
		Group: broker.GroupOptions{
			MinSessionTimeout: c.Broker.Group.MinSessionTimeout.Duration, MaxSessionTimeout: c.Broker.Group.MaxSessionTimeout.Duration,
			InitialRebalanceDelay:  c.Broker.Group.InitialRebalanceDelay.Duration,
			ConsumerSessionTimeout: c.Broker.Group.ConsumerSession.Duration, ConsumerHeartbeatInterval: c.Broker.Group.ConsumerHeartbeat.Duration,
		},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("serve the Kafka protocol on broker.listen %s: %w", c.Broker.Listen, err), e.Close(context.WithoutCancel(ctx)))
	}
	n := &node{engine: e, broker: b, telemetry: telemetry, registry: prometheus.NewRegistry(), fresh: fresh}
	n.registry.MustRegister(telemetry)
	n.metrics = promhttp.HandlerFor(n.registry, promhttp.HandlerOpts{})
	return n, nil
}

// recovery tells of the engine's start where an operator looks: events are read by those who are ready.
type recovery struct {
	engine.Observer
	log *slog.Logger
	say func(string)
}

// Event implements engine.Observer.
func (r recovery) Event(ev engine.Event) {
	switch ev.Kind {
	case engine.EventRecovering:
		r.say(ev.Text)
		r.log.Warn(ev.Text, "seconds", ev.Attrs["seconds"])
	case engine.EventRecovered:
		r.say("the log is recovered")
		r.log.Info(ev.Text, "seconds", ev.Attrs["seconds"], "clean", ev.Attrs["clean"])
	}
	r.Observer.Event(ev)
}

// orNever tells the broker that 0 means never; to it 0 is the default.
func orNever(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// orNone tells the engine that 0 means none; to it 0 is the default.
func orNone(n Bytes) int64 {
	if n == 0 {
		return -1
	}
	return int64(n)
}

// Close stops the broker cleanly, then the engine.
func (n *node) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeNodeTimeout)
	defer cancel()
	return errors.Join(n.broker.Close(ctx), n.engine.Close(ctx))
}

// onDataDevice reports whether the object store is a folder on the log's own device: moving data there by age wins
// nothing, so it goes by space only.
func onDataDevice(storeURL, dir string) bool {
	folder, ok := strings.CutPrefix(storeURL, "file://")
	return ok && sameDevice(folder, dir)
}

// storeName is what people call the store: its bucket, or its folder's name.
func storeName(storeURL string) string {
	u, err := url.Parse(storeURL)
	if err != nil || u.Scheme == "file" {
		return path.Base(strings.TrimRight(strings.TrimPrefix(storeURL, "file://"), "/"))
	}
	return u.Host
}

// inProcess answers requests by calling a handler: the broker in this process is read by the very code that
// reads one across the network, without the network.
type inProcess struct{ handler http.Handler }

// RoundTrip serves one request.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := newPipeWriter(r)
	go w.serve(t.handler, r)
	return w.response()
}
