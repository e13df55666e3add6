package remotewrite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/golang/snappy"
	"github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/common/model"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

const (
	bodyTimeout = 30 * time.Second
	retryAfter  = "1"
	keptSpace   = 8 << 20 // of a buffer between two requests
	atOnce      = 5_000   // samples that are stored at once
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
	spaces chan *space // one per request that is read at the same time

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

// space is the memory of one request.
type space struct{ body, decoded []byte }

// NewReceiver makes a receiver.
func NewReceiver(o Options) *Receiver {
	if o.Limits == (Limits{}) {
		o.Limits = DefaultLimits()
	}
	r := &Receiver{o: o, limits: o.Limits, spaces: make(chan *space, o.Limits.Requests), seed: maphash.MakeSeed(), known: map[uint64]time.Time{}}
	for range o.Limits.Requests {
		r.spaces <- &space{}
	}
	return r
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
	s := r.space(req)
	if s == nil {
		return 0, refuse(http.StatusServiceUnavailable, refusedBusy, "%d requests are being read, try again", r.limits.Requests)
	}
	defer r.release(s)
	// A sender that stalls holds one of few places. Recorders in tests know no deadlines.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	body, err := s.read(http.MaxBytesReader(w, req.Body, int64(r.limits.BodyBytes)), r.limits.DecodedBytes)
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

// space waits a little for a place.
func (r *Receiver) space(req *http.Request) *space {
	timer := time.NewTimer(r.limits.Wait)
	defer timer.Stop()
	select {
	case s := <-r.spaces:
		return s
	case <-timer.C:
	case <-req.Context().Done():
	}
	return nil
}

func (r *Receiver) release(s *space) {
	if cap(s.body) > keptSpace {
		s.body = nil
	}
	if cap(s.decoded) > keptSpace {
		s.decoded = nil
	}
	r.spaces <- s
}

// read gives the decompressed body, in the space's memory.
func (s *space) read(body io.Reader, limit int) ([]byte, error) {
	b := bytes.NewBuffer(s.body[:0])
	_, err := b.ReadFrom(body)
	s.body = b.Bytes()
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, refuse(http.StatusRequestEntityTooLarge, refusedSize, "the write request is larger than %d bytes", large.Limit)
	}
	if err != nil {
		return nil, refuse(http.StatusBadRequest, refusedBody, "reading the write request: %w", err)
	}
	n, err := snappy.DecodedLen(s.body)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, refusedBody, "reading the write request: %w", err)
	}
	if n > limit {
		return nil, refuse(http.StatusRequestEntityTooLarge, refusedSize, "the write request is larger than %d bytes decompressed", limit)
	}
	if cap(s.decoded) < n {
		s.decoded = make([]byte, n)
	}
	if s.decoded, err = snappy.Decode(s.decoded[:cap(s.decoded)], s.body); err != nil {
		return nil, refuse(http.StatusBadRequest, refusedBody, "reading the write request: %w", err)
	}
	return s.decoded, nil
}

// clusterLabels may name the cluster of a series, the more telling first. A name that is no watched cluster says nothing.
var clusterLabels = []string{"kafka_cluster", "kafka_cluster_name", "strimzi_io_cluster", "strimzi_cluster", "cluster", "cluster_name"}

// batch is one request while it is taken.
type batch struct {
	r       *Receiver
	now     time.Time
	cluster string // that the sender named; "": series name theirs
	watched map[string]bool
	waiting []streamkeeper.Sample
	taken   int
	samples int
	first   error // what was left out first
}

// newBatch knows the cluster that the address or the tenant names, or the only one there is.
func (r *Receiver) newBatch(req *http.Request) *batch {
	b := &batch{r: r, now: r.o.Now(), watched: map[string]bool{}}
	names := r.o.Clusters()
	for _, name := range names {
		b.watched[name] = true
	}
	wanted := req.URL.Query().Get("cluster")
	if wanted == "" {
		wanted = req.Header.Get("X-Scope-OrgID")
	}
	switch {
	case b.watched[wanted]:
		b.cluster = wanted
	case len(names) == 1:
		b.cluster = names[0]
	}
	return b
}

