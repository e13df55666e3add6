package cli

import (
	"fmt"
	"io"
	"net/http"
	"sync"
)

// pipeWriter is an http.ResponseWriter whose body is read by the caller as it is written.
type pipeWriter struct {
	request *http.Request
	header  http.Header
	status  int
	body    *io.PipeReader
	pipe    *io.PipeWriter
	once    sync.Once
	started chan struct{}
}

func newPipeWriter(r *http.Request) *pipeWriter {
	w := &pipeWriter{request: r, header: http.Header{}, started: make(chan struct{})}
	w.body, w.pipe = io.Pipe()
	return w
}

func (w *pipeWriter) serve(h http.Handler, r *http.Request) {
	var err error
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("handler of %s: %v", r.URL.Path, p)
		}
		w.WriteHeader(http.StatusOK)
		_ = w.pipe.CloseWithError(err) // nil means the end of the body
	}()
	h.ServeHTTP(w, r)
}

// Header is the response's header, until the first write.
func (w *pipeWriter) Header() http.Header { return w.header }

// WriteHeader starts the response; later calls do nothing.
func (w *pipeWriter) WriteHeader(status int) {
	w.once.Do(func() {
		w.status = status
		close(w.started)
	})
}

// Write blocks until the caller reads.
func (w *pipeWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.pipe.Write(b)
}

// Flush has nothing to do: nothing is buffered.
func (w *pipeWriter) Flush() {}

// response waits for the header, or for the request's end.
func (w *pipeWriter) response() (*http.Response, error) {
	select {
	case <-w.started:
	case <-w.request.Context().Done():
		_ = w.body.CloseWithError(w.request.Context().Err())
		return nil, w.request.Context().Err()
	}
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: w.body, ContentLength: -1, Request: w.request,
	}, nil
}
