package infer

import (
	"cmp"
	"math"
	"slices"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// hypothesis is one set of causes within one block; at most two roots and two declared consequences.
type hypothesis struct {
	members [4]int32
	n       int8
	other   bool
	log     float64 // log weight, then log posterior
}

func (h *hypothesis) has(c int32) bool { return slices.Contains(h.members[:h.n], c) }

func (h *hypothesis) list() []int32 { return h.members[:h.n] }

// context is what a set of shared causes is to the blocks: its members, or the unknown shared cause.
func (h *hypothesis) context() []int32 {
	if h.other {
		return []int32{other}
	}
	return h.list()
}

func (h *hypothesis) add(c int32) {
	h.members[h.n] = c
	h.n++
}

// distribution is the posterior over the hypotheses of one block given a set of shared causes.
type distribution struct {
	hyps  []hypothesis // most probable first
	base  float64      // log likelihood of the home nodes under no local cause
	total float64      // log of the summed weights, without base
}

// enumerate weighs every hypothesis of a block given shared causes.
func (p *program) enumerate(s *space, given []int32) *distribution {
	q := p.background(s, given)
	post := &distribution{hyps: p.hyps[:0]}
	g := p.gains(s, q)
	for _, i := range s.home {
		if n := &p.nodes[i]; n.known {
			post.base += n.exp * n.logLikelihood(q.at(i))
		}
	}
	add := func(h hypothesis) {
		h.log = p.logPrior(s, &h, given) + g.of(&h)
		post.hyps = append(post.hyps, h)
	}
	add(hypothesis{})
	if p.disturbed(s) {
		add(hypothesis{other: true})
	}
	p.sets(s, given, add)
	p.hyps = post.hyps
	post.normalise()
	post.hyps = slices.Clone(post.hyps) // few of them
	return post
}

// sets calls yield for every set with at most two roots: causes without a parent in the set or among
// the given ones. Declared consequences of the set come on top, at most two.
func (p *program) sets(s *space, given []int32, yield func(hypothesis)) {
	base := func(members ...int32) {
		h := hypothesis{}
		for _, m := range members {
			h.add(m)
		}
		p.extend(s, &h, given, yield)
	}
	p.extend(s, &hypothesis{}, given, yield)
	for i, a := range s.causes {
		base(a)
		for _, b := range s.causes[i+1:] {
			base(a, b)
		}
	}
}

// extend yields h with every choice of up to two of its declared consequences, unless a member of h
// turns out to be a consequence itself: then another base yields the same set.
func (p *program) extend(s *space, h *hypothesis, given []int32, yield func(hypothesis)) {
	roots := int(h.n)
	for _, m := range h.list() {
		if p.follows(m, h.list(), given) {
			return // not a root: another base yields it
		}
	}
	follows := p.closure(s, h, given)
	try := func(ext ...int32) {
		all := *h
		for _, e := range ext {
			all.add(e)
		}
		for i, m := range all.list() {
			if p.follows(m, all.list(), given) != (i >= roots) {
				return
			}
		}
		yield(all)
	}
	if roots > 0 {
		try()
	}
	for i, a := range follows {
		try(a)
		for _, b := range follows[i+1:] {
			try(a, b)
		}
	}
}

// closure lists the candidates that follow, directly or over one another, from h and the given causes.
func (p *program) closure(s *space, h *hypothesis, given []int32) []int32 {
	var out []int32
	var walk func(c int32)
	walk = func(c int32) {
		for _, child := range p.causes[c].children {
			if h.has(child) || slices.Contains(out, child) || !slices.Contains(s.causes, child) {
				continue
			}
			out = append(out, child)
			walk(child)
		}
	}
	for _, m := range given {
		if m != other {
			walk(m)
		}
	}
	for _, m := range h.list() {
		walk(m)
	}
	slices.Sort(out)
	return out
}

// follows says whether a cause has a parent in one of the lists.
func (p *program) follows(c int32, lists ...[]int32) bool {
	for _, parent := range p.causes[c].parents {
		for _, l := range lists {
			if slices.Contains(l, int32(parent.Cause)) {
				return true
			}
		}
	}
	return false
}

// logPrior is the log prior odds of a hypothesis against no cause. A cause whose parent is present has
// the chance of following from it instead of a prior of its own, and pays for being absent too.
func (p *program) logPrior(s *space, h *hypothesis, given []int32) float64 {
	if h.other {
		return logit(p.opt.OtherPrior) + p.chains(s, h, given)
	}
	sum, temporal := 0.0, 0.0
	for _, m := range h.list() {
		c := &p.causes[m]
		temporal += c.temporal
		if !p.follows(m, h.list(), given) {
			sum += c.logOdds
		}
	}
	return sum + clampTiming(temporal) + p.chains(s, h, given)
}

// chains adds the part of the prior that comes from declared consequences.
func (p *program) chains(s *space, h *hypothesis, given []int32) float64 {
	sum := 0.0
	seen := p.seen[:0]
	visit := func(root int32) {
		for _, child := range p.causes[root].children {
			c := &p.causes[child]
			if c.Block != s.name || slices.Contains(seen, child) {
				continue
			}
			seen = append(seen, child)
			chance := p.chanceOf(c, h, given)
			if h.has(child) {
				sum += math.Log(chance / (1 - c.prior))
			} else {
				sum += math.Log((1 - chance) / (1 - c.prior))
			}
		}
	}
	for _, m := range given {
		if m != other {
			visit(m)
		}
	}
	for _, m := range h.list() {
		visit(m)
	}
	p.seen = seen
	return sum
}

// chanceOf is P(cause | its parents present in the hypothesis), the gate applied to its odds.
func (p *program) chanceOf(c *cause, h *hypothesis, given []int32) float64 {
	not := 1 - c.Prior
	for _, parent := range c.parents {
		if i := int32(parent.Cause); h.has(i) || slices.Contains(given, i) {
			not *= 1 - parent.Chance
		}
	}
	return sigmoid(logit(1-not) + math.Log(c.gate))
}

// disturbed says whether anything is present at home: without that there is nothing for `other` to cause.
func (p *program) disturbed(s *space) bool {
	return slices.ContainsFunc(s.home, func(i int32) bool { return p.nodes[i].State == streamkeeper.Present })
}

// background is P(absent) of every node of a space under the given shared causes alone.
func (p *program) background(s *space, given []int32) view {
	q := p.view(s)
	for i := range q.all() {
		q.set(i, p.nodes[i].none)
	}
	for _, g := range given {
		if g == other {
			for _, i := range p.shared.home {
				q.q[i] *= p.nodes[i].keep
			}
			continue
		}
		for _, e := range p.causes[g].edges {
			if q.holds(e.node) {
				q.q[q.place(e.node)] *= e.keep
			}
		}
	}
	return q
}

// logGain is how much better a hypothesis explains the known nodes than the background does.
func (p *program) logGain(s *space, h *hypothesis, background view) float64 {
	sum := 0.0
	p.apply(s, h, background, func(i int32, q float64) {
		n := &p.nodes[i]
		if !n.known || (s.name == "" && n.Block != "") {
			return // what happens within blocks is weighed by the blocks
		}
		sum += n.exp * (n.logLikelihood(q) - n.logLikelihood(background.at(i)))
	})
	return sum
}

// apply calls see with P(absent | h) for every node that h touches, in an order that depends on h alone. What is seen of a node
// may be written to its place in the background.
func (p *program) apply(s *space, h *hypothesis, background view, see func(i int32, q float64)) {
	if h.other {
		for _, i := range s.home {
			see(i, background.at(i)*p.nodes[i].keep)
		}
		return
	}
	p.epoch++
	p.touched = p.touched[:0]
	for _, m := range h.list() {
		for _, e := range p.causes[m].edges {
			if p.mark[e.node] != p.epoch {
				p.mark[e.node] = p.epoch
				p.q[e.node] = background.at(e.node)
				p.touched = append(p.touched, e.node)
			}
			p.q[e.node] *= e.keep
		}
	}
	for _, i := range p.touched {
		see(i, p.q[i])
	}
}

// normalise turns weights into log posteriors, leaves the negligible ones out and sorts the rest.
func (post *distribution) normalise() {
	top := math.Inf(-1)
	for i := range post.hyps {
		top = max(top, post.hyps[i].log)
	}
	sum := 0.0
	for i := range post.hyps {
		sum += math.Exp(post.hyps[i].log - top)
	}
	post.total = top + math.Log(sum)
	kept := post.hyps[:0]
	for _, h := range post.hyps {
		if h.log -= post.total; h.log > logNegligible {
			kept = append(kept, h)
		}
	}
	post.hyps = kept
	slices.SortStableFunc(post.hyps, func(a, b hypothesis) int { return cmp.Compare(b.log, a.log) })
}
