package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
	"github.com/streamkeeper-io/streamkeeper/collectors/declared"
	"github.com/streamkeeper-io/streamkeeper/collectors/deploys"
	"github.com/streamkeeper-io/streamkeeper/collectors/events"
	"github.com/streamkeeper-io/streamkeeper/collectors/hosts"
	"github.com/streamkeeper-io/streamkeeper/collectors/jmx"
	"github.com/streamkeeper-io/streamkeeper/collectors/kafka"
	"github.com/streamkeeper-io/streamkeeper/collectors/scrape"
	"github.com/streamkeeper-io/streamkeeper/diagnose"
	"github.com/streamkeeper-io/streamkeeper/diagnose/capacity"
	"github.com/streamkeeper-io/streamkeeper/diagnose/history"
	"github.com/streamkeeper-io/streamkeeper/diagnose/notify"
	"github.com/streamkeeper-io/streamkeeper/rules"
	"github.com/streamkeeper-io/streamkeeper/rules/catalog"
	"github.com/streamkeeper-io/streamkeeper/web"
)

// foreignInterval is how often a foreign cluster is read and diagnosed unless its config says otherwise.
const foreignInterval = 15 * time.Second

// doctor is the diagnosis of all clusters: the loop and what it keeps.
type doctor struct {
	loop      *diagnose.Loop
	history   *history.Store
	notifier  *notify.Notifier // nil: nobody is told
	logs      *logs            // nil: none are taken
	telemetry *telemetry       // nil: none is taken
	deploys   *deploys.Receiver
	watching  watching
	dialling  *dialling // nil: no Prometheus is read
}

// listener is a collector that others push to.
type listener interface {
	collectors.Collector
	Heard() bool
}

// loadCatalog loads the built-in rules and the users' folders.
func loadCatalog(folders []string) (*rules.Catalog, error) {
	roots := []fs.FS{catalog.Files}
	for _, f := range folders {
		if info, err := os.Stat(f); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("rules: %s is not a folder", f)
		}
		roots = append(roots, os.DirFS(f))
	}
	c, err := rules.Load(roots...)
	if err != nil {
		return nil, fmt.Errorf("rules:\n%w", err)
	}
	return c, nil
}

// wireDiagnosis adds collectors, places, the loop and what the web side shows of them.
func (s *system) wireDiagnosis(ctx context.Context, registry *prometheus.Registry, options *web.Options, address string) error {
	rulebook, err := loadCatalog(s.config.Rules)
	if err != nil {
		return err
	}
	if s.places, err = openSeries(s.config); err != nil {
		return fmt.Errorf("open the measurements: %w", err)
	}
	s.schedule(collectors.WithoutOwn(s.places))
	s.doctor = &doctor{}
	if err := s.wireLogs(registry, options); err != nil {
		return err
	}
	if err := s.wireOTLP(registry, options); err != nil {
		return err
	}
	s.doctor.deploys = deploys.NewReceiver(s.places.world, time.Now)
	options.Deploys = s.doctor.deploys
	if err := s.addCollectors(registry); err != nil {
		return err
	}
	if err := s.wireDialling(); err != nil {
		return err
	}
	s.wireRemoteWrite(registry, options)
	historyURL := s.config.History.URL
	if historyURL == "" {
		historyURL = "sqlite://" + filepath.Join(s.config.Data, "history.db")
	}
	if s.doctor.history, err = history.Open(ctx, historyURL); err != nil {
		return fmt.Errorf("open the history: %w", err)
	}
	tick := &diagnose.Tick{
		Catalog: rulebook, Signals: s.places.series, World: s.places.world, Events: s.places.events,
		Ledger: s.doctor.history, Sources: s.doctor.watching.told(s.scheduler.SourcesOf),
		Config: diagnose.Config{
			Interval: s.config.Diagnose.Tick.Duration, SLOLag: s.config.Diagnose.SLOLag.Duration, URL: "http://" + address,
			Scopes: s.config.Diagnose.scopes(),
			Sizing: diagnose.SizingConfig{Place: capacity.Place{Prometheus: "http://" + address + "/prometheus"}},
		},
	}
	if s.doctor.notifier, err = openNotifier(s.config.Notify, s.log); err != nil {
		return err
	}
	var publisher diagnose.Publisher
	if s.doctor.notifier != nil {
		publisher = s.doctor.notifier
	}
	s.doctor.loop = diagnose.NewLoop(diagnose.LoopOptions{
		Tick: tick, History: s.doctor.history, Logger: s.log, Publisher: publisher,
		Budget: s.config.Notify.Budget, RollupEvery: s.config.Notify.RollupEvery.Duration,
		Clusters: s.doctor.watching.names, Interval: s.doctor.watching.interval,
		Shadow: s.config.shadowOf,
	})
	registry.MustRegister(s.doctor.loop)
	s.show(options, rulebook)
	return nil
}

// show gives the web side its views of the diagnosis.
func (s *system) show(options *web.Options, rulebook *rules.Catalog) {
	loop := s.doctor.loop
	options.Reports, options.Incidents, options.Updates = loop, loop, updates{loop}
	options.World, options.Events = s.places, s.places
	options.Actions = decisions{s.doctor.history}
	options.Rules = rulebookView{rulebook}
	options.Mounts["/prometheus/"] = s.places.series.Handler()
	options.Mounts["GET /api/v1/recording"] = recordingHandler(s.places, s.config.Diagnose.SLOLag.Duration, s.config.Diagnose.scopes(), loop.Reports)
	options.Ready = func() error {
		if len(loop.Reports()) > 0 {
			return nil
		}
		if err := s.doctor.dialling.trouble(); err != nil {
			return err
		}
		return errors.New("the first tick has not run yet; it comes in some seconds")
	}
}

