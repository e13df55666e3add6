package rules

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/expr-lang/expr/ast"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// Profile is a set of telemetry sources and a context, under which causes must be separable.
type Profile struct {
	Name      string
	Dialects  []string // nil: all
	Events    []string // event kinds that are told; nil: all
	NotEvents []string // except these
	Facts     map[string]streamkeeper.State
	Limit     float64 // largest Bhattacharyya coefficient of a pair
	Beyond    string  // Lint tells only the pairs that the profile of this name does not have
}

const (
	// fullLimit and partLimit are the limits of method.md 1.6: with .03 the simulated top-1 is .99.
	fullLimit = 0.03
	partLimit = 0.10
	// healthyShare of the pair limit is the limit against health: a false alarm costs more than a mix-up.
	healthyShare = 1.0 / 3
	// blindLimit is the overlap with health from which a profile cannot assess a cause at all.
	blindLimit = 0.5
)

// standardContext is a classic group of dynamic Java members that the embedded broker sees directly.
func standardContext() map[string]streamkeeper.State {
	out := map[string]streamkeeper.State{}
	for _, atom := range []string{
		"classic", "dynamic", "leave_reasons", "poll_limit", "direct_tcp", "shared_host", "multi_parts", "history", "owner_changed",
		"tiering", "multi_groups", "multi_broker", "source_kafka", "source_streamkeeper", "embedded",
	} {
		out[atom] = streamkeeper.Present
	}
	for _, atom := range []string{"kip848", "static", "kafka", "reads_ahead", "client_metrics", "source_probe", "source_spans", "source_node", "source_kube", "disks_told", "quorum_told", "members_unnamed"} {
		out[atom] = streamkeeper.Absent
	}
	return out
}

// otherEvents come from sources that a cluster does not have by itself.
var otherEvents = []string{"deploy", "deploy_finished", "drift", "log_line"}

// DefaultProfiles are the embedded broker, everything there is, and a foreign cluster seen by its
// protocol alone.
func DefaultProfiles() []Profile {
	embedded := Profile{Name: "embedded", Dialects: []string{"streamkeeper", "kafka"}, NotEvents: otherEvents, Facts: standardContext(), Limit: fullLimit}
	full := Profile{Name: "full", Facts: standardContext(), Limit: fullLimit}
	for _, atom := range []string{"source_probe", "source_spans", "source_node", "source_kube", "disks_told", "quorum_told"} {
		full.Facts[atom] = streamkeeper.Present
	}
	protocol := Profile{Name: "protocol", Dialects: []string{"kafka"}, Events: kafkaEvents, Facts: standardContext(), Limit: partLimit}
	for _, atom := range []string{"source_streamkeeper", "embedded", "leave_reasons", "direct_tcp"} {
		protocol.Facts[atom] = streamkeeper.Absent
	}
	protocol.Facts["kafka"] = streamkeeper.Present
	static := embedded.with("embedded, static members", "static", "dynamic", "leave_reasons")
	kip848 := embedded.with("embedded, KIP-848", "kip848", "classic", "leave_reasons")
	return []Profile{embedded, full, protocol, static, kip848}
}

// with is the profile in another context: one atom holds, others do not.
func (p Profile) with(name, holds string, absent ...string) Profile {
	p.Name, p.Beyond, p.Facts = name, p.Name, maps.Clone(p.Facts)
	p.Facts[holds] = streamkeeper.Present
	for _, atom := range absent {
		p.Facts[atom] = streamkeeper.Absent
	}
	return p
}

// profileWorld gives a profile's facts to every entity.
type profileWorld struct{ p Profile }

func (w profileWorld) Entities(string, streamkeeper.EntityKind) []streamkeeper.Entity { return nil }
func (w profileWorld) Related(streamkeeper.Entity, streamkeeper.EntityKind) []streamkeeper.Entity {
	return nil
}

func (w profileWorld) Fact(_ streamkeeper.Entity, atom string) streamkeeper.State {
	return w.p.Facts[atom]
}

// knows tells whether a profile can supply a node at all.
func (p Profile) knows(c *Catalog, n *Node) bool {
	if p.holds(c, n.AppliesWhen) == streamkeeper.Absent {
		return false
	}
	return p.supplies(n, n.program.when.tree)
}

