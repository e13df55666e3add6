package series

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamkeeper-io/streamkeeper"
)

// What is computed without the engine is what the engine computes.
func TestAggregateAsTheEngine(t *testing.T) {
	s := memory(t)
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range 60 {
		l := map[string]string{"cluster": "c", "group": fmt.Sprint("g", i%7)}
		if i%3 > 0 {
			l["topic"] = fmt.Sprint("t", i)
		} else {
			l["member"] = fmt.Sprint(i)
		}
		var values []string
		for range 1 + rng.IntN(4) {
			values = append(values, []string{"1", "-2.5", "NaN", "stale", "7", "+Inf", "_"}[rng.IntN(7)])
		}
		load(t, s, "lag", l, float64(rng.IntN(5)), 5, strings.Join(values, " "))
	}
	load(t, s, "lag", map[string]string{"cluster": "c", "group": "gone"}, -400, 5, "1")
	var queries int
	for _, op := range []string{"max", "min", "count"} {
		for _, by := range []string{"by (cluster, group)", "by (topic, group)", "by (nothing)", "by ()", ""} {
			for _, inner := range []string{`lag`, `(lag{group=~"g[1-4]"})`, `timestamp(lag)`, `timestamp((lag{topic!=""}))`, `lag{group="none"}`} {
				expr := fmt.Sprintf("%s %s (%s)", op, by, inner)
				parsed, err := s.parser.ParseExpr(expr)
				if err != nil {
					t.Fatal(err)
				}
				if _, ok := aggregationOf(parsed); !ok {
					t.Errorf("%s goes to the engine", expr)
				}
				for _, when := range []float64{0, 3, 11, 290, 310} {
					queries++
					got := read(t, s, at(when), streamkeeper.Query{ID: "q", Kind: streamkeeper.QueryInstant, Expr: expr})
					want, err := s.evaluate(t.Context(), at(when), expr, newReading())
					if err != nil {
						t.Fatal(err)
					}
					equalNaN := cmp.Comparer(func(x, y float64) bool { return x == y || math.IsNaN(x) && math.IsNaN(y) })
					if d := cmp.Diff(sorted(want), sorted(got), equalNaN); d != "" {
						t.Errorf("%s at %v: %s", expr, when, d)
					}
				}
			}
		}
	}
	t.Logf("%d queries", queries)
	for _, expr := range []string{"max by (__name__) (lag)", "max without (group) (lag)", "max(lag offset 5s)", "max(lag * 2)", "topk(2, lag)", "max(rate(lag[1m]))"} {
		parsed, err := s.parser.ParseExpr(expr)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := aggregationOf(parsed); ok {
			t.Errorf("%s is not for the engine", expr)
		}
	}
}

func sorted(points []streamkeeper.Point) []streamkeeper.Point {
	out := append([]streamkeeper.Point{}, points...)
	slices.SortFunc(out, func(a, b streamkeeper.Point) int { return strings.Compare(fmt.Sprint(a.Labels), fmt.Sprint(b.Labels)) })
	return out
}
