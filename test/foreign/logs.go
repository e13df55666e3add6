package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

const (
	pushEvery   = time.Second
	pushTimeout = 5 * time.Second
	maxWaiting  = 10_000 // lines; more are dropped
)

// shipper pushes lines as a log agent does: in batches, to Loki's door, with the labels that such agents set. The nil
// shipper drops them.
type shipper struct {
	url     string
	mu      sync.Mutex
	streams map[string]*stream
	waiting int
}

type stream struct {
	Labels map[string]string `json:"stream"`
	Values [][2]string       `json:"values"` // nanoseconds and line
}

func (s *shipper) add(labels map[string]string, line string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == maxWaiting {
		return
	}
	s.waiting++
	key := labels["job"] + "/" + labels["pod"] + labels["broker"]
	to := s.streams[key]
	if to == nil {
		to = &stream{Labels: maps.Clone(labels)}
		s.streams[key] = to
	}
	to.Values = append(to.Values, [2]string{strconv.FormatInt(time.Now().UnixNano(), 10), line})
}

// run pushes until the context ends.
func (s *shipper) run(ctx context.Context) {
	for pause(ctx, pushEvery) {
		if err := s.push(ctx); err != nil && ctx.Err() == nil {
			logf("push logs: %v", err)
		}
	}
}

func (s *shipper) push(ctx context.Context) error {
	s.mu.Lock()
	body := struct {
		Streams []*stream `json:"streams"`
	}{}
	for _, to := range s.streams {
		body.Streams = append(body.Streams, to)
	}
	s.streams, s.waiting = map[string]*stream{}, 0
	s.mu.Unlock()
	if len(body.Streams) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		why, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("%s: %s", resp.Status, why)
	}
	return nil
}

// follow ships the lines that are added to a file from now on.
func (s *shipper) follow(ctx context.Context, path string, labels map[string]string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	var rest []byte
	buffer := make([]byte, 64<<10)
	for {
		n, err := f.Read(buffer)
		rest = append(rest, buffer[:n]...)
		for {
			line, after, whole := bytes.Cut(rest, []byte("\n"))
			if !whole {
				break
			}
			s.add(labels, string(line))
			rest = after
		}
		switch {
		case err != nil && err != io.EOF:
			return err
		case n == 0 && !pause(ctx, pushEvery/4):
			return nil
		}
	}
}
