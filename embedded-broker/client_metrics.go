package broker

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine"
)

// ClientPush is one push of a client's own metrics (KIP-714).
type ClientPush struct {
	InstanceID        [16]byte
	ClientID, Host    string
	Software, Version string // "" when the client does not say
	Terminating       bool   // the client's last
	Metrics           []byte // OTLP MetricsData (protobuf), decompressed; it belongs to the receiver
}

// ClientMetricsReceiver is handed every push that was accepted. It is called on the connection's goroutine and must not
// block.
type ClientMetricsReceiver interface{ ClientMetrics(ClientPush) }

const (
	maxTelemetryBytes     = 1 << 20 // Kafka's telemetry.max.bytes: of a push as it is sent
	maxTelemetryOpened    = 4 << 20 // of a push decompressed
	maxClientInstances    = 10_000  // known at once; beyond, the one longest silent is forgotten
	defaultPushInterval   = 30 * time.Second
	unmatchedPushInterval = 5 * time.Minute // how often a client that nobody wants metrics of asks again
	defaultSubscription   = "streamkeeper"
)

// clientMetrics is what clients push of themselves: who subscribes to what, who may push when, and the latest numbers. Safe
// for concurrent use.
type clientMetrics struct {
	engine   *engine.Engine
	now      func() time.Time
	interval time.Duration // of the built-in subscription; 0 = there is none
	receiver ClientMetricsReceiver

	mu        sync.Mutex
	instances map[[16]byte]*clientInstance
	parsed    map[string]*subscription // by name, as long as its configs are the same
	telling   map[string]bool          // groups whose consumers told of their polls, at the latest look
}

// clientInstance is one client process's connection to us: KIP-714 makes each client keep one id.
type clientInstance struct {
	clientID, host, group string
	subscription          int32
	interval              time.Duration
	got, pushed           time.Time // the latest requests that were not refused for coming too early
	early                 bool      // it was told to ask again, so it may at once
	ended                 bool      // it said good-bye
	values                [clientValues]float64
	known                 uint32 // bits of values that were pushed
	valuesAt              time.Time
}

func newClientMetrics(b *Broker) *clientMetrics {
	interval := b.o.ClientMetricsInterval
	setDefault(&interval, defaultPushInterval)
	return &clientMetrics{
		engine: b.engine, now: b.now, interval: max(interval, 0), receiver: b.o.ClientMetrics,
		instances: map[[16]byte]*clientInstance{}, parsed: map[string]*subscription{},
	}
}

// subscription is one client metrics resource.
type subscription struct {
	configs  map[string]string // what it was parsed from
	metrics  []string          // prefixes
	interval time.Duration
	match    []selector
}

type selector struct {
	of string
	re *regexp.Regexp
}

// The selectors of a subscription's match, as in Kafka.
var selectors = []string{
	"client_id", "client_instance_id", "client_software_name", "client_software_version", "client_source_address", "client_source_port",
}

// parseSubscription reads a resource's configs.
func parseSubscription(configs map[string]string) (*subscription, error) {
	s := &subscription{configs: configs, interval: unmatchedPushInterval}
	if v, ok := configs["interval.ms"]; ok {
		s.interval = millis(v)
	}
	for _, m := range splitList(configs["metrics"]) {
		if m == "*" {
			m = "" // the prefix of all
		}
		s.metrics = append(s.metrics, m)
	}
	for _, m := range splitList(configs["match"]) {
		of, pattern, ok := strings.Cut(m, "=")
		if !ok || !slices.Contains(selectors, strings.TrimSpace(of)) {
			return nil, fail(codeInvalidConfig, "match %q: want SELECTOR=REGEX with a selector of %s", m, strings.Join(selectors, ", "))
		}
		re, err := regexp.Compile(`^(?:` + strings.TrimSpace(pattern) + `)$`)
		if err != nil {
			return nil, fail(codeInvalidConfig, "match %q: %v", m, err)
		}
		s.match = append(s.match, selector{strings.TrimSpace(of), re})
	}
	return s, nil
}

func (s *subscription) matches(of map[string]string) bool {
	return !slices.ContainsFunc(s.match, func(m selector) bool { return !m.re.MatchString(of[m.of]) })
}

