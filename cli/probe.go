package cli

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamkeeper-io/streamkeeper/collectors/probe"
)

// probedInterval is how often a foreign cluster with a probe is read and diagnosed unless its config says otherwise: a tick
// looks one interval back, and a dead path is to be in the report within 30 s.
const probedInterval = 10 * time.Second

// ProbeConfig is the end-to-end probe of a cluster. It writes to the cluster, so it is off unless asked for.
type ProbeConfig struct {
	Enabled bool        `yaml:"enabled"`
	Cases   []ProbeCase `yaml:"cases"`
}

// ProbeCase is a topic of the user's to send records through.
type ProbeCase struct {
	Name    string            `yaml:"name"`
	Topic   string            `yaml:"topic"`
	Size    Bytes             `yaml:"size"`
	Headers map[string]string `yaml:"headers"`
	Group   string            `yaml:"group"`
	Within  Duration          `yaml:"within"`
}

func (c ProbeConfig) cases() []probe.Case {
	out := make([]probe.Case, 0, len(c.Cases))
	for _, k := range c.Cases {
		out = append(out, probe.Case{Name: k.Name, Topic: k.Topic, Size: int(k.Size), Headers: k.Headers, Group: k.Group, Within: k.Within.Duration})
	}
	return out
}

func (c ProbeConfig) validate(bad func(key, format string, args ...any), at string) {
	if err := probe.ValidateCases(c.cases()); err != nil {
		bad(at+".cases", "%w", err)
	}
	if len(c.Cases) > 0 && !c.Enabled {
		bad(at+".enabled", "is off, and there are cases")
	}
}

// addProbe schedules a cluster's probe, if it is asked for.
func (s *system) addProbe(cl ClusterConfig, registry *prometheus.Registry) error {
	if !cl.Probe.Enabled {
		return nil
	}
	client, err := cl.security().Options()
	if err != nil {
		return fmt.Errorf("cluster %s: %w", cl.Name, err)
	}
	p, err := probe.New(probe.Options{Cluster: cl.Name, Brokers: cl.Brokers, Client: client, Cases: cl.Probe.cases()})
	if err != nil {
		return fmt.Errorf("cluster %s: %w", cl.Name, err)
	}
	s.connections = append(s.connections, p)
	registry.MustRegister(p.Metrics())
	s.scheduler.Add(p, probe.DefaultEvery, cl.Name)
	return nil
}
