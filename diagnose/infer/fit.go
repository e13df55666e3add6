package infer

import (
	"cmp"
	"math"
	"slices"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// misfitWeight is how far below expectation, in nats, a node must be to be printed as a misfit.
const misfitWeight = .7

// fit is the absolute test: it asks whether the known nodes look as they should if the explanation were
// true, which no comparison with rivals can tell. z = (E[Σw] − Σw) ÷ sd[Σw] with w = log P(o | H).
func (pan *panel) fit(j *joint) (z float64, misfits []Contribution) {
	q := pan.absent(j)
	var gap, variance float64
	for i, absent := range q.all() {
		n := &pan.nodes[i]
		if !n.known || n.Block != pan.space.name && !pan.touches(j, i) {
			continue
		}
		expected, spread, seen := n.surprise(absent, pan.opt.SoftFloor)
		gap += n.exp * (expected - seen)
		variance += n.exp * n.exp * spread
		if short := n.exp * (expected - seen); short > misfitWeight {
			misfits = append(misfits, Contribution{
				Ref: n.ref(), Bearing: streamkeeper.Refutes, State: n.State, Weight: -short, Group: n.Group,
			})
		}
	}
	if variance <= 0 {
		return 0, nil
	}
	sortByWeight(misfits)
	return gap / math.Sqrt(variance), misfits
}

// touches says whether an explanation answers for a shared node.
func (pan *panel) touches(j *joint, node int32) bool {
	return pan.nodes[node].Block == "" && slices.ContainsFunc(j.list(), func(c int32) bool {
		_, ok := slices.BinarySearchFunc(pan.causes[c].edges, node, func(e edge, node int32) int { return cmp.Compare(e.node, node) })
		return ok
	})
}

// surprise gives expectation and variance of a node's log likelihood when it is absent with probability
// q, and the log likelihood of what was seen, soft evidence counted between the two outcomes.
func (n *node) surprise(q, floor float64) (expected, variance, seen float64) {
	present := math.Log((1 - floor) + (2*floor-1)*q)
	absent := math.Log(floor + (1-2*floor)*q)
	share := (n.soft - floor) / (1 - 2*floor)
	d := present - absent
	return (1-q)*present + q*absent, q * (1 - q) * d * d, share*present + (1-share)*absent
}

// unknown words "a cause we do not know": with the block's present symptoms, what did not fit the best
// name, and the names that came closest.
func (pan *panel) unknown(best *joint, z float64, misfits []Contribution) Finding {
	f := Finding{
		Cause: streamkeeper.CauseOther, Block: pan.space.name, P: pan.p[other],
		Verdict: streamkeeper.VerdictOther, Z: z, Misfits: misfits,
	}
	present := map[streamkeeper.Entity]int{}
	for _, i := range pan.space.home {
		n := &pan.nodes[i]
		if n.State != streamkeeper.Present {
			continue
		}
		present[n.Entity]++
		if n.Symptom {
			f.Explains = append(f.Explains, n.ref())
			f.For = append(f.For, Contribution{
				Ref: n.ref(), Bearing: streamkeeper.Supports, State: n.State, Group: n.Group,
				Weight: n.exp * (n.logLikelihood(n.none*n.keep) - n.logLikelihood(n.none)),
			})
			present[n.Entity] += len(pan.nodes)
		}
	}
	for e, count := range present {
		most := present[f.Entity]
		if count > most || (count == most && streamkeeper.CompareEntities(e, f.Entity) < 0) {
			f.Entity = e
		}
	}
	sortByWeight(f.For)
	f.Explains = distinct(f.Explains)
	f.Ask = pan.ask()
	for _, c := range pan.ranked() {
		if c == other || len(f.Rivals) == rivalCount || pan.p[c] < negligible {
			continue
		}
		r := Rival{ID: pan.causes[c].ID, Entity: pan.causes[c].Entity, P: pan.p[c]}
		_, against := pan.fit(pan.best(c))
		r.Against = against[:min(len(against), reasonCount)]
		f.Rivals = append(f.Rivals, r)
	}
	if best != nil {
		f.Assessed, f.Assessable = pan.shares(&pan.causes[best.members[0]])
	}
	return f
}

// unexplained lists the present symptoms that the best explanation of their block leaves to chance; a
// symptom that only `other` explains is left to chance too.
func (d *decoder) unexplained(findings []Finding) []Ref {
	explained := map[Ref]bool{}
	for _, f := range findings {
		if f.Cause == streamkeeper.CauseOther {
			continue
		}
		for _, r := range f.Explains {
			explained[Ref{ID: r.ID, Entity: r.Entity}] = true
		}
	}
	var out []Ref
	visit := func(s *space, j *joint) {
		named := *j
		if named.other {
			named.other = false
		}
		pan := &panel{decoder: d, space: s}
		q := pan.absent(&named)
		for _, i := range s.home {
			n := &d.nodes[i]
			if n.Symptom && n.State == streamkeeper.Present && 1-q.at(i) < unexplained && !explained[Ref{ID: n.ID, Entity: n.Entity}] {
				out = append(out, Ref{ID: n.ID, Entity: n.Entity})
			}
		}
	}
	visit(&d.program.shared, &d.shared[0])
	for i := range d.blocks {
		if all := d.within(i); len(all) > 0 {
			visit(&d.blocks[i], &all[0])
		}
	}
	return slices.Clip(distinct(out))
}
