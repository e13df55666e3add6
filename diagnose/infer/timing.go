package infer

import (
	"math"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// The temporal factor of one edge: an effect dated before its cause speaks strongly against the cause,
// one inside its window mildly for it; all edges together stay within [timingMin, timingMax].
const (
	timingEarly  = .2
	timingInside = 1.3
	timingMin    = .2
	timingMax    = 2
)

// timing phases absent effects in: an effect whose delay has not passed since the onset of its cause is
// pending, so its absence says nothing yet. What is absent on many entities then counts once.
func (p *program) timing(c *cause, now time.Time) {
	onset, evidence := p.onsets(c)
	c.onset = onset
	for i := range c.edges {
		e := &c.edges[i]
		if p.nodes[e.node].State == streamkeeper.Absent {
			e.due = due(onset, now, e.after)
			if e.loose {
				e.due = 0
			}
		}
		e.keep = 1 - e.full*e.due
	}
	p.once(c)
	for _, e := range c.edges {
		if e.known && e.keep < 1 {
			c.telling = append(c.telling, e)
		}
	}
	c.temporal = p.temporal(c, evidence)
}

// onsets are the earliest present effect of a cause and the earliest of those that are evidence, not
// symptoms; zero when nothing present is dated.
func (p *program) onsets(c *cause) (first, evidence time.Time) {
	earlier := func(at *time.Time, t time.Time) {
		if at.IsZero() || t.Before(*at) {
			*at = t
		}
	}
	for _, e := range c.edges {
		n := &p.nodes[e.node]
		if !n.finite || e.full == 0 {
			continue
		}
		earlier(&first, n.Since)
		if !n.Symptom {
			earlier(&evidence, n.Since)
		}
	}
	return first, evidence
}

// due is the share of a delay window [a, b] that has passed since onset. Without an onset nothing is
// pending: the cause has no present effect from which to count.
func due(onset, now time.Time, after [2]time.Duration) float64 {
	if onset.IsZero() {
		return 1
	}
	passed := now.Sub(onset)
	switch {
	case passed >= after[1]:
		return 1
	case passed <= after[0]:
		return 0
	default:
		return float64(passed-after[0]) / float64(after[1]-after[0])
	}
}

// temporal is the log of the cause's temporal factor. Edges whose onset is less certain than their
// delay is long are left out.
func (p *program) temporal(c *cause, evidence time.Time) float64 {
	if evidence.IsZero() {
		return 0
	}
	factor, dated := 1.0, 0
	for _, e := range c.edges {
		n := &p.nodes[e.node]
		if !n.finite || e.full == 0 || n.Blur > e.after[1] {
			continue
		}
		slack := p.opt.Tolerance + n.Blur
		at := n.Since.Sub(evidence)
		switch {
		case at < e.after[0]-slack && n.Symptom:
			factor *= timingEarly
		case at <= e.after[1]+slack:
			factor *= timingInside
			dated++
		}
	}
	if factor > 1 && dated < 2 {
		return 0 // one date alone is no order
	}
	return clampTiming(math.Log(factor))
}

// clampTiming keeps a temporal factor within its bounds, by its logarithm. Several causes in one hypothesis share them: they
// are told from the same dates, and more causes must not make a better order of them.
func clampTiming(log float64) float64 {
	return min(max(log, math.Log(timingMin)), math.Log(timingMax))
}
