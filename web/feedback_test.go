package web

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/streamkeeper-io/streamkeeper"
)

type fakeIncidents []streamkeeper.Incident

func (f fakeIncidents) Incidents(context.Context, string, streamkeeper.IncidentState, int) ([]streamkeeper.Incident, error) {
	return f, nil
}

func (f fakeIncidents) Incident(_ context.Context, id string) (streamkeeper.Incident, bool, error) {
	for _, i := range f {
		if i.ID == id {
			return i, true, nil
		}
	}
	return streamkeeper.Incident{}, false, nil
}

type fakeRules []Rule

func (f fakeRules) Rules() []Rule { return f }

func TestFeedback(t *testing.T) {
	orders := streamkeeper.Entity{Kind: streamkeeper.KindGroup, Name: "orders", Cluster: "local"}
	one := streamkeeper.Incident{ID: "A", Cluster: "local", Root: streamkeeper.Finding{
		Cause: "slow", Entity: orders, Evidence: []streamkeeper.Evidence{{ID: "records_slow", Text: "each record takes long"}},
	}}
	set := streamkeeper.Incident{ID: "B", Cluster: "local", Root: streamkeeper.Finding{Cause: "slow", Causes: []string{"slow", "stuck"}, Entity: orders}}
	actions := &fakeActions{}
	s := server(Options{
		Actions: actions, Incidents: fakeIncidents{one, set},
		Rules: fakeRules{{ID: "slow", Kind: "cause"}, {ID: "stuck", Kind: "cause"}, {ID: "poison", Kind: "cause"}, {ID: "lag_growth", Kind: "symptom"}},
	})
	for _, c := range []struct {
		name, path, body string
		status           int
		want             string
	}{
		{"it was another cause", "A", `{"was":"poison","note":"a bad record","by":"ana"}`, 201, `"wrong":true`},
		{"none that is known", "A", `{"was":"other"}`, 201, `"wrong":true`},
		{"it was what was told", "A", `{"was":"slow"}`, 201, `"wrong":false`},
		{"it was one of the set", "B", `{"was":"stuck"}`, 201, `"wrong":false`},
		{"no such cause", "A", `{"was":"gremlins"}`, 400, "no such cause"},
		{"a symptom is no cause", "A", `{"was":"lag_growth"}`, 400, "no such cause"},
		{"says nothing", "A", `{}`, 400, "was:"},
		{"an unknown key", "A", `{"was":"slow","cause":"x"}`, 400, "cause"},
		{"a novel", "A", `{"was":"slow","note":"` + strings.Repeat("x", maxNote+1) + `"}`, 400, "note:"},
		{"no such incident", "Z", `{"was":"slow"}`, 404, "no incident"},
	} {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest("POST", "/api/v1/incidents/"+c.path+"/feedback", strings.NewReader(c.body)))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) || strings.Contains(w.Body.String(), "seen") {
			t.Errorf("%s: %d %s, want %d with %q", c.name, w.Code, w.Body, c.status, c.want)
		}
	}
	if len(actions.feedback) != 4 || actions.feedback[0].Seen == nil || actions.feedback[0].Seen.Root.Evidence[0].ID != "records_slow" || actions.feedback[0].Entity != "group/orders@local" {
		t.Fatalf("kept %+v", actions.feedback)
	}
	for path, want := range map[string]string{"/api/v1/incidents/A": `"note":"a bad record"`, "/api/v1/feedback?cluster=local": `"records_slow"`} {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	r := httptest.NewRequest("POST", "/api/v1/incidents/A/feedback", strings.NewReader(`{"was":"slow"}`))
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	if s.Handler().ServeHTTP(w, r); w.Code != 403 {
		t.Errorf("another site's page may say what an incident was: %d", w.Code)
	}
}
