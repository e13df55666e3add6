package series

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/prometheus/prometheus/promql"
)

// httpError is an error with what Prometheus' API says of it.
type httpError struct {
	status int
	kind   string
	err    error
}

func (e *httpError) Error() string { return e.err.Error() }
func (e *httpError) Unwrap() error { return e.err }

func badData(err error) error { return &httpError{http.StatusBadRequest, "bad_data", err} }

func queryError(err error) error {
	var canceled promql.ErrQueryCanceled
	var timeout promql.ErrQueryTimeout
	switch {
	case errors.As(err, &canceled), errors.Is(err, context.Canceled):
		return &httpError{499, "canceled", err}
	case errors.As(err, &timeout), errors.Is(err, context.DeadlineExceeded):
		return &httpError{http.StatusServiceUnavailable, "timeout", err}
	default:
		return &httpError{http.StatusUnprocessableEntity, "execution", err}
	}
}

func writeError(w http.ResponseWriter, err error) {
	var known *httpError
	if !errors.As(err, &known) {
		known = &httpError{http.StatusInternalServerError, "internal", err}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(known.status)
	// The status is sent: a client that is gone cannot be told anything more.
	_ = json.NewEncoder(w).Encode(map[string]string{"status": "error", "errorType": known.kind, "error": err.Error()})
}

func writeData(w http.ResponseWriter, data any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": data})
}

// point is one value as Prometheus writes it: [seconds, "value"].
type point struct {
	ms int64
	v  float64
}

// MarshalJSON keeps NaN and infinities, which JSON numbers cannot hold, as text.
func (p point) MarshalJSON() ([]byte, error) {
	out := append([]byte(nil), '[')
	out = strconv.AppendFloat(out, float64(p.ms)/1000, 'f', -1, 64)
	out = append(out, ',', '"')
	out = strconv.AppendFloat(out, p.v, 'f', -1, 64)
	return append(out, '"', ']'), nil
}

type vectorItem struct {
	Metric map[string]string `json:"metric"`
	Value  point             `json:"value"`
}

type matrixItem struct {
	Metric map[string]string `json:"metric"`
	Values []point           `json:"values"`
}

// queryData turns a result into Prometheus' JSON. Native histograms are not stored, so none can come.
func queryData(value any) (any, error) {
	var result any
	var kind string
	switch v := value.(type) {
	case promql.Vector:
		items := make([]vectorItem, 0, len(v))
		for _, s := range v {
			items = append(items, vectorItem{s.Metric.Map(), point{s.T, s.F}})
		}
		kind, result = "vector", items
	case promql.Matrix:
		items := make([]matrixItem, 0, len(v))
		for _, s := range v {
			values := make([]point, 0, len(s.Floats))
			for _, f := range s.Floats {
				values = append(values, point{f.T, f.F})
			}
			items = append(items, matrixItem{s.Metric.Map(), values})
		}
		kind, result = "matrix", items
	case promql.Scalar:
		kind, result = "scalar", point{v.T, v.V}
	case promql.String:
		kind, result = "string", [2]any{float64(v.T) / 1000, v.V}
	default:
		return nil, fmt.Errorf("unexpected result %T", value)
	}
	return map[string]any{"resultType": kind, "result": result}, nil
}
