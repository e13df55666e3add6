package broker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/streamkeeper-io/streamkeeper/engine"
)

// GroupOptions bound what members may ask for.
type GroupOptions struct {
	MinSessionTimeout     time.Duration // 0 = 6 s
	MaxSessionTimeout     time.Duration // 0 = 30 min
	InitialRebalanceDelay time.Duration // 0 = none
}

// groups coordinates consumer groups.
type groups struct{}

func newGroups(*Broker, GroupOptions) *groups { return &groups{} }

// groupAPIs are the rows of the group APIs.
func groupAPIs() []api { return nil }

// fetchArrived is told when a Fetch asks for a partition, before it is served.
func (g *groups) fetchArrived(c *conn, topic string, partition int32, offset int64) {}

// fetched is told when a Fetch was served records of a partition. backlog: more records lay behind those served.
func (g *groups) fetched(c *conn, topic string, partition int32, offset, records int64, bytes int, tier engine.Tier, backlog bool) {
}

// connClosed is told when a connection is gone.
func (g *groups) connClosed(c *conn) {}

// close stops the coordinator's timers; members are not removed.
func (g *groups) close() {}

// collect sends the groups' metrics.
func (g *groups) collect(ch chan<- prometheus.Metric) {}
