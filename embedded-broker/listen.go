package broker

import (
	"errors"
	"net"
	"time"
)

// accept takes connections until the listener is closed.
func (b *Broker) accept() {
	for {
		nc, err := b.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of file descriptors, most likely: connections that end will free some.
			b.log.Warn("accepting a connection failed", "error", err)
			select {
			case <-b.ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		c := newConn(b, nc)
		if reason := b.conns.add(c); reason != "" {
			b.telemetry.refused(reason)
			b.log.Warn("connection refused", "remote", nc.RemoteAddr().String(), "reason", reason)
			nc.Close()
			continue
		}
		b.running.Go(c.serve)
	}
}
