package series

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamkeeper-io/streamkeeper"
)

func TestExportOnAGrid(t *testing.T) {
	s := memory(t)
	load(t, s, "members", map[string]string{"cluster": "c", "group": `or"d} e`}, 0, 5, "3 3 3 2 _ _ 4.5 stale")
	load(t, s, "up", map[string]string{"cluster": "c"}, 1.2, 5, "1 1 _ _ 0 1")
	var out bytes.Buffer
	if err := s.Export(t.Context(), &out, ExportOptions{From: at(-5), To: at(40), Step: 5 * time.Second}); err != nil {
		t.Fatal(err)
	}
	want := `# streamkeeper.series/v1 start=2026-03-04T10:00:00Z step=5s
members{cluster="c", group="or\"d} e"} 3x2 2 _x2 4.5 stale
up{cluster="c"} _ 1x1 _x2 0 1
`
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Error(d)
	}
	again := memory(t)
	done, err := again.Import(t.Context(), strings.NewReader(want))
	if err != nil {
		t.Fatal(err)
	}
	if done.Series != 2 || done.Samples != 10 || done.Step != 5*time.Second || !done.From.Equal(at(0)) || !done.To.Equal(at(35)) {
		t.Errorf("imported %+v", done)
	}
	var second bytes.Buffer
	if err := again.Export(t.Context(), &second, ExportOptions{From: at(-5), To: at(40), Step: 5 * time.Second}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, second.String()); d != "" {
		t.Errorf("the second export differs from the first: %s", d)
	}
}

func TestExportRawRoundTrip(t *testing.T) {
	s := memory(t)
	var samples []streamkeeper.Sample
	for i := range 3*valuesPerLine + 7 { // several lines for one series
		samples = append(samples, streamkeeper.Sample{Metric: "m", At: at(float64(i)*5 + float64(i%3)/1000), Value: float64(i) / 3})
	}
	if err := s.Append(t.Context(), samples); err != nil {
		t.Fatal(err)
	}
	load(t, s, "n", map[string]string{"a": "b"}, 0, 1, "NaN +Inf stale 1e-7")
	o := ExportOptions{From: at(-1), To: at(100_000)}
	var first, second bytes.Buffer
	if err := s.Export(t.Context(), &first, o); err != nil {
		t.Fatal(err)
	}
	again := memory(t)
	done, err := again.Import(t.Context(), bytes.NewReader(first.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if done.Samples != len(samples)+4 {
		t.Errorf("%d samples came back of %d", done.Samples, len(samples)+4)
	}
	if err := again.Export(t.Context(), &second, o); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the second export differs from the first")
	}
	if !strings.Contains(first.String(), " +1000=stale") {
		t.Error("the staleness marker is lost")
	}
}

func TestExportSelects(t *testing.T) {
	s := memory(t)
	for _, g := range []string{"a", "b", "c"} {
		load(t, s, "m", map[string]string{"group": g}, 0, 5, "1 2")
	}
	var out bytes.Buffer
	o := ExportOptions{From: at(0), To: at(5), Match: []string{`m{group="a"}`, `m{group=~"a|c"}`}}
	if err := s.Export(t.Context(), &out, o); err != nil {
		t.Fatal(err)
	}
	want := "# streamkeeper.series/v1\nm{group=\"a\"} @" + "1772618405000=2\nm{group=\"c\"} @1772618405000=2\n"
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Errorf("From is exclusive, and a series matched twice is written once: %s", d)
	}
	o.MaxSamples = 1
	if err := s.Export(t.Context(), &out, o); err == nil {
		t.Error("the limit of samples was not kept")
	}
}

func TestImportNamesTheLine(t *testing.T) {
	header := "# streamkeeper.series/v1 start=2026-03-04T10:00:00Z step=5s\n"
	for _, test := range []struct{ text, want string }{
		{"", "first line"},
		{"m 1 2\n", "line 1"},
		{header + "m 1\nm{ 1\n", "line 3"},
		{header + "m 1x\n", "line 2"},
		{header + "m 1x99999999999\n", "line 2"},
		{header + "m one\n", "line 2"},
		{"# streamkeeper.series/v1\nm 1\n", "line 2"},
		{"# streamkeeper.series/v2\n", "line 1"},
		{"# streamkeeper.series/v1 step=-5s\n", "line 1"},
	} {
		if _, err := memory(t).Import(t.Context(), strings.NewReader(test.text)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q", test.text, err, test.want)
		}
	}
}

func TestReadGrid(t *testing.T) {
	for _, test := range []struct {
		values string
		want   []sample
	}{
		{"1 2", []sample{{0, 1}, {5, 2}}},
		{"1x2", []sample{{0, 1}, {5, 1}, {10, 1}}},
		{"_x2 7", []sample{{10, 7}}},
		{"1+2x2", []sample{{0, 1}, {5, 3}, {10, 5}}},
		{"1e+2-1e-1x1", []sample{{0, 100}, {5, 99.9}}},
		{"-3x1", []sample{{0, -3}, {5, -3}}},
	} {
		var got []sample
		if err := readGrid(test.values, 0, 5, func(ms int64, v float64) error { got = append(got, sample{ms, v}); return nil }); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(test.want, got, cmp.AllowUnexported(sample{})); d != "" {
			t.Errorf("%s: %s", test.values, d)
		}
	}
}

var errEnough = errors.New("enough")

// FuzzImportLine: whatever a recording holds, reading one of its lines ends in an error or in values, within bounds.
func FuzzImportLine(f *testing.F) {
	for _, seed := range []string{
		`m{a="b"} 1 2x3 _ stale`, `m @1=2 +3=4`, `m{a="\"} {"} 1+1x5`, `{} 1`, `m 1x9999999999`, `m{`, ` `, `m @9223372036854775807=1 +1=1`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		name, values, err := splitSeries(line)
		if err != nil {
			return
		}
		if _, err := newParser().ParseMetric(name); err != nil {
			return
		}
		n := 0
		add := func(int64, float64) error {
			if n++; n > 1000 {
				return errEnough
			}
			return nil
		}
		for _, err := range []error{readRaw(values, add), readGrid(values, 0, 5000, add)} {
			if err != nil && err.Error() == "" {
				t.Error("an error without words")
			}
		}
	})
}
