package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
	"github.com/streamkeeper-io/streamkeeper/collectors/kafka"
)

// wireMeasuring reads clusters for /metrics alone: another process keeps what was measured, and judges it.
func (s *system) wireMeasuring() error {
	if len(s.config.Clusters) == 0 {
		return nil
	}
	s.schedule(unkept{})
	for _, cl := range s.config.Clusters {
		if err := s.addKafka(cl, kafka.Options{}, s.config.interval(cl)); err != nil {
			return err
		}
	}
	return nil
}

// schedule makes the scheduler of sources, which is itself one for /metrics.
func (s *system) schedule(to collectors.Sink) {
	s.scheduler = collectors.NewScheduler(collectors.Options{Sink: to, Logger: s.log})
	s.metrics.sources = append(s.metrics.sources, s.scheduler.Page)
}

// addKafka schedules the source that speaks a cluster's own protocol; o says what is not in the configuration.
func (s *system) addKafka(cl ClusterConfig, o kafka.Options, every time.Duration) error {
	o.Cluster, o.Kind, o.Brokers, o.Security = cl.Name, "kafka", cl.Brokers, cl.security()
	if cl.Events != "" { // a Streamkeeper broker
		o.Kind, o.Facts = "embedded", map[string]bool{"tiering": true}
	}
	k, err := kafka.New(o)
	if err != nil {
		return fmt.Errorf("cluster %s: %w", cl.Name, err)
	}
	s.connections = append(s.connections, k)
	s.metrics.sources = append(s.metrics.sources, k.Page)
	s.scheduler.Add(k, every, cl.Name)
	return nil
}

// interval is how often a cluster is read.
func (c *Config) interval(cl ClusterConfig) time.Duration {
	switch {
	case cl.Scrape.Duration > 0:
		return cl.Scrape.Duration
	case cl.Events != "": // a Streamkeeper broker can be read as often as our own
		return c.Diagnose.Tick.Duration
	case cl.Probe.Enabled:
		return probedInterval
	default:
		return foreignInterval
	}
}

// unkept is a sink that keeps nothing.
type unkept struct{}

func (unkept) Samples(context.Context, []streamkeeper.Sample) error { return nil }

func (unkept) Events(context.Context, []streamkeeper.Event, streamkeeper.Watermark) error { return nil }

func (unkept) Inventory(context.Context, streamkeeper.Inventory) error { return nil }
