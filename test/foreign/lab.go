package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamkeeper-io/streamkeeper/cli/drill"
	"github.com/streamkeeper-io/streamkeeper/test/kafka"
	"github.com/streamkeeper-io/streamkeeper/test/server"
	"github.com/streamkeeper-io/streamkeeper/test/workers"
)

const brokerHeap = "384m"

// Timings of one phase. Healthy traffic comes first so that groups have committed; a fault that stands is injected
// some time before anybody looks, one that is an event while somebody does.
const (
	healthyFor    = 25 * time.Second
	faultStands   = 20 * time.Second
	eventAfter    = 6 * time.Second
	adminTimeout  = 30 * time.Second
	diagnoseGrace = 2 * time.Minute
)

// lab is a cluster with clients on it.
type lab struct {
	o       options
	dist    *kafka.Dist
	cluster *kafka.Cluster
	client  *kgo.Client
	admin   *kadm.Client
	work    map[string]*workload // by scenario
	source  *workers.Worker      // produces to every topic
	streams map[string]drill.Stream

	wg  sync.WaitGroup
	end []func() // ends clients, last first

	logs  *shipper // nil where only the protocol is watched
	tells bool     // says when a client ends by itself

	store *server.Store // of tiered storage; nil without
	dir   string        // where it lies

	access   []string // flags that say how diagnose reaches the cluster; nil: by its first listener
	lost     int32    // the broker that was killed
	recorded int      // diagnoses kept
}

func openLab(ctx context.Context, dist *kafka.Dist, o options, k kafka.Options) (*lab, error) {
	began := time.Now()
	cluster, err := dist.Start(ctx, k)
	if err != nil {
		return nil, err
	}
	fmt.Printf("Apache Kafka %s, %d brokers, serves after %.0f s\n", kafka.Version(), k.Brokers, time.Since(began).Seconds())
	return newLab(o, dist, cluster)
}

// newLab makes a lab of a cluster, which it stops when it is closed.
func newLab(o options, dist *kafka.Dist, cluster *kafka.Cluster) (*lab, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Addresses()...), kgo.DisableClientMetrics())
	if err != nil {
		return nil, errors.Join(err, cluster.Stop())
	}
	return &lab{
		o: o, dist: dist, cluster: cluster, client: client, admin: kadm.NewClient(client),
		work: map[string]*workload{}, streams: map[string]drill.Stream{}, tells: true,
	}, nil
}

// Close ends the clients, then the cluster.
func (l *lab) Close() error {
	l.endClients()
	l.client.Close()
	err := l.cluster.Stop()
	if l.store != nil { // after the brokers, which end well only with it
		l.store.Close()
		err = errors.Join(err, os.RemoveAll(l.dir))
	}
	return err
}

func (l *lab) endClients() {
	for i := len(l.end) - 1; i >= 0; i-- {
		l.end[i]()
	}
	l.end = nil
	l.wg.Wait()
	l.source, l.streams = nil, map[string]drill.Stream{}
}

// play runs scenarios side by side and returns how many were named right.
func (l *lab) play(ctx context.Context, scenarios []scenario) (int, error) {
	defer l.endClients()
	clients, stop := context.WithCancel(ctx)
	l.end = append(l.end, stop)
	if err := l.begin(clients, scenarios); err != nil {
		return 0, err
	}
	if !pause(ctx, faultStands) {
		return 0, ctx.Err()
	}
	var failed error
	l.wg.Go(func() {
		if pause(clients, eventAfter) {
			failed = l.inject(clients, scenarios, true)
		}
	})
	report, err := l.diagnose(ctx)
	if err != nil {
		return 0, err
	}
	right := 0
	for _, s := range scenarios {
		if s.check == nil {
			continue
		}
		ok, err := l.check(ctx, &s, report)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", s.name, err)
		}
		if ok {
			right++
		}
	}
	l.endClients()
	if failed != nil {
		return 0, failed
	}
	for _, s := range scenarios {
		if s.check == nil && l.judge(&s, report) {
			right++
		}
	}
	if right < len(scenarios) {
		fmt.Printf("        %s (%s)\n", report.Headline, report.Health.State)
		for _, s := range report.Sources {
			fmt.Printf("        source %s: %s\n", s.Name, s.Error)
		}
	}
	return right, nil
}

// begin lets scenarios be well for a while, then brings on the faults that stand before anybody looks.
func (l *lab) begin(ctx context.Context, scenarios []scenario) error {
	if err := l.raiseAll(ctx, scenarios); err != nil {
		return err
	}
	if !pause(ctx, healthyFor) {
		return ctx.Err()
	}
	return l.inject(ctx, scenarios, false)
}

func (l *lab) raiseAll(ctx context.Context, scenarios []scenario) error {
	for i := range scenarios {
		if err := l.raise(ctx, &scenarios[i]); err != nil {
			return fmt.Errorf("%s: %w", scenarios[i].name, err)
		}
	}
	return l.produce(ctx)
}

func (l *lab) inject(ctx context.Context, scenarios []scenario, during bool) error {
	for i := range scenarios {
		s := &scenarios[i]
		if s.inject == nil || s.during != during {
			continue
		}
		if err := s.inject(ctx, l, l.work[s.name]); err != nil {
			return fmt.Errorf("inject %s: %w", s.name, err)
		}
	}
	return nil
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

func logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
