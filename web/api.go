package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// Bounds of list answers.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

func (s *Server) apiRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/reports", s.reports)
	mux.HandleFunc("GET /api/v1/incidents", s.incidents)
	mux.HandleFunc("GET /api/v1/incidents/{id}", s.incident)
	mux.HandleFunc("POST /api/v1/incidents/{id}/feedback", s.addFeedback)
	mux.HandleFunc("GET /api/v1/feedback", s.feedback)
	mux.HandleFunc("GET /api/v1/recommendations", s.recommendations)
	mux.HandleFunc("GET /api/v1/entities", s.entities)
	mux.HandleFunc("GET /api/v1/topology", s.topology)
	mux.HandleFunc("GET /api/v1/events", s.events)
	mux.HandleFunc("POST /api/v1/deploys", s.deploys)
	mux.HandleFunc("GET /api/v1/rules", s.rules)
	mux.HandleFunc("GET /api/v1/drills", func(w http.ResponseWriter, _ *http.Request) { answer(w, list(s.o.Drills)) })
	mux.HandleFunc("GET /api/v1/silences", s.silences)
	mux.HandleFunc("POST /api/v1/silences", s.addSilence)
	mux.HandleFunc("DELETE /api/v1/silences/{id}", s.removeSilence)
	mux.HandleFunc("GET /api/v1/stream", s.stream)
	mux.HandleFunc("GET /api/v1/version", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]string{"version": s.o.Version})
	})
	mux.HandleFunc("GET /api/v1/openapi.json", openAPI)
}

// deploys hands a body over to who reads it, with its own limits.
func (s *Server) deploys(w http.ResponseWriter, r *http.Request) {
	if s.o.Deploys == nil {
		fail(w, http.StatusNotFound, "this server takes no deploys")
		return
	}
	s.o.Deploys.ServeHTTP(w, r)
}

// snapshot is the reports envelope, of one cluster when it is named.
func (s *Server) snapshot(cluster string) streamkeeper.Reports {
	out := streamkeeper.Reports{Schema: streamkeeper.ReportsSchema, Reports: []streamkeeper.Report{}}
	for _, r := range s.o.Reports.Reports() {
		if cluster == "" || r.Cluster.Name == cluster {
			out.Reports = append(out.Reports, r)
		}
	}
	if len(out.Reports) == 0 && s.o.Ready != nil {
		if err := s.o.Ready(); err != nil {
			out.Waiting = err.Error()
		}
	}
	return out
}

func (s *Server) reports(w http.ResponseWriter, r *http.Request) {
	cluster := r.URL.Query().Get("cluster")
	out := s.snapshot(cluster)
	if cluster != "" && len(out.Reports) == 0 {
		text := fmt.Sprintf("no report of cluster %q yet; GET /api/v1/reports lists those watched", cluster)
		if out.Waiting != "" {
			text = fmt.Sprintf("no report of cluster %q yet: %s", cluster, out.Waiting)
		}
		fail(w, http.StatusNotFound, text)
		return
	}
	answer(w, out)
}

func (s *Server) incidents(w http.ResponseWriter, r *http.Request) {
	if s.o.Incidents == nil {
		fail(w, http.StatusNotFound, "this server keeps no incidents")
		return
	}
	q := r.URL.Query()
	state := streamkeeper.IncidentState(q.Get("state"))
	switch state {
	case "", streamkeeper.IncidentOpen, streamkeeper.IncidentUpdated, streamkeeper.IncidentResolved:
	default:
		fail(w, http.StatusBadRequest, fmt.Sprintf("state %q: want open, updated or resolved", state))
		return
	}
	limit, err := limitOf(r)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	found, err := s.o.Incidents.Incidents(r.Context(), q.Get("cluster"), state, limit)
	if err != nil {
		s.broken(w, "read incidents", err)
		return
	}
	answer(w, map[string]any{"incidents": list(found)})
}

