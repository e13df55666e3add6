package rules

import (
	"cmp"
	"slices"
	"strings"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// Strengths of a condition that has no ramp, and the limits of one that has: soft evidence never decides
// alone.
const (
	strongest = 0.98
	weakest   = 0.02
)

// SymptomQueries lists what Symptoms needs to know, for the whole cluster. It depends on the scope's
// cluster and interval only.
func (c *Catalog) SymptomQueries(s Scope) []streamkeeper.Query {
	return c.symptomPlan(s).queries
}

// symptomPlan is made once per cluster and interval: written out anew by each of a tick's readers it was a quarter of an
// idle tick. What it returns is read only.
func (c *Catalog) symptomPlan(s Scope) *planner {
	key := planKey{cluster: s.Cluster, interval: s.Interval}
	made, ok := c.plans.Load(key)
	if !ok {
		p := newPlanner(s, nil)
		for _, n := range c.phaseOne {
			c.addNeeds(p, n)
		}
		made, _ = c.plans.LoadOrStore(key, p)
	}
	p := *made.(*planner)
	p.scope = s
	return &p
}

// addNeeds plans the signals of a node and of what masks it.
func (c *Catalog) addNeeds(p *planner, n *Node) {
	for _, name := range n.Signals {
		sig := n.program.uses.signals[name]
		p.add(need{sig, windowOf(sig, n.Window)})
	}
	for _, id := range n.MaskedBy {
		mask := c.nodes[id]
		for _, name := range mask.Signals {
			sig := mask.program.uses.signals[name]
			p.add(need{sig, windowOf(sig, mask.Window)})
		}
	}
}

// Symptoms judges all symptoms, trigger nodes and cost findings on all entities, whatever their state.
// Observations are sorted by node, then entity. Of a cluster with many entities those are apart on which nothing is present.
func (c *Catalog) Symptoms(s Scope, in Inputs) ([]streamkeeper.Observation, *Quiet) {
	return c.symptoms(s, in, manyObservations)
}

const manyObservations = 10_000

func (c *Catalog) symptoms(s Scope, in Inputs, many int) ([]streamkeeper.Observation, *Quiet) {
	e := c.newEvaluation(s, in, c.symptomPlan(s))
	lists, total := make([][]streamkeeper.Entity, len(c.phaseOne)), 0
	for i, n := range c.phaseOne {
		lists[i] = e.entities(n)
		total += len(lists[i])
	}
	var quiet *Quiet
	if total > many {
		quiet = e.glances(c.phaseOne, lists)
	}
	out := make([]streamkeeper.Observation, 0, total-quiet.size())
	for i, n := range c.phaseOne {
		seen := quiet.row(n)
		for at, entity := range lists[i] {
			if seen == nil || !seen[at].kept {
				out = append(out, e.observe(n, entity))
			}
		}
	}
	return out, quiet
}

// evaluation is one pass over nodes and entities.
type evaluation struct {
	catalog *Catalog
	phase   *phase
	masks   map[string]bool                                   // nodes that mask others
	raw     map[NodeOn]streamkeeper.State                     // their conditions
	listed  map[streamkeeper.EntityKind][]streamkeeper.Entity // by the inventory, sorted
	points  *resolver
	spare   frame
}

func (c *Catalog) newEvaluation(s Scope, in Inputs, p *planner) *evaluation {
	r := newResolver(p, in.Answers)
	masks := map[string]bool{}
	for _, n := range c.nodes {
		for _, id := range n.MaskedBy {
			masks[id] = true
		}
	}
	return &evaluation{
		masks:   masks,
		listed:  map[streamkeeper.EntityKind][]streamkeeper.Entity{},
		catalog: c, points: r, raw: map[NodeOn]streamkeeper.State{},
		phase: &phase{
			scope: s, readings: r, world: in.World, events: newEventIndex(in.Events, s), relation: map[relationKey][]streamkeeper.Entity{},
		},
	}
}

// entities lists what a node is judged on. Clients, stores and disks that no inventory lists are known
// by their series.
func (e *evaluation) entities(n *Node) []streamkeeper.Entity {
	s := e.phase.scope
	all, ok := e.listed[n.Entity]
	if !ok {
		all = slices.Clone(e.phase.world.Entities(s.Cluster, n.Entity))
		slices.SortFunc(all, streamkeeper.CompareEntities)
		all = slices.Compact(all)
		e.listed[n.Entity] = all
	}
	list := slices.Clip(all)
	switch n.Entity {
	case streamkeeper.KindCluster:
		if len(list) == 0 {
			list = []streamkeeper.Entity{clusterEntity(s.Cluster)}
		}
	case streamkeeper.KindClient, streamkeeper.KindStore, streamkeeper.KindDisk:
		for name, sig := range n.program.uses.signals {
			if strings.Contains(name, ".") {
				continue
			}
			for entity := range e.points.resolve(need{sig, windowOf(sig, n.Window)}).values {
				list = append(list, streamkeeper.Entity{Kind: n.Entity, Name: entity, Cluster: s.Cluster})
			}
		}
		list = slices.Clone(list)
		slices.SortFunc(list, streamkeeper.CompareEntities)
		list = slices.Compact(list)
	}
	return list
}

func clusterEntity(name string) streamkeeper.Entity {
	return streamkeeper.Entity{Kind: streamkeeper.KindCluster, Name: name, Cluster: name}
}

func (e *evaluation) frame(n *Node, entity streamkeeper.Entity) *frame {
	return &frame{phase: e.phase, entity: entity, asked: n.Window, window: effective(n.Window, e.phase.scope.Interval)}
}

// condition evaluates when and applies_when, without masks.
func (e *evaluation) condition(n *Node, f *frame) streamkeeper.State {
	applies := streamkeeper.Present
	if n.program.applies != nil {
		applies = f.quiet(n.program.applies.eval).state()
	}
	if applies == streamkeeper.Absent {
		return streamkeeper.NotApplicable
	}
	state := n.program.when.eval(f).state()
	// a decisive fact that is there shows that it applies; anything else needs to be known to apply
	if applies == streamkeeper.Unknown && (state != streamkeeper.Present || !n.Decisive) {
		f.note(streamkeeper.WhyMissing, "whether it applies ("+n.AppliesWhen+")")
		return streamkeeper.Unknown
	}
	return state
}

// masked names a mask of the node that is present on the entity or on a related one.
func (e *evaluation) masked(n *Node, entity streamkeeper.Entity) string {
	for _, id := range n.MaskedBy {
		mask := e.catalog.nodes[id]
		on := []streamkeeper.Entity{entity}
		if mask.Entity != entity.Kind {
			on = e.bound(entity, mask.Entity)
		}
		for _, o := range on {
			key := NodeOn{id, o}
			state, ok := e.raw[key]
			if !ok {
				state = e.condition(mask, e.frame(mask, o))
				e.raw[key] = state
			}
			if state == streamkeeper.Present {
				return id
			}
		}
	}
	return ""
}

// bound lists the entities of a kind that go with an entity.
func (e *evaluation) bound(entity streamkeeper.Entity, kind streamkeeper.EntityKind) []streamkeeper.Entity {
	return boundEntities(e.phase.world, entity, kind)
}

func boundEntities(w World, entity streamkeeper.Entity, kind streamkeeper.EntityKind) []streamkeeper.Entity {
	switch kind {
	case entity.Kind:
		return []streamkeeper.Entity{entity}
	case streamkeeper.KindCluster:
		return []streamkeeper.Entity{clusterEntity(entity.Cluster)}
	}
	if entity.Kind == streamkeeper.KindCluster {
		return w.Entities(entity.Cluster, kind)
	}
	return w.Related(entity, kind)
}

// observe judges one node on one entity.
func (e *evaluation) observe(n *Node, entity streamkeeper.Entity) streamkeeper.Observation {
	f := e.frame(n, entity)
	v := e.judge(n, f)
	matched := slices.Clip(f.matched)
	o := streamkeeper.Observation{Node: n.ID, Entity: entity, State: v.state, Strength: v.strength, Why: v.why}
	switch v.state {
	case streamkeeper.NotApplicable:
		return o
	case streamkeeper.Unknown:
		o.Needs = n.Needs
		e.numbers(n, f, &o, matched)
		return o
	}
	if n.program.when.main != nil {
		if x, ok := f.quiet(n.program.when.main).exact(); ok {
			o.Value = &x
		}
	}
	e.numbers(n, f, &o, matched)
	if v.state == streamkeeper.Absent {
		// absent may be decided without every number; half a sentence says less than the rule's title
		if text, missing := n.program.sayNot.render(f); len(missing) == 0 {
			o.Text = text
		}
		return o
	}
	if !n.Undated {
		o.Since = earliest(matched)
	}
	o.Loci = n.program.loci.list(f)
	f.strings["locus"] = lociText(o.Loci)
	o.Text, _ = n.program.say.render(f)
	for _, e := range n.program.carry {
		if s, missing := (&template{parts: []part{{expr: e}}}).render(f); len(missing) == 0 {
			f.strings[e.source] = s
		}
	}
	return o
}

// verdict is what a node is on an entity.
type verdict struct {
	state    streamkeeper.State
	strength float64
	why      string
}

// judge decides one node on the frame's entity.
func (e *evaluation) judge(n *Node, f *frame) verdict {
	state := e.condition(n, f)
	if e.masks[n.ID] {
		e.raw[NodeOn{n.ID, f.entity}] = state
	}
	if state == streamkeeper.Present || state == streamkeeper.Absent {
		if mask := e.masked(n, f.entity); mask != "" {
			state, f.notes = streamkeeper.Unknown, []note{{"masked by", mask}}
		}
	}
	switch state {
	case streamkeeper.NotApplicable:
		return verdict{state: state, why: "does not apply: " + n.AppliesWhen}
	case streamkeeper.Unknown:
		return verdict{state: state, why: f.why()}
	}
	return verdict{state: state, strength: strength(n, f, state)}
}

// numbers puts every value that the node knows into the observation, and names for its texts into f.
func (e *evaluation) numbers(n *Node, f *frame, o *streamkeeper.Observation, matched []*streamkeeper.Event) {
	f.numbers, f.strings = map[string]float64{}, map[string]string{
		"entity": f.entity.String(), "cluster": f.entity.Cluster, string(f.entity.Kind): f.entity.Name, "window": formatWindow(f.window),
	}
	if latest := newest(matched); latest != nil {
		for name := range latest.Attrs {
			switch v := attribute(latest, name); v.kind {
			case number:
				f.numbers[name] = v.n
			case text, boolean:
				if _, taken := f.strings[name]; !taken {
					f.strings[name], _ = attrText(latest, name)
				}
			}
		}
	}
	f.silent++
	for _, name := range n.Signals {
		sig := n.program.uses.signals[name]
		v := value{}
		if sig.Entity == f.entity.Kind {
			v = f.signal(sig, f.entity)
		} else {
			v = f.related(sig, sig.Entity, "max_of")
		}
		if x, ok := v.exact(); ok {
			f.numbers[name] = x
		}
	}
	f.silent--
	o.Numbers, o.Strings = f.numbers, f.strings
}

// strength is the soft evidence of a decided condition. Where the ramp is on the other side of one half,
// another part of the condition has decided: then it is as crisp as without a ramp.
func strength(n *Node, f *frame, state streamkeeper.State) float64 {
	crisp := strongest
	if state == streamkeeper.Absent {
		crisp = weakest
	}
	if n.program.strength == nil {
		return crisp
	}
	v := f.quiet(n.program.strength.eval)
	if v.kind != number || state == streamkeeper.Present && v.n < 0.5 || state == streamkeeper.Absent && v.n > 0.5 {
		return crisp
	}
	return min(max(v.n, weakest), strongest)
}

func newest(events []*streamkeeper.Event) *streamkeeper.Event {
	if len(events) == 0 {
		return nil
	}
	return slices.MaxFunc(events, func(a, b *streamkeeper.Event) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Seq, b.Seq)) })
}

