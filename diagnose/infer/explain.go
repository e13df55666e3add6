package infer

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

const (
	rivalCount   = 3
	reasonCount  = 6
	askAmong     = 64   // explanations looked at for the next question
	unexplained  = .2   // P(present) below which a present symptom counts as left to chance
	pendingBelow = .5   // due share below which an absent effect is still pending
	noWeight     = .005 // nats
	askFrom      = .02  // nats of expected information that a question must bring
	explains     = .2   // nats that a cause adds to a symptom that it explains
)

// finding fills everything but the wording.
func (pan *panel) finding(c int32) Finding {
	cause := &pan.causes[c]
	f := Finding{Cause: cause.ID, Entity: cause.Entity, Block: pan.space.name, Benign: cause.Benign, P: pan.p[c]}
	j := pan.best(c)
	pan.weigh(&f, c, j)
	f.Assessed, f.Assessable = pan.shares(cause)
	f.Rivals = pan.rivals(c, j)
	f.Ask = pan.ask()
	for _, parent := range cause.parents {
		root := int32(parent.Cause)
		if (j.has(root) || slices.Contains(j.given, root)) && pan.marginal(root) >= likely {
			f.ParentID, f.ParentOn = pan.causes[root].ID, pan.causes[root].Entity
			break
		}
	}
	return f
}

// marginal is a cause's posterior, whether it is at home in this block or shared.
func (pan *panel) marginal(c int32) float64 {
	if p, ok := pan.p[c]; ok {
		return p
	}
	sum := 0.0
	for i := range pan.joint {
		if slices.Contains(pan.joint[i].given, c) {
			sum += pan.joint[i].p
		}
	}
	return sum
}

// weigh fills the weights of evidence of cause c within the explanation j.
func (pan *panel) weigh(f *Finding, c int32, j *joint) {
	with := pan.absent(j)
	rest := *j
	rest.n = 0
	for _, m := range j.list() {
		if m != c {
			rest.add(m)
		}
	}
	without := pan.absentBeside(&rest, j)
	for _, e := range pan.causes[c].edges {
		n := &pan.nodes[e.node]
		con := Contribution{Ref: n.ref(), State: n.State, Group: n.Group}
		w := 0.0
		if n.known {
			w = n.exp * (n.logLikelihood(with.at(e.node)) - n.logLikelihood(without.at(e.node)))
		}
		con.Weight = w
		switch {
		case n.State == streamkeeper.Absent && e.due < pendingBelow:
			// pending: time will tell, there is nothing to ask for
		case !n.known:
			con.Bearing = streamkeeper.Missing
			con.Weight = pan.swing(&e, without.at(e.node))
			f.Missing = append(f.Missing, con)
		case w > noWeight:
			con.Bearing = streamkeeper.Supports
			f.For = append(f.For, con)
			if n.Symptom && n.State == streamkeeper.Present && w > explains {
				f.Explains = append(f.Explains, con.Ref)
			}
		case w < -noWeight*e.share:
			con.Bearing = streamkeeper.Refutes
			f.Against = append(f.Against, con)
		}
	}
	f.Against = told(f.Against)
	sortByWeight(f.For)
	sortByWeight(f.Against)
	sortByWeight(f.Missing)
	f.Explains = distinct(f.Explains)
}

func (n *node) ref() Ref { return Ref{ID: n.ID, Entity: n.Entity, Block: n.Block} }

// sortByWeight puts what weighs most first, whichever way it points.
func sortByWeight(c []Contribution) {
	slices.SortFunc(c, func(a, b Contribution) int {
		return cmp.Or(cmp.Compare(math.Abs(b.Weight), math.Abs(a.Weight)), compareRefs(a.Ref, b.Ref))
	})
}

// swing is the most that knowing an edge's node could move, either way.
func (pan *panel) swing(e *edge, without float64) float64 {
	n := pan.nodes[e.node]
	with := without * (1 - e.full)
	n.soft = 1 - pan.opt.SoftFloor
	present := n.logLikelihood(with) - n.logLikelihood(without)
	n.soft = pan.opt.SoftFloor
	absent := n.logLikelihood(with) - n.logLikelihood(without)
	return n.exp * max(math.Abs(present), math.Abs(absent))
}

// shares are the known part of the expected weight of all the cause's applicable edges, and of those
// that some source supplies.
func (pan *panel) shares(c *cause) (assessed, assessable float64) {
	var known, all, supplied float64
	for _, e := range c.edges {
		n := &pan.nodes[e.node]
		w := e.share * expectedWeight(max(e.chance, n.Leak), n.Leak)
		all += w
		if !n.Unsourced || n.known {
			supplied += w
		}
		if n.known {
			known += w * e.due
		}
	}
	return ratio(known, all), ratio(known, supplied)
}

func ratio(a, b float64) float64 {
	if b <= 0 {
		return 0
	}
	return min(1, a/b)
}

// expectedWeight is the expected log likelihood ratio of one node when the cause is there.
func expectedWeight(chance, leak float64) float64 {
	return chance*math.Log(chance/leak) + (1-chance)*math.Log((1-chance)/(1-leak))
}