// supplies tells whether an expression can become known: a Kleene "or" by one side, a fallback on
// known() by its other branch, everything else only with all its parts.
func (p Profile) supplies(n *Node, tree ast.Node) bool {
	switch t := tree.(type) {
	case *ast.IdentifierNode:
		sig, ok := n.program.uses.signals[t.Value]
		return !ok || p.speaks(sig)
	case *ast.MemberNode:
		sig, ok := n.program.uses.signals[t.Node.String()+"."+propertyName(t)]
		return !ok || p.speaks(sig)
	case *ast.UnaryNode:
		return p.supplies(n, t.Node)
	case *ast.BinaryNode:
		if t.Operator == "or" || t.Operator == "||" {
			return p.supplies(n, t.Left) || p.supplies(n, t.Right)
		}
		return p.supplies(n, t.Left) && p.supplies(n, t.Right)
	case *ast.ConditionalNode:
		if call, ok := t.Cond.(*ast.CallNode); ok && call.Callee.String() == "known" && !p.supplies(n, call.Arguments[0]) {
			return p.supplies(n, t.Exp2)
		}
		return p.supplies(n, t.Cond) && (p.supplies(n, t.Exp1) || p.supplies(n, t.Exp2))
	case *ast.CallNode:
		name := t.Callee.String()
		if _, isEvents := eventFunctions[name]; isEvents {
			return p.tells(t)
		}
		return name == "known" || allOf(t.Arguments, func(a ast.Node) bool { return p.supplies(n, a) })
	case *ast.BuiltinNode:
		return allOf(t.Arguments, func(a ast.Node) bool { return p.supplies(n, a) })
	}
	return true
}

func allOf(list []ast.Node, f func(ast.Node) bool) bool {
	return !slices.ContainsFunc(list, func(n ast.Node) bool { return !f(n) })
}

func propertyName(m *ast.MemberNode) string {
	if s, ok := m.Property.(*ast.StringNode); ok {
		return s.Value
	}
	return ""
}

// speaks tells whether a signal has a dialect of the profile.
func (p Profile) speaks(sig *Signal) bool {
	return slices.ContainsFunc(sig.Dialects, func(d Dialect) bool { return p.Dialects == nil || slices.Contains(p.Dialects, d.Name) })
}

// tells tells whether the profile has all event kinds of a call.
func (p Profile) tells(call *ast.CallNode) bool {
	sub := &compiler{uses: newUses()}
	sub.kindsArg(call, "events", call.Arguments, 0)
	if call.Callee.String() == "replaced" {
		sub.kindsArg(call, "replaced", call.Arguments, 1)
	}
	for k := range sub.uses.kinds {
		if p.Events != nil && !slices.Contains(p.Events, k) || slices.Contains(p.NotEvents, k) {
			return false
		}
	}
	return true
}

// view is a profile's sight of the catalog: which nodes it knows, with which weight.
type view struct {
	catalog  *Catalog
	profile  Profile
	nodes    []*Node
	exponent map[string]float64 // 1/√g, g = the nodes of the group that are known
	dark     []*Node            // nodes that the profile cannot supply
}

func (c *Catalog) view(p Profile) *view {
	v := &view{catalog: c, profile: p, exponent: map[string]float64{}}
	size := map[string]int{}
	for _, n := range c.order {
		switch {
		case n.Cost:
		case p.knows(c, n):
			v.nodes = append(v.nodes, n)
			size[n.Group]++
		default:
			v.dark = append(v.dark, n)
		}
	}
	for _, n := range c.order {
		v.exponent[n.ID] = 1
		if n.Group != "" && size[n.Group] > 1 {
			v.exponent[n.ID] = 1 / math.Sqrt(float64(size[n.Group]))
		}
	}
	return v
}

// chance is P(node true | only this cause); a nil cause is health.
func (v *view) chance(k *Cause, n *Node) float64 {
	if k == nil {
		return n.Leak
	}
	for _, e := range k.Edges {
		if e.Node == n.ID && v.profile.holds(v.catalog, e.AppliesWhen) != streamkeeper.Absent {
			return max(e.Chance, n.Leak)
		}
	}
	return n.Leak
}

// apart is a node's part of the coefficient of two hypotheses: 1 says nothing, 0 says all.
func (v *view) apart(a, b *Cause, n *Node) float64 {
	p, q := v.chance(a, n), v.chance(b, n)
	return math.Pow(math.Sqrt(p*q)+math.Sqrt((1-p)*(1-q)), v.exponent[n.ID])
}

