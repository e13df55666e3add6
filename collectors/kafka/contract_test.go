package kafka

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper/collectors/collectortest"
)

func TestContract(t *testing.T) {
	collectortest.Run(t, func(t *testing.T) collectortest.Subject {
		l := newLab(t, 1, Options{}, kfake.SeedTopics(2, "orders"))
		l.produce("orders", 0, 10)
		l.commit("billing", "orders", map[int32]int64{0: 4, 1: 0})
		var state atomic.Int32
		release := make(chan struct{})
		l.cluster.Control(func(kmsg.Request) (kmsg.Response, error, bool) {
			l.cluster.KeepControl()
			switch collectortest.State(state.Load()) {
			case collectortest.Fails:
				return nil, errors.New("closed"), true
			case collectortest.Hangs:
				l.cluster.SleepControl(func() { <-release })
				return nil, errors.New("closed"), true
			default:
				return nil, nil, false
			}
		})
		t.Cleanup(func() { close(release) })
		return collectortest.Subject{
			Collector: l.collector, Cluster: "c", Mark: true,
			Source: func(s collectortest.State) { state.Store(int32(s)) },
		}
	})
}
