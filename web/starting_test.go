package web

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestStarting_IsAliveButNotReadyUntilItOpens(t *testing.T) {
	var s Starting
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Code, w.Body.String()
	}
	expect := func(path string, code int, text string) {
		t.Helper()
		if c, b := get(path); c != code || !strings.Contains(b, text) {
			t.Errorf("GET %s: %d %q, want %d %q", path, c, b, code, text)
		}
	}
	expect("/-/healthy", 200, "healthy")
	expect("/-/ready", 503, "not ready: starting")
	s.Say("replaying the log: 120 of 300 MiB")
	expect("/-/healthy", 200, "healthy")
	expect("/-/ready", 503, "120 of 300 MiB")
	expect("/api/v1/reports", 503, "120 of 300 MiB")
	s.Open(server(Options{}))
	expect("/-/ready", 200, "ready")
	expect("/api/v1/none", 404, "no such resource")
}
