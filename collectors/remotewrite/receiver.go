package remotewrite

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/exp/api/remote"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

const (
	retryAfter = "1"
	atOnce     = 5_000 // samples that are stored at once
)

// Sink is where samples go.
type Sink interface {
	Samples(ctx context.Context, s []streamkeeper.Sample) error
}

// Options configure a Receiver. Sink, Clusters and Now are required.
type Options struct {
	Sink     Sink
	Clusters func() []string  // that are watched
	Final    func(error) bool // whether storing fails again when it is tried again; nil: never
	Limits   Limits           // zero means DefaultLimits
	Now      func() time.Time
}

// Receiver takes what is pushed, for all clusters. It is an http.Handler, safe for concurrent use.
type Receiver struct {
	o      Options
	limits Limits
	bodies *collectors.Bodies

	mu    sync.Mutex
	seed  maphash.Seed
	known map[uint64]time.Time // series, with when they last came
	swept time.Time

	counts counts
}

// counts are what the receiver tells of itself.
type counts struct {
	samples, unclaimed, derived, histograms atomic.Int64
	refused                                 [reasons]atomic.Int64
}

// NewReceiver makes a receiver.
func NewReceiver(o Options) *Receiver {
	if o.Limits == (Limits{}) {
		o.Limits = DefaultLimits()
	}
	return &Receiver{
		o: o, limits: o.Limits, bodies: collectors.NewBodies(o.Limits.Requests, o.Limits.Wait), seed: maphash.MakeSeed(), known: map[uint64]time.Time{},
	}
}

// refusal is why a request, or a part of it, was not taken.
type refusal int

const (
	refusedBody refusal = iota
	refusedSize
	refusedKind
	refusedBusy
	refusedLabels
	refusedAge
	refusedSeries
	refusedStore
	reasons
)

var reasonNames = [reasons]string{"malformed", "too_large", "content_type", "busy", "labels", "age", "series", "store"}

// refused is an answer other than 204.
type refused struct {
	status int
	reason refusal
	err    error
}

func (e *refused) Error() string { return e.err.Error() }

func refuse(status int, reason refusal, format string, args ...any) error {
	return &refused{status, reason, fmt.Errorf(format, args...)}
}

// ServeHTTP takes one request of either version, in snappy's block format, and answers as senders expect: 204 when all was
// taken; 400 for what cannot be read, and for series and samples beyond a limit, of which the others were taken (senders do
// not try again); 413 for what is too large, 415 for another content type or encoding; 503 with Retry-After while others are
// being read, and 500 when samples cannot be stored (senders try again). Of 2.0 the headers tell how many samples were taken.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "write with POST", http.StatusMethodNotAllowed)
		return
	}
	version, err := versionOf(req)
	var taken int
	if err == nil {
		taken, err = r.write(w, req, version)
	}
	if version == 2 {
		w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", strconv.Itoa(taken))
		w.Header().Set("X-Prometheus-Remote-Write-Histograms-Written", "0")
		w.Header().Set("X-Prometheus-Remote-Write-Exemplars-Written", "0")
	}
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	no := &refused{status: http.StatusBadRequest, reason: refusedBody, err: err}
	errors.As(err, &no)
	r.counts.refused[no.reason].Add(1)
	if no.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	http.Error(w, err.Error(), no.status)
}

// versionOf reads the headers.
func versionOf(req *http.Request) (int, error) {
	kind := req.Header.Get("Content-Type")
	if kind == "" {
		kind = "application/x-protobuf"
	}
	message, err := remote.ParseProtoMsg(kind)
	if err != nil {
		return 0, refuse(http.StatusUnsupportedMediaType, refusedKind, "%.200s", err.Error())
	}
	if e := req.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "snappy") {
		return 0, refuse(http.StatusUnsupportedMediaType, refusedKind, "Content-Encoding %.50q: want snappy", e)
	}
	if message == remote.WriteV2MessageType {
		return 2, nil
	}
	return 1, nil
}

// write reads a body and takes its series.
func (r *Receiver) write(w http.ResponseWriter, req *http.Request, version int) (taken int, err error) {
	place := r.bodies.Take(req.Context())
	if place == nil {
		return 0, refuse(http.StatusServiceUnavailable, refusedBusy, "%d requests are being read, try again", r.limits.Requests)
	}
	defer r.bodies.Return(place)
	body, err := r.read(collectors.Pushed(w, req, r.limits.BodyBytes), place)
	if err != nil {
		return 0, err
	}
	b := r.newBatch(req)
	if err := readRequest(body, version, &r.limits, func(ts timeSeries) error { return b.take(req.Context(), ts) }); err != nil {
		return b.taken, err
	}
	if err := b.store(req.Context()); err != nil {
		return b.taken, err
	}
	return b.taken, b.first
}

// read gives the decompressed body, in the memory of its place.
func (r *Receiver) read(from io.Reader, place *collectors.Body) ([]byte, error) {
	_, err := place.Read(from, r.limits.BodyBytes)
	var body []byte
	if err == nil {
		body, err = place.Unsnap(r.limits.DecodedBytes)
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, refuse(http.StatusRequestEntityTooLarge, refusedSize, "the write request is larger than %d bytes", large.Limit)
	case errors.Is(err, collectors.ErrBodyTooLarge):
		return nil, refuse(http.StatusRequestEntityTooLarge, refusedSize, "the write request is larger than %d bytes decompressed", r.limits.DecodedBytes)
	case err != nil:
		return nil, refuse(http.StatusBadRequest, refusedBody, "reading the write request: %w", err)
	}
	return body, nil
}
