package cli

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	promcollectors "github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/streamkeeper-io/streamkeeper/collectors"
	"github.com/streamkeeper-io/streamkeeper/collectors/remotewrite"
	"github.com/streamkeeper-io/streamkeeper/collectors/series"
	"github.com/streamkeeper-io/streamkeeper/web"
)

// system is everything that `up` runs, in one process.
type system struct {
	config    Config
	log       *slog.Logger
	node      *node // nil without a bundled broker
	places    *places
	scheduler *collectors.Scheduler
	doctor    *doctor             // nil when diagnosis is off
	forwarder *remotewrite.Sender // nil: our metrics are not pushed
	web       *web.Server
	metrics   *metricsPage
	// connections are the collectors that hold some.
	connections []interface{ Close() }
}

// wire builds the pipeline: broker, collectors, places, diagnosis, web. say hears how far it is. What it opened before an
// error is closed again.
func wire(ctx context.Context, p Process, c Config, log *slog.Logger, address string, say func(string)) (s *system, err error) {
	s = &system{config: c, log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if c.Broker.Enabled {
		if s.node, err = startNode(ctx, c, p.Getenv, log, say); err != nil {
			return s, err
		}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(promcollectors.NewGoCollector(), promcollectors.NewProcessCollector(promcollectors.ProcessCollectorOpts{}))
	gatherers := prometheus.Gatherers{registry}
	options := web.Options{Version: Version(), Logger: log, Now: time.Now, Drills: drillInfos(), Mounts: map[string]http.Handler{}, Reports: noReports{}}
	if s.node != nil {
		gatherers = append(gatherers, s.node.registry)
		options.Mounts["GET /api/v1/broker/events"] = s.node.telemetry.Events()
	}
	s.metrics = &metricsPage{own: gatherers}
	options.Metrics = s.metrics
	if c.Diagnose.Enabled {
		err = s.wireDiagnosis(ctx, registry, &options, address)
	} else {
		err = s.wireMeasuring()
	}
	if err != nil {
		return s, err
	}
	if err := s.wireForward(registry, gatherers, address); err != nil {
		return s, err
	}
	s.web = web.New(options)
	return s, nil
}

// openSeries opens the measurements below the data folder.
func openSeries(c Config) (*places, error) {
	dir := c.Series.Path
	if dir == "" {
		dir = filepath.Join(c.Data, "series")
	}
	o := series.Options{Dir: dir, Retention: c.Series.Retention.Duration, Interval: c.Diagnose.Tick.Duration}
	if c.Series.Dial.URL != "" || c.RemoteWrite.Receive { // the past of one cluster comes after the present of others
		o.OutOfOrder = exportedMost
	}
	if c.Series.Dial.URL != "" || slices.ContainsFunc(c.Clusters, func(cl ClusterConfig) bool { return cl.Pushed }) {
		o.MaxSeries = maxExported // of fleets
	}
	return openPlaces(o, time.Now)
}

// run starts what goes on until ctx ends or a part fails.
func (s *system) run(ctx context.Context, g *errgroup.Group) {
	if s.scheduler != nil {
		g.Go(func() error { return ended(ctx, s.scheduler.Run(ctx)) })
	}
	if s.doctor != nil {
		g.Go(func() error { return ended(ctx, s.doctor.run(ctx)) })
	}
	if s.forwarder != nil {
		g.Go(func() error { return ended(ctx, s.forwarder.Run(ctx)) })
	}
}

// ended makes a stop that was asked for no error.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// Close stops what was started, consumers of data before its sources.
func (s *system) Close() error {
	var errs []error
	if s.doctor != nil {
		errs = append(errs, s.doctor.Close())
	}
	for _, c := range s.connections {
		c.Close()
	}
	if s.places != nil {
		errs = append(errs, s.places.Close())
	}
	if s.node != nil {
		errs = append(errs, s.node.Close())
	}
	return errors.Join(errs...)
}
