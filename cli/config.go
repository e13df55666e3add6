package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors/kafka"
	"github.com/streamkeeper-io/streamkeeper/diagnose"
)

// Config is the whole configuration of `up`: one struct per package, composed here. The commented
// reference is docs/reference-config.yaml; a test keeps the two equal.
type Config struct {
	Data        string            `yaml:"data"`
	Broker      BrokerConfig      `yaml:"broker"`
	Diagnose    DiagnoseConfig    `yaml:"diagnose"`
	Series      SeriesConfig      `yaml:"series"`
	History     HistoryConfig     `yaml:"history"`
	Notify      NotifyConfig      `yaml:"notify"`
	Clusters    []ClusterConfig   `yaml:"clusters"`
	Rules       []string          `yaml:"rules"`
	Loki        LokiConfig        `yaml:"loki"`
	OTLP        OTLPConfig        `yaml:"otlp"`
	RemoteWrite RemoteWriteConfig `yaml:"remote_write"`
	Web         WebConfig         `yaml:"web"`
	Log         LogConfig         `yaml:"log"`
}

// BrokerConfig is the bundled broker.
type BrokerConfig struct {
	Enabled           bool            `yaml:"enabled"`
	Name              string          `yaml:"name"`
	Listen            string          `yaml:"listen"`
	Advertised        string          `yaml:"advertised"`
	Nodes             int             `yaml:"nodes"`
	AutoCreateTopics  bool            `yaml:"auto_create_topics"`
	DefaultPartitions int32           `yaml:"default_partitions"`
	MemoryBytes       Bytes           `yaml:"memory_bytes"`
	MaxConnections    int             `yaml:"max_connections"`
	MaxPerIP          int             `yaml:"max_connections_per_ip"`
	Log               BrokerLogConfig `yaml:"log"`
	Tier              TierConfig      `yaml:"tier"`
	// ClientMetricsInterval is how often clients push the metrics of their own that serve diagnosis (KIP-714); 0 = never.
	ClientMetricsInterval Duration    `yaml:"client_metrics_interval"`
	Group                 GroupConfig `yaml:"group"`
	Probe                 ProbeConfig `yaml:"probe"`
}

// BrokerLogConfig is the commit log.
type BrokerLogConfig struct {
	SegmentBytes  Bytes    `yaml:"segment_bytes"`
	Flush         string   `yaml:"flush"`
	FlushInterval Duration `yaml:"flush_interval"`
}

// TierConfig is the object store and what stays local.
type TierConfig struct {
	ObjectStore    string   `yaml:"object_store"`
	OffloadAfter   Duration `yaml:"offload_after"`
	LocalBytes     Bytes    `yaml:"local_bytes"`
	HardLocalBytes Bytes    `yaml:"hard_local_bytes"`
	SliceBytes     Bytes    `yaml:"slice_bytes"`
	PoolBytes      Bytes    `yaml:"pool_bytes"`
	// ReadAheadBytes is the most that is read ahead of a consumer in a partition; 0 = none.
	ReadAheadBytes Bytes `yaml:"read_ahead_bytes"`
}

// GroupConfig bounds what consumer groups may ask for.
type GroupConfig struct {
	MinSessionTimeout     Duration `yaml:"min_session_timeout"`
	MaxSessionTimeout     Duration `yaml:"max_session_timeout"`
	InitialRebalanceDelay Duration `yaml:"initial_rebalance_delay"`
	ConsumerSession       Duration `yaml:"consumer_session_timeout"`
	ConsumerHeartbeat     Duration `yaml:"consumer_heartbeat_interval"`
}

// DiagnoseConfig is the diagnosis loop.
type DiagnoseConfig struct {
	Enabled bool     `yaml:"enabled"`
	Tick    Duration `yaml:"tick"`
	SLOLag  Duration `yaml:"slo_lag"`
	// Shadow is how long, from the first look at one of clusters on, what stood then is listed and not told; 0 = not at all.
	Shadow Duration `yaml:"shadow"`
	// Scopes are what is said of some groups and topics; the first that names an entity counts.
	Scopes []ScopeConfig `yaml:"scopes"`
}

// SeriesConfig is the embedded measurements.
type SeriesConfig struct {
	Path      string     `yaml:"path"`
	Retention Duration   `yaml:"retention"`
	Dial      DialConfig `yaml:"dial"`
}

// HistoryConfig is where incidents are kept.
type HistoryConfig struct {
	URL string `yaml:"url"`
}

// NotifyConfig is who is told.
type NotifyConfig struct {
	Webhooks      []ReceiverConfig `yaml:"webhooks"`
	Alertmanagers []ReceiverConfig `yaml:"alertmanagers"`
	// Budget is how many incidents of a cluster are told within 24 h; those beyond it are rolled up. 0 = all are told.
	Budget      int      `yaml:"budget"`
	RollupEvery Duration `yaml:"rollup_every"`
}