func (s *Server) incident(w http.ResponseWriter, r *http.Request) {
	if s.o.Incidents == nil {
		fail(w, http.StatusNotFound, "this server keeps no incidents")
		return
	}
	found, ok, err := s.o.Incidents.Incident(r.Context(), r.PathValue("id"))
	switch {
	case err != nil:
		s.broken(w, "read incident", err)
	case !ok:
		fail(w, http.StatusNotFound, fmt.Sprintf("no incident %q", r.PathValue("id")))
	default:
		if s.o.Actions != nil {
			if found.Feedback, err = s.o.Actions.FeedbackOn(r.Context(), found.ID); err != nil {
				s.broken(w, "read feedback", err)
				return
			}
		}
		answer(w, found)
	}
}

func (s *Server) recommendations(w http.ResponseWriter, r *http.Request) {
	all := []streamkeeper.Recommendation{}
	for _, rep := range s.snapshot(r.URL.Query().Get("cluster")).Reports {
		all = append(all, rep.Recommendations...)
	}
	answer(w, map[string]any{"recommendations": all})
}

func (s *Server) entities(w http.ResponseWriter, _ *http.Request) {
	all := []streamkeeper.Entity{}
	for _, inv := range s.inventories() {
		c := inv.Cluster.Name
		for _, b := range inv.Brokers {
			all = append(all, streamkeeper.Entity{Kind: streamkeeper.KindBroker, Name: strconv.Itoa(int(b.ID)), Cluster: c})
		}
		for _, t := range inv.Topics {
			all = append(all, streamkeeper.Entity{Kind: streamkeeper.KindTopic, Name: t.Name, Cluster: c})
		}
		for _, g := range inv.Groups {
			all = append(all, streamkeeper.Entity{Kind: streamkeeper.KindGroup, Name: g.Name, Cluster: c})
		}
		for _, st := range inv.Stores {
			all = append(all, streamkeeper.Entity{Kind: streamkeeper.KindStore, Name: st.Name, Cluster: c})
		}
	}
	answer(w, map[string]any{"entities": all})
}

func (s *Server) inventories() []streamkeeper.Inventory {
	if s.o.World == nil {
		return nil
	}
	return s.o.World.Inventories()
}

func (s *Server) topology(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{"clusters": list(s.inventories())})
}

func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	if s.o.Events == nil {
		fail(w, http.StatusNotFound, "this server keeps no events")
		return
	}
	limit, err := limitOf(r)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	q := r.URL.Query()
	var since time.Time
	if t := q.Get("since"); t != "" {
		if since, err = time.Parse(time.RFC3339, t); err != nil {
			fail(w, http.StatusBadRequest, "since: want RFC 3339, as 2026-01-02T15:04:05Z")
			return
		}
	}
	var kinds []string
	if k := q.Get("kind"); k != "" {
		kinds = strings.Split(k, ",")
	}
	answer(w, map[string]any{"events": list(s.o.Events.Recent(q.Get("cluster"), kinds, since, limit))})
}

func (s *Server) rules(w http.ResponseWriter, _ *http.Request) {
	if s.o.Rules == nil {
		fail(w, http.StatusNotFound, "this server has no rules loaded")
		return
	}
	answer(w, map[string]any{"rules": list(s.o.Rules.Rules())})
}

// list makes a nil slice an empty JSON array: a client should not have to tell null from [].
func list[T any](in []T) []T {
	if in == nil {
		return []T{}
	}
	return in
}

func limitOf(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return defaultLimit, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxLimit {
		return 0, fmt.Errorf("limit %q: want a number from 1 to %d", text, maxLimit)
	}
	return n, nil
}

func decode(w http.ResponseWriter, r *http.Request, into any) error {
	// The recorder of tests has no deadlines; a real connection does.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(readBodyTimeout))
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("read the body: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("read the body: one JSON object is wanted, more follows")
	}
	return nil
}

func statusOf(err error) int {
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

func answer(w http.ResponseWriter, v any) { reply(w, http.StatusOK, v) }

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // the client has gone; there is nobody to tell
}

func fail(w http.ResponseWriter, status int, text string) {
	reply(w, status, map[string]string{"error": text})
}

func (s *Server) broken(w http.ResponseWriter, doing string, err error) {
	s.o.Logger.Error("http request failed", "doing", doing, "error", err)
	fail(w, http.StatusInternalServerError, doing+" failed; the log says more")
}
