package remotewrite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/prompb"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

var now = time.Unix(1_700_000_000, 0).UTC()

// kept is a sink that remembers, or fails.
type kept struct {
	mu      sync.Mutex
	samples []streamkeeper.Sample
	err     error
}

func (k *kept) Samples(_ context.Context, samples []streamkeeper.Sample) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		k.samples = append(k.samples, samples...)
	}
	return k.err
}

func receiver(sink Sink, change func(*Options), clusters ...string) *Receiver {
	o := Options{Sink: sink, Clusters: func() []string { return clusters }, Limits: DefaultLimits(), Now: func() time.Time { return now }}
	if change != nil {
		change(&o)
	}
	return NewReceiver(o)
}

// one is a series with one sample; labels are pairs.
func one(metric string, v float64, at time.Time, labels ...string) prompb.TimeSeries {
	ts := prompb.TimeSeries{Labels: []prompb.Label{{Name: "__name__", Value: metric}}, Samples: []prompb.Sample{{Value: v, Timestamp: at.UnixMilli()}}}
	for i := 0; i < len(labels); i += 2 {
		ts.Labels = append(ts.Labels, prompb.Label{Name: labels[i], Value: labels[i+1]})
	}
	return ts
}

func push(t *testing.T, r http.Handler, path string, header http.Header, series ...prompb.TimeSeries) *httptest.ResponseRecorder {
	t.Helper()
	body, err := (&prompb.WriteRequest{Timeseries: series}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return post(r, path, header, snappy.Encode(nil, body))
}

func post(r http.Handler, path string, header http.Header, body []byte) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "snappy")
	for name, values := range header {
		req.Header[name] = values
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w
}

const path = "/prometheus/api/v1/write"

