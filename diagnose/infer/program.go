package infer

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// program is a model in canonical order with everything that does not depend on the hypothesis
// computed once.
type program struct {
	opt    Options
	nodes  []node
	causes []cause
	shared space
	blocks []space
	// scratch of the evaluator
	q       []float64
	mark    []int32
	epoch   int32
	touched []int32
	seen    []int32
	hyps    []hypothesis
}

type node struct {
	Node
	known  bool
	soft   float64 // P(observation | present); 1-soft is P(observation | absent)
	exp    float64 // 1/√g over the known nodes of its group
	none   float64 // P(absent | no cause) = 1 - leak
	keep   float64 // factor that `other` leaves on none
	finite bool    // Since is known and precise enough for timing
}

type edge struct {
	node   int32
	chance float64
	full   float64 // compiled noisy-OR parameter with all effects due
	keep   float64 // 1 - the parameter as far as its effect is due now
	due    float64 // phased-in share of an absent effect, 1 when present or undated
	share  float64 // what it counts in a cause's assessment: 1 ÷ the entities on which the cause may have this effect
	known  bool
	loose  bool // applies_when unknown
	after  [2]time.Duration
}

type cause struct {
	Cause
	prior    float64 // after gate and discount
	gate     float64
	logOdds  float64
	temporal float64 // log of the temporal factor
	onset    time.Time
	edges    []edge
	telling  []edge // those whose node is known and whose effect is due
	parents  []Parent
	children []int32
}

// space is the shared block or one entity's block.
type space struct {
	name   string
	home   []int32
	causes []int32 // candidates, after pruning
	every  []int32 // all its causes
	shared []int32 // shared causes that matter to this block
}

// compile brings a model into canonical order. Edges and parents out of range, and edges from one block into another, are a
// programming error of the caller and panic.
func compile(m Model, opt Options) *program {
	p := &program{opt: opt}
	nodeAt := p.orderNodes(m)
	p.exponents()
	p.orderCauses(m, nodeAt)
	for i := range p.causes {
		p.timing(&p.causes[i], m.Now)
	}
	p.split()
	p.q = make([]float64, len(p.nodes))
	p.mark = make([]int32, len(p.nodes))
	return p
}

func (p *program) orderNodes(m Model) []int32 {
	order := make([]int, len(m.Nodes))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return compareNodes(&m.Nodes[a], &m.Nodes[b]) })
	at := make([]int32, len(m.Nodes))
	p.nodes = make([]node, len(m.Nodes))
	for to, from := range order {
		at[from] = int32(to)
		n := node{Node: m.Nodes[from]}
		n.known = n.State == streamkeeper.Present || n.State == streamkeeper.Absent
		n.soft = min(max(n.Strength, p.opt.SoftFloor), 1-p.opt.SoftFloor)
		n.none = 1 - n.Leak
		chance := p.opt.OtherEvidence
		if n.Symptom {
			chance = p.opt.OtherSymptom
		}
		n.keep = 1 - parameter(chance, n.Leak)
		n.finite = n.State == streamkeeper.Present && !n.Since.IsZero()
		p.nodes[to] = n
	}
	return at
}

func compareNodes(a, b *Node) int {
	return cmp.Or(strings.Compare(a.Block, b.Block), strings.Compare(a.ID, b.ID),
		streamkeeper.CompareEntities(a.Entity, b.Entity))
}

// parameter turns P(true | only this cause) into the noisy-OR parameter beside the leak.
func parameter(chance, leak float64) float64 {
	return max(0, 1-(1-chance)/(1-leak))
}

// exponents weakens correlated evidence: a group of g known nodes counts 1/√g each.
func (p *program) exponents() {
	count := map[[2]string]int{}
	key := func(n *node) [2]string {
		if n.Block == "" {
			return [2]string{n.Group, n.Entity.Key()}
		}
		return [2]string{n.Group, n.Block}
	}
	for i := range p.nodes {
		if n := &p.nodes[i]; n.known && n.Group != "" {
			count[key(n)]++
		}
	}
	for i := range p.nodes {
		n := &p.nodes[i]
		n.exp = 1
		if n.Group != "" {
			g := count[key(n)]
			if !n.known {
				g++ // what it would count if it were measured
			}
			n.exp = 1 / math.Sqrt(float64(g))
		}
	}
}

