package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

type fakeReports []streamkeeper.Report

func (f fakeReports) Reports() []streamkeeper.Report { return f }

type fakeActions struct {
	all      []Silence
	feedback []streamkeeper.Feedback
}

func (f *fakeActions) Silences(context.Context) ([]Silence, error) { return f.all, nil }
func (f *fakeActions) AddSilence(_ context.Context, s Silence) (Silence, error) {
	s.ID = "1"
	f.all = append(f.all, s)
	return s, nil
}

func (f *fakeActions) RemoveSilence(_ context.Context, id string) (bool, error) {
	found := len(f.all) > 0 && f.all[0].ID == id
	f.all = nil
	return found, nil
}

func (f *fakeActions) AddFeedback(_ context.Context, fb streamkeeper.Feedback) (streamkeeper.Feedback, error) {
	fb.ID, fb.At = "f", noon
	f.feedback = append(f.feedback, fb)
	return fb, nil
}

func (f *fakeActions) FeedbackOn(context.Context, string) ([]streamkeeper.Feedback, error) {
	return f.feedback, nil
}

func (f *fakeActions) Feedback(context.Context, string, int) ([]streamkeeper.Feedback, error) {
	return f.feedback, nil
}

type fakeUpdates chan struct{}

func (f fakeUpdates) Subscribe() (<-chan struct{}, func()) { return f, func() {} }

func server(o Options) *Server {
	o.Logger = slog.New(slog.DiscardHandler)
	o.Now = func() time.Time { return noon }
	if o.Reports == nil {
		o.Reports = fakeReports{{Cluster: streamkeeper.ClusterInfo{Name: "local"}}}
	}
	return New(o)
}

func TestAPI_Answers(t *testing.T) {
	s := server(Options{Actions: &fakeActions{}})
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"all reports", "GET", "/api/v1/reports", "", 200, `"schema":"streamkeeper.reports/v1"`},
		{"a known cluster", "GET", "/api/v1/reports?cluster=local", "", 200, `"name":"local"`},
		{"an unknown cluster is told, not an empty list that looks healthy", "GET", "/api/v1/reports?cluster=x", "", 404, "no report of cluster"},
		{"no incidents kept", "GET", "/api/v1/incidents", "", 404, "keeps no incidents"},
		{"a typo in the API is no page of the dashboard", "GET", "/api/v1/report", "", 404, "no such resource"},
		{"health", "GET", "/-/healthy", "", 200, "healthy"},
		{"ready", "GET", "/-/ready", "", 200, "ready"},
		{"empty lists are arrays, not null", "GET", "/api/v1/recommendations", "", 200, `"recommendations":[]`},
		{"a silence", "POST", "/api/v1/silences", `{"entity":"group/orders@local","until":"2026-01-02T13:00:00Z"}`, 201, `"id":"1"`},
		{"a silence in the past", "POST", "/api/v1/silences", `{"entity":"group/orders@local","until":"2026-01-02T11:00:00Z"}`, 400, "in the future"},
		{"an unknown key", "POST", "/api/v1/silences", `{"entiti":"x"}`, 400, "unknown field"},
		{"a body over the limit", "POST", "/api/v1/silences", `{"entity":"` + strings.Repeat("x", maxBody) + `"}`, 413, "too large"},
		{"end of a silence", "DELETE", "/api/v1/silences/1", "", 204, ""},
		{"a bad method", "PUT", "/api/v1/reports", "", 405, "takes GET"},
		{"a push to a receiver that is not here is not taken", "POST", "/loki/api/v1/push", "{}", 404, "nothing here answers POST"},
		{"a path that is no page", "GET", "/v1/metrics", "", 404, "nothing here answers"},
		{"a bad limit", "GET", "/api/v1/events?limit=0", "", 404, "keeps no events"},
	} {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: got %d %s, want %d with %q", c.name, w.Code, w.Body, c.status, c.want)
		}
	}
}

func TestOpenAPI_NamesEveryRoute(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(openAPIDocument, &doc); err != nil {
		t.Fatal(err)
	}
	s := server(Options{})
	for path, methods := range doc.Paths {
		for method := range methods {
			url := strings.ReplaceAll(path, "{id}", "x")
			if path == "/metrics" {
				continue
			}
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, httptest.NewRequest(strings.ToUpper(method), url, nil))
			if strings.Contains(w.Body.String(), "no such resource") {
				t.Errorf("%s %s is documented but not served", method, path)
			}
		}
	}
}

func TestHandler_RefusesOtherSites(t *testing.T) {
	r := httptest.NewRequest("POST", "/api/v1/silences", strings.NewReader(`{"entity":"group/orders@local","until":"2026-01-02T13:00:00Z"}`))
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	server(Options{Actions: &fakeActions{}}).Handler().ServeHTTP(w, r)
	if w.Code != 403 {
		t.Errorf("a silence from another site's page: got %d, want 403", w.Code)
	}
}

func TestHandler_PanicIsAnErrorNotTheEnd(t *testing.T) {
	s := server(Options{Mounts: map[string]http.Handler{"GET /boom": http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") })}})
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/boom", nil))
	if w.Code != 500 {
		t.Errorf("got %d, want 500", w.Code)
	}
}

func TestServe_StreamsTicksAndStopsCleanly(t *testing.T) {
	ticks := make(fakeUpdates, 1)
	s := server(Options{Updates: ticks})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, s.Handler(), s.o.Logger) }()
	resp, err := http.Get("http://" + l.Addr().String() + "/api/v1/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for n := range 2 { // the snapshot, then the tick's
		if n == 1 {
			ticks <- struct{}{}
		}
		for lines.Scan() && lines.Text() != "event: reports" {
			continue
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	cancel() // an open stream must not hold the server back
	if err := <-done; err != nil {
		t.Errorf("serve: %v", err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
}

func TestAPI_SaysWhyThereIsNoReport(t *testing.T) {
	s := server(Options{Reports: fakeReports{}, Ready: func() error { return errors.New("no Prometheus answers at 10.0.0.1:9090") }})
	for path, code := range map[string]int{"/api/v1/reports": 200, "/api/v1/reports?cluster=east": 404} {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != code || !strings.Contains(w.Body.String(), "no Prometheus answers at 10.0.0.1:9090") {
			t.Errorf("%s: got %d %q, want %d and the reason", path, w.Code, w.Body, code)
		}
	}
}
