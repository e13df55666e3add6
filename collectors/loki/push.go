package loki

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/golang/snappy"
)

const (
	bodyTimeout = 30 * time.Second
	retryAfter  = "1"
	keptSpace   = 4 << 20 // of a buffer between two pushes
)

// space is the memory of one push.
type space struct{ body, decoded []byte }

// refusal is why a push, or a part of it, was not taken.
type refusal int

const (
	refusedBody refusal = iota
	refusedSize
	refusedLabels
	refusedLine
	refusedAge
	refusedStreams
	refusedBusy
	reasons
)

// reasonNames are the reasons as a metric's label, by refusal.
var reasonNames = [reasons]string{"malformed", "too_large", "labels", "line_too_long", "age", "streams", "busy"}

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

// ServeHTTP takes one push, as Loki's distributor does: protobuf in snappy's block format by default, JSON by content type,
// either in gzip or deflate besides. The answer is 204 when all was taken. Entries and streams beyond a limit are left out
// with 400 (429 for too many streams) and the others taken; 400 for what cannot be read, 413 for what is too large, 429
// with Retry-After while others are being read.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "push with POST", http.StatusMethodNotAllowed)
		return
	}
	s := r.space(req)
	if s == nil {
		r.answer(w, refuse(http.StatusTooManyRequests, refusedBusy, "%d pushes are being read, try again", r.limits.Pushes))
		return
	}
	defer r.release(s)
	// A sender that stalls holds one of few places. Recorders in tests know no deadlines.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	r.answer(w, r.push(w, req, s))
}

// space waits a little for a place.
func (r *Receiver) space(req *http.Request) *space {
	select {
	case s := <-r.spaces:
		return s
	default:
	}
	timer := time.NewTimer(r.limits.PushWait)
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

func (r *Receiver) answer(w http.ResponseWriter, err error) {
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	no := &refused{status: http.StatusBadRequest, reason: refusedBody, err: err}
	errors.As(err, &no)
	r.counts.refused[no.reason].Add(1)
	if no.status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", retryAfter)
	}
	http.Error(w, err.Error(), no.status)
}

// push reads a body and takes its lines.
func (r *Receiver) push(w http.ResponseWriter, req *http.Request, s *space) error {
	kind, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil && req.Header.Get("Content-Type") != "" {
		return refuse(http.StatusBadRequest, refusedBody, "content type: %w", err)
	}
	isJSON := kind == "application/json"
	if !isJSON && kind != "" && kind != "application/x-protobuf" {
		return refuse(http.StatusBadRequest, refusedBody, "content type %q: want application/x-protobuf or application/json", short(kind))
	}
	body, err := r.read(http.MaxBytesReader(w, req.Body, int64(r.limits.BodyBytes)), req.Header.Get("Content-Encoding"), isJSON, s)
	if err != nil {
		return err
	}
	wanted := req.URL.Query().Get("cluster")
	if wanted == "" {
		wanted = req.Header.Get("X-Scope-OrgID")
	}
	var first error
	see := func(labels []byte, entries func(func(entry) error) error) error {
		return r.take(labels, wanted, entries, &first)
	}
	if isJSON {
		err = jsonStreams(body, r.limits, see)
	} else {
		err = protoStreams(body, see)
	}
	if err != nil {
		return err
	}
	return first
}

// take reads one stream. What is over a limit becomes the first error and the rest goes on; an error that is returned ends
// the push.
func (r *Receiver) take(labels []byte, wanted string, entries func(func(entry) error) error, first *error) error {
	stream, t, err := r.find(labels, wanted)
	if err != nil {
		keep(first, err)
		return nil
	}
	now := r.now()
	err = entries(func(e entry) error {
		if err := r.within(e, labels, now); err != nil {
			keep(first, err)
			return nil
		}
		t.look(r, stream, e)
		return nil
	})
	r.settle(stream, &t)
	return err
}

func keep(first *error, err error) {
	if *first == nil {
		*first = err
	}
}

// within checks one entry against the limits; the words are Loki's.
func (r *Receiver) within(e entry, labels []byte, now time.Time) error {
	switch {
	case len(e.line) > r.limits.LineBytes:
		return refuse(http.StatusBadRequest, refusedLine, "Max entry size '%d' bytes exceeded for stream '%s' while adding an entry with length '%d' bytes",
			r.limits.LineBytes, short(string(labels)), len(e.line))
	case now.Sub(e.at) > r.limits.MaxAge:
		return refuse(http.StatusBadRequest, refusedAge, "entry for stream '%s' has timestamp too old: %s, oldest acceptable timestamp is: %s",
			short(string(labels)), e.at.UTC().Format(time.RFC3339), now.Add(-r.limits.MaxAge).UTC().Format(time.RFC3339))
	case e.at.Sub(now) > r.limits.MaxAhead:
		return refuse(http.StatusBadRequest, refusedAge, "entry for stream '%s' has timestamp too new: %s", short(string(labels)), e.at.UTC().Format(time.RFC3339))
	}
	return nil
}

// read gives the decoded body, in s's memory.
func (r *Receiver) read(body io.Reader, encoding string, isJSON bool, s *space) ([]byte, error) {
	limit := r.limits.DecodedBytes
	if isJSON {
		limit = r.limits.JSONBytes
	}
	var err error
	switch encoding = strings.ToLower(strings.TrimSpace(encoding)); encoding {
	case "", "identity", "snappy":
	case "gzip":
		if body, err = gzip.NewReader(body); err != nil {
			return nil, bodyError(err)
		}
	case "deflate":
		body = flate.NewReader(body)
	default:
		return nil, refuse(http.StatusBadRequest, refusedBody, "Content-Encoding %q not supported", short(encoding))
	}
	if s.body, err = readInto(s.body, body, limit); err != nil {
		return nil, bodyError(err)
	}
	if isJSON && encoding != "snappy" {
		return s.body, nil
	}
	n, err := snappy.DecodedLen(s.body)
	if err != nil {
		return nil, bodyError(err)
	}
	if n > limit {
		return nil, bodyError(errTooLarge)
	}
	if cap(s.decoded) < n {
		s.decoded = make([]byte, n)
	}
	if s.decoded, err = snappy.Decode(s.decoded[:cap(s.decoded)], s.body); err != nil {
		return nil, bodyError(err)
	}
	return s.decoded, nil
}

var errTooLarge = errors.New("the push request is too large when decompressed")

// readInto reads all of body into buf, at most limit bytes.
func readInto(buf []byte, body io.Reader, limit int) ([]byte, error) {
	b := bytes.NewBuffer(buf[:0])
	n, err := b.ReadFrom(io.LimitReader(body, int64(limit)+1))
	if err == nil && n > int64(limit) {
		err = errTooLarge
	}
	return b.Bytes(), err
}

func bodyError(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.Is(err, errTooLarge) || errors.As(err, &tooLarge) {
		return refuse(http.StatusRequestEntityTooLarge, refusedSize, "%w", err)
	}
	return refuse(http.StatusBadRequest, refusedBody, "reading the push request: %w", err)
}
