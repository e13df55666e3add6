package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// askTimeout bounds one question to the server.
const askTimeout = 5 * time.Second

// Get reads JSON from a path of the API.
func (s *Server) Get(ctx context.Context, path string, into any) error {
	return s.get(ctx, path, func(r io.Reader) error { return json.NewDecoder(r).Decode(into) })
}

// First is the first finding of the first report, what diagnosis answers.
func (s *Server) First(ctx context.Context) (f streamkeeper.Finding, ok bool) {
	var out streamkeeper.Reports
	if err := s.Get(ctx, "/api/v1/reports", &out); err != nil || len(out.Reports) == 0 || len(out.Reports[0].Findings) == 0 {
		return f, false
	}
	return out.Reports[0].Findings[0], true
}

func (s *Server) get(ctx context.Context, path string, read func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.HTTP+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return errors.Join(read(resp.Body), resp.Body.Close())
}
