package web

import (
	"fmt"
	"net/http"

	"github.com/streamkeeper-io/streamkeeper"
)

func (s *Server) silences(w http.ResponseWriter, r *http.Request) {
	if s.o.Actions == nil {
		fail(w, http.StatusNotFound, "this server keeps no silences")
		return
	}
	all, err := s.o.Actions.Silences(r.Context())
	if err != nil {
		s.broken(w, "read silences", err)
		return
	}
	answer(w, map[string]any{"silences": list(all)})
}

func (s *Server) addSilence(w http.ResponseWriter, r *http.Request) {
	if s.o.Actions == nil {
		fail(w, http.StatusNotFound, "this server keeps no silences")
		return
	}
	var in Silence
	if err := decode(w, r, &in); err != nil {
		fail(w, statusOf(err), err.Error())
		return
	}
	if _, err := streamkeeper.ParseEntity(in.Entity); err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	if !in.Until.After(s.o.Now()) {
		fail(w, http.StatusBadRequest, "until: want a time in the future, RFC 3339")
		return
	}
	out, err := s.o.Actions.AddSilence(r.Context(), in)
	if err != nil {
		s.broken(w, "add silence", err)
		return
	}
	reply(w, http.StatusCreated, out)
}

func (s *Server) removeSilence(w http.ResponseWriter, r *http.Request) {
	if s.o.Actions == nil {
		fail(w, http.StatusNotFound, "this server keeps no silences")
		return
	}
	found, err := s.o.Actions.RemoveSilence(r.Context(), r.PathValue("id"))
	switch {
	case err != nil:
		s.broken(w, "remove silence", err)
	case !found:
		fail(w, http.StatusNotFound, fmt.Sprintf("no silence %q", r.PathValue("id")))
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}