func earliest(events []*streamkeeper.Event) time.Time {
	if len(events) == 0 {
		return time.Time{}
	}
	return slices.MinFunc(events, func(a, b *streamkeeper.Event) int { return a.At.Compare(b.At) }).At
}

// list finds what a present node points at, the most frequent first.
func (l *loci) list(f *frame) []streamkeeper.Locus {
	if l == nil {
		return nil
	}
	count := map[string]int{}
	for _, e := range f.find(&l.call).match {
		if name := l.name(e); name != "" {
			count[name]++
		}
	}
	names := sortedKeys(count)
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(count[b], count[a]) })
	out := make([]streamkeeper.Locus, len(names))
	for i, name := range names {
		out[i] = streamkeeper.Locus{Kind: l.kind, Name: name}
	}
	return out
}

// name is the locus that one event names, "" when it lacks an attribute.
func (l *loci) name(e *streamkeeper.Event) string {
	parts := make([]string, len(l.attrs))
	for i, a := range l.attrs {
		s, ok := attrText(e, a)
		if !ok {
			return ""
		}
		parts[i] = s
	}
	return strings.Join(parts, "-")
}

// lociText names at most three loci.
func lociText(list []streamkeeper.Locus) string {
	var names []string
	for i, l := range list {
		if i == 3 {
			names = append(names, "…")
			break
		}
		names = append(names, l.Name)
	}
	return strings.Join(names, ", ")
}

// Applies judges context atoms (applies_when, requires, an answer set's when) on an entity. An empty
// expression applies; one that does not compile is unknown.
func (c *Catalog) Applies(expr string, e streamkeeper.Entity, w World) streamkeeper.State {
	if expr == "" {
		return streamkeeper.Present
	}
	x, ok := c.atoms[expr]
	if !ok {
		var err *compileError
		if x, err = compile(expr, scope{mode: modeAtoms}, typBool); err != nil {
			return streamkeeper.Unknown
		}
	}
	return x.eval(&frame{phase: &phase{world: w}, entity: e}).state()
}
