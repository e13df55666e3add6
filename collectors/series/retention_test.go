package series

import (
	"fmt"
	"testing"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// Five hours pass in a store that keeps one: the head moves into blocks, old blocks go, and counts are exact
// across the borders between blocks and head.
func TestRetention(t *testing.T) {
	now := epoch
	s, err := Open(Options{Dir: t.TempDir(), Retention: time.Hour, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const step, series = 15 * time.Second, 20
	n := 0
	for ; now.Before(epoch.Add(5 * time.Hour)); now = now.Add(step) {
		var samples []streamkeeper.Sample
		for i := range series {
			samples = append(samples, streamkeeper.Sample{
				Metric: "done_total", Labels: map[string]string{"cluster": "c", "group": fmt.Sprint(i)}, At: now, Value: float64(n * (i + 1)),
			})
		}
		if err := s.Append(t.Context(), samples); err != nil {
			t.Fatal(err)
		}
		n++
		if n%100 == 0 {
			if err := s.db.Compact(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	now = now.Add(-step)
	if got := s.Rejected(); got != 0 {
		t.Errorf("%d samples rejected", got)
	}
	blocks := s.db.Blocks()
	if len(blocks) == 0 {
		t.Fatal("everything is still in memory")
	}
	if head := now.Sub(time.UnixMilli(s.db.Head().MinTime())); head > 2*blockRange {
		t.Errorf("the head holds %s", head)
	}
	if oldest := now.Sub(time.UnixMilli(blocks[0].MinTime())); oldest > time.Hour+2*blockRange {
		t.Errorf("a block of %s ago is still there", oldest)
	}
	for _, window := range []time.Duration{5 * time.Minute, 50 * time.Minute} {
		got := read(t, s, now, streamkeeper.Query{ID: "q", Kind: streamkeeper.QueryCount, Expr: `done_total{group="2"}`, Window: window, By: []string{"group"}})
		if want := 3 * window.Seconds() / step.Seconds(); len(got) != 1 || got[0].Value != want {
			t.Errorf("count over %s = %v, want %v", window, got, want)
		}
	}
}