// addCollectors schedules the sources of every cluster.
func (s *system) addCollectors(registry *prometheus.Registry) error {
	if s.node != nil {
		name, every := s.config.Broker.Name, s.config.Diagnose.Tick.Duration
		client := &http.Client{Transport: inProcess{s.node.metrics}}
		ring := &http.Client{Transport: inProcess{s.node.telemetry.Events()}}
		cl := ClusterConfig{
			Name: name, Brokers: []string{s.node.broker.Addr()},
			Metrics: []string{"http://" + name + "/metrics"}, Events: "http://" + name + "/api/v1/broker/events",
			Probe: s.config.Broker.Probe,
		}
		if err := s.addCluster(cl, every, client, ring, s.node.fresh); err != nil {
			return err
		}
		if err := s.addProbe(cl, registry); err != nil {
			return err
		}
	}
	for _, cl := range s.config.Clusters {
		every := s.config.interval(cl)
		if cl.Pushed {
			s.addDialled(cl.Name, every, newDialled(remoteCluster{name: cl.Name}, every, s.places.series, nil))
			continue
		}
		if err := s.addCluster(cl, every, nil, nil, false); err != nil {
			return err
		}
		if err := s.addProbe(cl, registry); err != nil {
			return err
		}
	}
	return nil
}

// addCluster schedules one cluster's sources. Nil clients use the network; fresh says that the cluster began
// with us.
func (s *system) addCluster(cl ClusterConfig, every time.Duration, scraping, ringing *http.Client, fresh bool) error {
	o := kafka.Options{FromStart: fresh, GroupLog: true, TierLog: true}
	if len(cl.Declared) > 0 {
		d := declared.New(cl.Name, cl.Declared, s.places.world)
		o.MoreConfigs = d.Configs
		s.scheduler.Add(d, every, cl.Name)
	}
	if err := s.addKafka(cl, o, every); err != nil {
		return err
	}
	for _, u := range cl.Metrics {
		c, err := scrape.New(scrape.Options{Cluster: cl.Name, URL: u, Client: scraping})
		if err != nil {
			return fmt.Errorf("cluster %s: %w", cl.Name, err)
		}
		s.scheduler.Add(c, every, cl.Name)
	}
	if len(cl.Metrics)+len(cl.FileSD) > 0 && cl.Events == "" { // whoever tells of Apache Kafka in metrics may be a JMX exporter
		s.scheduler.Add(jmx.New(jmx.Options{Cluster: cl.Name, Series: s.places.series, Every: every}), every, cl.Name)
	}
	if len(cl.FileSD) > 0 {
		c, err := scrape.NewTargets(scrape.TargetsOptions{Cluster: cl.Name, Files: cl.FileSD, Client: scraping})
		if err != nil {
			return fmt.Errorf("cluster %s: %w", cl.Name, err)
		}
		s.scheduler.Add(c, every, cl.Name)
	}
	if cl.Events != "" {
		s.scheduler.Add(events.NewRing(events.RingOptions{Cluster: cl.Name, Source: "broker", URL: cl.Events, Client: ringing}), every, cl.Name)
	}
	s.watch(cl, every)
	return nil
}

// watch has a cluster diagnosed, and schedules the collectors that others push to.
func (s *system) watch(cl ClusterConfig, every time.Duration) {
	listeners := []listener{s.doctor.deploys.Source(cl.Name)}
	if source := s.doctor.logs.source(cl); source != nil {
		listeners = append(listeners, source)
	}
	if source := s.doctor.telemetry.source(cl.Name); source != nil {
		listeners = append(listeners, source)
	}
	listeners = append(listeners, hosts.New(hosts.Options{
		Cluster: cl.Name, Series: s.places.series, World: s.places.world, Lookup: net.DefaultResolver.LookupHost,
	}))
	for _, l := range listeners {
		s.scheduler.Add(l, every, cl.Name)
	}
	s.doctor.watching.add(cl.Name, watchedCluster{every: every, listeners: listeners})
}

// run ticks until ctx ends, and tells until the last word is out.
func (d *doctor) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.loop.Run(ctx) })
	if d.notifier != nil {
		g.Go(func() error { return ended(ctx, d.notifier.Run(ctx)) })
	}
	if d.logs != nil && d.logs.forwarder != nil {
		g.Go(func() error { return ended(ctx, d.logs.forwarder.Run(ctx)) })
	}
	if d.dialling != nil {
		g.Go(func() error { return ended(ctx, d.dialling.run(ctx)) })
	}
	if d.telemetry != nil && d.telemetry.listener != nil {
		g.Go(func() error { return ended(ctx, d.telemetry.run(ctx)) })
	}
	return g.Wait()
}

// Close ends what the diagnosis holds.
func (d *doctor) Close() error {
	d.telemetry.Close()
	if d.history == nil {
		return nil
	}
	return d.history.Close()
}

// noReports is the answer while diagnosis is off.
type noReports struct{}

func (noReports) Reports() []streamkeeper.Report { return nil }
