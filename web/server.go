package web

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
)

// Limits of the server. A dashboard behind a browser needs far less.
const (
	maxBody           = 64 << 10 // bytes of a request body of the API's own resources
	readHeaderTimeout = 10 * time.Second
	readBodyTimeout   = 30 * time.Second // of the API's own resources
	shutdownTimeout   = 5 * time.Second
	maxHeaderBytes    = 64 << 10
)

//go:embed all:ui/dist
var dist embed.FS

// Options are what a Server reads through. Reports is required; any other may be nil, and its
// resource then answers 404 with a reason.
type Options struct {
	Reports   Reports
	Incidents Incidents
	Updates   Updates
	World     World
	Events    Events
	Actions   Actions
	Rules     Rules
	Drills    []DrillInfo
	Metrics   http.Handler            // /metrics
	Deploys   http.Handler            // POST /api/v1/deploys
	Ready     func() error            // nil error when ready; its text is the answer otherwise
	Mounts    map[string]http.Handler // handlers that others own, by pattern
	Version   string
	Logger    *slog.Logger
	Now       func() time.Time
}

// Server is the HTTP side of Streamkeeper.
type Server struct {
	o       Options
	handler http.Handler
}

// New builds the routes. It opens nothing.
func New(o Options) *Server {
	s := &Server{o: o}
	mux := http.NewServeMux()
	s.routes(mux)
	// The API has no login on loopback: a page from elsewhere, open in the same browser, must not silence incidents.
	s.handler = recovered(o.Logger, http.NewCrossOriginProtection().Handler(mux))
	return s
}

// Handler is the whole server as one handler.
func (s *Server) Handler() http.Handler { return s.handler }

func (s *Server) routes(mux *http.ServeMux) {
	if s.o.Metrics != nil {
		mux.Handle("GET /metrics", s.o.Metrics)
	}
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "healthy") })
	mux.HandleFunc("GET /-/ready", s.ready)
	s.apiRoutes(mux)
	for pattern, h := range s.o.Mounts {
		mux.Handle(pattern, h)
	}
	mux.Handle("/api/", missing(mux))
	mux.Handle("/", s.ui())
}

// missing answers a path of the API that is not there, or not with that method.
func missing(mux *http.ServeMux) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var allowed []string
		for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodPost, http.MethodPut} {
			if _, pattern := mux.Handler(&http.Request{Method: method, Host: r.Host, URL: r.URL}); strings.HasPrefix(pattern, method) {
				allowed = append(allowed, method)
			}
		}
		if len(allowed) == 0 {
			fail(w, http.StatusNotFound, "no such resource: "+r.URL.Path+"; see /api/v1/openapi.json")
			return
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		fail(w, http.StatusMethodNotAllowed, fmt.Sprintf("%s takes %s", r.URL.Path, strings.Join(allowed, " or ")))
	}
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if s.o.Ready != nil {
		if err := s.o.Ready(); err != nil {
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
	}
	fmt.Fprintln(w, "ready")
}

// Serve answers on l until ctx ends, then lets running requests finish for a few seconds.
func Serve(ctx context.Context, l net.Listener, handler http.Handler, log *slog.Logger) error {
	// Streams end with the server's context, not only with their client's: Shutdown would otherwise wait for them.
	base, cancel := context.WithCancel(ctx)
	defer cancel()
	srv := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve http: %w", err)
	case <-ctx.Done():
	}
	stop, stopCancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer stopCancel()
	if err := srv.Shutdown(stop); err != nil {
		_ = srv.Close()
	}
	if err := <-done; err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve http: %w", err)
	}
	return nil
}

// recovered turns a panic in a handler into a 500 and a log line: one bad page must not end the diagnosis.
func recovered(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler {
				panic(p)
			}
			log.Error("http handler failed", "path", r.URL.Path, "panic", p)
			fail(w, http.StatusInternalServerError, "internal error; the log says more")
		}()
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// ui serves the embedded dashboard. Its routes lie in the hash, so every path without a file is an error: a push of
// logs to a receiver that is not here must not look taken.
func (s *Server) ui() http.Handler {
	sub, err := fs.Sub(dist, "ui/dist")
	if err != nil {
		panic(err) // the path is a constant of this file
	}
	page := http.FileServerFS(sub)
	if _, err := fs.Stat(sub, "index.html"); err != nil {
		page = http.HandlerFunc(noUI)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := fs.Stat(sub, strings.TrimLeft(r.URL.Path, "/"))
		if read := r.Method == http.MethodGet || r.Method == http.MethodHead; !read || (err != nil && r.URL.Path != "/") {
			http.Error(w, "nothing here answers "+r.Method+" "+r.URL.Path, http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Security-Policy", "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'")
		page.ServeHTTP(w, r)
	})
}

func noUI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "This binary was built without the dashboard (Node 20.19 or newer was missing at build time).")
	fmt.Fprintln(w, "Build it with ./task build. The API is at /api/v1/reports, the text at `streamkeeper diagnose`.")
}
