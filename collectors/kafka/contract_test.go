package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/streamkeeper-io/streamkeeper/collectors/collectortest"
)

func TestContract(t *testing.T) {
	collectortest.Run(t, func(t *testing.T) collectortest.Subject {
		l := newLab(t, 1, Options{}, kfake.SeedTopics(2, "orders"))
		l.produce("orders", 0, 10)
		l.commit("billing", "orders", map[int32]int64{0: 4, 1: 0})
		return collectortest.Subject{
			Collector: l.collector, Cluster: "c", Mark: true,
			Source: collectortest.Cluster(t, l.cluster),
		}
	})
}