// ReceiverConfig is one address to tell.
type ReceiverConfig struct {
	URL string `yaml:"url"`
}

// ClusterConfig is one watched cluster. Brokers are watched through the Kafka protocol; metrics and
// events are a Streamkeeper broker's own doors, if it is one.
type ClusterConfig struct {
	Name    string   `yaml:"name"`
	Brokers []string `yaml:"brokers"`
	Metrics []string `yaml:"metrics"` // Prometheus text endpoints to scrape
	FileSD  []string `yaml:"file_sd"` // files that list more of them, as Prometheus' file_sd_configs
	Events  string   `yaml:"events"`  // a Streamkeeper broker's event ring
	Scrape  Duration `yaml:"scrape"`
	// Pushed says that what its exporters tell is pushed to us (remote_write), and that its brokers are not asked.
	Pushed bool `yaml:"pushed"`
	// Declared are files, or folders of files, with what topics should be: Strimzi's KafkaTopic resources.
	Declared []string `yaml:"declared"`

	TLS  kafka.TLS  `yaml:"tls"`
	SASL kafka.SASL `yaml:"sasl"`

	Probe ProbeConfig `yaml:"probe"`
}

func (cl *ClusterConfig) security() kafka.Security {
	return kafka.Security{TLS: cl.TLS, SASL: cl.SASL}
}

// LokiConfig is logs in and events out.
type LokiConfig struct {
	Receive   bool   `yaml:"receive"`
	ForwardTo string `yaml:"forward_to"` // a Loki's push address that gets every event
}

// WebConfig is the HTTP side.
type WebConfig struct {
	Listen string `yaml:"listen"`
}

// LogConfig is the process's own log.
type LogConfig struct {
	Level string `yaml:"level"`
}

// Defaults is the configuration of an `up` without any.
func Defaults() Config {
	return Config{
		Data: "data",
		Broker: BrokerConfig{
			Enabled: true, Name: "local", Listen: "127.0.0.1:9092", Nodes: 1,
			AutoCreateTopics: true, DefaultPartitions: 6,
			MemoryBytes: 256 << 20, MaxConnections: 10000, MaxPerIP: 5000,
			Log: BrokerLogConfig{SegmentBytes: 64 << 20, Flush: "fsync", FlushInterval: Duration{time.Second}},
			Tier: TierConfig{
				OffloadAfter: Duration{10 * time.Minute}, LocalBytes: 4 << 30, HardLocalBytes: 8 << 30,
				SliceBytes: 1 << 20, PoolBytes: 64 << 20, ReadAheadBytes: 16 << 20,
			},
			ClientMetricsInterval: Duration{30 * time.Second},
			Group: GroupConfig{
				MinSessionTimeout: Duration{6 * time.Second}, MaxSessionTimeout: Duration{30 * time.Minute},
				InitialRebalanceDelay: Duration{3 * time.Second},
				ConsumerSession:       Duration{45 * time.Second}, ConsumerHeartbeat: Duration{5 * time.Second},
			},
		},
		Diagnose:    DiagnoseConfig{Enabled: true, Tick: Duration{5 * time.Second}, SLOLag: Duration{time.Minute}, Shadow: Duration{24 * time.Hour}},
		Notify:      NotifyConfig{Budget: 30, RollupEvery: Duration{time.Hour}},
		Series:      SeriesConfig{Retention: Duration{24 * time.Hour}},
		Loki:        LokiConfig{Receive: true},
		OTLP:        OTLPConfig{Receive: true, Listen: defaultOTLP},
		RemoteWrite: RemoteWriteConfig{Receive: true, Every: Duration{foreignInterval}},
		Web:         WebConfig{Listen: "127.0.0.1:8080"},
		Log:         LogConfig{Level: "info"},
	}
}

