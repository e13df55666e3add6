package rules

import (
	"maps"
	"slices"
	"strings"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

const (
	// maxControls is how many healthy entities of a kind are examined beside its suspects.
	maxControls = 3
	// maxBound is how many related entities a suspect's evidence is asked on: those with symptoms first.
	maxBound = 20
)

// Suspects lists the entities on which a cause is worth examining: one of its symptoms or triggers is
// present there or on a related entity. Beside the suspects of a kind stand up to three healthy controls
// with the same nodes. Sorted by entity, controls last.
func (c *Catalog) Suspects(s Scope, symptoms []streamkeeper.Observation, quiet *Quiet, w World) []Suspect {
	b := &binder{
		catalog: c, scope: s, world: w, quiet: quiet, present: map[NodeOn]bool{}, shows: map[string]bool{},
		sick: map[streamkeeper.Entity]bool{}, calm: map[streamkeeper.Entity]bool{}, listed: map[streamkeeper.EntityKind][]streamkeeper.Entity{},
	}
	b.read(symptoms)
	causes := map[streamkeeper.Entity]map[string]bool{}
	for _, id := range sortedKeys(c.causes) {
		k := c.causes[id]
		edges := b.shownEdges(k)
		if len(edges) == 0 {
			continue
		}
		for _, e := range b.entities(k.Entity) {
			if b.shown(edges, e) {
				b.accuse(causes, k, e, 0)
			}
		}
	}
	var out []Suspect
	for _, e := range slices.SortedFunc(maps.Keys(causes), streamkeeper.CompareEntities) {
		out = append(out, b.suspect(e, sortedKeys(causes[e])))
	}
	return append(out, b.controls(out)...)
}

// binder ties causes to entities.
type binder struct {
	catalog *Catalog
	scope   Scope
	world   World
	quiet   *Quiet
	present map[NodeOn]bool
	shows   map[string]bool              // nodes that are present anywhere
	sick    map[streamkeeper.Entity]bool // has a present symptom or trigger
	calm    map[streamkeeper.Entity]bool // has one that is known to be absent; beside what is quiet
	listed  map[streamkeeper.EntityKind][]streamkeeper.Entity
}

func (b *binder) read(symptoms []streamkeeper.Observation) {
	for _, o := range symptoms {
		n, ok := b.catalog.nodes[o.Node]
		if !ok || n.Cost {
			continue
		}
		switch o.State {
		case streamkeeper.Present:
			b.present[NodeOn{o.Node, o.Entity}], b.shows[o.Node] = true, true
			b.sick[o.Entity] = true
		case streamkeeper.Absent:
			b.calm[o.Entity] = true
		}
	}
}

// entities lists the kind: from the inventory, and those with observations.
func (b *binder) entities(k streamkeeper.EntityKind) []streamkeeper.Entity {
	if list, ok := b.listed[k]; ok {
		return list
	}
	list := slices.Clone(b.world.Entities(b.scope.Cluster, k))
	if k == streamkeeper.KindCluster && len(list) == 0 {
		list = append(list, clusterEntity(b.scope.Cluster))
	}
	for _, seen := range []map[streamkeeper.Entity]bool{b.sick, b.calm} {
		for e := range seen {
			if e.Kind == k {
				list = append(list, e)
			}
		}
	}
	slices.SortFunc(list, streamkeeper.CompareEntities)
	b.listed[k] = slices.Compact(list)
	return b.listed[k]
}

// shownEdges are the symptoms and triggers of the cause that are present anywhere.
func (b *binder) shownEdges(k *Cause) (out []*Node) {
	for _, edge := range k.Edges {
		if n := b.catalog.nodes[edge.Node]; (n.Symptom || n.Trigger) && b.shows[n.ID] {
			out = append(out, n)
		}
	}
	return out
}

// shown tells whether one of the nodes is present where it would be for a cause on e.
func (b *binder) shown(nodes []*Node, e streamkeeper.Entity) bool {
	for _, n := range nodes {
		for _, on := range boundEntities(b.world, e, n.Entity) {
			if b.present[NodeOn{n.ID, on}] {
				return true
			}
		}
	}
	return false
}

// accuse adds a cause and the causes it may follow from.
func (b *binder) accuse(causes map[streamkeeper.Entity]map[string]bool, k *Cause, e streamkeeper.Entity, depth int) {
	if causes[e] == nil {
		causes[e] = map[string]bool{}
	}
	if causes[e][k.ID] || depth > 3 {
		return
	}
	causes[e][k.ID] = true
	for _, id := range sortedKeys(k.ConsequenceOf) {
		root := b.catalog.causes[id]
		on := boundEntities(b.world, e, root.Entity)
		if len(on) > maxBound {
			continue // a relation to everything tells nothing
		}
		for _, r := range on {
			b.accuse(causes, root, r, depth+1)
		}
	}
}

// suspect lists the evidence to ask for.
func (b *binder) suspect(e streamkeeper.Entity, causes []string) Suspect {
	s := Suspect{Entity: e, Causes: causes}
	seen := map[NodeOn]bool{}
	add := func(id string) {
		n := b.catalog.nodes[id]
		if n.Symptom || n.Trigger {
			return // judged on all entities already
		}
		for _, on := range b.closest(e, n.Entity) {
			if key := (NodeOn{id, on}); !seen[key] {
				seen[key] = true
				s.Nodes = append(s.Nodes, key)
			}
		}
	}
	for _, id := range causes {
		k := b.catalog.causes[id]
		for _, edge := range k.Edges {
			add(edge.Node)
		}
		for _, list := range [][]string{k.HoldsWhile, k.EndsWhen, k.Contradicted} {
			for _, node := range list {
				add(node)
			}
		}
		for _, t := range k.Triggers {
			add(t.Node)
		}
	}
	sortNodes(s.Nodes)
	s.related = b.relatedOf(s.Nodes)
	return s
}

func sortNodes(list []NodeOn) {
	slices.SortFunc(list, func(a, b NodeOn) int {
		if c := strings.Compare(a.Node, b.Node); c != 0 {
			return c
		}
		return streamkeeper.CompareEntities(a.Entity, b.Entity)
	})
}

// closest limits related entities to those with symptoms, then others, maxBound in all.
func (b *binder) closest(e streamkeeper.Entity, kind streamkeeper.EntityKind) []streamkeeper.Entity {
	list := slices.Clone(boundEntities(b.world, e, kind))
	slices.SortFunc(list, func(x, y streamkeeper.Entity) int {
		if b.sick[x] != b.sick[y] {
			if b.sick[x] {
				return -1
			}
			return 1
		}
		return streamkeeper.CompareEntities(x, y)
	})
	return list[:min(len(list), maxBound)]
}

// relatedOf lists the entities whose signals the nodes read.
func (b *binder) relatedOf(nodes []NodeOn) []streamkeeper.Entity {
	var out []streamkeeper.Entity
	done := map[relationKey]bool{}
	for _, on := range nodes {
		n := b.catalog.nodes[on.Node]
		for _, name := range n.Signals {
			sig := n.program.uses.signals[name]
			key := relationKey{on.Entity, sig.Entity}
			if sig.Entity == n.Entity || done[key] {
				continue
			}
			done[key] = true
			out = append(out, b.world.Related(on.Entity, sig.Entity)...)
		}
	}
	slices.SortFunc(out, streamkeeper.CompareEntities)
	return slices.Compact(out)
}

// controls picks healthy entities of the kinds that have suspects.
func (b *binder) controls(suspects []Suspect) []Suspect {
	byKind := map[streamkeeper.EntityKind]map[string]bool{}
	for _, s := range suspects {
		nodes := byKind[s.Entity.Kind]
		if nodes == nil {
			nodes = map[string]bool{}
			byKind[s.Entity.Kind] = nodes
		}
		for _, on := range s.Nodes {
			if on.Entity == s.Entity {
				nodes[on.Node] = true
			}
		}
	}
	accused := map[streamkeeper.Entity]bool{}
	for _, s := range suspects {
		accused[s.Entity] = true
	}
	var out []Suspect
	for _, kind := range sortedKinds(byKind) {
		left := maxControls
		for _, e := range b.entities(kind) {
			if left == 0 || len(byKind[kind]) == 0 {
				break
			}
			if accused[e] || b.sick[e] || !b.calm[e] && !b.quiet.calm(e) {
				continue
			}
			left--
			s := Suspect{Entity: e, Control: true}
			for _, id := range sortedKeys(byKind[kind]) {
				s.Nodes = append(s.Nodes, NodeOn{id, e})
			}
			s.related = b.relatedOf(s.Nodes)
			out = append(out, s)
		}
	}
	return out
}

func sortedKinds[V any](m map[streamkeeper.EntityKind]V) []streamkeeper.EntityKind {
	return slices.Sorted(maps.Keys(m))
}

// EvidenceQueries lists what Evidence needs to know, limited to the suspects and what they are related to.
func (c *Catalog) EvidenceQueries(s Scope, sus []Suspect) []streamkeeper.Query {
	return c.evidencePlan(s, sus).queries
}

func (c *Catalog) evidencePlan(s Scope, sus []Suspect) *planner {
	limit := restriction{}
	add := func(e streamkeeper.Entity) {
		name := e.Name
		if e.Kind == streamkeeper.KindPartition { // the first label is the topic
			name = name[:max(strings.LastIndexByte(name, '-'), 0)]
		}
		limit[e.Kind] = append(limit[e.Kind], name)
	}
	for _, x := range sus {
		add(x.Entity)
		for _, on := range x.Nodes {
			add(on.Entity)
		}
		for _, e := range x.related {
			add(e)
		}
	}
	for kind, names := range limit {
		slices.Sort(names)
		limit[kind] = slices.Compact(names)
	}
	p := newPlanner(s, limit)
	for _, on := range nodesOf(sus) {
		if n, ok := c.nodes[on.Node]; ok {
			c.addNeeds(p, n)
		}
	}
	for _, x := range sus {
		for _, id := range x.Causes {
			reads := c.causes[id].reads
			for _, name := range sortedKeys(reads) {
				sig := reads[name]
				p.add(need{sig, windowOf(sig, defaultWindow)})
			}
		}
	}
	return p
}

// nodesOf lists what is to be evaluated, each once, by node and entity.
func nodesOf(sus []Suspect) []NodeOn {
	size := 0
	for _, x := range sus {
		size += len(x.Nodes)
	}
	out := make([]NodeOn, 0, size)
	for _, x := range sus {
		out = append(out, x.Nodes...)
	}
	sortNodes(out)
	return slices.Compact(out)
}

// Evidence judges the nodes of suspects and controls, each once, sorted by node and entity. Signals that
// the advice of a suspect's causes names are in the Numbers of the observations on that suspect.
func (c *Catalog) Evidence(s Scope, sus []Suspect, in Inputs) []streamkeeper.Observation {
	e := c.newEvaluation(s, in, c.evidencePlan(s, sus))
	extra, nodes := e.causeNumbers(sus), nodesOf(sus)
	out := make([]streamkeeper.Observation, 0, len(nodes))
	for _, on := range nodes {
		n, ok := c.nodes[on.Node]
		if !ok {
			continue
		}
		o := e.observe(n, on.Entity)
		for name, v := range extra[on.Entity] {
			if o.Numbers == nil {
				o.Numbers = map[string]float64{}
			}
			if _, taken := o.Numbers[name]; !taken {
				o.Numbers[name] = v
			}
		}
		out = append(out, o)
	}
	return out
}

// causeNumbers reads the signals that the texts of the suspects' causes name.
func (e *evaluation) causeNumbers(sus []Suspect) map[streamkeeper.Entity]map[string]float64 {
	out := map[streamkeeper.Entity]map[string]float64{}
	for _, x := range sus {
		f := &frame{phase: e.phase, entity: x.Entity, asked: defaultWindow, window: effective(defaultWindow, e.phase.scope.Interval)}
		for _, id := range x.Causes {
			for name, sig := range e.catalog.causes[id].reads {
				v := value{}
				if sig.Entity == x.Entity.Kind {
					v = f.signal(sig, x.Entity)
				} else {
					v = f.related(sig, sig.Entity, "max_of")
				}
				if n, ok := v.exact(); ok {
					if out[x.Entity] == nil {
						out[x.Entity] = map[string]float64{}
					}
					out[x.Entity][name] = n
				}
			}
		}
	}
	return out
}
