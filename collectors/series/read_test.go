package series

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamkeeper-io/streamkeeper"
)

func TestReadInstant(t *testing.T) {
	s := memory(t)
	load(t, s, "lag", map[string]string{"cluster": "c", "group": "a"}, 0, 5, "1 2 3")
	load(t, s, "lag", map[string]string{"cluster": "c", "group": "b"}, 0, 5, "7 stale")
	load(t, s, "lag", map[string]string{"cluster": "c", "group": "n"}, 0, 5, "NaN")
	a := map[string]string{"cluster": "c", "group": "a"}
	b := map[string]string{"cluster": "c", "group": "b"}
	n := map[string]string{"cluster": "c", "group": "n"}
	tests := []struct {
		name string
		at   float64
		expr string
		want []streamkeeper.Point
	}{
		{"a bare selector tells each sample's age", 12, `lag{group="a"}`, []streamkeeper.Point{{Labels: a, Value: 3, Age: 2 * time.Second}}},
		{"so does one in parentheses", 12, `(lag{group="a"})`, []streamkeeper.Point{{Labels: a, Value: 3, Age: 2 * time.Second}}},
		{"a sample after the moment asked for does not exist yet", 9.9, `lag{group="a"}`, []streamkeeper.Point{{Labels: a, Value: 2, Age: 4900 * time.Millisecond}}},
		{"a series that ended is absent at once, not frozen at its last value", 6, `lag{group="b"}`, nil},
		{"but it was there before it ended", 4, `lag{group="b"}`, []streamkeeper.Point{{Labels: b, Value: 7, Age: 4 * time.Second}}},
		{"beyond the lookback nothing is known", 400, `lag{group="a"}`, nil},
		{"not a number stays that: the reader calls it unknown", 0, `lag{group="n"}`, []streamkeeper.Point{{Labels: n, Value: math.NaN()}}},
		{"an expression has no age", 12, `sum by (cluster) (lag{group="a"})`, []streamkeeper.Point{{Labels: map[string]string{"cluster": "c"}, Value: 3, Age: -1}}},
		{"an offset is an expression", 12, `lag{group="a"} offset 5s`, []streamkeeper.Point{{Labels: a, Value: 2, Age: -1}}},
		{"timestamp() tells the age of any selector", 12, `timestamp(lag{group="a"})`, []streamkeeper.Point{{Labels: map[string]string{"cluster": "c", "group": "a"}, Value: float64(at(10).Unix()), Age: -1}}},
		{"a number is a point without labels", 12, `2 * 3`, []streamkeeper.Point{{Labels: map[string]string{}, Value: 6, Age: -1}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := read(t, s, at(test.at), streamkeeper.Query{ID: "q", Kind: streamkeeper.QueryInstant, Expr: test.expr})
			equalNaN := cmp.Comparer(func(x, y float64) bool { return x == y || math.IsNaN(x) && math.IsNaN(y) })
			if d := cmp.Diff(test.want, got, equalNaN); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestReadKeepsErrorsApart(t *testing.T) {
	s := memory(t)
	load(t, s, "m", map[string]string{"cluster": "c"}, 0, 5, "1")
	answers, err := s.Read(t.Context(), at(0), []streamkeeper.Query{
		{ID: "syntax", Expr: "m{"},
		{ID: "range", Expr: "m[5m]"},
		{ID: "count of an expression", Kind: streamkeeper.QueryCount, Expr: "sum(m)", Window: time.Minute},
		{ID: "count without a window", Kind: streamkeeper.QueryCount, Expr: "m"},
		{ID: "good", Expr: "m"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for id, a := range answers {
		if (a.Err == nil) != (id == "good") {
			t.Errorf("%s: error %v", id, a.Err)
		}
	}
	if len(answers["good"].Points) != 1 {
		t.Error("a bad query cost a good one its answer")
	}
}

func TestReadLimits(t *testing.T) {
	s, err := Memory(Options{MaxSamples: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	load(t, s, "m", map[string]string{"cluster": "c"}, 0, 5, "1 2 3 4 5 6 7 8 9 10 11 12")
	for _, q := range []streamkeeper.Query{
		{ID: "raw", Expr: "m"},
		{ID: "engine", Expr: "max_over_time(m[5m])"},
		{ID: "count", Kind: streamkeeper.QueryCount, Expr: "m", Window: time.Minute},
	} {
		answers, err := s.Read(t.Context(), at(60), []streamkeeper.Query{q})
		if err != nil || answers[q.ID].Err == nil {
			t.Errorf("%s: %v, %v: want the limit named", q.ID, err, answers[q.ID])
		}
	}
}

func TestCount(t *testing.T) {
	tests := []struct {
		name string
		// samples every 10 s from -60; the window is (0, 60]
		counter string
		up      string
		want    []streamkeeper.Point
	}{
		{
			"steps are exact where increase() would stretch them over the window",
			"5 5 5 5 5 5 5 6 6 6 6 6 8", "", points(3, 0),
		},
		{
			"the step across the window's start is in the window where it was seen",
			"5 5 5 5 5 5 _ 9 9 9 9 9 9", "", points(4, 0),
		},
		{
			"a step seen at the window's start belongs to the window before",
			"5 5 5 5 5 5 9 9 9 9 9 9 9", "", points(0, 0),
		},
		{
			"a reset counts from zero: all it shows has happened since",
			"5 5 5 5 5 5 5 7 1 2 2 2 2", "", points(2+1+1, 0),
		},
		{
			"a counter born under watch counts its first value",
			"_ _ _ _ _ _ _ _ 1 1 1 1 1", "1 1 1 1 1 1 1 1 1 1 1 1 1", points(1, 0),
		},
		{
			"one that was there when watching began does not: its past is not ours",
			"_ _ _ _ _ _ _ _ 900 900 901 901 901", "_ _ _ _ _ _ _ _ 1 1 1 1 1", points(1, 0),
		},
		{
			"a source that was down right before its counter appeared has watched nothing",
			"_ _ _ _ _ _ _ _ 900 900 901 901 901", "0 0 0 0 0 0 0 0 1 1 1 1 1", points(1, 0),
		},
		{
			"a counter that ended inside the window keeps what it counted, and shows its age",
			"5 5 5 5 5 5 5 6 7 stale _ _ _", "", points(2, 40),
		},
		{
			"no sample in the window: unknown, not zero",
			"5 5 5 5 5 _ _ _ _ _ _ _ _", "", nil,
		},
		{
			"not a number is no sample",
			"5 5 5 5 5 5 NaN 6 NaN 7 7 7 7", "", points(2, 0),
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := memory(t)
			labels := map[string]string{"cluster": "c", "group": "g", "instance": "i"}
			load(t, s, "count_total", labels, -60, 10, test.counter)
			load(t, s, "up", map[string]string{"cluster": "c", "instance": "i"}, -60, 10, test.up)
			got := read(t, s, at(60), streamkeeper.Query{
				ID: "q", Kind: streamkeeper.QueryCount, Expr: `count_total{cluster="c"}`,
				Window: time.Minute, By: []string{"cluster", "group"},
			})
			if len(got) == 0 {
				got = nil
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func points(v, ageSeconds float64) []streamkeeper.Point {
	return []streamkeeper.Point{{
		Labels: map[string]string{"cluster": "c", "group": "g"}, Value: v, Age: time.Duration(ageSeconds * float64(time.Second)),
	}}
}

func TestCountSumsByLabels(t *testing.T) {
	s := memory(t)
	for _, m := range []struct{ group, code, values string }{
		{"b", "NONE", "0 3"}, {"a", "NONE", "0 1"}, {"a", "FENCED", "4 6"},
	} {
		load(t, s, "commits_total", map[string]string{"cluster": "c", "group": m.group, "code": m.code}, 0, 10, m.values)
	}
	got := read(t, s, at(15), streamkeeper.Query{
		ID: "q", Kind: streamkeeper.QueryCount, Expr: "commits_total", Window: 10 * time.Second, By: []string{"group"},
	})
	want := []streamkeeper.Point{
		{Labels: map[string]string{"group": "a"}, Value: 3, Age: 5 * time.Second},
		{Labels: map[string]string{"group": "b"}, Value: 3, Age: 5 * time.Second},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// The collectors' own series have no instance: their watcher is the collector itself.
func TestCountBirthWithoutInstance(t *testing.T) {
	s := memory(t)
	load(t, s, "streamkeeper_collector_up", map[string]string{"cluster": "c", "collector": "kafka"}, 0, 5, "1 1 1 1")
	load(t, s, "streamkeeper_group_committed_total", map[string]string{"cluster": "c", "group": "g"}, 10, 5, "2 2")
	got := read(t, s, at(15), streamkeeper.Query{
		ID: "q", Kind: streamkeeper.QueryCount, Expr: "streamkeeper_group_committed_total", Window: 10 * time.Second, By: []string{"group"},
	})
	if len(got) != 1 || got[0].Value != 2 {
		t.Errorf("count = %v, want 2", got)
	}
}
