package loki

import (
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/streamkeeper-io/streamkeeper/collectors"
)

const retryAfter = "1"

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
	place := r.bodies.Take(req.Context())
	if place == nil {
		r.answer(w, refuse(http.StatusTooManyRequests, refusedBusy, "%d pushes are being read, try again", r.limits.Pushes))
		return
	}
	defer r.bodies.Return(place)
	r.answer(w, r.push(w, req, place))
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
func (r *Receiver) push(w http.ResponseWriter, req *http.Request, place *collectors.Body) error {
	kind, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil && req.Header.Get("Content-Type") != "" {
		return refuse(http.StatusBadRequest, refusedBody, "content type: %w", err)
	}
	isJSON := kind == "application/json"
	if !isJSON && kind != "" && kind != "application/x-protobuf" {
		return refuse(http.StatusBadRequest, refusedBody, "content type %q: want application/x-protobuf or application/json", short(kind))
	}
	body, err := r.read(collectors.Pushed(w, req, r.limits.BodyBytes), req.Header.Get("Content-Encoding"), isJSON, place)
	if err != nil {
		return err
	}
	wanted := collectors.PushedFor(req)
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

// read gives the decoded body, in the memory of its place.
func (r *Receiver) read(body io.Reader, encoding string, isJSON bool, place *collectors.Body) ([]byte, error) {
	limit := r.limits.DecodedBytes
	if isJSON {
		limit = r.limits.JSONBytes
	}
	switch encoding = strings.ToLower(strings.TrimSpace(encoding)); encoding {
	case "", "identity", "snappy":
	case "gzip":
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return nil, bodyError(err)
		}
		body = unzipped
	case "deflate":
		body = flate.NewReader(body)
	default:
		return nil, refuse(http.StatusBadRequest, refusedBody, "Content-Encoding %q not supported", short(encoding))
	}
	decoded, err := place.Read(body, limit)
	if err == nil && (!isJSON || encoding == "snappy") {
		decoded, err = place.Unsnap(limit)
	}
	if err != nil {
		return nil, bodyError(err)
	}
	return decoded, nil
}

func bodyError(err error) error {
	var large *http.MaxBytesError
	if errors.Is(err, collectors.ErrBodyTooLarge) || errors.As(err, &large) {
		return refuse(http.StatusRequestEntityTooLarge, refusedSize, "the push request is too large: %w", err)
	}
	return refuse(http.StatusBadRequest, refusedBody, "reading the push request: %w", err)
}