// rivals are the causes that come closest when put in the place of c, and what speaks against them.
func (pan *panel) rivals(c int32, j *joint) []Rival {
	type scored struct {
		cause int32
		log   float64
		with  hypothesis
	}
	mine := pan.absent(j)
	background := pan.background(pan.space, j.given)
	var all []scored
	for _, r := range pan.space.every {
		if r == c || j.has(r) || !pan.sharesEffect(r, c) {
			continue
		}
		h := hypothesis{}
		for _, m := range j.list() {
			if m != c {
				h.add(m)
			}
		}
		h.add(r)
		log := pan.logPrior(pan.space, &h, j.given) + pan.logGain(pan.space, &h, background)
		all = append(all, scored{r, log, h})
	}
	slices.SortStableFunc(all, func(a, b scored) int { return cmp.Compare(b.log, a.log) })
	var out []Rival
	for _, s := range all[:min(len(all), rivalCount)] {
		rc := &pan.causes[s.cause]
		p := pan.exclusive(s.cause, c)
		out = append(out, Rival{ID: rc.ID, Entity: rc.Entity, P: p, Against: pan.difference(mine, pan.absent(&joint{given: j.given, hypothesis: s.with}))})
	}
	slices.SortStableFunc(out, func(a, b Rival) int { return cmp.Compare(b.P, a.P) })
	return out
}

// sharesEffect says whether two causes explain a present node in common.
func (pan *panel) sharesEffect(a, b int32) bool {
	for _, e := range pan.causes[a].edges {
		if pan.nodes[e.node].State != streamkeeper.Present || e.full == 0 {
			continue
		}
		if slices.ContainsFunc(pan.causes[b].edges, func(o edge) bool { return o.node == e.node && o.full > 0 }) {
			return true
		}
	}
	return false
}

// difference lists the known nodes that speak most for mine against theirs.
func (pan *panel) difference(mine, theirs view) []Contribution {
	var out []Contribution
	for i, q := range mine.all() {
		n := &pan.nodes[i]
		if !n.known || q == theirs.at(i) {
			continue
		}
		if w := n.exp * (n.logLikelihood(theirs.at(i)) - n.logLikelihood(q)); w < 0 {
			out = append(out, Contribution{Ref: n.ref(), Bearing: streamkeeper.Refutes, State: n.State, Weight: w, Group: n.Group})
		}
	}
	out = slices.DeleteFunc(told(out), func(c Contribution) bool { return c.Weight > -noWeight })
	sortByWeight(out)
	return out[:min(len(out), reasonCount)]
}

// ask finds the unknown node with the most expected information about which of the candidates are at
// work: I(candidates; node). What only tells about causes that nobody suspects is not worth a question.
func (pan *panel) ask() *Ask {
	among := pan.joint[:min(len(pan.joint), askAmong)]
	unknown := pan.askable()
	absent := make([][]float64, len(among)) // of those
	class := make([]string, len(among))
	total := 0.0
	for k := range among {
		q := pan.absent(&among[k])
		absent[k] = make([]float64, len(unknown))
		for at, i := range unknown {
			absent[k][at] = q.at(i)
		}
		class[k] = pan.class(&among[k])
		total += among[k].p
	}
	var best *Ask
	for at, i := range unknown {
		n := &pan.nodes[i]
		p := 0.0
		var order []string
		weight, present := map[string]float64{}, map[string]float64{}
		for k := range among {
			share := among[k].p / total
			x := share * (pan.opt.SoftFloor + (1-2*pan.opt.SoftFloor)*(1-absent[k][at]))
			p += x
			if _, ok := weight[class[k]]; !ok {
				order = append(order, class[k])
			}
			weight[class[k]] += share
			present[class[k]] += x
		}
		gain := entropy(p)
		for _, c := range order {
			gain -= weight[c] * entropy(present[c]/weight[c])
		}
		if gain *= n.exp; gain > askFrom && (best == nil || gain > best.Gain) {
			best = &Ask{Ref: n.ref(), Gain: gain}
		}
	}
	return best
}

// askable lists the unknown nodes that are shared or at home.
func (pan *panel) askable() []int32 {
	var out []int32
	for i := range pan.view(pan.space).all() {
		if n := &pan.nodes[i]; n.State == streamkeeper.Unknown && (n.Block == "" || n.Block == pan.space.name) {
			out = append(out, i)
		}
	}
	return out
}

// class names the candidates that an explanation holds.
func (pan *panel) class(j *joint) string {
	var b strings.Builder
	if j.other {
		b.WriteString("other")
	}
	for _, c := range j.list() {
		if pan.p[c] >= setMember {
			b.WriteByte(' ')
			b.WriteString(strconv.Itoa(int(c)))
		}
	}
	return b.String()
}

func entropy(p float64) float64 {
	if p <= 0 || p >= 1 {
		return 0
	}
	return -p*math.Log(p) - (1-p)*math.Log(1-p)
}
