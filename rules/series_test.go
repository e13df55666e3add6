package rules

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseSeries(t *testing.T) {
	nan := math.NaN()
	for _, x := range []struct {
		in   string
		want []float64 // NaN is a missing step
	}{
		{"1 2 3", []float64{1, 2, 3}},
		{"0+10x3", []float64{0, 10, 20, 30}},
		{"5-2x2", []float64{5, 3, 1}},
		{"-1-1x1", []float64{-1, -2}},
		{"7x2", []float64{7, 7, 7}},
		{"_ 1 _x2 stale", []float64{nan, 1, nan, nan, nan}},
		{"1e3 1.5e-2", []float64{1000, .015}},
		{"1e-1+1x1", []float64{.1, 1.1}},
	} {
		got, err := parseSeries(x.in)
		if err != nil {
			t.Errorf("%s: %v", x.in, err)
			continue
		}
		values := make([]float64, len(got))
		for i, s := range got {
			values[i] = s.value
			if s.missing {
				values[i] = nan
			}
		}
		if d := cmp.Diff(x.want, values, cmp.Comparer(func(a, b float64) bool { return a == b || a != a && b != b })); d != "" {
			t.Errorf("%s: %s", x.in, d)
		}
	}
	for _, bad := range []string{"", "a", "1+2", "1x", "1x-3", "_x999999", "1+x3", "--1"} {
		if got, err := parseSeries(bad); err == nil {
			t.Errorf("%q gives %v", bad, got)
		}
	}
}

func TestIncrease(t *testing.T) {
	for _, x := range []struct {
		reason, series string
		from           int
		want           float64
	}{
		{"plain", "0 1 2 3", 0, 3},
		{"what was before the window does not count", "0 5 6 7", 1, 2},
		{"a reset counts what came after it", "5 6 1 2", 0, 3},
		{"a gap hides nothing", "0 1 _ 3", 0, 3},
		{"a counter that appears was born at zero", "_ 1 2", 0, 2},
		{"one that was there from the start had its past", "4 4 5", 0, 1},
		{"one that ended and came back was born again", "5 stale 2", 0, 2},
	} {
		series, err := parseSeries(x.series)
		if err != nil {
			t.Fatal(err)
		}
		if got := increase(series, x.from); got != x.want {
			t.Errorf("%s: %s from %d is %v, want %v", x.reason, x.series, x.from, got, x.want)
		}
	}
}

func TestParseEventLine(t *testing.T) {
	e, after, err := parseEventLine(`1m30s member_left member=a@h reason='poll timeout has expired.' age_s=1.2 admin=false note="it's"`)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"member": "a@h", "reason": "poll timeout has expired.", "age_s": 1.2, "admin": false, "note": "it's"}
	if d := cmp.Diff(want, e.Attrs); d != "" || e.Kind != "member_left" || after != 90*time.Second || !e.At.Equal(exampleStart.Add(after)) {
		t.Errorf("%+v at %s: %s", e, after, d)
	}
	for _, bad := range []string{"", "member_left", "10s", "10s Member", "10s x y", "10s x y='z", "10s x =3"} {
		if e, _, err := parseEventLine(bad); err == nil {
			t.Errorf("%q gives %+v", bad, e)
		}
	}
}

// FuzzParseSeries and events: whatever somebody writes is parsed or refused, never a panic.
func FuzzParseSeries(f *testing.F) {
	f.Add("0+10x3 _ stale 1e3-1x2")
	f.Add("10s member_left reason='a b' n=1")
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := parseSeries(s); err == nil && len(got) == 0 {
			t.Fatalf("%q gives no step", s)
		}
		if e, _, err := parseEventLine(s); err == nil && e.Kind == "" {
			t.Fatalf("%q gives an event without a kind", s)
		}
	})
}

// TestExamples_OutcomesAreHeld breaks each expectation of an example: a test that cannot fail is none.
func TestExamples_OutcomesAreHeld(t *testing.T) {
	c := loadFixture(t)
	for _, x := range c.examples {
		for _, outcome := range []string{outcomeFires, outcomeQuiet, outcomeUnknown, outcomeNotApplicable} {
			wrong := *x
			wrong.outcome = outcome
			if passed := c.run(&wrong) == ""; passed != (outcome == x.outcome) {
				t.Errorf("%s, %s: expecting %s passes: %v", x.node.ID, x.name, outcome, passed)
			}
		}
	}
}