// Validate says what is wrong, all of it, each with the key's path.
func (c *Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) { errs = append(errs, fmt.Errorf(key+": "+format, args...)) }
	if c.Data == "" {
		bad("data", "name the folder that holds the data")
	}
	c.Broker.validate(bad)
	if c.Diagnose.Tick.Duration < time.Second {
		bad("diagnose.tick", "%s is too short; 1s or more", c.Diagnose.Tick)
	}
	if c.Diagnose.SLOLag.Duration <= 0 {
		bad("diagnose.slo_lag", "want a positive duration")
	}
	if c.Diagnose.Shadow.Duration < 0 {
		bad("diagnose.shadow", "want a duration, or 0 for no first day")
	}
	for i, s := range c.Diagnose.Scopes {
		if s.Cluster != "" && !c.watches(s.Cluster) {
			bad(fmt.Sprintf("diagnose.scopes[%d].cluster", i), "%q is none of the watched clusters", s.Cluster)
		}
	}
	if c.Series.Retention.Duration < 10*time.Minute {
		bad("series.retention", "%s is too short: baselines look back 30m; 1h or more is sensible", c.Series.Retention)
	}
	hostPort(bad, "web.listen", c.Web.Listen)
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		bad("log.level", "%q: want debug, info, warn or error", c.Log.Level)
	}
	names := map[string]bool{}
	if c.Broker.Enabled {
		names[c.Broker.Name] = true
	}
	for i, cl := range c.Clusters {
		cl.validate(bad, fmt.Sprintf("clusters[%d]", i), names)
		names[cl.Name] = true
	}
	for i, r := range slices.Concat(c.Notify.Webhooks, c.Notify.Alertmanagers) {
		httpURL(bad, fmt.Sprintf("notify[%d].url", i), r.URL)
	}
	if c.Notify.Budget < 0 {
		bad("notify.budget", "%d: want 0 (no limit) or how many incidents of a cluster may be told in a day", c.Notify.Budget)
	}
	if c.Notify.RollupEvery.Duration < time.Minute {
		bad("notify.rollup_every", "%s is too short: 1m or more", c.Notify.RollupEvery)
	}
	if c.OTLP.Listen != "" {
		hostPort(bad, "otlp.listen", c.OTLP.Listen)
	}
	if c.Loki.ForwardTo != "" {
		httpURL(bad, "loki.forward_to", c.Loki.ForwardTo)
	}
	c.Series.Dial.validate(bad, "series.dial")
	c.RemoteWrite.validate(bad, "remote_write")
	if !c.Diagnose.Enabled && slices.ContainsFunc(c.Clusters, func(cl ClusterConfig) bool { return cl.Pushed }) {
		bad("clusters", "what is pushed can only be diagnosed: enable diagnose")
	}
	if !c.Broker.Enabled && len(c.Clusters) == 0 && c.Series.Dial.URL == "" {
		bad("clusters", "nothing to watch: enable the broker, name a cluster (--cluster NAME=HOST:PORT) or a Prometheus (--prometheus URL)")
	}
	return errors.Join(errs...)
}

// shadowOf is the length of a cluster's first day. The bundled broker has none: its past is ours.
func (c *Config) shadowOf(cluster string) time.Duration {
	if c.Broker.Enabled && cluster == c.Broker.Name {
		return 0
	}
	return c.Diagnose.Shadow.Duration
}

// watches says whether a glob names a cluster that is watched, or that may be: which ones a Prometheus has is known only once
// it is asked.
func (c *Config) watches(pattern string) bool {
	scope := diagnose.Scope{Cluster: pattern}
	names := func(cluster string) bool { return scope.Names(streamkeeper.Entity{Cluster: cluster}) }
	dial := c.Series.Dial
	return c.Broker.Enabled && names(c.Broker.Name) ||
		slices.ContainsFunc(c.Clusters, func(cl ClusterConfig) bool { return names(cl.Name) }) ||
		slices.ContainsFunc(dial.Clusters, names) || dial.URL != "" && len(dial.Clusters) == 0
}

func (b *BrokerConfig) validate(bad func(key, format string, args ...any)) {
	if !b.Enabled {
		return
	}
	hostPort(bad, "broker.listen", b.Listen)
	if b.Name == "" || strings.ContainsAny(b.Name, "@/") {
		bad("broker.name", "%q: want a name without @ and /", b.Name)
	}
	b.Probe.validate(bad, "broker.probe")
	if b.Nodes != 1 {
		bad("broker.nodes", "%d: only 1 is supported yet", b.Nodes)
	}
	if b.DefaultPartitions < 1 || b.DefaultPartitions > 10000 {
		bad("broker.default_partitions", "%d: want 1 to 10000", b.DefaultPartitions)
	}
	if b.MemoryBytes < 128<<20 {
		bad("broker.memory_bytes", "%s is too small: one request may be 100 MiB; 128MiB or more", b.MemoryBytes)
	}
	if !slices.Contains([]string{"fsync", "interval", "os"}, b.Log.Flush) {
		bad("broker.log.flush", "%q: want fsync, interval or os", b.Log.Flush)
	}
	if b.Log.SegmentBytes < 1<<20 || b.Log.SegmentBytes > 1<<30 {
		bad("broker.log.segment_bytes", "%s: want 1MiB to 1GiB", b.Log.SegmentBytes)
	}
	if b.Tier.HardLocalBytes < b.Tier.LocalBytes {
		bad("broker.tier.hard_local_bytes", "%s is below broker.tier.local_bytes (%s)", b.Tier.HardLocalBytes, b.Tier.LocalBytes)
	}
	if s := b.Tier.ObjectStore; s != "" && !strings.HasPrefix(s, "file://") && !strings.HasPrefix(s, "s3://") {
		bad("broker.tier.object_store", "%q: want file:///dir or s3://bucket/prefix?endpoint=http://host:port", s)
	}
	if d := b.ClientMetricsInterval.Duration; d < 0 || d > 0 && d < time.Second || d > 10*time.Minute {
		bad("broker.client_metrics_interval", "want 0 (never) or 1s to 10m")
	}
	if b.Group.MinSessionTimeout.Duration <= 0 || b.Group.MaxSessionTimeout.Duration < b.Group.MinSessionTimeout.Duration {
		bad("broker.group.max_session_timeout", "want 0 < min_session_timeout <= max_session_timeout")
	}
	if b.Group.ConsumerHeartbeat.Duration < 100*time.Millisecond || b.Group.ConsumerHeartbeat.Duration >= b.Group.ConsumerSession.Duration {
		bad("broker.group.consumer_heartbeat_interval", "want 100ms <= consumer_heartbeat_interval < consumer_session_timeout")
	}
}