// Whose a series is, is told by the address, the tenant, a label, or there being one cluster only.
func TestReceiver_NamesTheCluster(t *testing.T) {
	for _, test := range []struct {
		name     string
		path     string
		tenant   string
		labels   []string
		clusters []string
		want     string
	}{
		{"the address", path + "?cluster=eu", "", []string{"kafka_cluster", "us"}, []string{"eu", "us"}, "eu"},
		{"the tenant", path, "us", nil, []string{"eu", "us"}, "us"},
		{"its label", path, "", []string{"kafka_cluster", "us"}, []string{"eu", "us"}, "us"},
		{"the Kubernetes cluster is no Kafka cluster", path, "", []string{"cluster", "k8s", "strimzi_io_cluster", "eu"}, []string{"eu", "us"}, "eu"},
		{"the only one", path, "anonymous", []string{"cluster", "k8s"}, []string{"eu"}, "eu"},
		{"nobody", path, "", []string{"kafka_cluster", "asia"}, []string{"eu", "us"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var sink kept
			r := receiver(&sink, nil, test.clusters...)
			header := http.Header{}
			if test.tenant != "" {
				header.Set("X-Scope-OrgID", test.tenant)
			}
			if w := push(t, r, test.path, header, one("up", 1, now, test.labels...)); w.Code != http.StatusNoContent {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			switch {
			case test.want == "" && len(sink.samples) > 0:
				t.Errorf("kept %+v", sink.samples)
			case test.want != "" && (len(sink.samples) != 1 || sink.samples[0].Labels["cluster"] != test.want || sink.samples[0].Metric != "up" || !sink.samples[0].At.Equal(now)):
				t.Errorf("kept %+v, want cluster %s", sink.samples, test.want)
			}
		})
	}
}

// What is over a limit is refused with the status that senders expect; what is good beside it is kept.
func TestReceiver_Refuses(t *testing.T) {
	good := one("up", 1, now)
	long := strings.Repeat("x", 5000)
	many := make([]string, 0, 200)
	for i := range 100 {
		many = append(many, fmt.Sprintf("l%d", i), "v")
	}
	for _, test := range []struct {
		name   string
		status int
		want   string
		kept   int
		ask    func(r http.Handler) *httptest.ResponseRecorder
	}{
		{"no POST", 405, "POST", 0, func(r http.Handler) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			return w
		}},
		{"JSON", 415, "content-type", 0, func(r http.Handler) *httptest.ResponseRecorder {
			return post(r, path, http.Header{"Content-Type": {"application/json"}}, []byte("{}"))
		}},
		{"zstd", 415, "want snappy", 0, func(r http.Handler) *httptest.ResponseRecorder {
			return post(r, path, http.Header{"Content-Encoding": {"zstd"}}, []byte("x"))
		}},
		{"garbage", 400, "reading the write request", 0, func(r http.Handler) *httptest.ResponseRecorder {
			return post(r, path, nil, []byte("\xff\xff\xff\x01garbage"))
		}},
		{"no protobuf", 400, "malformed", 0, func(r http.Handler) *httptest.ResponseRecorder {
			return post(r, path, nil, snappy.Encode(nil, []byte("\x0a\xff\xff")))
		}},
		{"a bomb", 413, "decompressed", 0, func(r http.Handler) *httptest.ResponseRecorder {
			return post(r, path, nil, snappy.Encode(nil, make([]byte, 33<<20)))
		}},
		{"a large body", 413, "larger than", 0, func(r http.Handler) *httptest.ResponseRecorder { return post(r, path, nil, make([]byte, 9<<20)) }},
		{"no name", 400, "no name", 1, func(r http.Handler) *httptest.ResponseRecorder {
			return push(t, r, path, nil, prompb.TimeSeries{Samples: good.Samples}, good)
		}},
		{"a label twice", 400, "twice", 1, func(r http.Handler) *httptest.ResponseRecorder {
			return push(t, r, path, nil, one("up", 1, now, "a", "1", "a", "2"), good)
		}},
		{"no UTF-8", 400, "UTF-8", 1, func(r http.Handler) *httptest.ResponseRecorder {
			return push(t, r, path, nil, one("up", 1, now, "a", "\xff"), good)
		}},
		{"a long value", 400, "longer than", 1, func(r http.Handler) *httptest.ResponseRecorder {
			return push(t, r, path, nil, one("up", 1, now, "a", long), good)
		}},
		{"many labels", 400, "labels", 1, func(r http.Handler) *httptest.ResponseRecorder {
			return push(t, r, path, nil, one("up", 1, now, many...), good)
		}},
		{"an old sample", 400, "too old", 1, func(r http.Handler) *httptest.ResponseRecorder {
			return push(t, r, path, nil, one("up", 1, now.Add(-7*time.Hour)), good)
		}},
		{"a future sample", 400, "future", 1, func(r http.Handler) *httptest.ResponseRecorder {
			return push(t, r, path, nil, one("up", 1, now.Add(time.Hour)), good)
		}},
		{"a conclusion of ours", 204, "", 1, func(r http.Handler) *httptest.ResponseRecorder {
			return push(t, r, path, nil, one("streamkeeper_group_lag_seconds", 1, now, "group", "g"), good)
		}},
		{"what a broker of ours measured", 204, "", 1, func(r http.Handler) *httptest.ResponseRecorder {
			return push(t, r, path, nil, one("streamkeeper_broker_up", 1, now))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var sink kept
			r := receiver(&sink, nil, "eu")
			w := test.ask(r)
			if w.Code != test.status || !strings.Contains(w.Body.String(), test.want) {
				t.Errorf("%d %.300s, want %d %q", w.Code, w.Body, test.status, test.want)
			}
			if len(sink.samples) != test.kept {
				t.Errorf("kept %+v", sink.samples)
			}
		})
	}
}

