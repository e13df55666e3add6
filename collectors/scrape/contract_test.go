package scrape

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/streamkeeper-io/streamkeeper/collectors/collectortest"
)

func TestContract(t *testing.T) {
	collectortest.Run(t, func(t *testing.T) collectortest.Subject {
		var state atomic.Int32
		release := make(chan struct{})
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch collectortest.State(state.Load()) {
			case collectortest.Fails:
				w.WriteHeader(http.StatusInternalServerError)
			case collectortest.Hangs:
				select {
				case <-release:
				case <-r.Context().Done():
				}
			default:
				w.Write([]byte("requests_total{api=\"fetch\"} 7\nopen 3\n"))
			}
		}))
		t.Cleanup(server.Close)
		t.Cleanup(func() { close(release) })
		c, err := New(Options{Cluster: "c", URL: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		return collectortest.Subject{Collector: c, Cluster: "c", Source: func(s collectortest.State) { state.Store(int32(s)) }}
	})
}