func (p *program) orderCauses(m Model, nodeAt []int32) {
	order := make([]int, len(m.Causes))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return compareCauses(&m.Causes[a], &m.Causes[b]) })
	at := make([]int, len(m.Causes))
	for to, from := range order {
		at[from] = to
	}
	p.causes = make([]cause, len(m.Causes))
	for to, from := range order {
		c := cause{Cause: m.Causes[from], gate: 1}
		if c.Requires == streamkeeper.Absent {
			c.gate = .02
		}
		if c.Discount > 0 {
			c.gate *= c.Discount
		}
		c.prior = sigmoid(logit(c.Prior) + math.Log(c.gate))
		c.logOdds = logit(c.prior)
		c.edges = p.orderEdges(c.Edges, nodeAt)
		for _, parent := range c.Parents {
			c.parents = append(c.parents, Parent{Cause: at[parent.Cause], Chance: parent.Chance})
		}
		slices.SortFunc(c.parents, func(a, b Parent) int { return cmp.Compare(a.Cause, b.Cause) })
		p.causes[to] = c
	}
	for i := range p.causes {
		for _, parent := range p.causes[i].parents {
			root := &p.causes[parent.Cause]
			root.children = append(root.children, int32(i))
		}
	}
}

func compareCauses(a, b *Cause) int {
	return cmp.Or(strings.Compare(a.Block, b.Block), strings.Compare(a.ID, b.ID),
		streamkeeper.CompareEntities(a.Entity, b.Entity))
}

func (p *program) orderEdges(in []Edge, nodeAt []int32) []edge {
	out := make([]edge, 0, len(in))
	for _, e := range in {
		if e.Applies == streamkeeper.Absent || e.Applies == streamkeeper.NotApplicable {
			continue
		}
		n := &p.nodes[nodeAt[e.Node]]
		if n.State == streamkeeper.NotApplicable {
			continue
		}
		out = append(out, edge{
			node: nodeAt[e.Node], chance: e.Chance, full: parameter(e.Chance, n.Leak), after: e.After,
			known: n.known, loose: e.Applies == streamkeeper.Unknown, due: 1, share: 1,
		})
	}
	slices.SortFunc(out, func(a, b edge) int { return cmp.Compare(a.node, b.node) })
	return out
}

// split assigns causes and nodes to the shared block and to the blocks of single entities, and leaves
// out causes that nothing present speaks for.
func (p *program) split() {
	at := map[string]int{}
	home := func(name string) *space {
		if name == "" {
			return &p.shared
		}
		i, ok := at[name]
		if !ok {
			i = len(p.blocks)
			at[name] = i
			p.blocks = append(p.blocks, space{name: name})
		}
		return &p.blocks[i]
	}
	for i := range p.nodes {
		s := home(p.nodes[i].Block)
		s.home = append(s.home, int32(i))
	}
	for i := range p.causes {
		s := home(p.causes[i].Block)
		s.every = append(s.every, int32(i))
		if p.live(&p.causes[i]) {
			s.causes = append(s.causes, int32(i))
		}
	}
	slices.SortFunc(p.blocks, func(a, b space) int { return strings.Compare(a.name, b.name) })
	for i := range p.blocks {
		p.blocks[i].shared = p.relevant(&p.blocks[i])
	}
}

// live says whether a cause is worth enumerating: it has a present effect, or its odds alone are not
// hopeless. What blocks say for a shared cause is capped, so only its own nodes keep it in.
func (p *program) live(c *cause) bool {
	odds := c.logOdds + c.temporal
	if c.Block == "" {
		odds += math.Log(p.opt.RatioCap)
	}
	for _, e := range c.edges {
		n := &p.nodes[e.node]
		if c.Block == "" && n.Block != "" {
			continue
		}
		if n.State == streamkeeper.Present && e.full > 0 {
			return true
		}
		if n.known {
			odds += n.exp * (n.logLikelihood(n.none*e.keep) - n.logLikelihood(n.none))
		}
	}
	return odds > p.opt.PruneBelow
}

// relevant lists the shared causes, the unknown one included, that change anything within a block.
func (p *program) relevant(b *space) []int32 {
	touched := map[int32]bool{}
	for _, i := range b.home {
		touched[i] = true
	}
	parents := map[int]bool{}
	for _, i := range b.every {
		for _, e := range p.causes[i].edges {
			touched[e.node] = true
		}
		for _, parent := range p.causes[i].parents {
			parents[parent.Cause] = true
		}
	}
	var out []int32
	if slices.ContainsFunc(p.shared.home, func(i int32) bool { return touched[i] }) {
		out = append(out, other)
	}
	for _, i := range p.shared.causes {
		touches := func(e edge) bool { return e.known && touched[e.node] }
		if parents[int(i)] || slices.ContainsFunc(p.causes[i].edges, touches) {
			out = append(out, i)
		}
	}
	return out
}

// logLikelihood is the log probability of what was seen when the node is absent with probability q.
func (n *node) logLikelihood(q float64) float64 {
	return math.Log(n.soft + (1-2*n.soft)*q)
}

func logit(p float64) float64 {
	p = min(max(p, 1e-9), 1-1e-9)
	return math.Log(p / (1 - p))
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
