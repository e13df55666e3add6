package infer

import (
	"cmp"
	"math"
	"slices"
	"testing"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// decoders are this package's decoder and the ones that it replaces, for comparison only.
var decoders = map[string]func(Model) string{
	"noisy-OR":    noisyOR,
	"log-odds":    func(m Model) string { return m.Causes[logOddsOrder(m)[0]].ID },
	"codebook":    codebook,
	"set cover":   setCover,
	"match ratio": matchRatio,
}

func chances(m Model, c int) map[int]float64 {
	out := map[int]float64{}
	for _, e := range m.Causes[c].Edges {
		out[e.Node] = e.Chance
	}
	return out
}

// logOddsOrder sums each cause's log likelihood ratios as if it were the only candidate.
func logOddsOrder(m Model) []int {
	score := make([]float64, len(m.Causes))
	order := make([]int, len(m.Causes))
	for c := range m.Causes {
		order[c] = c
		score[c] = logit(m.Causes[c].Prior)
		for n, p := range chances(m, c) {
			switch leak := m.Nodes[n].Leak; m.Nodes[n].State {
			case streamkeeper.Present:
				score[c] += math.Log(p / leak)
			case streamkeeper.Absent:
				score[c] += math.Log((1 - p) / (1 - leak))
			}
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(score[b], score[a]) })
	return order
}

// best gives the cause with the highest score, the first among equals.
func bestBy(m Model, score func(c int) float64) string {
	best, at := math.Inf(-1), 0
	for c := range m.Causes {
		if s := score(c); s > best {
			best, at = s, c
		}
	}
	return m.Causes[at].ID
}

// codebook takes the cause whose likely effects differ from the observations in the fewest known nodes.
func codebook(m Model) string {
	return bestBy(m, func(c int) float64 {
		p, distance := chances(m, c), 0.0
		for i, n := range m.Nodes {
			if n.State == streamkeeper.Unknown {
				continue
			}
			if (p[i] >= .5) != (n.State == streamkeeper.Present) {
				distance++
			}
		}
		return -distance
	})
}

// setCover takes the single cause that covers most present nodes, with the fewest effects among equals.
func setCover(m Model) string {
	return bestBy(m, func(c int) float64 {
		p, covered := chances(m, c), 0.0
		for i, n := range m.Nodes {
			if n.State == streamkeeper.Present && p[i] >= .4 {
				covered++
			}
		}
		return covered - .001*float64(len(p))
	})
}

// matchRatio takes the cause with the largest share of its effects present: the usual rule score.
func matchRatio(m Model) string {
	return bestBy(m, func(c int) float64 {
		present, known := 0.0, 0.0
		for i := range chances(m, c) {
			switch m.Nodes[i].State {
			case streamkeeper.Present:
				present++
				known++
			case streamkeeper.Absent:
				known++
			}
		}
		if known == 0 {
			return 0
		}
		return present / known
	})
}

// BenchmarkDecode weighs 60 causes on 110 nodes in one block beside four shared causes: the budget of
// one diagnosis is 5 ms.
func BenchmarkDecode(b *testing.B) {
	m := loadMatrix(b)
	model := benchModel(m)
	b.ReportAllocs()
	for b.Loop() {
		Decode(model, Options{})
	}
}

// benchModel repeats the matrix's causes until there are sixty.
func benchModel(m *matrix) Model {
	out := Model{Now: noon, Nodes: slices.Clone(m.nodes)}
	for n := range out.Nodes {
		p := m.chance[0][n]
		out.Nodes[n].State, out.Nodes[n].Strength = streamkeeper.Absent, .02
		if p > .5 {
			out.Nodes[n].State, out.Nodes[n].Strength = streamkeeper.Present, .98
		}
	}
	for i := range 60 {
		c := Cause{ID: m.causes[i%len(m.causes)] + string(rune('a'+i/len(m.causes))), Entity: orders, Block: "orders", Prior: .05}
		for n, p := range m.chance[i%len(m.causes)] {
			if p > 0 {
				c.Edges = append(c.Edges, Edge{Node: (n + i/len(m.causes)*7) % len(m.nodes), Chance: p, Applies: streamkeeper.Present})
			}
		}
		out.Causes = append(out.Causes, c)
	}
	for _, id := range []string{"store_down", "store_slow", "broker_down", "disk_slow"} {
		at := len(out.Nodes)
		out.Nodes = append(out.Nodes, Node{ID: id + "_fact", Entity: bucket, Leak: .002, State: streamkeeper.Absent, Strength: .02})
		out.Causes = append(out.Causes, Cause{ID: id, Entity: bucket, Prior: .02, Edges: []Edge{
			{Node: at, Chance: .95, Applies: streamkeeper.Present}, {Node: 0, Chance: .4, Applies: streamkeeper.Present},
		}})
	}
	return out
}
