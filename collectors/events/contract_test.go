package events

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/streamkeeper-io/streamkeeper/collectors/collectortest"
)

func TestContract(t *testing.T) {
	collectortest.Run(t, func(t *testing.T) collectortest.Subject {
		fake := &fakeRing{}
		fake.set(0, 20, event(1, 10, "member_left"), event(2, 15, "member_joined"))
		var state atomic.Int32
		release := make(chan struct{})
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch collectortest.State(state.Load()) {
			case collectortest.Fails:
				w.WriteHeader(http.StatusServiceUnavailable)
			case collectortest.Hangs:
				select {
				case <-release:
				case <-r.Context().Done():
				}
			default:
				fake.ServeHTTP(w, r)
			}
		}))
		t.Cleanup(server.Close)
		t.Cleanup(func() { close(release) })
		return collectortest.Subject{
			Collector: NewRing(RingOptions{Cluster: "c", URL: server.URL}), Cluster: "c", Mark: true,
			Source: func(s collectortest.State) { state.Store(int32(s)) },
		}
	})
}
