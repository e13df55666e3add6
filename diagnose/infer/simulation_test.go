package infer

import (
	"encoding/csv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// matrix is a catalog in small: 18 causes of one group with the words and leaks of the first catalog
// (testdata/edges.csv and nodes.csv).
type matrix struct {
	causes []string
	nodes  []Node
	chance [][]float64 // by cause and node; 0 is no edge
}

func loadMatrix(t testing.TB) *matrix {
	t.Helper()
	m := &matrix{}
	at := map[string]int{}
	for _, r := range readCSV(t, "nodes.csv") {
		at[r[0]] = len(m.nodes)
		leak, err := strconv.ParseFloat(r[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		m.nodes = append(m.nodes, Node{ID: r[0], Entity: orders, Block: "orders", Symptom: r[1] == "true", Leak: leak, Group: r[3]})
	}
	for _, r := range readCSV(t, "edges.csv") {
		i := slices.Index(m.causes, r[0])
		if i < 0 {
			i = len(m.causes)
			m.causes = append(m.causes, r[0])
			m.chance = append(m.chance, make([]float64, len(m.nodes)))
		}
		chance, err := strconv.ParseFloat(r[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		m.chance[i][at[r[1]]] = chance
	}
	return m
}

func readCSV(t testing.TB, name string) [][]string {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows[1:]
}

// draw makes one case: the nodes that the true causes show, with true chances that differ from the
// words by a logit of sd 0.7, and some nodes unknown. without leaves causes out of the model.
func (m *matrix) draw(rng *rand.Rand, truth []int, missing float64, without int) Model {
	out := Model{Now: noon}
	for n, node := range m.nodes {
		q := 1 - disturb(rng, node.Leak)
		for _, c := range truth {
			if p := m.chance[c][n]; p > 0 {
				q *= 1 - parameter(disturb(rng, p), min(node.Leak, p/2))
			}
		}
		node.State, node.Strength = streamkeeper.Absent, .02
		if rng.Float64() > q {
			node.State, node.Strength = streamkeeper.Present, .98
		}
		if rng.Float64() < missing {
			node.State = streamkeeper.Unknown
		}
		out.Nodes = append(out.Nodes, node)
	}
	for i, id := range m.causes {
		if i == without {
			continue
		}
		c := Cause{ID: id, Entity: orders, Block: "orders", Prior: .05}
		for n, p := range m.chance[i] {
			if p > 0 {
				c.Edges = append(c.Edges, Edge{Node: n, Chance: p, Applies: streamkeeper.Present})
			}
		}
		out.Causes = append(out.Causes, c)
	}
	return out
}

func disturb(rng *rand.Rand, p float64) float64 { return sigmoid(logit(p) + .7*rng.NormFloat64()) }

// answer is the cause of the first finding, "" when there is none.
func answer(m Model) string {
	r := Decode(m, Options{})
	if len(r.Findings) == 0 {
		return ""
	}
	return r.Findings[0].Cause
}

// noisyOR is the most probable name, also where the answer is "other" or nothing: the decoders that it
// is compared with can say neither.
func noisyOR(m Model) string {
	p := marginals(m, DefaultOptions())
	return bestBy(m, func(c int) float64 { return p[m.Causes[c].ID] })
}

// The decoder names the drawn cause, is not confidently wrong, says "other" to a cause that was taken
// out of its catalog, and is no worse than the decoders it replaces.
func TestSimulation(t *testing.T) {
	m := loadMatrix(t)
	for _, missing := range []float64{0, .2} {
		right := map[string]float64{}
		wrong, confident, unknown, left, runs := 0, 0, 0, 0, 0
		rng := rand.New(rand.NewPCG(11, uint64(missing*10)))
		for truth, name := range m.causes {
			for range 12 {
				c := m.draw(rng, []int{truth}, missing, -1)
				if !slices.ContainsFunc(c.Nodes, func(n Node) bool { return n.State == streamkeeper.Present }) {
					continue
				}
				runs++
				if answer(c) == name {
					right["answer"]++
				}
				for decoder, decode := range decoders {
					if decode(c) == name {
						right[decoder]++
					}
				}
				if r := Decode(c, Options{}); len(r.Findings) > 0 && r.Findings[0].Verdict == streamkeeper.VerdictRootCause {
					confident++
					if r.Findings[0].Cause != name {
						wrong++
					}
				}
				left++
				if answer(m.draw(rng, []int{truth}, missing, truth)) == streamkeeper.CauseOther {
					unknown++
				}
			}
		}
		n := float64(runs)
		t.Logf("missing %.0f %%: top-1 of %d: answer %.3f, noisy-OR %.3f, log-odds %.3f, codebook %.3f, set cover %.3f, match ratio %.3f; root cause %d, wrong %d; other when left out %.2f",
			missing*100, runs, right["answer"]/n, right["noisy-OR"]/n, right["log-odds"]/n, right["codebook"]/n, right["set cover"]/n, right["match ratio"]/n,
			confident, wrong, float64(unknown)/float64(left))
		if floor := .95 - missing/3; right["answer"]/n < floor {
			t.Errorf("top-1 %.3f < %.2f", right["answer"]/n, floor)
		}
		for _, baseline := range []string{"log-odds", "codebook", "set cover", "match ratio"} {
			if right["noisy-OR"] < right[baseline]-.01*n {
				t.Errorf("%s is better: %v > %v", baseline, right[baseline], right["noisy-OR"])
			}
		}
		if float64(wrong) > .02*float64(confident) {
			t.Errorf("%d of %d root causes are wrong", wrong, confident)
		}
		if float64(unknown)/float64(left) < .45 {
			t.Errorf("a cause outside the catalog is called other in %.2f only", float64(unknown)/float64(left))
		}
	}
}

// Two simultaneous faults are both named more often than by the decoders that weigh causes one by one.
func TestSimulationOfTwoFaults(t *testing.T) {
	m := loadMatrix(t)
	rng := rand.New(rand.NewPCG(5, 5))
	joint, single := 0, 0
	const runs = 150
	for range runs {
		pair := rng.Perm(len(m.causes))[:2]
		c := m.draw(rng, pair, 0, -1)
		p := marginals(c, DefaultOptions())
		above := 0
		for i, id := range m.causes {
			if !slices.Contains(pair, i) && p[id] > min(p[m.causes[pair[0]]], p[m.causes[pair[1]]]) {
				above++
			}
		}
		if above == 0 {
			joint++
		}
		order := logOddsOrder(c)
		if slices.Contains(pair, order[0]) && slices.Contains(pair, order[1]) {
			single++
		}
	}
	t.Logf("both causes on top: joint %.2f, one by one %.2f", float64(joint)/runs, float64(single)/runs)
	if joint < single || joint < runs/2 {
		t.Errorf("both causes on top in %d of %d runs, one by one in %d", joint, runs, single)
	}
}
