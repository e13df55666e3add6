package collectors

import (
	"bytes"
	"compress/gzip"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/streamkeeper-io/streamkeeper"
)

// Pages are read back by Prometheus' own parser, whatever a group is called.
func TestPages(t *testing.T) {
	names := []string{"plain", `quo"ted`, `back\slash`, "two\nlines", "ünïcode 😀", "not\xffutf8", ""}
	first, second := NewPage(), NewPage()
	for i, p := range []*Page{first, second} {
		for n, name := range names {
			cluster := string(rune('a' + i))
			p.Add(streamkeeper.Sample{Metric: "streamkeeper_group_members", Labels: map[string]string{"group": name, "cluster": cluster}, Value: float64(n) / 2}, "Members of the group.")
		}
	}
	second.Line("streamkeeper_lost_total", "Lost.", AppendLabel(nil, "topic", "t"), 12345678901234567890)
	second.Add(streamkeeper.Sample{Metric: "streamkeeper_bare", Value: math.Inf(1)}, "No labels.")

	var text strings.Builder
	if err := WritePages(&text, first, nil, second); err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text.String()))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text.String())
	}
	if len(families) != 3 {
		t.Errorf("%d families, want 3:\n%s", len(families), text.String())
	}
	members := families["streamkeeper_group_members"]
	if members.GetType() != dto.MetricType_GAUGE || members.GetHelp() != "Members of the group." || len(members.Metric) != 2*len(names) {
		t.Errorf("%d members: %v", len(members.Metric), members)
	}
	for i, m := range members.Metric {
		want := strings.ToValidUTF8(names[i%len(names)], "\uFFFD")
		labels := map[string]string{}
		for _, l := range m.Label {
			labels[l.GetName()] = l.GetValue()
		}
		if labels["group"] != want || labels["cluster"] != string(rune('a'+i/len(names))) || m.Gauge.GetValue() != float64(i%len(names))/2 {
			t.Errorf("line %d is %v, want group %q", i, m, want)
		}
	}
	lost := families["streamkeeper_lost_total"]
	if lost.GetType() != dto.MetricType_COUNTER || lost.Metric[0].Counter.GetValue() != 12345678901234567890 {
		t.Errorf("%v", lost)
	}
	if v := families["streamkeeper_bare"].Metric[0].Gauge.GetValue(); !math.IsInf(v, 1) {
		t.Errorf("%v, want +Inf", v)
	}
}

// Compressed pages are the same text, in a stream that any decompressor reads to its end, the first time and again.
func TestPagesCompressed(t *testing.T) {
	before, p := NewPage(), NewPage()
	for i := range 20_000 {
		p.Line("streamkeeper_lag", "Lag.", AppendLabel(nil, "partition", strconv.Itoa(i)), float64(i%7))
	}
	p.Line("streamkeeper_up", "Up.", AppendLabel(nil, "a", "b"), 1)
	own := "# TYPE go_threads gauge\ngo_threads 8\n"
	var want bytes.Buffer
	want.WriteString(own)
	if err := WritePages(&want, p, nil); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"first", "again", "compressed beforehand"} {
		var zipped bytes.Buffer
		if err := WriteGzip(&zipped, []byte(own), p, nil, before); err != nil {
			t.Fatal(err)
		}
		if zipped.Len() > want.Len()/4 {
			t.Errorf("%s: %d bytes of %d", when, zipped.Len(), want.Len())
		}
		r, err := gzip.NewReader(&zipped)
		if err != nil {
			t.Fatal(err)
		}
		r.Multistream(false) // not everybody reads on
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s: %v, %d bytes of %d", when, err, len(got), want.Len())
		}
		if zipped.Len() != 0 {
			t.Errorf("%s: %d bytes are left", when, zipped.Len())
		}
		next := NewPage()
		if next.Line("streamkeeper_up", "Up.", nil, 1); when == "again" {
			next.Compress(before)
			if next.families["streamkeeper_up"].deflated == nil {
				t.Error("it is asked for compressed and was not compressed beforehand")
			}
		}
	}
	idle := NewPage()
	idle.Line("streamkeeper_up", "Up.", nil, 1)
	idle.Compress(NewPage())
	if idle.families["streamkeeper_up"].deflated != nil {
		t.Error("compressed for nobody")
	}
	var empty bytes.Buffer
	if err := WriteGzip(&empty, nil); err != nil {
		t.Fatal(err)
	}
	if r, err := gzip.NewReader(&empty); err != nil {
		t.Error(err)
	} else if got, err := io.ReadAll(r); err != nil || len(got) != 0 {
		t.Errorf("%q %v", got, err)
	}
}