func (cl *ClusterConfig) validate(bad func(key, format string, args ...any), at string, taken map[string]bool) {
	switch {
	case cl.Name == "" || strings.ContainsAny(cl.Name, "@/"):
		bad(at+".name", "%q: want a name without @ and /", cl.Name)
	case taken[cl.Name]:
		bad(at+".name", "%q is taken by another cluster", cl.Name)
	}
	if len(cl.Brokers) == 0 && !cl.Pushed {
		bad(at+".brokers", "name at least one HOST:PORT")
	}
	if cl.Pushed && (len(cl.Brokers) > 0 || len(cl.Metrics) > 0 || cl.Events != "" || cl.Probe.Enabled) {
		bad(at+".pushed", "a cluster is watched through its brokers or through what its exporters push, not both")
	}
	for _, b := range cl.Brokers {
		hostPort(bad, at+".brokers", b)
	}
	cl.Probe.validate(bad, at+".probe")
	cl.security().Validate(func(key, format string, args ...any) { bad(at+"."+key, format, args...) })
}

func httpURL(bad func(key, format string, args ...any), key, value string) {
	if u, err := url.Parse(value); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		bad(key, "%q: want http://host/path or https://host/path", value)
	}
}

func hostPort(bad func(key, format string, args ...any), key, value string) {
	if _, _, err := net.SplitHostPort(value); err != nil {
		bad(key, "%q: want HOST:PORT", value)
	}
}

// decodeConfig reads YAML over c, strictly: an unknown key fails with line, column and a caret. An
// empty document changes nothing.
func decodeConfig(name string, text []byte, c *Config) (err error) {
	defer func() {
		if p := recover(); p != nil { // the library panics on a list that has a tag (!x) and no items
			err = fmt.Errorf("config %s cannot be read: is there a tag (!) that is not meant as one? (%v)", name, p)
		}
	}()
	d := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict())
	if err := d.Decode(c); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("config %s:\n%s", name, yaml.FormatError(err, false, true))
	}
	return nil
}

// patchConfig sets one key by its path (broker.log.flush=os).
func patchConfig(origin, path, value string, c *Config) error {
	keys := strings.Split(path, ".")
	var b strings.Builder
	for depth, k := range keys {
		if k == "" {
			return fmt.Errorf("%s: %q: want path=value, as broker.log.flush=os", origin, path)
		}
		fmt.Fprintf(&b, "%s%s:", strings.Repeat("  ", depth), k)
		if depth < len(keys)-1 {
			b.WriteByte('\n')
		}
	}
	fmt.Fprintf(&b, " %s\n", value)
	return decodeConfig(fmt.Sprintf("(%s)", origin), []byte(b.String()), c)
}

// envPrefix starts the environment's keys: STREAMKEEPER_BROKER__LOG__FLUSH is broker.log.flush.
const envPrefix = "STREAMKEEPER_"

// loadConfig composes defaults, the file, the environment and --set, in this order.
func loadConfig(file string, environ, sets []string) (Config, error) {
	c := Defaults()
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return c, fmt.Errorf("read the config: %w", err)
		}
		if err := decodeConfig(filepath.Base(file), text, &c); err != nil {
			return c, err
		}
	}
	for _, kv := range environ {
		key, value, _ := strings.Cut(kv, "=")
		if rest, ok := strings.CutPrefix(key, envPrefix); ok {
			path := strings.ToLower(strings.ReplaceAll(rest, "__", "."))
			if err := patchConfig("environment "+key, path, value, &c); err != nil {
				return c, err
			}
		}
	}
	for _, kv := range sets {
		path, value, ok := strings.Cut(kv, "=")
		if !ok {
			return c, fmt.Errorf("--set %q: want path=value, as broker.log.flush=os", kv)
		}
		if err := patchConfig("--set "+path, path, value, &c); err != nil {
			return c, err
		}
	}
	return c, nil
}