// take reads one series. What is over a limit becomes the first error and the rest goes on; an error that is returned ends
// the request.
func (b *batch) take(ctx context.Context, ts timeSeries) error {
	metric, labels, err := b.r.labels(ts)
	if err != nil {
		if errors.Is(err, errProto) {
			return err
		}
		b.leave(err)
		return nil
	}
	cluster := b.clusterOf(labels)
	derived := strings.HasPrefix(metric, "streamkeeper_") && !strings.HasPrefix(metric, "streamkeeper_broker_")
	if cluster != "" {
		labels["cluster"] = cluster
	}
	known := cluster == "" || derived || b.r.know(metric, labels, b.now)
	if !known {
		b.leave(refuse(http.StatusBadRequest, refusedSeries, "more than %d series: series %.100s is left out", b.r.limits.Series, metric))
	}
	histograms, err := ts.samples(func(v float64, ms int64) error {
		b.samples++
		if b.samples > b.r.limits.Samples {
			return refuse(http.StatusBadRequest, refusedSize, "the write request has more than %d samples", b.r.limits.Samples)
		}
		switch {
		case cluster == "":
			b.r.counts.unclaimed.Add(1)
			return nil
		case derived:
			b.r.counts.derived.Add(1)
			return nil
		case !known:
			return nil
		}
		at := time.UnixMilli(ms).UTC()
		if err := b.within(at, metric); err != nil {
			b.leave(err)
			return nil
		}
		b.waiting = append(b.waiting, streamkeeper.Sample{Metric: metric, Labels: labels, At: at, Value: v})
		return nil
	})
	b.r.counts.histograms.Add(int64(histograms))
	if err == nil && len(b.waiting) >= atOnce {
		err = b.store(ctx)
	}
	return err
}

func (b *batch) leave(err error) {
	if b.first == nil {
		b.first = err
	}
}

// clusterOf is the watched cluster that a series is of; "" when none is named for certain.
func (b *batch) clusterOf(labels map[string]string) string {
	for _, name := range clusterLabels {
		if b.cluster == "" && b.watched[labels[name]] {
			return labels[name]
		}
	}
	return b.cluster
}

func (b *batch) within(at time.Time, metric string) error {
	switch {
	case b.now.Sub(at) > b.r.limits.MaxAge:
		return refuse(http.StatusBadRequest, refusedAge, "a sample of %.100s is too old: %s, more than %s before now", metric, at.Format(time.RFC3339), b.r.limits.MaxAge)
	case at.Sub(b.now) > b.r.limits.MaxAhead:
		return refuse(http.StatusBadRequest, refusedAge, "a sample of %.100s is from the future: %s", metric, at.Format(time.RFC3339))
	}
	return nil
}

// store hands over what waits.
func (b *batch) store(ctx context.Context) error {
	if len(b.waiting) == 0 {
		return nil
	}
	err := b.r.o.Sink.Samples(ctx, b.waiting)
	n := len(b.waiting)
	b.waiting = b.waiting[:0]
	switch {
	case err == nil:
		b.taken += n
		b.r.counts.samples.Add(int64(n))
		return nil
	case b.r.o.Final != nil && b.r.o.Final(err):
		b.leave(refuse(http.StatusBadRequest, refusedStore, "%w", err))
		return nil
	}
	return refuse(http.StatusInternalServerError, refusedStore, "%w", err)
}

// labels reads the labels of a series, within the limits.
func (r *Receiver) labels(ts timeSeries) (metric string, labels map[string]string, err error) {
	bad := func(format string, args ...any) error {
		return refuse(http.StatusBadRequest, refusedLabels, "series %.100s: "+format, append([]any{metric}, args...)...)
	}
	labels = map[string]string{}
	err = ts.labels(func(name, value []byte) error {
		switch {
		case len(name) == 0:
			return bad("a label has no name")
		case len(name) > r.limits.LabelNameBytes, len(value) > r.limits.LabelValueBytes:
			return bad("label %.100q is longer than %d bytes, or its value than %d", name, r.limits.LabelNameBytes, r.limits.LabelValueBytes)
		case !utf8.Valid(name), !utf8.Valid(value):
			return bad("label %.100q is no UTF-8", name)
		case len(labels) >= r.limits.LabelNames:
			return bad("more than %d labels", r.limits.LabelNames)
		}
		n := string(name)
		if n == model.MetricNameLabel {
			if metric != "" {
				return bad("two names")
			}
			metric = string(value)
			return nil
		}
		if _, twice := labels[n]; twice {
			return bad("label %.100q comes twice", name)
		}
		labels[n] = string(value)
		return nil
	})
	if err == nil && metric == "" {
		err = bad("it has no name")
	}
	return metric, labels, err
}

// know reports whether there is room for a series.
func (r *Receiver) know(metric string, labels map[string]string, now time.Time) bool {
	hash := collectors.SeriesHash(r.seed, metric, labels)
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.known[hash]; !ok && len(r.known) >= r.limits.Series {
		if now.Sub(r.swept) >= time.Minute {
			r.swept = now
			maps.DeleteFunc(r.known, func(_ uint64, at time.Time) bool { return now.Sub(at) > r.limits.SeriesIdle })
		}
		if len(r.known) >= r.limits.Series {
			return false
		}
	}
	r.known[hash] = now
	return true
}
