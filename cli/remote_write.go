package cli

import (
	"errors"
	"net"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamkeeper-io/streamkeeper/collectors"
	"github.com/streamkeeper-io/streamkeeper/collectors/remotewrite"
	"github.com/streamkeeper-io/streamkeeper/collectors/series"
	"github.com/streamkeeper-io/streamkeeper/web"
)

// writePath is where a Prometheus writes to.
const writePath = "/prometheus/api/v1/write"

// RemoteWriteConfig is metrics in, from a Prometheus or an agent, and our own out.
type RemoteWriteConfig struct {
	Receive   bool     `yaml:"receive"`
	ForwardTo string   `yaml:"forward_to"` // a server's remote write address that gets our own metrics
	Every     Duration `yaml:"every"`
}

func (c *RemoteWriteConfig) validate(bad func(key, format string, args ...any), at string) {
	if c.ForwardTo != "" {
		httpURL(bad, at+".forward_to", c.ForwardTo)
	}
	if c.Every.Duration < time.Second {
		bad(at+".every", "%s is too short; 1s or more", c.Every)
	}
}

// wireRemoteWrite mounts the receiver, as the config says.
func (s *system) wireRemoteWrite(registry *prometheus.Registry, options *web.Options) {
	if !s.config.RemoteWrite.Receive {
		return
	}
	r := remotewrite.NewReceiver(remotewrite.Options{
		Sink: collectors.WithoutOwn(s.places), Clusters: s.doctor.watching.names, Now: time.Now,
		Final: func(err error) bool { return errors.Is(err, series.ErrTooManySeries) },
	})
	registry.MustRegister(r)
	options.Mounts[writePath] = r
}

// wireForward makes what pushes our own metrics, as the config says.
func (s *system) wireForward(registry *prometheus.Registry, all prometheus.Gatherer, address string) error {
	c := s.config.RemoteWrite
	if c.ForwardTo == "" {
		return nil
	}
	var err error
	s.forwarder, err = remotewrite.NewSender(remotewrite.SenderOptions{
		URL: c.ForwardTo, Every: c.Every.Duration, Gatherer: all, Logger: s.log,
		Labels: map[string]string{"job": "streamkeeper", "instance": instance(address)},
	})
	if err == nil {
		registry.MustRegister(s.forwarder)
	}
	return err
}

// instance names this process among others: loopback is every machine's.
func instance(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() && !ip.IsUnspecified() {
		return address
	}
	name, err := os.Hostname()
	if err != nil {
		return address
	}
	return net.JoinHostPort(name, port)
}
