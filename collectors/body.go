package collectors

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/golang/snappy"
)

// BodyTimeout is how long a sender may take for a request's body: one that stalls holds one of few places.
const BodyTimeout = 30 * time.Second

// keptBody is what a place keeps of a buffer between two requests, in bytes.
const keptBody = 4 << 20

// ErrBodyTooLarge is of a body that is larger than allowed once it is decompressed.
var ErrBodyTooLarge = errors.New("larger than allowed when decompressed")

// Bodies are the places in which requests that push telemetry are read: few at a time, in memory that is used again. They are
// safe for concurrent use.
type Bodies struct {
	free chan *Body
	wait time.Duration
}

// NewBodies makes places; a request waits for one up to wait.
func NewBodies(places int, wait time.Duration) *Bodies {
	b := &Bodies{free: make(chan *Body, places), wait: wait}
	for range places {
		b.free <- &Body{}
	}
	return b
}

// Take takes a place, which Return gives back; nil when none became free in time.
func (b *Bodies) Take(ctx context.Context) *Body {
	timer := time.NewTimer(b.wait)
	defer timer.Stop()
	select {
	case body := <-b.free:
		return body
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}

// Return gives a place back; what was read in it is gone.
func (b *Bodies) Return(body *Body) {
	if cap(body.raw) > keptBody {
		body.raw = nil
	}
	if cap(body.decoded) > keptBody {
		body.decoded = nil
	}
	b.free <- body
}

// Body is the memory of one request.
type Body struct{ raw, decoded []byte }

// Read reads all of from, which gives up to limit bytes; ErrBodyTooLarge for more.
func (b *Body) Read(from io.Reader, limit int) ([]byte, error) {
	buffer := bytes.NewBuffer(b.raw[:0])
	n, err := buffer.ReadFrom(io.LimitReader(from, int64(limit)+1))
	if b.raw = buffer.Bytes(); err == nil && n > int64(limit) {
		err = ErrBodyTooLarge
	}
	return b.raw, err
}

// Unsnap decompresses what was read, in snappy's block format, into up to limit bytes; ErrBodyTooLarge for more.
func (b *Body) Unsnap(limit int) ([]byte, error) {
	n, err := snappy.DecodedLen(b.raw)
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, ErrBodyTooLarge
	}
	if cap(b.decoded) < n {
		b.decoded = make([]byte, n)
	}
	b.decoded, err = snappy.Decode(b.decoded[:cap(b.decoded)], b.raw)
	return b.decoded, err
}

// Pushed gives the body of a request that is pushed: no more bytes than allowed (*http.MaxBytesError for more), and not later
// than BodyTimeout.
func Pushed(w http.ResponseWriter, req *http.Request, limit int) io.Reader {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(BodyTimeout)) // recorders in tests know no deadlines
	return http.MaxBytesReader(w, req.Body, int64(limit))
}

// PushedFor is the cluster that a request itself names, by its address (?cluster=) or the tenant's header; "" when it does not.
func PushedFor(req *http.Request) string {
	if name := req.URL.Query().Get("cluster"); name != "" {
		return name
	}
	return req.Header.Get("X-Scope-OrgID")
}

// ClusterLabels may name the cluster that something pushed is of, the more telling first. A name that is no watched cluster says
// nothing: most often it is the Kubernetes cluster's.
var ClusterLabels = []string{"kafka_cluster", "kafka_cluster_name", "strimzi_io_cluster", "strimzi_cluster", "cluster", "cluster_name"}
