package scrape

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/streamkeeper-io/streamkeeper/collectors"
	"github.com/streamkeeper-io/streamkeeper/collectors/collectortest"
)

func TestContract(t *testing.T) {
	contract(t, func(t *testing.T, url string) collectors.Collector {
		c, err := New(Options{Cluster: "c", URL: url})
		if err != nil {
			t.Fatal(err)
		}
		return c
	})
}

func TestContract_Targets(t *testing.T) {
	contract(t, func(t *testing.T, url string) collectors.Collector {
		path := filepath.Join(t.TempDir(), "targets.json")
		if err := os.WriteFile(path, fmt.Appendf(nil, `[{"targets": [%q]}]`, strings.TrimPrefix(url, "http://")), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := NewTargets(TargetsOptions{Cluster: "c", Files: []string{path}})
		if err != nil {
			t.Fatal(err)
		}
		return c
	})
}

// contract runs the suite over a collector of a target that can be broken.
func contract(t *testing.T, collector func(t *testing.T, url string) collectors.Collector) {
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
		return collectortest.Subject{Collector: collector(t, server.URL), Cluster: "c", Source: func(s collectortest.State) { state.Store(int32(s)) }}
	})
}
