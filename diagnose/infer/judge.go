package infer

import (
	"cmp"
	"math"
	"slices"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// Thresholds of the wording.
const (
	sure          = .9
	likely        = .6
	leaning       = .4  // least posterior to be named at all
	alsoThere     = .8  // least posterior of a second, independent fault
	marginOf      = 4.0 // the best rival may have a quarter
	discriminates = 10.0
	assessedFloor = .6
	setLimit      = 3   // members of an answer set
	setMember     = .05 // least posterior of a member
	misfitMoves   = .75 // share of the mass that goes to `other` when nothing fits
	noCause       = .5  // above this posterior of "nothing is wrong" a block has no finding
)

// other stands for the unknown cause among cause numbers.
const other int32 = -1

// panel is one block's posterior, ready for questions.
type panel struct {
	*decoder
	space *space
	joint []joint
	p     map[int32]float64 // marginal of each cause, other included
	// nothing is the posterior of no cause at all
	nothing float64
}

func (d *decoder) judge(s *space, explanations []joint) []Finding {
	pan := &panel{decoder: d, space: s, joint: explanations, p: map[int32]float64{}}
	for _, j := range explanations {
		switch {
		case j.other:
			pan.p[other] += j.p
		case j.n == 0:
			pan.nothing += j.p
		}
		for _, c := range j.list() {
			pan.p[c] += j.p
		}
	}
	order := pan.ranked()
	if pan.nothing > noCause || len(order) == 0 || !d.disturbedBy(s, explanations) {
		return nil
	}
	return pan.findings(order)
}

// disturbedBy says whether anything present could need an explanation: at home, or, for shared causes,
// in any block that they touch.
func (d *decoder) disturbedBy(s *space, explanations []joint) bool {
	if d.disturbed(s) {
		return true
	}
	for _, c := range explanations[0].list() {
		for _, e := range d.causes[c].edges {
			if d.nodes[e.node].State == streamkeeper.Present && e.full > 0 {
				return true
			}
		}
	}
	return false
}

// ranked lists causes by marginal, then by canonical order; other comes last among equals.
func (pan *panel) ranked() []int32 {
	order := make([]int32, 0, len(pan.p))
	for c := range pan.p {
		order = append(order, c)
	}
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(pan.p[b], pan.p[a]), cmp.Compare(uint32(a), uint32(b)))
	})
	return order
}

// findings words the block's answer: the top cause or set, then every further cause that is likely too.
func (pan *panel) findings(order []int32) []Finding {
	top := order[0]
	if top == other {
		return append([]Finding{pan.unknown(nil, 0, nil)}, pan.further(order, nil)...)
	}
	best := pan.best(top)
	z, misfits := pan.fit(best)
	if z > pan.opt.FitLimit {
		for _, c := range best.list() {
			pan.p[other] += pan.p[c] * misfitMoves / float64(best.n)
			pan.p[c] *= 1 - misfitMoves
		}
		return append([]Finding{pan.unknown(best, z, misfits)}, pan.further(order, best.list())...)
	}
	f := pan.finding(top)
	f.Z = z
	set := pan.word(&f, top, order)
	if f.Verdict == streamkeeper.VerdictOther {
		f = pan.unknown(best, z, nil)
	}
	return append([]Finding{f}, pan.further(order, set)...)
}

// further words the causes beside the answer: simultaneous faults that are surely there too, and the
// links of a chain; a root only when something speaks for it beside what the answer explains. Those in without are part of the answer already. A benign cause beside a fault is not
// told: it explains nothing that anybody would act on.
func (pan *panel) further(order, without []int32) []Finding {
	var out []Finding
	for _, c := range order {
		if c == other || pan.p[c] < likely || c == order[0] || slices.Contains(without, c) {
			continue
		}
		chained := pan.chained(c, order[0])
		if !chained && (pan.p[c] < alsoThere || pan.causes[c].Benign) || chained && pan.follows(order[0], c) && !pan.discriminated(c) {
			continue
		}
		f := pan.finding(c)
		pan.word(&f, c, order)
		out = append(out, f)
	}
	return out
}

// chained says whether one of two causes is declared to follow from the other.
func (pan *panel) chained(a, b int32) bool {
	if b == other {
		return false
	}
	return pan.follows(a, b) || pan.follows(b, a)
}

// follows says whether a cause is declared to follow from another.
func (pan *panel) follows(c, root int32) bool {
	return c != other && slices.ContainsFunc(pan.causes[c].parents, func(p Parent) bool { return int32(p.Cause) == root })
}

