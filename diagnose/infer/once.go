package infer

import (
	"math"
	"slices"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// once lets the absence of one effect count once for a shared cause, on however many entities it is absent.
//
// The chance of an edge says how often a cause has an effect at all. On the entities that it reaches the effect is not
// drawn anew: whether a lost broker leaves partitions without a leader is decided by how many copies they have, and
// then ten topics tell what one tells. So the n entities without the effect are one observation, the extreme case (ρ = 1)
// of a cluster sample, whose n observations are worth n ÷ (1 + (n−1)·ρ) independent ones (L. Kish, Survey Sampling, 1965,
// 5.4: the design effect; "many entities are one test" is decision 8). With parameter p an edge to an absent node gets
//
//	p' = 1 − (1 − p)^(f/n),   f = (1 − 2·s*) ÷ (1 − 2·ε) within [0, 1]
//
// where s* is the soft evidence of the entity that shows the effect most and ε its floor. The n entities together then
// give (1 − p)^f: as much as one that is as sure as the surest presence allows. An effect that shows anywhere (s* ≥ .5)
// has shown, and its absence elsewhere says who was reached, nothing about the cause.
//
// Presences are not thinned. Each is weighed within its block, beside what else explains it there, so what several of
// them add is that as many local causes at once would be a coincidence; that they have a common cause that is not in the
// model is why all blocks together count at most [Options.RatioCap].
func (p *program) once(c *cause) {
	if c.Block != "" {
		return // a block has one node of each rule
	}
	same := map[string][]int{}
	for i := range c.edges {
		id := p.nodes[c.edges[i].node].ID
		same[id] = append(same[id], i)
	}
	for _, all := range same { // in any order: no two share an edge
		p.thin(c, all)
	}
}

// thin spreads one effect of a cause over its edges.
func (p *program) thin(c *cause, all []int) {
	most, absent := p.opt.SoftFloor, 0
	for _, i := range all {
		e := &c.edges[i]
		e.share = 1 / float64(len(all))
		switch {
		case !e.known || e.full == 0:
		case p.nodes[e.node].State == streamkeeper.Present:
			most = max(most, p.nodes[e.node].soft)
		case e.keep < 1: // not pending
			most = max(most, p.nodes[e.node].soft)
			absent++
		}
	}
	if absent == 0 || len(all) == 1 {
		return
	}
	f := min(max((1-2*most)/(1-2*p.opt.SoftFloor), 0), 1)
	for _, i := range all {
		if e := &c.edges[i]; p.nodes[e.node].State == streamkeeper.Absent {
			e.keep = math.Pow(e.keep, f/float64(absent))
		}
	}
}

// told joins what is told of one effect on many entities: it was weighed as one.
func told(list []Contribution) []Contribution {
	var out []Contribution
	for _, c := range list {
		if i := slices.IndexFunc(out, func(o Contribution) bool { return o.ID == c.ID }); i >= 0 {
			out[i].Weight += c.Weight
			continue
		}
		out = append(out, c)
	}
	return out
}
