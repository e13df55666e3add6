package cli

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors/loki"
	"github.com/streamkeeper-io/streamkeeper/web"
)

// logs is what comes in as a Loki's logs and goes out as events to a Loki. A nil one takes none.
type logs struct {
	receiver  *loki.Receiver // nil: none are taken
	forwarder *loki.Forwarder
}

// wireLogs mounts the receiver and makes the forwarder, as the config says. Clusters are added by source.
func (s *system) wireLogs(registry *prometheus.Registry, options *web.Options) error {
	l := &logs{}
	if s.config.Loki.Receive {
		var err error
		if l.receiver, err = loki.NewReceiver(loki.Options{World: s.places.world, Now: time.Now}); err != nil {
			return err
		}
		registry.MustRegister(l.receiver)
		options.Mounts["/loki/api/v1/push"] = l.receiver
	}
	if to := s.config.Loki.ForwardTo; to != "" {
		l.forwarder = loki.NewForwarder(loki.ForwardOptions{URL: to, Feed: s.places.feed, Changed: s.places.events.Changed, Logger: s.log})
		registry.MustRegister(l.forwarder)
	}
	s.doctor.logs = l
	return nil
}

// feed gives events in the order in which they came.
func (p *places) feed(after uint64, limit int) (events []streamkeeper.Event, next, lost uint64) {
	entries, next, lost := p.events.Since(after, limit)
	for _, e := range entries {
		events = append(events, e.Event)
	}
	return events, next, lost
}

// source is the collector of one cluster's logs; nil when none are taken.
func (l *logs) source(cl ClusterConfig) *loki.Source {
	if l == nil || l.receiver == nil {
		return nil
	}
	return l.receiver.Source(loki.SourceOptions{Cluster: cl.Name, Ring: cl.Events != ""})
}