// word sets verdict, posterior and answer set, and returns the members of the answer.
func (pan *panel) word(f *Finding, top int32, order []int32) []int32 {
	c := &pan.causes[top]
	rival := 0.0
	for _, r := range order {
		if r != top {
			rival = max(rival, pan.exclusive(r, top))
		}
	}
	certain := f.P >= sure && f.P >= marginOf*rival
	gated := certain && f.Assessed >= assessedFloor && pan.discriminated(top)
	if !certain {
		if set, part := pan.declared(c, order); set != nil {
			pan.setAnswer(f, set, part)
			return set
		}
	}
	switch {
	case c.Benign && f.P >= likely:
		f.Verdict = streamkeeper.VerdictBenign
	case gated:
		f.Verdict = streamkeeper.VerdictRootCause
	case f.P >= likely:
		f.Verdict = streamkeeper.VerdictProbable
	default:
		if set := pan.smallest(order); len(set) > 1 && set[0] == top {
			pan.setAnswer(f, set, "")
			return set
		}
		f.Verdict = streamkeeper.VerdictOther
		if f.P >= leaning && f.P > pan.p[other] {
			f.Verdict = streamkeeper.VerdictProbable // with its number: better than no name
		}
	}
	return []int32{top}
}

// declared finds the declared answer set of a cause that holds enough mass, members by posterior.
func (pan *panel) declared(c *cause, order []int32) ([]int32, string) {
	for _, s := range c.Sets {
		var members []int32
		for _, r := range order {
			if r == other || pan.causes[r].Premature {
				continue
			}
			rc := &pan.causes[r]
			mine := rc.ID == c.ID && rc.Entity == c.Entity
			if mine || (slices.Contains(s.With, rc.ID) && pan.p[r] >= setMember) {
				members = append(members, r)
			}
		}
		if len(members) > 1 && len(members) <= setLimit && pan.mass(members) >= sure*(1-pan.premature()) {
			return members, s.Part
		}
	}
	return nil, ""
}

// premature is the mass of benign causes that cannot be told yet.
func (pan *panel) premature() float64 {
	sum := 0.0
	for c, p := range pan.p {
		if c != other && pan.causes[c].Premature {
			sum += p
		}
	}
	return min(sum, 1)
}

// smallest is the smallest set of causes that holds enough of the mass of "something is wrong", nil when
// it takes too many.
func (pan *panel) smallest(order []int32) []int32 {
	var set []int32
	for _, c := range order {
		if c != other && pan.causes[c].Premature {
			continue
		}
		if c == other || len(set) == setLimit {
			return nil
		}
		set = append(set, c)
		if pan.mass(set) >= sure*(1-pan.nothing) {
			return set
		}
	}
	return nil
}

func (pan *panel) setAnswer(f *Finding, set []int32, part string) {
	f.Verdict = streamkeeper.VerdictOneOf
	f.P = pan.mass(set)
	f.Part = part
	f.Benign = true
	for _, c := range set {
		f.Set = append(f.Set, pan.causes[c].ID)
		f.Benign = f.Benign && pan.causes[c].Benign
	}
}

// mass is P(at least one of the set).
func (pan *panel) mass(set []int32) float64 {
	sum := 0.0
	for i := range pan.joint {
		j := &pan.joint[i]
		if slices.ContainsFunc(set, j.has) {
			sum += j.p
		}
	}
	return sum
}

// exclusive is P(r without c): what r has against c.
func (pan *panel) exclusive(r, c int32) float64 {
	sum := 0.0
	for i := range pan.joint {
		j := &pan.joint[i]
		has := j.has(r) || (r == other && j.other)
		if has && !j.has(c) {
			sum += j.p
		}
	}
	return sum
}

// best is the most probable explanation that contains the cause.
func (pan *panel) best(c int32) *joint {
	for i := range pan.joint {
		if j := &pan.joint[i]; j.has(c) || (c == other && j.other) {
			return j
		}
	}
	return nil
}

// discriminated says whether one present piece of evidence alone speaks ten to one for the cause, beside
// everything else in its best explanation. Symptoms do not count: most causes share them.
func (pan *panel) discriminated(c int32) bool {
	with := pan.best(c)
	rest := *with
	rest.n = 0
	for _, m := range with.list() {
		if m != c {
			rest.add(m)
		}
	}
	a, b := pan.absent(with), pan.absentBeside(&rest, with)
	for _, e := range pan.causes[c].edges {
		n := &pan.nodes[e.node]
		if n.State == streamkeeper.Present && !n.Symptom &&
			n.logLikelihood(a.at(e.node))-n.logLikelihood(b.at(e.node)) >= math.Log(discriminates) {
			return true
		}
	}
	return false
}

// absent is P(absent) of every node of the space under a full explanation.
func (pan *panel) absent(j *joint) view { return pan.absentBeside(j, j) }

// absentBeside is the same for j, with the blocks' own causes as they stand under whole: a shared cause
// is weighed beside what the blocks themselves explain.
func (pan *panel) absentBeside(j, whole *joint) view {
	out := pan.background(pan.space, j.given)
	pan.apply(pan.space, &j.hypothesis, out, out.set)
	if pan.space.name != "" || whole.other {
		return out
	}
	for b := range pan.blocks {
		own := pan.block(b, whole.context()).hyps[0]
		pan.apply(&pan.blocks[b], &own, out, out.set)
	}
	return out
}
