package collectortest

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Cluster makes a fake Kafka cluster a source: the result puts it into a state. What hangs is let go when the test ends.
func Cluster(t testing.TB, cluster *kfake.Cluster) func(State) {
	var state atomic.Int32
	release := make(chan struct{})
	cluster.Control(func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		switch State(state.Load()) {
		case Fails:
			return nil, errors.New("closed"), true
		case Hangs:
			cluster.SleepControl(func() { <-release })
			return nil, errors.New("closed"), true
		default:
			return nil, nil, false
		}
	})
	t.Cleanup(func() { close(release) })
	return func(s State) { state.Store(int32(s)) }
}
