package otlp

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/streamkeeper-io/streamkeeper/collectors"
)

const (
	protobufType = "application/x-protobuf"
	jsonType     = "application/json"
)

// Handlers are the HTTP side, by path. Each answers as the OTLP specification has it: 200 with partial_success for what
// was left out, 400 for what cannot be read, 413 for what is too large, 415 for another content type, 429 with Retry-After
// while others are being read; errors as a Status in the request's own encoding.
func (r *Receiver) Handlers() map[string]http.Handler {
	out := map[string]http.Handler{}
	for s, name := range signalNames {
		if signal(s) == logsSignal && r.o.Lines == nil {
			continue
		}
		out["/v1/"+name] = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.serve(signal(s), w, req) })
	}
	return out
}

func (r *Receiver) serve(s signal, w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "export with POST", http.StatusMethodNotAllowed)
		return
	}
	kind, _, _ := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if kind != protobufType && kind != jsonType {
		r.counts.refused[refusedKind].Add(1)
		http.Error(w, "Content-Type: want "+protobufType+" or "+jsonType, http.StatusUnsupportedMediaType)
		return
	}
	answer, err := r.read(s, kind == jsonType, w, req)
	w.Header().Set("Content-Type", kind)
	if err == nil {
		_, _ = w.Write(answer) // the client is gone otherwise
		return
	}
	no := r.refusal(err)
	if no.status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(no.status)
	_, _ = w.Write(statusBody(no, kind == jsonType))
}

// refusal counts an error as what it is; one of no known kind is the request's fault.
func (r *Receiver) refusal(err error) *refused {
	no := &refused{http.StatusBadRequest, codes.InvalidArgument, refusedBody, err}
	errors.As(err, &no)
	r.counts.refused[no.reason].Add(1)
	return no
}

func statusBody(no *refused, isJSON bool) []byte {
	s := &status.Status{Code: int32(no.code), Message: strings.ToValidUTF8(no.Error(), "?")}
	marshal := proto.Marshal
	if isJSON {
		marshal = protojson.Marshal
	}
	body, err := marshal(s)
	if err != nil {
		return nil
	}
	return body
}

func (r *Receiver) read(s signal, isJSON bool, w http.ResponseWriter, req *http.Request) ([]byte, error) {
	place, err := r.enter(req.Context())
	if err != nil {
		return nil, err
	}
	defer r.bodies.Return(place)
	body, err := r.body(collectors.Pushed(w, req, r.limits.BodyBytes), req.Header.Get("Content-Encoding"), place)
	if err != nil {
		return nil, err
	}
	return r.export(s, isJSON, body, collectors.PushedFor(req))
}

// enter waits a little for a place to read a request.
func (r *Receiver) enter(ctx context.Context) (*collectors.Body, error) {
	if place := r.bodies.Take(ctx); place != nil {
		return place, nil
	}
	return nil, &refused{http.StatusTooManyRequests, codes.ResourceExhausted, refusedBusy, fmt.Errorf("%d requests are being read, try again", r.limits.Requests)}
}

// body reads what was sent, in the memory of its place: what is decoded of it is a copy.
func (r *Receiver) body(from io.Reader, encoding string, place *collectors.Body) ([]byte, error) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
	case "gzip":
		zipped, err := gzip.NewReader(from)
		if err != nil {
			return nil, bodyError(err)
		}
		from = zipped
	default:
		return nil, &refused{http.StatusUnsupportedMediaType, codes.Unimplemented, refusedKind, errors.New("Content-Encoding: want gzip or none")}
	}
	body, err := place.Read(from, r.limits.DecodedBytes)
	if errors.Is(err, collectors.ErrBodyTooLarge) {
		return nil, tooLarge(fmt.Errorf("the request is larger than %d bytes decompressed", r.limits.DecodedBytes))
	}
	if err != nil {
		return nil, bodyError(err)
	}
	return body, nil
}

func bodyError(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return tooLarge(fmt.Errorf("the request is larger than %d bytes", large.Limit))
	}
	return malformed(err)
}

// message is what the three kinds of requests and answers have in common.
type message interface {
	MarshalProto() ([]byte, error)
	MarshalJSON() ([]byte, error)
	UnmarshalProto([]byte) error
	UnmarshalJSON([]byte) error
}

// export takes one request, by whatever transport it came, and gives the answer in the same encoding.
func (r *Receiver) export(s signal, isJSON bool, body []byte, wanted string) ([]byte, error) {
	weigh := weighProto
	if isJSON {
		weigh = weighJSON
	}
	if err := weigh(body); err != nil {
		return nil, tooLarge(err)
	}
	decode := func(m message) error {
		read := m.UnmarshalProto
		if isJSON {
			read = m.UnmarshalJSON
		}
		if err := read(body); err != nil {
			return malformed(err)
		}
		return nil
	}
	answer, err := r.take(s, decode, wanted)
	if err != nil {
		return nil, err
	}
	if isJSON {
		return answer.MarshalJSON()
	}
	return answer.MarshalProto()
}

func (r *Receiver) take(s signal, decode func(message) error, wanted string) (message, error) {
	var out outcome
	switch s {
	case metricsSignal:
		req, answer := pmetricotlp.NewExportRequest(), pmetricotlp.NewExportResponse()
		if err := decode(req); err != nil {
			return nil, err
		}
		r.takeMetrics(req.Metrics(), wanted, &out)
		if out.rejected > 0 {
			answer.PartialSuccess().SetRejectedDataPoints(out.rejected)
			answer.PartialSuccess().SetErrorMessage(out.why)
		}
		return answer, nil
	case tracesSignal:
		req, answer := ptraceotlp.NewExportRequest(), ptraceotlp.NewExportResponse()
		if err := decode(req); err != nil {
			return nil, err
		}
		r.takeTraces(req.Traces(), wanted, &out)
		if out.rejected > 0 {
			answer.PartialSuccess().SetRejectedSpans(out.rejected)
			answer.PartialSuccess().SetErrorMessage(out.why)
		}
		return answer, nil
	default:
		req, answer := plogotlp.NewExportRequest(), plogotlp.NewExportResponse()
		if err := decode(req); err != nil {
			return nil, err
		}
		if err := r.takeLogs(req.Logs(), wanted, &out); err != nil {
			return nil, err
		}
		if out.rejected > 0 {
			answer.PartialSuccess().SetRejectedLogRecords(out.rejected)
			answer.PartialSuccess().SetErrorMessage(out.why)
		}
		return answer, nil
	}
}
