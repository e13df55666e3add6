package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors/series"
	"github.com/streamkeeper-io/streamkeeper/test/server"
)

// watcher is a server that sees the clusters through the Prometheus alone, as long as they live.
type watcher struct {
	how string
	*server.Server
}

// watch starts a server that sees nothing but what the arguments let it.
func (l *lab) watch(ctx context.Context, how string, args ...string) error {
	s, err := server.New(l.o.binary, append(args, "--set", "log.level=warn", "--set", "otlp.listen=")...)
	if err != nil {
		return err
	}
	l.watchers = append(l.watchers, watcher{how, s})
	return s.Start(ctx)
}

// expect makes the server that the Prometheus writes to, and does not start it yet.
func (l *lab) expect() (*server.Server, error) {
	s, err := server.New(l.o.binary, "--set", "broker.enabled=false", "--set", "log.level=warn", "--set", "otlp.listen=")
	if err != nil {
		return nil, err
	}
	l.watchers = append(l.watchers, watcher{"remote write", s})
	var clusters []string
	for _, name := range slices.Sorted(maps.Keys(exporters)) {
		clusters = append(clusters, fmt.Sprintf("{name: %s, pushed: true, scrape: %s}", name, l.o.every))
	}
	s.Args = append(s.Args, "--set", "clusters=["+strings.Join(clusters, ", ")+"]", "--set", "remote_write.every=2s")
	return s, nil
}

// writtenBack is how many series of ours the Prometheus has.
func (l *lab) writtenBack(ctx context.Context) (int, error) {
	remote, err := series.Dial(series.RemoteOptions{URL: l.prometheus.url})
	if err != nil {
		return 0, err
	}
	rows, err := remote.Count(ctx, time.Now(), []string{"streamkeeper_remote_write_samples_total", "streamkeeper_remote_write_sent_samples_total", "streamkeeper_finding_.*"}, []string{"__name__", "job"})
	n := 0
	for _, r := range rows {
		fmt.Printf("      written back: %s{job=%q}, %d series\n", r.Labels["__name__"], r.Labels["job"], r.N)
		n += r.N
	}
	return n, err
}

// restart ends the watchers as a power cut does, and starts them again.
func (l *lab) restart(ctx context.Context) error {
	for _, w := range l.watchers {
		if err := w.Kill(); err != nil {
			return err
		}
		if err := w.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// judgeWatchers counts what the watchers say right now that is right.
func (l *lab) judgeWatchers(ctx context.Context) (right, of int, err error) {
	for _, w := range l.watchers {
		var all streamkeeper.Reports
		if err := w.Get(ctx, "/api/v1/reports", &all); err != nil {
			return right, of, fmt.Errorf("%s: %w: %s", w.how, err, w.Log())
		}
		fmt.Printf("== %s: %d clusters\n", w.how, len(all.Reports))
		if len(all.Reports) != len(exporters) {
			return right, of, fmt.Errorf("%s tells of %d clusters, want %d: %s", w.how, len(all.Reports), len(exporters), w.Log())
		}
		for _, r := range all.Reports {
			for _, s := range r.Sources {
				if s.FreshSeconds == nil {
					return right, of, fmt.Errorf("%s: %s: source %s has no data: %s", w.how, r.Cluster.Name, s.Name, s.Error)
				}
				fmt.Printf("      %s: source %s, newest data %.1f s old %s\n", r.Cluster.Name, s.Name, *s.FreshSeconds, s.Error)
			}
		}
		r, n := l.judge(all.Reports)
		right, of = right+r, of+n
	}
	return right, of, nil
}
