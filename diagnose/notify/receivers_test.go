package notify

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// hook is a server that remembers requests and answers with a status.
type hook struct {
	status int
	bodies []string
	keys   []string
	path   string
	auth   string
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h.bodies = append(h.bodies, string(body))
	h.keys = append(h.keys, r.Header.Get("Idempotency-Key"))
	h.path, h.auth = r.Method+" "+r.URL.Path, r.Header.Get("Authorization")
	w.WriteHeader(h.status)
	_, _ = io.WriteString(w, "as you say")
}

func serve(t *testing.T, status int) (*hook, string) {
	t.Helper()
	h := &hook{status: status}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return h, s.URL
}

func TestWebhook(t *testing.T) {
	h, url := serve(t, http.StatusAccepted)
	w, err := NewWebhook(url+"/hook", http.Header{"Authorization": {"Bearer x"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	in := incident("A", streamkeeper.IncidentOpen, 0)
	for range 2 {
		if err := w.Send(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	var out streamkeeper.Incident
	if err := json.Unmarshal([]byte(h.bodies[0]), &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, out); diff != "" {
		t.Errorf("the body is another incident:\n%s", diff)
	}
	if out.Schema != "streamkeeper.incident/v1" || h.path != "POST /hook" || h.auth != "Bearer x" {
		t.Errorf("schema %q, %s, authorization %q", out.Schema, h.path, h.auth)
	}
	if h.keys[0] == "" || h.keys[0] != h.keys[1] {
		t.Errorf("keys of two tries: %q", h.keys)
	}
	later := incident("A", streamkeeper.IncidentUpdated, 1)
	if err := w.Send(t.Context(), later); err != nil || h.keys[2] == h.keys[0] {
		t.Errorf("key of an update %q (%v) is that of the opening", h.keys[2], err)
	}
}

func TestStatusDecidesAboutTryingAgain(t *testing.T) {
	for status, permanent := range map[int]bool{
		400: true, 401: true, 404: true, 408: false, 429: false, 500: false, 503: false, 301: false,
	} {
		_, url := serve(t, status)
		w, err := NewWebhook(url, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = w.Send(t.Context(), incident("A", streamkeeper.IncidentOpen, 0))
		if err == nil || errors.Is(err, ErrPermanent) != permanent {
			t.Errorf("status %d: %v, want permanent %v", status, err, permanent)
		}
	}
}

func TestURLs(t *testing.T) {
	for _, url := range []string{"", "hook", "ftp://host/x", "http://"} {
		if _, err := NewWebhook(url, nil, nil); err == nil {
			t.Errorf("%q is taken for a webhook", url)
		}
	}
	w, err := NewWebhook("https://user:secret@host.example/path?token=t", nil, nil)
	if err != nil || strings.Contains(w.Name(), "secret") || strings.Contains(w.Name(), "token") {
		t.Errorf("name %q tells secrets (%v)", w.Name(), err)
	}
}

func TestAlertmanager(t *testing.T) {
	h, url := serve(t, http.StatusOK)
	now := noon.Add(10 * time.Minute)
	a, err := NewAlertmanager(url+"/", nil, nil, time.Minute, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	send := func(i streamkeeper.Incident) alert {
		t.Helper()
		if err := a.Send(t.Context(), i); err != nil {
			t.Fatal(err)
		}
		var got []alert
		if err := json.Unmarshal([]byte(h.bodies[len(h.bodies)-1]), &got); err != nil || len(got) != 1 {
			t.Fatalf("body %q: %v", h.bodies[len(h.bodies)-1], err)
		}
		return got[0]
	}
	open := send(incident("A", streamkeeper.IncidentOpen, 0))
	if h.path != "POST /api/v2/alerts" || !open.StartsAt.Equal(noon) || !open.EndsAt.Equal(now.Add(3*time.Minute)) {
		t.Errorf("%s from %s to %s", h.path, open.StartsAt, open.EndsAt)
	}
	if open.Annotations["summary"] != "orders is late" || open.Annotations["advice"] != "1. max.poll.records = 96" {
		t.Errorf("annotations %v", open.Annotations)
	}
	changed := incident("A", streamkeeper.IncidentUpdated, 1)
	changed.Root.Cause, changed.Headline = "poison", "orders is later"
	if got := send(changed); cmp.Diff(open.Labels, got.Labels) != "" {
		t.Errorf("labels changed with the cause: %v, %v", open.Labels, got.Labels)
	}
	done := incident("A", streamkeeper.IncidentResolved, 5)
	if got := send(done); !got.EndsAt.Equal(*done.ResolvedAt) || cmp.Diff(open.Labels, got.Labels) != "" {
		t.Errorf("resolved: ends at %s, labels %v", got.EndsAt, got.Labels)
	}
}

func TestAlertmanagerOwners(t *testing.T) {
	a := &Alertmanager{every: time.Minute, now: func() time.Time { return noon }}
	i := incident("A", streamkeeper.IncidentOpen, 0)
	i.Owners = []string{"data", "payments"}
	if got := a.alert(i); got.Labels["owner"] != "" || got.Annotations["owners"] != "data, payments" {
		t.Errorf("labels %v, annotations %v", got.Labels, got.Annotations)
	}
	i.Owner = "payments"
	if got := a.alert(i); got.Labels["owner"] != "payments" {
		t.Errorf("labels %v", got.Labels)
	}
}

func TestRollupBodies(t *testing.T) {
	r := streamkeeper.Rollup{
		Schema: streamkeeper.RollupSchema, ID: "rollup-c-1", Cluster: "c", At: noon, Next: noon.Add(time.Hour), Count: 3,
		Reason: streamkeeper.UntoldBudget, Severity: streamkeeper.SeverityCritical, Headline: "3 incidents of c held back",
		Held: []streamkeeper.HeldBack{
			{Cause: "broker_down", Owner: "kafka", Count: 2, Severity: streamkeeper.SeverityCritical, Incidents: []streamkeeper.HeldIncident{{ID: "A", Headline: "orders is late"}, {ID: "B", Headline: "billing is late"}}},
			{Cause: "poison_message", Count: 1, Severity: streamkeeper.SeverityWarning, Incidents: []streamkeeper.HeldIncident{{ID: "C", Headline: "etl stands still"}}},
		},
	}
	h, url := serve(t, http.StatusOK)
	w, err := NewWebhook(url, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.SendRollup(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	var got streamkeeper.Rollup
	if err := json.Unmarshal([]byte(h.bodies[0]), &got); err != nil || cmp.Diff(r, got) != "" || h.keys[0] != r.ID {
		t.Errorf("%v, key %q, body %s", err, h.keys[0], h.bodies[0])
	}
	a, err := NewAlertmanager(url, nil, nil, 0, func() time.Time { return noon })
	if err != nil {
		t.Fatal(err)
	}
	if err := a.SendRollup(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	var alerts []alert
	if err := json.Unmarshal([]byte(h.bodies[1]), &alerts); err != nil || len(alerts) != 1 {
		t.Fatalf("%v: %s", err, h.bodies[1])
	}
	if al := alerts[0]; !al.EndsAt.Equal(r.Next) || al.Labels["severity"] != "critical" || !strings.Contains(al.Annotations["description"], "2 × broker_down, owner kafka\n  orders is late") {
		t.Errorf("alert %+v", al)
	}
}
