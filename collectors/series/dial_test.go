package series

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// dial serves a store as a foreign Prometheus and connects to it.
func dial(t *testing.T, handler http.Handler) *Remote {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	r, err := Dial(RemoteOptions{URL: server.URL + "/prometheus/api/v1/", Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCopyFrom(t *testing.T) {
	foreign, own := memory(t), memory(t)
	load(t, foreign, "kafka_topic_partition_current_offset", map[string]string{"kafka_cluster": "a", "topic": "orders", "partition": "0"}, 0, 15, strings.Repeat("7 ", 200))
	load(t, foreign, "kafka_topic_partition_current_offset", map[string]string{"kafka_cluster": "b", "topic": "orders", "partition": "0"}, 0, 15, "8")
	remote := dial(t, foreign.Handler())
	sel := Selection{
		Metrics: []string{"kafka_topic_partition_current_offset", "kafka_brokers"},
		Match:   map[string]string{"kafka_cluster": "a"}, Set: map[string]string{"cluster": "a"},
	}
	got, err := own.CopyFrom(t.Context(), remote, sel, at(-1), at(3000))
	if err != nil {
		t.Fatal(err)
	}
	if got.Series != 1 || got.Samples != 200 || got.Step != 15*time.Second || !got.Oldest.Equal(at(0)) || !got.Newest.Equal(at(199*15)) {
		t.Errorf("copied %+v", got)
	}
	points := read(t, own, at(200*15), streamkeeper.Query{ID: "q", Kind: streamkeeper.QueryInstant, Expr: `kafka_topic_partition_current_offset{cluster="a"}`})
	if len(points) != 1 || points[0].Value != 7 || points[0].Age != 15*time.Second {
		t.Errorf("copied points %+v", points)
	}
	if again, err := own.CopyFrom(t.Context(), remote, sel, at(-1), at(3000)); err != nil || again.Samples != 0 && again.Samples != 200 {
		t.Errorf("copying twice: %+v, %v", again, err)
	}
}

func TestRemote_Count(t *testing.T) {
	foreign := memory(t)
	for _, cluster := range []string{"a", "b", "b"} {
		for _, p := range []string{"0", "1"} {
			load(t, foreign, "ends", map[string]string{"kafka_cluster": cluster, "partition": p}, 0, 15, "7")
		}
	}
	rows, err := dial(t, foreign.Handler()).Count(t.Context(), at(1), []string{"ends", "nothing"}, []string{"__name__", "kafka_cluster"})
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 2 || rows[0].N != 2 || rows[0].Labels["__name__"] != "ends" {
		t.Errorf("rows %+v", rows)
	}
}

// TestRemote_ErrorsSayWhatToDo: each failure that users meet on their first day.
func TestRemote_ErrorsSayWhatToDo(t *testing.T) {
	status := func(code int, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, body, code) })
	}
	for name, c := range map[string]struct {
		handler http.Handler
		want    []string
	}{
		"refused":      {status(http.StatusUnauthorized, "who are you"), []string{"does not let us in", "token file"}},
		"forbidden":    {status(http.StatusForbidden, "no"), []string{"does not let us in"}},
		"wrong path":   {status(http.StatusNotFound, "nothing here"), []string{"Prometheus HTTP API", "/select/0/prometheus"}},
		"a web page":   {status(http.StatusOK, "<html>hello</html>"), []string{"Prometheus HTTP API"}},
		"too much":     {status(http.StatusUnprocessableEntity, `{"status":"error","errorType":"execution","error":"query processing would load too many samples"}`), []string{"limits", "one cluster"}},
		"out of order": {status(http.StatusServiceUnavailable, "starting"), []string{"answered an error"}},
		"asleep": {http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm() // a server notices that its client went only when it has read the request
			<-r.Context().Done()
		}), []string{"did not answer within"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := dial(t, c.handler).Count(t.Context(), at(0), []string{"x"}, []string{"job"})
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\ndoes not say %q", err, want)
				}
			}
		})
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	r, err := Dial(RemoteOptions{URL: gone.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Count(t.Context(), at(0), []string{"x"}, nil); err == nil || !strings.Contains(err.Error(), "no Prometheus answers") {
		t.Errorf("unreachable: %v", err)
	}
	for _, bad := range []string{"", "prometheus:9090", "ftp://x", "http://"} {
		if _, err := Dial(RemoteOptions{URL: bad}); err == nil {
			t.Errorf("%q was taken for an address", bad)
		}
	}
}

// TestRemote_AsksTwoAtOnce: somebody else's Prometheus has other users.
func TestRemote_AsksTwoAtOnce(t *testing.T) {
	var now, most atomic.Int32
	release := make(chan struct{})
	remote := dial(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-release
		http.Error(w, "no", http.StatusTeapot)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	for range 6 {
		go func() {
			_, err := remote.Count(ctx, at(0), []string{"x"}, nil)
			done <- err
		}()
	}
	for range 6 {
		select {
		case release <- struct{}{}:
			<-done
		case err := <-done:
			t.Fatal(err)
		}
	}
	cancel()
	if most.Load() > remoteQueries {
		t.Errorf("%d queries at once, at most %d", most.Load(), remoteQueries)
	}
}

// TestFollower: only what is new is copied, also where the asked spans overlap, and what comes late is found.
func TestFollower(t *testing.T) {
	foreign, own := memory(t), memory(t)
	labels := map[string]string{"kafka_cluster": "a", "topic": "orders", "partition": "0"}
	load(t, foreign, "ends", labels, 0, 15, "1 2 3 4")
	load(t, foreign, "commits", map[string]string{"kafka_cluster": "a", "group": "g"}, 0, 15, "1 2")
	f := own.Follow(dial(t, foreign.Handler()), Selection{Metrics: []string{"ends", "commits"}, Match: map[string]string{"kafka_cluster": "a"}, Set: map[string]string{"cluster": "a"}})
	copied := func(from, to float64) Copied {
		t.Helper()
		got, err := f.Copy(t.Context(), at(from), at(to))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := copied(-1, 60); got.Samples != 6 || !got.Newest.Equal(at(45)) {
		t.Errorf("at first %+v", got)
	}
	if got := copied(30, 75); got.Samples != 0 {
		t.Errorf("nothing came: %+v", got)
	}
	load(t, foreign, "ends", labels, 60, 15, "5 6")
	load(t, foreign, "commits", map[string]string{"kafka_cluster": "a", "group": "g"}, 60, 15, "5") // comes after we asked for 75
	if got := copied(45, 90); got.Samples != 3 || got.Step != 15*time.Second {
		t.Errorf("then %+v", got)
	}
	points := read(t, own, at(76), streamkeeper.Query{ID: "q", Kind: streamkeeper.QueryInstant, Expr: `ends{cluster="a"}`})
	if len(points) != 1 || points[0].Value != 6 {
		t.Errorf("points %+v", points)
	}
	if newest, err := own.Newest(t.Context(), "ends", map[string]string{"cluster": "a"}, at(0)); err != nil || !newest.Equal(at(75)) {
		t.Errorf("newest %s, %v", newest, err)
	}
	if newest, err := own.Newest(t.Context(), "ends", nil, at(80)); err != nil || !newest.IsZero() {
		t.Errorf("newest since then %s, %v", newest, err)
	}
}

func TestRemote_Pace(t *testing.T) {
	foreign := memory(t)
	load(t, foreign, "ends", map[string]string{"kafka_cluster": "a", "partition": "0"}, 0, 20, strings.Repeat("7 ", 20))
	load(t, foreign, "ends", map[string]string{"kafka_cluster": "b", "partition": "0"}, 0, 5, "9")
	r := dial(t, foreign.Handler())
	for cluster, want := range map[string]time.Duration{"a": 20 * time.Second, "b": 0, "c": 0} {
		if got, err := r.Pace(t.Context(), at(250), "ends", map[string]string{"kafka_cluster": cluster}); err != nil || got != want {
			t.Errorf("%s: %s, %v", cluster, got, err)
		}
	}
}
