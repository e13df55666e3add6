// Command prometheus is `task test:prometheus`: faults are injected into groups of a live cluster, a real Prometheus
// scrapes two exporters of it that speak kminion's and kafka_exporter's dialects, and `diagnose --prometheus`, which
// asks nobody else, must name each fault on each of its groups in both. Later, --at must give the same answer as then. So
// must a server that has been watching through the Prometheus since all was well, and one that the Prometheus writes to, both
// killed and started again when the faults begin. The latter writes its own metrics to the Prometheus. The last line is JSON:
// {"right", "of", "watched_right", "watched_of", "written_back", "same_later"}.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamkeeper-io/streamkeeper/test/server"
)

type options struct {
	binary, prometheus, only   string
	victoria, vmagent          string
	copies                     int
	every, healthy, ill, later time.Duration
	quick, show, onVictoria    bool
}

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", ".bin/streamkeeper", "path of the program")
	flag.StringVar(&o.prometheus, "prometheus", "prometheus", "path of Prometheus")
	flag.BoolVar(&o.onVictoria, "victoria-metrics", false, "with a VictoriaMetrics and its vmagent in place of the Prometheus")
	flag.StringVar(&o.victoria, "victoria", "victoria-metrics", "path of VictoriaMetrics")
	flag.StringVar(&o.vmagent, "vmagent", "vmagent", "path of its vmagent")
	flag.StringVar(&o.only, "run", "", "run only the faults whose name contains this")
	flag.IntVar(&o.copies, "copies", 3, "groups with each fault, side by side")
	flag.DurationVar(&o.every, "every", 5*time.Second, "how often Prometheus scrapes")
	flag.DurationVar(&o.healthy, "healthy", 16*time.Minute, "how long all is well")
	flag.DurationVar(&o.ill, "ill", 4*time.Minute, "how long the faults stand before anybody asks")
	flag.DurationVar(&o.later, "later", 10*time.Minute, "how long after that --at is asked")
	flag.BoolVar(&o.quick, "quick", false, "two minutes, without the faults that are named only with some minutes of history")
	flag.BoolVar(&o.show, "show", false, "print each diagnosis whole")
	flag.Parse()
	if o.quick {
		o.every, o.healthy, o.ill, o.later = 2*time.Second, 30*time.Second, time.Minute, 5*time.Second
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "prometheus:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	l, err := openLab(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := l.raise(ctx); err != nil {
		return err
	}
	if !pause(ctx, o.healthy) {
		return ctx.Err()
	}
	if err := l.restart(ctx); err != nil {
		return err
	}
	for _, g := range l.groups {
		g.fault.inject(l, g)
	}
	if !pause(ctx, o.ill) {
		return ctx.Err()
	}
	then, err := l.diagnose(ctx)
	if err != nil {
		return err
	}
	right, of := l.judge(then)
	watchedRight, watchedOf, err := l.judgeWatchers(ctx)
	if err != nil {
		return err
	}
	written, err := l.writtenBack(ctx)
	if err != nil {
		return err
	}
	l.endClients()
	if !pause(ctx, o.later) {
		return ctx.Err()
	}
	same, err := l.sameAt(ctx, then)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]any{"right": right, "of": of, "watched_right": watchedRight, "watched_of": watchedOf, "written_back": written, "same_later": same}); err != nil {
		return err
	}
	switch {
	case of == 0:
		return fmt.Errorf("no fault is called %q", o.only)
	case right < of || watchedRight < watchedOf:
		return fmt.Errorf("%d of %d right, watching %d of %d", right, of, watchedRight, watchedOf)
	case written == 0:
		return errors.New("none of our own metrics came to the Prometheus")
	case !same:
		return errors.New("--at does not give the answer of then")
	}
	return nil
}

// lab is the cluster, what runs on it and what watches it.
type lab struct {
	o          options
	server     *server.Server
	client     *kgo.Client
	admin      *kadm.Client
	prometheus *prometheus
	watchers   []watcher
	groups     []*group

	clients context.Context
	end     context.CancelFunc
	wg      sync.WaitGroup
	source  source
}

func openLab(ctx context.Context, o options) (*lab, error) {
	l := &lab{o: o}
	l.clients, l.end = context.WithCancel(ctx)
	var err error
	if l.server, err = server.New(o.binary, "--set", "diagnose.enabled=false", "--set", "log.level=warn"); err != nil {
		return nil, err
	}
	if err := l.server.Start(ctx); err != nil {
		return nil, err
	}
	if l.client, err = kgo.NewClient(kgo.SeedBrokers(l.server.Kafka)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	l.admin = kadm.NewClient(l.client)
	targets := map[string]string{}
	for job, write := range exporters {
		if targets[job], err = serve(ctx, exporter{l.admin, write}); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	pushed, err := l.expect()
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	start := startPrometheus
	if o.onVictoria {
		start = startVictoriaMetrics
	}
	if l.prometheus, err = start(ctx, o, targets, "http://"+pushed.HTTP+"/prometheus/api/v1/write"); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	pushed.Args = append(pushed.Args, "--set", "remote_write.forward_to="+l.prometheus.url+"/api/v1/write")
	if err := pushed.Start(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if err := l.watch(ctx, "up --prometheus", "--prometheus", l.prometheus.url); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *lab) endClients() {
	l.end()
	l.wg.Wait()
}

// Close ends everything.
func (l *lab) Close() error {
	l.endClients()
	var errs []error
	for _, w := range l.watchers {
		errs = append(errs, w.Stop(), w.Remove())
	}
	if l.prometheus != nil {
		errs = append(errs, l.prometheus.Close())
	}
	if l.client != nil {
		l.client.Close()
	}
	return errors.Join(append(errs, l.server.Stop(), l.server.Remove())...)
}

// pause waits; false when the context ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func itoa(n int32) string { return strconv.Itoa(int(n)) }
