package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/streamkeeper-io/streamkeeper/web"
)

type upFlags struct {
	config, data, kafkaListen, httpListen, objectStore string
	prometheus                                         prometheusFlags
	clusters, sets, rules                              []string
	broker                                             bool
}

func upCommand(p Process) *cobra.Command {
	var f upFlags
	c := &cobra.Command{
		Use:   "up",
		Short: "Run the bundled broker, the collectors, the diagnosis and the dashboard",
		Long: `Runs everything in one process: a Kafka-protocol broker (127.0.0.1:9092), the collectors, the
diagnosis and the dashboard (127.0.0.1:8080). With --cluster it watches somebody's cluster instead, and with
--prometheus the clusters whose exporters (kminion, kafka_exporter, Redpanda, JMX) a Prometheus scrapes.

Every flag is also a key of the config file (docs/reference-config.yaml), of --set path=value and of the
environment (STREAMKEEPER_BROKER__LOG__FLUSH=os). It prints one line "ready kafka=… http=…" when it serves.`,
		Example: `  streamkeeper up
  streamkeeper up --cluster prod=kafka-1:9092 --cluster prod-eu=kafka-eu:9092
  streamkeeper up --prometheus http://prometheus:9090
  streamkeeper up --object-store 's3://cold/prod?endpoint=http://127.0.0.1:9000&path_style=true'`,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := f.compose(p, c)
			if err != nil {
				return usage(err)
			}
			return runUp(c.Context(), p, cfg)
		},
	}
	f.add(c)
	return c
}

func (f *upFlags) add(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.config, "config", "", "config file (YAML)")
	fl.StringVar(&f.data, "data", "", "folder of all data (default data)")
	fl.StringVar(&f.kafkaListen, "kafka-listen", "", "where the broker listens (default 127.0.0.1:9092)")
	fl.StringVar(&f.httpListen, "http-listen", "", "where the dashboard and the API listen (default 127.0.0.1:8080)")
	fl.StringVar(&f.objectStore, "object-store", "", "file:///dir or s3://bucket/prefix?endpoint=http://host:port&path_style=true")
	fl.StringArrayVar(&f.clusters, "cluster", nil, "watch this cluster: NAME=HOST:PORT[,HOST:PORT] (repeatable); no broker then, unless --broker")
	fl.StringVar(&f.prometheus.url, "prometheus", "", "watch the clusters whose exporters' metrics are in this Prometheus (URL, before /api/v1); --cluster NAME chooses among them")
	fl.StringVar(&f.prometheus.clusterLabel, "cluster-label", "", "the label that names Kafka clusters, with --prometheus (the first known one)")
	fl.StringVar(&f.prometheus.tenant, "tenant", "", "X-Scope-OrgID of --prometheus, for Mimir")
	fl.BoolVar(&f.broker, "broker", false, "run the bundled broker also with --cluster or --prometheus")
	fl.StringArrayVar(&f.rules, "rules", nil, "folder with more rules (repeatable)")
	fl.StringArrayVar(&f.sets, "set", nil, "set a config key: path=value (repeatable)")
}

// compose makes the configuration of defaults, file, environment, flags and --set.
func (f *upFlags) compose(p Process, c *cobra.Command) (Config, error) {
	cfg, err := loadConfig(f.config, p.Environ(), nil)
	if err != nil {
		return cfg, err
	}
	for _, o := range []struct {
		value string
		key   *string
	}{
		{f.data, &cfg.Data},
		{f.kafkaListen, &cfg.Broker.Listen},
		{f.httpListen, &cfg.Web.Listen},
		{f.objectStore, &cfg.Broker.Tier.ObjectStore},
		{f.prometheus.url, &cfg.Series.Dial.URL},
		{f.prometheus.clusterLabel, &cfg.Series.Dial.ClusterLabel},
		{f.prometheus.tenant, &cfg.Series.Dial.Tenant},
	} {
		if o.value != "" {
			*o.key = o.value
		}
	}
	for _, text := range f.clusters {
		name, brokers, ok := strings.Cut(text, "=")
		if !ok && f.prometheus.url != "" {
			cfg.Series.Dial.Clusters = append(cfg.Series.Dial.Clusters, name)
			continue
		}
		if !ok {
			return cfg, fmt.Errorf("--cluster %q: want NAME=HOST:PORT", text)
		}
		cfg.Clusters = append(cfg.Clusters, ClusterConfig{Name: name, Brokers: strings.Split(brokers, ",")})
	}
	if len(f.clusters) > 0 || f.prometheus.url != "" {
		cfg.Broker.Enabled = f.broker
	}
	cfg.Rules = append(cfg.Rules, f.rules...)
	for _, kv := range f.sets {
		path, value, ok := strings.Cut(kv, "=")
		if !ok {
			return cfg, fmt.Errorf("--set %q: want path=value, as broker.log.flush=os", kv)
		}
		if err := patchConfig("--set "+path, path, value, &cfg); err != nil {
			return cfg, err
		}
	}
	return cfg, cfg.Validate()
}

// watcherGC makes a process that only watches collect its garbage five times as often as usual: of a fleet each look makes
// hundreds of megabytes of it, and processor time is what such a process has left.
const watcherGC = 20

// runUp serves until ctx ends or a part fails, then stops everything in order.
func runUp(ctx context.Context, p Process, c Config) (err error) {
	log := logger(p, c)
	if !c.Broker.Enabled && p.Getenv("GOGC") == "" {
		debug.SetGCPercent(watcherGC)
	}
	if err := writable(c.Data); err != nil {
		return usage(err)
	}
	listener, err := net.Listen("tcp", c.Web.Listen)
	if err != nil {
		return usage(fmt.Errorf("serve http on web.listen %s: %w; choose another with --http-listen", c.Web.Listen, plainListen(err)))
	}
	defer listener.Close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	starting := &web.Starting{}
	g.Go(func() error { return web.Serve(ctx, listener, starting, log) })
	s, err := wire(ctx, p, c, log, listener.Addr().String(), starting.Say)
	if err != nil {
		stop()
		return errors.Join(usage(err), g.Wait())
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	starting.Open(s.web)
	if err := s.tellReady(p, listener.Addr().String()); err != nil {
		stop()
		return errors.Join(err, g.Wait())
	}
	s.run(ctx, g)
	return g.Wait()
}

// tellReady prints the line that scripts wait for.
func (s *system) tellReady(p Process, address string) error {
	ready := "ready"
	if s.node != nil {
		ready += " kafka=" + s.node.broker.Addr()
	}
	_, err := fmt.Fprintln(p.Stdout, ready+" http="+address)
	return err
}

// plainListen drops what net repeats of the address.
func plainListen(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// writable makes the data folder and proves that it can be written.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("data folder: %w; choose another with --data", err)
	}
	probe := filepath.Join(dir, ".write-probe")
	if err := os.WriteFile(probe, nil, 0o600); err != nil {
		return fmt.Errorf("data folder: %w; choose another with --data", err)
	}
	return os.Remove(probe)
}

func logger(p Process, c Config) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Log.Level)) // Validate has checked it
	return slog.New(slog.NewTextHandler(p.Stderr, &slog.HandlerOptions{Level: level}))
}
