package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Stream timing: a comment keeps proxies from closing a quiet stream, a write deadline drops a
// reader that no longer reads.
const (
	keepAlive    = 15 * time.Second
	writeTimeout = 10 * time.Second
)

// stream sends the reports now and after every tick, as server-sent events named "reports". A slow
// reader skips ticks rather than queueing them.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	if s.o.Updates == nil {
		fail(w, http.StatusNotFound, "this server has no live updates")
		return
	}
	ticks, cancel := s.o.Updates.Subscribe()
	defer cancel()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("X-Accel-Buffering", "no")
	c := http.NewResponseController(w)
	quiet := time.NewTicker(keepAlive)
	defer quiet.Stop()
	cluster := r.URL.Query().Get("cluster")
	if !s.send(w, c, cluster) {
		return
	}
	for {
		select {
		case <-r.Context().Done():
			return
		case <-ticks:
			if !s.send(w, c, cluster) {
				return
			}
		case <-quiet.C:
			if !s.still(w, c, cluster) {
				return
			}
		}
	}
}

func (s *Server) send(w http.ResponseWriter, c *http.ResponseController, cluster string) bool {
	body, err := json.Marshal(s.snapshot(cluster))
	if err != nil {
		s.o.Logger.Error("encode reports", "error", err)
		return false
	}
	return write(w, c, fmt.Appendf(nil, "event: reports\ndata: %s\n\n", body))
}

// still keeps a stream open through which no tick came. While there is no report at all it says what is waited for.
func (s *Server) still(w http.ResponseWriter, c *http.ResponseController, cluster string) bool {
	if len(s.o.Reports.Reports()) == 0 {
		return s.send(w, c, cluster)
	}
	return write(w, c, []byte(": still here\n\n"))
}

func write(w http.ResponseWriter, c *http.ResponseController, b []byte) bool {
	// The recorder of tests has no deadlines; a real connection does.
	_ = c.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := w.Write(b); err != nil {
		return false
	}
	return c.Flush() == nil
}