// wanted is what a client is asked for: all subscriptions that match it together, at the shortest of their intervals.
type wanted struct {
	metrics  []string
	interval time.Duration
}

// want finds what is wanted of a client. t.mu is held.
func (t *clientMetrics) want(of map[string]string) wanted {
	w := wanted{interval: unmatchedPushInterval}
	add := func(s *subscription) {
		if len(s.metrics) == 0 || !s.matches(of) {
			return
		}
		if len(w.metrics) == 0 || s.interval < w.interval {
			w.interval = s.interval
		}
		w.metrics = append(w.metrics, s.metrics...)
	}
	if t.interval > 0 {
		add(&subscription{metrics: clientPrefixes(), interval: t.interval})
	}
	names := t.engine.ResourceNames(engine.ClientMetricsResource)
	for _, name := range names {
		configs := t.engine.ResourceConfigs(engine.ClientMetricsResource, name)
		s := t.parsed[name]
		if s == nil || !maps.Equal(s.configs, configs) {
			var err error
			if s, err = parseSubscription(configs); err != nil {
				continue // it was checked when it was set
			}
			t.parsed[name] = s
		}
		add(s)
	}
	if len(t.parsed) > len(names) {
		maps.DeleteFunc(t.parsed, func(name string, _ *subscription) bool { return !slices.Contains(names, name) })
	}
	slices.Sort(w.metrics)
	w.metrics = slices.Compact(w.metrics)
	if len(w.metrics) > 0 && w.metrics[0] == "" {
		w.metrics = w.metrics[:1] // all
	}
	return w
}

// id differs when what is wanted does, so that a client notices that it must ask again.
func (w wanted) id(instance [16]byte) int32 {
	h := crc32.NewIEEE()
	fmt.Fprintf(h, "%q %d", w.metrics, w.interval)
	h.Write(instance[:])
	return int32(h.Sum32())
}

// describeClient is what selectors match against.
func describeClient(r *request, instance [16]byte) map[string]string {
	name, version := r.conn.library()
	address, port := r.conn.host, ""
	if at, err := netip.ParseAddrPort(r.conn.nc.RemoteAddr().String()); err == nil {
		port = strconv.Itoa(int(at.Port()))
	}
	return map[string]string{
		"client_id": r.clientID, "client_instance_id": kafkaUUID(instance), "client_software_name": name,
		"client_software_version": version, "client_source_address": address, "client_source_port": port,
	}
}

// kafkaUUID is how Kafka writes a UUID.
func kafkaUUID(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// newInstanceID makes the id of a client that has none; Kafka keeps ids that begin with a dash, zero and one for itself.
func newInstanceID() (id [16]byte) {
	for {
		_, _ = rand.Read(id[:]) // never fails
		id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
		if !strings.HasPrefix(kafkaUUID(id), "-") {
			return id
		}
	}
}

// instance finds a client instance or makes it, forgetting the one longest silent when there are too many. t.mu is held.
func (t *clientMetrics) instance(id [16]byte, r *request) *clientInstance {
	if c := t.instances[id]; c != nil {
		return c
	}
	if len(t.instances) >= maxClientInstances {
		t.forget(t.now())
	}
	if len(t.instances) >= maxClientInstances {
		oldest, at := id, time.Time{}
		for other, c := range t.instances {
			if last := c.last(); oldest == id || last.Before(at) {
				oldest, at = other, last
			}
		}
		delete(t.instances, oldest)
	}
	c := &clientInstance{clientID: r.clientID, host: r.conn.host}
	t.instances[id] = c
	return c
}

func (c *clientInstance) last() time.Time {
	if c.pushed.After(c.got) {
		return c.pushed
	}
	return c.got
}

// tooEarly allows for a tenth of the interval: a request that was held up on its way makes the next one seem early.
func tooEarly(since, interval time.Duration) bool { return since < interval-interval/10 }

// tells says whether a group's consumers push what diagnosis asks of them.
func (t *clientMetrics) tells(group string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.telling[group]
}

// forget drops instances that said good-bye or are long silent. t.mu is held.
func (t *clientMetrics) forget(now time.Time) {
	maps.DeleteFunc(t.instances, func(_ [16]byte, c *clientInstance) bool {
		return now.Sub(c.last()) > max(3*c.interval, seriesIdle)
	})
}