func TestReceiver_BoundsSeriesAndSamples(t *testing.T) {
	var sink kept
	clock := now
	r := receiver(&sink, func(o *Options) {
		o.Limits.Series, o.Limits.Samples = 2, 4
		o.Now = func() time.Time { return clock }
	}, "eu")
	if w := push(t, r, path, nil, one("a", 1, now), one("b", 1, now), one("c", 1, now)); w.Code != 400 || !strings.Contains(w.Body.String(), "more than 2 series") || len(sink.samples) != 2 {
		t.Errorf("%d %s, kept %d", w.Code, w.Body, len(sink.samples))
	}
	clock = clock.Add(2 * time.Hour) // they have ended
	if w := push(t, r, path, nil, one("c", 1, clock)); w.Code != 204 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	many := one("c", 1, clock)
	for range 5 {
		many.Samples = append(many.Samples, prompb.Sample{Timestamp: clock.UnixMilli()})
	}
	if w := push(t, r, path, nil, many); w.Code != 400 || !strings.Contains(w.Body.String(), "more than 4 samples") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Senders try again what failed here, and not what would fail again.
func TestReceiver_StoreFails(t *testing.T) {
	full, tooMany := errors.New("no space left"), errors.New("too many series")
	for err, status := range map[error]int{full: 500, tooMany: 400} {
		r := receiver(&kept{err: err}, func(o *Options) { o.Final = func(e error) bool { return errors.Is(e, tooMany) } }, "eu")
		if w := push(t, r, path, nil, one("up", 1, now)); w.Code != status || !strings.Contains(w.Body.String(), err.Error()) {
			t.Errorf("%v: %d %s", err, w.Code, w.Body)
		}
	}
}

// While others are read a sender is asked to try again, with a status that it does try again.
func TestReceiver_Busy(t *testing.T) {
	r := receiver(&kept{}, func(o *Options) { o.Limits.Requests, o.Limits.Wait = 1, time.Millisecond }, "eu")
	held := r.bodies.Take(t.Context())
	w := push(t, r, path, nil, one("up", 1, now))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	r.bodies.Return(held)
	if w := push(t, r, path, nil, one("up", 1, now)); w.Code != 204 {
		t.Errorf("then %d", w.Code)
	}
}

// A marker that a series has ended comes through as such.
func TestReceiver_Stale(t *testing.T) {
	var sink kept
	push(t, receiver(&sink, nil, "eu"), path, nil, one("up", collectors.Stale(), now))
	if len(sink.samples) != 1 || !collectors.IsStale(sink.samples[0].Value) {
		t.Errorf("kept %+v", sink.samples)
	}
}

// Of 2.0 the answer tells what was taken; the library's client believes it.
func TestReceiver_Version2(t *testing.T) {
	var sink kept
	r := receiver(&sink, nil, "eu")
	server := httptest.NewServer(r)
	defer server.Close()
	api, err := remote.NewAPI(server.URL, remote.WithAPIPath("prometheus/api/v1/write"))
	if err != nil {
		t.Fatal(err)
	}
	req := requestV2()
	req.Timeseries[0].Samples[0].Timestamp = now.UnixMilli()
	stats, err := api.Write(t.Context(), remote.WriteV2MessageType, req)
	if err != nil || stats.Samples != 1 || stats.Histograms != 0 {
		t.Errorf("%+v, %v", stats, err)
	}
	if len(sink.samples) != 1 || sink.samples[0].Labels["job"] != "kafka" || math.Abs(sink.samples[0].Value-1) > 0 {
		t.Errorf("kept %+v", sink.samples)
	}
	for _, refs := range [][]uint32{{1, 99}, {1, 2, 3}} {
		req.Timeseries[0].LabelsRefs = refs
		if _, err := api.Write(t.Context(), remote.WriteV2MessageType, req); err == nil || !strings.Contains(err.Error(), "400") {
			t.Errorf("refs %v: %v", refs, err)
		}
	}
}

func TestReceiver_MetricsAreClean(t *testing.T) {
	r := receiver(&kept{}, nil, "eu")
	problems, err := testutil.CollectAndLint(r)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}
