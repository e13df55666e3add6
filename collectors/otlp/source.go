package otlp

import (
	"context"
	"sync"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

const sourceName = "otlp"

// Source is one cluster's share of what is sent, as a [collectors.Collector].
type Source struct {
	r       *Receiver
	cluster string
	members members

	mu      sync.Mutex
	heard   time.Time
	clients map[clientKey]*reading
	works   map[string]*work // by group
	doing   map[string]*done // by client

	stale collectors.Staleness // of Collect alone
}

// Source adds a cluster. Call it before the receiver serves.
func (r *Receiver) Source(cluster string) *Source {
	s := &Source{r: r, cluster: cluster, clients: map[clientKey]*reading{}, works: map[string]*work{}, doing: map[string]*done{}}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sources[cluster] = s
	return s
}

// Name is otlp.
func (s *Source) Name() string { return sourceName }

// Kind is otlp.
func (s *Source) Kind() string { return "otlp" }

// Heard reports whether any number or span of this cluster has come.
func (s *Source) Heard() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.heard.IsZero()
}

// Collect does one round.
func (s *Source) Collect(ctx context.Context, now time.Time, sink collectors.Sink) error {
	s.members.learn(s.r.o.World.Inventory(s.cluster))
	if !s.Heard() {
		return nil
	}
	s.r.settle(s.r.o.Now())
	samples := append(s.clientSamples(now), s.workSamples(now)...)
	if err := sink.Samples(ctx, s.stale.Mark(now, samples)); err != nil {
		return err
	}
	if events := s.changes(now); len(events) > 0 {
		// The watermark covers nothing: what spans do not show may have happened all the same.
		return sink.Events(ctx, events, streamkeeper.Watermark{Source: sourceName, Cluster: s.cluster})
	}
	return nil
}

// sample is one number of the cluster; labels are names and values in turn.
func (s *Source) sample(name string, at time.Time, v float64, labels ...string) streamkeeper.Sample {
	l := map[string]string{"cluster": s.cluster}
	for i := 0; i+1 < len(labels); i += 2 {
		l[labels[i]] = labels[i+1]
	}
	return streamkeeper.Sample{Metric: "streamkeeper_" + name, Labels: l, At: at, Value: v}
}
