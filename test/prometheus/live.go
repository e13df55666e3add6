package main

import (
	"context"
	"fmt"

	"github.com/streamkeeper-io/streamkeeper"
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
