package web

import (
	"fmt"
	"net/http"
	"sync/atomic"
)

// Starting answers while the rest of the process starts, which may take a while after a crash: alive, not ready, and how
// far it is. Open hands over to the server. Safe for concurrent use; the zero value is ready.
type Starting struct {
	progress atomic.Pointer[string]
	server   atomic.Pointer[Server]
}

// Say sets what is told of the start.
func (s *Starting) Say(progress string) { s.progress.Store(&progress) }

// Open lets the server answer from now on.
func (s *Starting) Open(server *Server) { s.server.Store(server) }

// ServeHTTP implements http.Handler.
func (s *Starting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if server := s.server.Load(); server != nil {
		server.handler.ServeHTTP(w, r)
		return
	}
	if r.URL.Path == "/-/healthy" {
		fmt.Fprintln(w, "healthy")
		return
	}
	text := "not ready: starting"
	if p := s.progress.Load(); p != nil {
		text += ", " + *p
	}
	w.Header().Set("Retry-After", "1")
	http.Error(w, text, http.StatusServiceUnavailable)
}
