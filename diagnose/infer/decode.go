package infer

import (
	"cmp"
	"math"
	"slices"
	"strings"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// joint is one full explanation of a block: its own hypothesis beside the shared causes.
type joint struct {
	given []int32
	hypothesis
	p float64
}

// decoder holds one decision while it is made.
type decoder struct {
	*program
	opt    Options
	shared []joint                    // over sets of shared causes; given is empty
	joints []joint                    // of the block that is judged
	cache  []map[string]*distribution // per block, by the shared causes that matter to it
}

// Margins below which explanations are not followed up.
const (
	negligible    = 1e-9
	logNegligible = -21.0
	hopeless      = 10.0 // nats below the best set of shared causes
)

// Decode weighs the model's causes. It is deterministic and does not change m.
func Decode(m Model, opt Options) Result {
	if opt == (Options{}) {
		opt = DefaultOptions()
	}
	d := &decoder{program: compile(m, opt), opt: opt}
	d.cache = make([]map[string]*distribution, len(d.blocks))
	d.weighShared()
	var r Result
	r.Findings = append(r.Findings, d.judge(&d.program.shared, d.shared)...)
	for i := range d.blocks {
		r.Findings = append(r.Findings, d.judge(&d.blocks[i], d.within(i))...)
	}
	r.Findings = collapse(r.Findings)
	r.Unexplained = d.unexplained(r.Findings)
	return r
}

// weighShared weighs the sets of shared causes: how well they explain the shared nodes, and how much
// better each block is explained given them, all blocks together counted at most as RatioCap.
func (d *decoder) weighShared() {
	own := d.enumerate(&d.program.shared, nil)
	limit := math.Log(d.opt.RatioCap)
	best := math.Inf(-1)
	var kept []hypothesis
	for _, h := range own.hyps {
		if h.log+limit < best-hopeless {
			break
		}
		ratio := 0.0
		for b := range d.blocks {
			with, without := d.block(b, h.context()), d.block(b, nil)
			ratio += with.base + with.total - without.base - without.total
		}
		h.log += min(max(ratio, -limit), limit)
		best = max(best, h.log)
		kept = append(kept, h)
	}
	post := distribution{hyps: kept}
	post.normalise()
	for _, h := range post.hyps {
		d.shared = append(d.shared, joint{hypothesis: h, p: math.Exp(h.log)})
	}
}

// block gives a block's posterior under shared causes, computed once per set that matters to it.
func (d *decoder) block(b int, given []int32) *distribution {
	s := &d.blocks[b]
	var matter []int32
	var key strings.Builder
	for _, g := range given {
		if slices.Contains(s.shared, g) {
			matter = append(matter, g)
		}
	}
	slices.Sort(matter)
	for _, g := range matter {
		key.WriteString(string(rune(g + 2)))
	}
	if d.cache[b] == nil {
		d.cache[b] = map[string]*distribution{}
	}
	post, ok := d.cache[b][key.String()]
	if !ok {
		post = d.enumerate(s, matter)
		d.cache[b][key.String()] = post
	}
	return post
}

// within lists the full explanations of a block, most probable first. They last until it is called again.
func (d *decoder) within(b int) []joint {
	out := d.joints[:0]
	for i := range d.shared {
		s := &d.shared[i]
		if s.p < negligible {
			continue
		}
		given := s.context()
		for _, h := range d.block(b, given).hyps {
			p := s.p * math.Exp(h.log)
			if p < negligible {
				break
			}
			out = append(out, joint{given: given, hypothesis: h, p: p})
		}
	}
	d.joints = out
	slices.SortStableFunc(out, func(a, b joint) int { return cmp.Compare(b.p, a.p) })
	return out
}

// collapse merges findings of one cause on one entity that several blocks arrived at: the most certain
// one stays and explains what all of them explain.
func collapse(in []Finding) []Finding {
	type key struct {
		cause  string
		entity streamkeeper.Entity
	}
	at := map[key]int{}
	var out []Finding
	for _, f := range in {
		k := key{f.Cause, f.Entity}
		i, ok := at[k]
		if !ok {
			at[k] = len(out)
			out = append(out, f)
			continue
		}
		explains := append(slices.Clone(out[i].Explains), f.Explains...)
		if f.P > out[i].P {
			out[i] = f
		}
		out[i].Explains = distinct(explains)
	}
	slices.SortStableFunc(out, func(a, b Finding) int {
		if a.Benign != b.Benign {
			if a.Benign {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(b.P, a.P), strings.Compare(a.Cause, b.Cause), streamkeeper.CompareEntities(a.Entity, b.Entity))
	})
	return out
}

func distinct(refs []Ref) []Ref {
	slices.SortFunc(refs, compareRefs)
	return slices.CompactFunc(refs, func(a, b Ref) bool { return a.ID == b.ID && a.Entity == b.Entity })
}

func compareRefs(a, b Ref) int {
	return cmp.Or(strings.Compare(a.ID, b.ID), streamkeeper.CompareEntities(a.Entity, b.Entity), strings.Compare(a.Block, b.Block))
}
