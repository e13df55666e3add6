package infer

// gains knows how much better each candidate of a space explains the known nodes than the background
// alone. The gain of a pair is the sum of the two except on the nodes that both touch, so a pair costs
// only its overlap.
type gains struct {
	p          *program
	space      *space
	background view
	log        view // log likelihood of each node under the background
	single     map[int32]*single
}

type single struct {
	edges []edge // telling ones that count in this space
	terms []float64
	total float64
}

func (p *program) gains(s *space, background view) *gains {
	g := &gains{p: p, space: s, background: background, log: p.view(s), single: make(map[int32]*single, len(s.causes))}
	for i, q := range background.all() {
		if n := &p.nodes[i]; n.known {
			g.log.set(i, n.logLikelihood(q))
		}
	}
	all := make([]single, len(s.causes))
	for k, c := range s.causes {
		one := &all[k]
		one.edges = p.causes[c].telling
		one.terms = make([]float64, len(one.edges))
		for i, e := range one.edges {
			one.terms[i] = g.term(e.node, e.keep)
			one.total += one.terms[i]
		}
		g.single[c] = one
	}
	return g
}

// term is one node's gain when the causes leave keep of its background absence. What happens within
// blocks is weighed by the blocks, not with the shared causes.
func (g *gains) term(i int32, keep float64) float64 {
	n := &g.p.nodes[i]
	if !n.known || (g.space.name == "" && n.Block != "") {
		return 0
	}
	return n.exp * (n.logLikelihood(g.background.at(i)*keep) - g.log.at(i))
}

func (g *gains) of(h *hypothesis) float64 {
	switch {
	case h.other || h.n > 2:
		return g.p.logGain(g.space, h, g.background)
	case h.n == 0:
		return 0
	case h.n == 1:
		return g.single[h.members[0]].total
	}
	return g.pair(g.single[h.members[0]], g.single[h.members[1]])
}

func (g *gains) pair(a, b *single) float64 {
	sum := a.total + b.total
	for i, k := 0, 0; i < len(a.edges) && k < len(b.edges); {
		switch x, y := &a.edges[i], &b.edges[k]; {
		case x.node < y.node:
			i++
		case x.node > y.node:
			k++
		default:
			sum += g.term(x.node, x.keep*y.keep) - a.terms[i] - b.terms[k]
			i++
			k++
		}
	}
	return sum
}
