package series

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

var epoch = time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return epoch.Add(time.Duration(seconds * float64(time.Second))) }

func memory(t *testing.T) *Store {
	t.Helper()
	s, err := Memory(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// load appends one sample per step; "_" skips, "stale" ends.
func load(t *testing.T, s *Store, metric string, labels map[string]string, start, step float64, values string) {
	t.Helper()
	var samples []streamkeeper.Sample
	for i, text := range strings.Fields(values) {
		if text == "_" {
			continue
		}
		v, err := parseValue(text)
		if err != nil {
			t.Fatal(err)
		}
		samples = append(samples, streamkeeper.Sample{Metric: metric, Labels: labels, At: at(start + float64(i)*step), Value: v})
	}
	if err := s.Append(t.Context(), samples); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, s *Store, when time.Time, q streamkeeper.Query) []streamkeeper.Point {
	t.Helper()
	answers, err := s.Read(t.Context(), when, []streamkeeper.Query{q})
	if err != nil {
		t.Fatal(err)
	}
	if answers[q.ID].Err != nil {
		t.Fatal(answers[q.ID].Err)
	}
	return answers[q.ID].Points
}

func TestMemoryIsDeletedByClose(t *testing.T) {
	s, err := Memory(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.o.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder %s is still there: %v", s.o.Dir, err)
	}
}

func TestMemoryTakesAnyOrder(t *testing.T) {
	s := memory(t)
	labels := map[string]string{"cluster": "c"}
	// A recording holds one series after the other: the second starts ten days before the first ended.
	load(t, s, "b", labels, 0, 86400, "1 2 3 4 5 6 7 8 9 10")
	load(t, s, "a", labels, 0, 86400, "1 2 3 4 5 6 7 8 9 10")
	got := read(t, s, at(86400), streamkeeper.Query{ID: "q", Expr: "a"})
	if len(got) != 1 || got[0].Value != 2 {
		t.Errorf("a = %v, want 2", got)
	}
}

func TestReopenAndCrash(t *testing.T) {
	dir := t.TempDir()
	now := func() time.Time { return at(60) }
	s, err := Open(Options{Dir: dir, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	load(t, s, "m", map[string]string{"cluster": "c"}, 0, 5, "1 2 3")

	// What a killed process leaves is what is on disk now, lock file included.
	crashed := t.TempDir()
	if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	// And a write that was cut short.
	segments, _ := filepath.Glob(filepath.Join(crashed, "wal", "0*"))
	f, err := os.OpenFile(segments[len(segments)-1], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.Write([]byte{1, 2, 3})
	f.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]string{"closed": dir, "crashed": crashed} {
		s, err := Open(Options{Dir: d, Now: now})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := read(t, s, at(10), streamkeeper.Query{ID: "q", Expr: `m{cluster="c"}`})
		if len(got) != 1 || got[0].Value != 3 {
			t.Errorf("%s: m = %v, want 3", name, got)
		}
		load(t, s, "m", map[string]string{"cluster": "c"}, 15, 5, "4")
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenRefusesASharedFolder(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := Open(Options{Dir: dir}); err == nil {
		t.Error("two stores in one folder")
	}
	if _, err := Open(Options{}); err == nil {
		t.Error("a store without a folder")
	}
}

func TestAppendLeavesOutWhatItCannotTake(t *testing.T) {
	s, err := Open(Options{Dir: t.TempDir(), MaxSeries: 3, Now: func() time.Time { return at(0) }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	one := func(seconds, v float64) []streamkeeper.Sample {
		return []streamkeeper.Sample{{Metric: "m", Labels: map[string]string{"a": "1", "b": ""}, At: at(seconds), Value: v}}
	}
	steps := []struct {
		name     string
		samples  []streamkeeper.Sample
		rejected uint64
	}{
		{"the first", one(0, 1), 0},
		{"one a little late is put in its place", one(-60, 2), 0},
		{"one from the future would make all others too old", one(3600, 3), 1},
		{"one older than what is tolerated", one(-3*3600, 4), 2},
		{"another value at the same time", one(0, 5), 3},
	}
	for _, step := range steps {
		if err := s.Append(t.Context(), step.samples); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got := s.Rejected(); got != step.rejected {
			t.Errorf("%s: %d rejected, want %d", step.name, got, step.rejected)
		}
	}
	got := read(t, s, at(1), streamkeeper.Query{ID: "q", Expr: "m"})
	if len(got) != 1 || got[0].Value != 1 || got[0].Labels["a"] != "1" {
		t.Errorf("m = %v, want one series of value 1: an empty label is no label", got)
	}

	var many []streamkeeper.Sample
	for _, n := range []string{"x", "y", "z", "w"} {
		many = append(many, streamkeeper.Sample{Metric: "n", Labels: map[string]string{"a": n}, At: at(5), Value: 1})
	}
	if err := s.Append(t.Context(), append(many, one(5, 9)...)); !errors.Is(err, ErrTooManySeries) {
		t.Errorf("a fourth series: %v, want ErrTooManySeries", err)
	}
	if got := read(t, s, at(6), streamkeeper.Query{ID: "q", Expr: "m"}); len(got) != 1 || got[0].Value != 9 {
		t.Errorf("m = %v, want 9: known series go on when new ones are refused", got)
	}
}

func TestCacheTellsSeriesApart(t *testing.T) {
	s := memory(t)
	sets := []map[string]string{{"a": "x", "b": "y"}, {"a": "y", "b": "x"}, {"a": "x"}, {"b": "y"}, {}}
	for round := range 2 {
		for i, l := range sets {
			load(t, s, "m", l, float64(round*5), 5, []string{"0", "1", "2", "3", "4"}[i])
		}
	}
	if s.Series() != len(sets) {
		t.Errorf("%d series, want %d", s.Series(), len(sets))
	}
	if got := read(t, s, at(5), streamkeeper.Query{ID: "q", Expr: `m{a="y",b="x"}`}); len(got) != 1 || got[0].Value != 1 {
		t.Errorf(`m{a="y",b="x"} = %v, want 1`, got)
	}
}

func TestCheckQuery(t *testing.T) {
	if err := CheckQuery(`sum by (group) (rate(x{cluster="c"}[5m]))`); err != nil {
		t.Error(err)
	}
	err := CheckQuery("rate(x)")
	if err == nil || !strings.Contains(err.Error(), "1:6") {
		t.Errorf("rate(x): %v, want an error with its position", err)
	}
}

func BenchmarkAppend(b *testing.B) {
	s, err := Open(Options{Dir: b.TempDir(), Now: func() time.Time { return epoch.Add(1000 * time.Hour) }})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	samples := make([]streamkeeper.Sample, 10_000)
	for i := range samples {
		samples[i] = streamkeeper.Sample{Metric: "streamkeeper_group_partition_lag_messages", Labels: map[string]string{
			"cluster": "c", "group": "orders", "topic": "orders", "partition": string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676)),
		}, Value: collectors.Stale()}
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		for i := range samples {
			samples[i].At, samples[i].Value = at(float64(n)*5), float64(n+i)
		}
		if err := s.Append(b.Context(), samples); err != nil {
			b.Fatal(err)
		}
	}
}
