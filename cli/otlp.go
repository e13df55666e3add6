package cli

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamkeeper-io/streamkeeper/collectors/loki"
	"github.com/streamkeeper-io/streamkeeper/collectors/otlp"
	"github.com/streamkeeper-io/streamkeeper/web"
)

// defaultOTLP is where senders expect OTLP over gRPC.
const defaultOTLP = "127.0.0.1:4317"

// OTLPConfig is OpenTelemetry in.
type OTLPConfig struct {
	Receive bool   `yaml:"receive"`
	Listen  string `yaml:"listen"` // of gRPC; "" = HTTP only
}

// telemetry is what comes in as OTLP. A nil one takes none.
type telemetry struct {
	receiver *otlp.Receiver
	listener net.Listener // of gRPC; nil = HTTP only
}

// wireOTLP mounts the receiver and opens its gRPC door, as the config says. Clusters are added by source. Logs go the way
// that pushed ones go.
func (s *system) wireOTLP(registry *prometheus.Registry, options *web.Options) error {
	if !s.config.OTLP.Receive {
		return nil
	}
	o := otlp.Options{World: s.places.world, Now: time.Now}
	if l := s.doctor.logs; l != nil && l.receiver != nil {
		o.Lines = lines(l.receiver)
	}
	t := &telemetry{receiver: otlp.NewReceiver(o)}
	s.doctor.telemetry = t
	registry.MustRegister(t.receiver)
	for path, handler := range t.receiver.Handlers() {
		options.Mounts[path] = handler
	}
	if s.config.OTLP.Listen == "" {
		return nil
	}
	var err error
	if t.listener, err = net.Listen("tcp", s.config.OTLP.Listen); err != nil {
		if s.config.OTLP.Listen != defaultOTLP {
			return usage(fmt.Errorf("otlp.listen: %w", err))
		}
		// Nobody asked for this port: that a collector has it is no reason not to start.
		s.log.Warn("OTLP is taken over HTTP only", "address", defaultOTLP, "error", err)
		t.listener = nil
	}
	return nil
}

// lines reads log records as if they had been pushed as a Loki's.
func lines(to *loki.Receiver) otlp.Lines {
	return func(wanted string, labels map[string]string, lines []otlp.Line) (int, error) {
		pushed := make([]loki.Pushed, len(lines))
		for i, l := range lines {
			pushed[i] = loki.Pushed{At: l.At, Text: l.Text, Metadata: l.More}
		}
		return to.Take(wanted, labels, pushed)
	}
}

// source is the collector of what one cluster's clients send; nil when none is taken.
func (t *telemetry) source(cluster string) *otlp.Source {
	if t == nil {
		return nil
	}
	return t.receiver.Source(cluster)
}

// run serves gRPC until ctx ends.
func (t *telemetry) run(ctx context.Context) error {
	server := t.receiver.GRPCServer()
	stop := context.AfterFunc(ctx, server.Stop)
	defer stop()
	return server.Serve(t.listener)
}

func (t *telemetry) Close() {
	if t != nil && t.listener != nil {
		_ = t.listener.Close() // it is closed already when it was served
	}
}
