package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine"
)

// Options configure a broker. Engine and Listen are required.
type Options struct {
	Engine              *engine.Engine
	Telemetry           *Telemetry // nil = a fresh one that nobody reads
	Listen              string     // host:port to bind; port 0 picks one
	Advertised          string     // host:port told to clients; "" = the bound address
	NodeID              int32
	AutoCreateTopics    bool
	DefaultPartitions   int32 // 0 = 1
	MemoryBudget        int64 // bytes for requests and answers together; 0 = 256 MiB
	MaxConnections      int   // 0 = 2000
	MaxConnectionsPerIP int   // 0 = MaxConnections
	Group               GroupOptions
	// ClientMetricsInterval is how often clients push the metrics of their own that serve diagnosis (KIP-714); 0 = 30 s,
	// negative = only what is subscribed to by configs of client metrics.
	ClientMetricsInterval time.Duration
	ClientMetrics         ClientMetricsReceiver // gets every push; nil = nobody
	Logger                *slog.Logger          // nil = discard
	Now                   func() time.Time      // nil = time.Now

	limits limits // for tests; zero = defaultLimits
}

// Broker serves one engine. Safe for concurrent use.
type Broker struct {
	o         Options
	limits    limits
	engine    *engine.Engine
	telemetry *Telemetry
	log       *slog.Logger
	now       func() time.Time
	host      string // advertised
	port      int32

	listener net.Listener
	apis     map[int16]*api
	budget   *budget
	conns    *conns
	groups   *groups

	clientMetrics *clientMetrics
	sessions      *fetchSessions
	cached        settingsCache
	epoch         epochCache
	cold          coldWaits
	waiting       account // bytes of Produce requests that wait for room in the local log

	stopping chan struct{}   // closed when Close begins
	ctx      context.Context // ends with the broker
	cancel   context.CancelFunc
	running  sync.WaitGroup
	closing  sync.Once
}

func (o Options) withDefaults() (Options, error) {
	if o.Engine == nil {
		return o, errors.New("broker options: set Engine")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Telemetry == nil {
		o.Telemetry = NewTelemetry(TelemetryOptions{NodeID: o.NodeID, Now: o.Now})
	}
	setDefault(&o.DefaultPartitions, 1)
	setDefault(&o.limits, defaultLimits())
	setDefault(&o.MemoryBudget, 256<<20)
	setDefault(&o.MaxConnections, 2000)
	setDefault(&o.MaxConnectionsPerIP, o.MaxConnections)
	if o.MemoryBudget < minBudget {
		return o, fmt.Errorf("broker options: memory budget of %d bytes is too small; give at least %d", o.MemoryBudget, minBudget)
	}
	return o, nil
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Start binds the listener and serves until Close. ctx bounds only the start.
func Start(ctx context.Context, o Options) (*Broker, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	// Probes go on for two minutes: a dead peer's socket must outlive its session, because the autopsy of the loss asks it.
	lc := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 3 * time.Second, Interval: time.Second, Count: 120}}
	l, err := lc.Listen(ctx, "tcp", o.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listening on %s: the port is in use: stop what uses it or choose another with --kafka-listen: %w", o.Listen, err)
	}
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", o.Listen, err)
	}
	b := &Broker{o: o, limits: o.limits, engine: o.Engine, telemetry: o.Telemetry, log: o.Logger, now: o.Now, listener: l, stopping: make(chan struct{})}
	if err := b.advertise(); err != nil {
		l.Close()
		return nil, err
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.apis = tableOf(allAPIs())
	b.budget = newBudget(o.MemoryBudget)
	b.conns = newConns(o.MaxConnections, o.MaxConnectionsPerIP, o.Now)
	b.sessions = newFetchSessions()
	b.groups = newGroups(b, o.Group)
	b.clientMetrics = newClientMetrics(b)
	b.telemetry.serving(b)
	b.running.Go(b.accept)
	return b, nil
}

// advertise works out the address clients are told. A wildcard listener advertises loopback unless told otherwise,
// because no client could dial the wildcard.
func (b *Broker) advertise() error {
	addr := b.o.Advertised
	if addr == "" {
		addr = b.listener.Addr().String()
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("advertised address %q: want host:port: %w", addr, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return fmt.Errorf("advertised address %q: want a port number: %w", addr, err)
	}
	if n == 0 {
		n = uint64(b.listener.Addr().(*net.TCPAddr).Port)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	b.host, b.port = host, int32(n)
	return nil
}

// Addr is the bound address.
func (b *Broker) Addr() string { return b.listener.Addr().String() }

// Close says that it stops, answers what is being handled as long as ctx allows, and closes all connections. The engine
// stays open: it belongs to the caller.
func (b *Broker) Close(ctx context.Context) error {
	var err error
	b.closing.Do(func() {
		b.telemetry.shutdownRequested()
		close(b.stopping)
		err = b.listener.Close()
		b.groups.close() // answers those who wait for a rebalance, or draining would wait for them
		b.conns.drain(ctx)
		b.cancel()
		b.conns.closeAll()
		b.running.Wait()
		b.telemetry.serving(nil)
	})
	return err
}

func tableOf(all []api) map[int16]*api {
	m := make(map[int16]*api, len(all))
	for _, a := range all {
		setDefault(&a.maxFrame, defaultMaxFrame)
		m[a.key] = &a
	}
	return m
}
