package remotewrite

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// decoded is a request as text: one line for each series, with its labels, samples and number of histograms.
func decoded(body []byte, version int) (string, error) {
	limits := DefaultLimits()
	var out strings.Builder
	err := readRequest(body, version, &limits, func(ts timeSeries) error {
		err := ts.labels(func(name, value []byte) error {
			fmt.Fprintf(&out, "%q=%q ", name, value)
			return nil
		})
		if err != nil {
			return err
		}
		n, err := ts.samples(func(v float64, ms int64) error {
			fmt.Fprintf(&out, "%x@%d ", math.Float64bits(v), ms)
			return nil
		})
		fmt.Fprintf(&out, "%d\n", n)
		return err
	})
	return out.String(), err
}

func textV1(req *prompb.WriteRequest) string {
	var out strings.Builder
	for _, ts := range req.Timeseries {
		for _, l := range ts.Labels {
			fmt.Fprintf(&out, "%q=%q ", l.Name, l.Value)
		}
		for _, s := range ts.Samples {
			fmt.Fprintf(&out, "%x@%d ", math.Float64bits(s.Value), s.Timestamp)
		}
		fmt.Fprintf(&out, "%d\n", len(ts.Histograms))
	}
	return out.String()
}

// textV2 is false where a series refers to what is not there: the library leaves that to its user.
func textV2(req *writev2.Request) (string, bool) {
	var out strings.Builder
	for _, ts := range req.Timeseries {
		if len(ts.LabelsRefs)%2 != 0 {
			return "", false
		}
		for i := 0; i < len(ts.LabelsRefs); i += 2 {
			name, value := ts.LabelsRefs[i], ts.LabelsRefs[i+1]
			if int(name) >= len(req.Symbols) || int(value) >= len(req.Symbols) {
				return "", false
			}
			fmt.Fprintf(&out, "%q=%q ", req.Symbols[name], req.Symbols[value])
		}
		for _, s := range ts.Samples {
			fmt.Fprintf(&out, "%x@%d ", math.Float64bits(s.Value), s.Timestamp)
		}
		fmt.Fprintf(&out, "%d\n", len(ts.Histograms))
	}
	return out.String(), true
}

func requestV1() *prompb.WriteRequest {
	return &prompb.WriteRequest{
		Timeseries: []prompb.TimeSeries{
			{Labels: []prompb.Label{{Name: "__name__", Value: "up"}, {Name: "job", Value: "kafka"}}, Samples: []prompb.Sample{{Value: 1, Timestamp: 1000}, {Value: math.NaN(), Timestamp: -5}}},
			{Labels: []prompb.Label{{Name: "__name__", Value: "h"}}, Histograms: []prompb.Histogram{{Sum: 2, Schema: 1}}, Exemplars: []prompb.Exemplar{{Value: 3}}},
		},
		Metadata: []prompb.MetricMetadata{{MetricFamilyName: "up", Help: "whether it is"}},
	}
}

func requestV2() *writev2.Request {
	return &writev2.Request{
		Symbols: []string{"", "__name__", "up", "job", "kafka"},
		Timeseries: []writev2.TimeSeries{
			{LabelsRefs: []uint32{1, 2, 3, 4}, Samples: []writev2.Sample{{Value: 1, Timestamp: 1000}}},
			{LabelsRefs: []uint32{1, 4}, Histograms: []writev2.Histogram{{Sum: 2}}},
		},
	}
}

func TestRead(t *testing.T) {
	v1, err := requestV1().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decoded(v1, 1); err != nil || got != textV1(requestV1()) {
		t.Errorf("%v: %s\nwant %s", err, got, textV1(requestV1()))
	}
	v2, err := requestV2().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	want, _ := textV2(requestV2())
	if got, err := decoded(v2, 2); err != nil || got != want {
		t.Errorf("%v: %s\nwant %s", err, got, want)
	}
}

// FuzzReadV1 holds our reading of 1.0 and the library's equal.
func FuzzReadV1(f *testing.F) {
	seed, _ := requestV1().Marshal()
	f.Add(seed)
	f.Add([]byte("\x0a\x04\x0a\x02\x0a\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := decoded(data, 1)
		var req prompb.WriteRequest
		if req.Unmarshal(data) != nil {
			return
		}
		if want := textV1(&req); err == nil && got != want {
			t.Errorf("read %s\nwant %s", got, want)
		}
		var clean prompb.WriteRequest // without what the library keeps although it does not know it
		for _, ts := range req.Timeseries {
			out := prompb.TimeSeries{Histograms: make([]prompb.Histogram, len(ts.Histograms))}
			for _, l := range ts.Labels {
				out.Labels = append(out.Labels, prompb.Label{Name: l.Name, Value: l.Value})
			}
			for _, s := range ts.Samples {
				out.Samples = append(out.Samples, prompb.Sample{Value: s.Value, Timestamp: s.Timestamp})
			}
			clean.Timeseries = append(clean.Timeseries, out)
		}
		again, merr := clean.Marshal() // the one form that every writer makes
		if merr != nil {
			return
		}
		if got, err := decoded(again, 1); err != nil || got != textV1(&req) {
			t.Errorf("%v: read %s\nwant %s", err, got, textV1(&req))
		}
	})
}

// FuzzReadV2 holds our reading of 2.0 and the library's equal.
func FuzzReadV2(f *testing.F) {
	seed, _ := requestV2().Marshal()
	f.Add(seed)
	f.Add([]byte("\x22\x00\x2a\x02\x08\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := decoded(data, 2)
		var req writev2.Request
		if req.Unmarshal(data) != nil {
			return
		}
		want, whole := textV2(&req)
		if err == nil && whole && got != want {
			t.Errorf("read %s\nwant %s", got, want)
		}
		clean := writev2.Request{Symbols: req.Symbols}
		for _, ts := range req.Timeseries {
			out := writev2.TimeSeries{LabelsRefs: ts.LabelsRefs, Histograms: make([]writev2.Histogram, len(ts.Histograms))}
			for _, s := range ts.Samples {
				out.Samples = append(out.Samples, writev2.Sample{Value: s.Value, Timestamp: s.Timestamp})
			}
			clean.Timeseries = append(clean.Timeseries, out)
		}
		again, merr := clean.Marshal()
		if merr != nil {
			return
		}
		if got, err := decoded(again, 2); (err == nil) != whole || whole && got != want {
			t.Errorf("%v: read %s\nwant %s (%v)", err, got, want, whole)
		}
	})
}
