package infer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// randomModel draws a model with one block and a few shared causes.
func randomModel(rng *rand.Rand, causes, nodes, shared int) Model {
	m := Model{Now: noon}
	words := []float64{.95, .8, .4, .1}
	states := []streamkeeper.State{streamkeeper.Present, streamkeeper.Absent, streamkeeper.Absent, streamkeeper.Unknown}
	for i := range nodes {
		n := Node{
			ID: fmt.Sprintf("n%02d", i), Entity: orders, Block: "orders", Symptom: i%4 == 0, Leak: .002 + .03*rng.Float64(),
			State: states[rng.IntN(len(states))], Group: []string{"", "", "g", "h"}[rng.IntN(4)],
		}
		if i < shared*2 {
			n.Block, n.Entity = "", bucket
		}
		n.Strength = rng.Float64() / 2
		if n.State == streamkeeper.Present {
			n.Strength += .5
		}
		m.Nodes = append(m.Nodes, n)
	}
	for i := range causes {
		c := Cause{ID: fmt.Sprintf("c%02d", i), Entity: orders, Block: "orders", Prior: []float64{.1, .05, .02, .005}[rng.IntN(4)], Benign: rng.IntN(5) == 0}
		if i < shared {
			c.Block, c.Entity = "", bucket
		}
		for n := range m.Nodes {
			if rng.IntN(3) == 0 {
				c.Edges = append(c.Edges, Edge{Node: n, Chance: words[rng.IntN(len(words))], Applies: streamkeeper.Present})
			}
		}
		if i >= shared && i > 0 && rng.IntN(3) == 0 {
			c.Parents = append(c.Parents, Parent{Cause: rng.IntN(i), Chance: .8})
		}
		m.Causes = append(m.Causes, c)
	}
	return m
}

func shuffled(rng *rand.Rand, m Model) Model {
	out := Model{Now: m.Now}
	nodes, causes := rng.Perm(len(m.Nodes)), rng.Perm(len(m.Causes))
	nodeAt, causeAt := make([]int, len(nodes)), make([]int, len(causes))
	for to, from := range nodes {
		nodeAt[from] = to
		out.Nodes = append(out.Nodes, m.Nodes[from])
	}
	for to, from := range causes {
		causeAt[from] = to
	}
	for _, from := range causes {
		c := m.Causes[from]
		edges, parents := c.Edges, c.Parents
		c.Edges, c.Parents = nil, nil
		for _, i := range rng.Perm(len(edges)) {
			e := edges[i]
			e.Node = nodeAt[e.Node]
			c.Edges = append(c.Edges, e)
		}
		for _, p := range parents {
			p.Cause = causeAt[p.Cause]
			c.Parents = append(c.Parents, p)
		}
		out.Causes = append(out.Causes, c)
	}
	return out
}

// oracle enumerates every set of causes of a one-block model by brute force, straight from the
// definitions, and returns the marginals by cause.
func oracle(m Model, opt Options) map[string]float64 {
	out := map[string]float64{}
	total := 0.0
	present := func(block string) bool {
		for _, n := range m.Nodes {
			if n.Block == block && n.State == streamkeeper.Present {
				return true
			}
		}
		return false
	}
	for bits := range 1 << len(m.Causes) {
		for mask := range 4 { // other at home, other shared
			h := set{bits: bits, other: mask&1 != 0, sharedOther: mask&2 != 0}
			if (h.other && !present("orders")) || (h.sharedOther && !present("")) || !h.allowed(m) {
				continue
			}
			w := h.prior(m, opt) * h.likelihood(m, opt)
			total += w
			for i, c := range m.Causes {
				if h.has(i) {
					out[c.ID] += w
				}
			}
			if h.other {
				out[streamkeeper.CauseOther] += w
			}
		}
	}
	for id := range out {
		out[id] /= total
	}
	return out
}

type set struct {
	bits               int
	other, sharedOther bool
}

func (h set) has(i int) bool { return h.bits>>i&1 == 1 }

func (h set) follows(m Model, i int) bool {
	for _, p := range m.Causes[i].Parents {
		if h.has(p.Cause) {
			return true
		}
	}
	return false
}

// allowed: at most two roots and two consequences per block, and `other` alone in its block.
func (h set) allowed(m Model) bool {
	roots, ext := map[string]int{}, map[string]int{}
	for i, c := range m.Causes {
		if !h.has(i) {
			continue
		}
		if h.follows(m, i) {
			ext[c.Block]++
		} else {
			roots[c.Block]++
		}
		if (h.other && c.Block != "") || (h.sharedOther && c.Block == "") {
			return false
		}
	}
	for _, b := range []string{"", "orders"} {
		if roots[b] > 2 || ext[b] > 2 {
			return false
		}
	}
	return true
}

