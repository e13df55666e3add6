package cli

import (
	"testing"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors/series"
)

// TestRelearn_KnowsWhomTheSeriesNamed: a store that no inventory lists is known from the moment its broker told of it, and
// what is not judged of it is said in a replay too.
func TestRelearn_KnowsWhomTheSeriesNamed(t *testing.T) {
	told := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p, err := openPlaces(series.Options{Retention: 1000 * time.Hour, OutOfOrder: 1000 * time.Hour}, func() time.Time { return told })
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	sample := streamkeeper.Sample{
		Metric: "streamkeeper_broker_offloaded_bytes_total", Labels: map[string]string{"cluster": "c", "store": "cold"}, At: told, Value: 0,
	}
	if err := p.series.Append(t.Context(), []streamkeeper.Sample{sample}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{-time.Second, 0}, {time.Second, 1}} {
		if err := p.relearn(t.Context(), "c", told.Add(c.after)); err != nil {
			t.Fatal(err)
		}
		if got := p.world.Entities("c", streamkeeper.KindStore); len(got) != c.want {
			t.Errorf("%s after it was told: stores %v, want %d", c.after, got, c.want)
		}
	}
}