// coefficient is the Bhattacharyya coefficient of two causes over the known nodes, with the node that
// parts them best. The error of telling them apart is at most half of it.
func (v *view) coefficient(a, b *Cause) (bc float64, best string) {
	bc = 1
	least := 1.0
	for _, n := range v.nodes {
		x := v.apart(a, b, n)
		bc *= x
		if x < least-1e-12 {
			least, best = x, n.ID
		}
	}
	return bc, best
}

// wouldPart is the node that this profile lacks and that would part the two best.
func (v *view) wouldPart(a, b *Cause) string {
	least, best := .95, ""
	for _, n := range v.dark {
		if x := v.apart(a, b, n); x < least-1e-12 {
			least, best = x, n.ID
		}
	}
	return best
}

// answerSet tells whether two causes are declared to be told together in this profile.
func (v *view) answerSet(a, b *Cause) bool {
	for _, pair := range [][2]*Cause{{a, b}, {b, a}} {
		for _, set := range pair[0].AnswerSets {
			if slices.Contains(set.With, pair[1].ID) && v.profile.holds(v.catalog, set.When) != streamkeeper.Absent {
				return true
			}
		}
	}
	return false
}

// Overlap is a pair of hypotheses that a profile cannot tell apart well enough.
type Overlap struct {
	A, B        string // cause ids; B is "" for health
	Coefficient float64
	Limit       float64
	Best        string // the known node that parts them best
	Would       string // the node that is not known here and would part them
}

// Blind tells that the profile does not see the cause at all: it looks like health.
func (o Overlap) Blind() bool { return o.B == "" && o.Coefficient > blindLimit }

// Overlaps lists the pairs over the limit under a profile, worst first. Causes whose requires does not
// hold in the profile's context are left out; one that the profile is blind for is listed once, against
// health.
func (c *Catalog) Overlaps(p Profile) []Overlap {
	v := c.view(p)
	var out []Overlap
	var seen []*Cause
	for _, id := range sortedKeys(c.causes) {
		k := c.causes[id]
		if p.holds(c, k.Requires) == streamkeeper.Absent {
			continue
		}
		o, over := v.overlap(k, nil, p.Limit*healthyShare)
		if over && (!k.Benign || o.Blind()) { // a benign cause that resembles health needs no telling
			out = append(out, o)
		}
		if !o.Blind() {
			seen = append(seen, k)
		}
	}
	for i, a := range seen {
		for _, b := range seen[i+1:] {
			if o, over := v.overlap(a, b, p.Limit); over && !v.answerSet(a, b) {
				out = append(out, o)
			}
		}
	}
	slices.SortStableFunc(out, func(x, y Overlap) int { return cmp.Compare(y.Coefficient, x.Coefficient) })
	return out
}

// overlap measures a pair; over when it exceeds the limit.
func (v *view) overlap(a, b *Cause, limit float64) (o Overlap, over bool) {
	o = Overlap{A: a.ID, Limit: limit}
	o.Coefficient, o.Best = v.coefficient(a, b)
	if b != nil {
		o.B = b.ID
	}
	if o.Coefficient <= limit {
		return o, false
	}
	o.Would = v.wouldPart(a, b)
	return o, true
}

// pairs lists the overlaps of the profile of a name.
func (l *linter) pairs(profile string) map[[2]string]bool {
	out := map[[2]string]bool{}
	for _, p := range l.options.Profiles {
		if p.Name != profile {
			continue
		}
		for _, o := range l.catalog.Overlaps(p) {
			out[[2]string{o.A, o.B}] = true
		}
	}
	return out
}

// separability reports overlaps.
func (l *linter) separability(p Profile) {
	told := l.pairs(p.Beyond)
	for _, o := range l.catalog.Overlaps(p) {
		if told[[2]string{o.A, o.B}] {
			continue
		}
		k := l.catalog.causes[o.A]
		with := o.B
		if with == "" {
			with = "health"
		}
		text := fmt.Sprintf("%s: %s and %s overlap by %.3f, at most %.2f", p.Name, o.A, with, o.Coefficient, o.Limit)
		if o.Blind() {
			text = fmt.Sprintf("%s: %s cannot be seen (overlaps with health by %.3f)", p.Name, o.A, o.Coefficient)
		}
		if o.Best != "" {
			text += "; best parted by " + o.Best
		}
		if o.Would != "" {
			text += "; " + o.Would + " would part them, which this profile lacks"
		}
		l.say(RemarkWarning, "separability", k.src, k.src.at("id"), "%s", text)
	}
}