func (h set) prior(m Model, opt Options) float64 {
	w := 1.0
	if h.other {
		w *= opt.OtherPrior / (1 - opt.OtherPrior)
	}
	if h.sharedOther {
		w *= opt.OtherPrior / (1 - opt.OtherPrior)
	}
	for i, c := range m.Causes {
		if !h.follows(m, i) {
			if h.has(i) {
				w *= c.Prior / (1 - c.Prior)
			}
			continue
		}
		not := 1 - c.Prior
		for _, p := range c.Parents {
			if h.has(p.Cause) {
				not *= 1 - p.Chance
			}
		}
		if h.has(i) {
			w *= (1 - not) / (1 - c.Prior)
		} else {
			w *= not / (1 - c.Prior)
		}
	}
	return w
}

func (h set) likelihood(m Model, opt Options) float64 {
	known := func(n Node) bool { return n.State == streamkeeper.Present || n.State == streamkeeper.Absent }
	group := map[string]float64{}
	for _, n := range m.Nodes {
		if known(n) {
			group[n.Group+"|"+n.Block]++
		}
	}
	w := 1.0
	for i, n := range m.Nodes {
		if !known(n) {
			continue
		}
		q := 1 - n.Leak
		for k, c := range m.Causes {
			for _, e := range c.Edges {
				if e.Node == i && h.has(k) {
					q *= 1 - max(0, 1-(1-e.Chance)/(1-n.Leak))
				}
			}
		}
		if (h.other && n.Block != "") || (h.sharedOther && n.Block == "") {
			chance := opt.OtherEvidence
			if n.Symptom {
				chance = opt.OtherSymptom
			}
			q *= 1 - max(0, 1-(1-chance)/(1-n.Leak))
		}
		s := min(max(n.Strength, .02), .98)
		l := s*(1-q) + (1-s)*q
		if n.Group != "" {
			l = math.Pow(l, 1/math.Sqrt(group[n.Group+"|"+n.Block]))
		}
		w *= l
	}
	return w
}

// The decoder's factoring over shared causes, blocks and chains changes nothing against brute force.
func TestAgainstBruteForce(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	opt := DefaultOptions()
	opt.PruneBelow, opt.RatioCap = math.Inf(-1), 1e30
	for trial := range 60 {
		m := randomModel(rng, 8, 12, trial%4)
		want, got := oracle(m, opt), marginals(m, opt)
		for _, c := range m.Causes {
			near(t, fmt.Sprintf("trial %d: P(%s)", trial, c.ID), got[c.ID], want[c.ID], 1e-6)
		}
		near(t, fmt.Sprintf("trial %d: P(other)", trial), got[streamkeeper.CauseOther], want[streamkeeper.CauseOther], 1e-6)
	}
}

// Leaving hopeless causes out moves no posterior noticeably.
func TestPruningIsHarmless(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	all := DefaultOptions()
	all.PruneBelow = math.Inf(-1)
	for trial := range 60 {
		m := randomModel(rng, 12, 20, trial%3)
		pruned, full := marginals(m, DefaultOptions()), marginals(m, all)
		for _, c := range m.Causes {
			near(t, fmt.Sprintf("trial %d: P(%s)", trial, c.ID), pruned[c.ID], full[c.ID], .01)
		}
	}
}

// A block's findings are the same alone and among others: what is kept of its nodes is found at its place.
func TestBlocksAmongOthers(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	var all Model
	alone := map[string][]Finding{}
	for b := range 12 {
		m, block := randomModel(rng, 6, 1+rng.IntN(9), 0), fmt.Sprintf("block %02d", 11-b)
		nodes, causes := len(all.Nodes), len(all.Causes)
		for i := range m.Nodes {
			m.Nodes[i].Block, m.Nodes[i].Entity.Name = block, block
		}
		for i := range m.Causes {
			m.Causes[i].Block, m.Causes[i].Entity.Name = block, block
		}
		alone[block] = Decode(m, Options{}).Findings
		for i := range m.Causes {
			for e := range m.Causes[i].Edges {
				m.Causes[i].Edges[e].Node += nodes
			}
			for p := range m.Causes[i].Parents {
				m.Causes[i].Parents[p].Cause += causes
			}
		}
		all.Now, all.Nodes, all.Causes = m.Now, append(all.Nodes, m.Nodes...), append(all.Causes, m.Causes...)
	}
	among := map[string][]Finding{}
	for _, f := range Decode(all, Options{}).Findings {
		among[f.Block] = append(among[f.Block], f)
	}
	for block, want := range alone {
		if got := among[block]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: alone\n%+v\namong others\n%+v", block, want, got)
		}
	}
}
