package web

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"unicode/utf8"

	"github.com/streamkeeper-io/streamkeeper"
)

// Bounds of what a person writes.
const (
	maxNote = 4000 // characters
	maxBy   = 200
)

// feedbackBody is the body of POST /api/v1/incidents/{id}/feedback.
type feedbackBody struct {
	Was  string `json:"was"`
	Note string `json:"note"`
	By   string `json:"by"`
}

func (b feedbackBody) check(rules Rules) error {
	switch {
	case b.Was == "":
		return errors.New("was: say which cause it was, or other")
	case utf8.RuneCountInString(b.Note) > maxNote:
		return fmt.Errorf("note: %d characters at most", maxNote)
	case utf8.RuneCountInString(b.By) > maxBy:
		return fmt.Errorf("by: %d characters at most", maxBy)
	case b.Was == streamkeeper.CauseOther || rules == nil:
		return nil
	}
	if !slices.ContainsFunc(rules.Rules(), func(r Rule) bool { return r.Kind == "cause" && r.ID == b.Was }) {
		return fmt.Errorf("was %q: no such cause; GET /api/v1/rules lists them, and there is other", b.Was)
	}
	return nil
}

// addFeedback takes a person's word on an incident, and keeps it with what was seen of it.
func (s *Server) addFeedback(w http.ResponseWriter, r *http.Request) {
	if s.o.Actions == nil || s.o.Incidents == nil {
		fail(w, http.StatusNotFound, "this server keeps no feedback")
		return
	}
	var in feedbackBody
	if err := decode(w, r, &in); err != nil {
		fail(w, statusOf(err), err.Error())
		return
	}
	if err := in.check(s.o.Rules); err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	about, ok, err := s.o.Incidents.Incident(r.Context(), r.PathValue("id"))
	switch {
	case err != nil:
		s.broken(w, "read incident", err)
		return
	case !ok:
		fail(w, http.StatusNotFound, fmt.Sprintf("no incident %q", r.PathValue("id")))
		return
	}
	said := about.Root.Causes
	if len(said) == 0 {
		said = []string{about.Root.Cause}
	}
	out, err := s.o.Actions.AddFeedback(r.Context(), streamkeeper.Feedback{
		Incident: about.ID, Cluster: about.Cluster, Entity: about.Root.Entity.Key(), Said: said, Was: in.Was,
		Wrong: !slices.Contains(said, in.Was), Note: in.Note, By: in.By, Seen: &about,
	})
	if err != nil {
		s.broken(w, "add feedback", err)
		return
	}
	out.Seen = nil
	reply(w, http.StatusCreated, out)
}

// feedback lists all of it with what was seen, oldest first: what calibration needs.
func (s *Server) feedback(w http.ResponseWriter, r *http.Request) {
	if s.o.Actions == nil {
		fail(w, http.StatusNotFound, "this server keeps no feedback")
		return
	}
	limit, err := limitOf(r)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	all, err := s.o.Actions.Feedback(r.Context(), r.URL.Query().Get("cluster"), limit)
	if err != nil {
		s.broken(w, "read feedback", err)
		return
	}
	answer(w, map[string]any{"feedback": list(all)})
}
