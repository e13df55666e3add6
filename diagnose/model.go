package diagnose

import (
	"slices"
	"strings"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose/infer"
	"github.com/streamkeeper-io/streamkeeper/rules"
)

// model is the catalog's view of the suspects as infer understands it, with the way back to words.
type model struct {
	infer.Model
	p       *pass
	blocks  map[string][]streamkeeper.Entity        // entities of a block, the suspect first
	anchors map[string]streamkeeper.Entity          // the suspect that a block is about
	nodeAt  map[infer.Ref]int                       // Entity is set for shared nodes only
	seen    map[infer.Ref]*streamkeeper.Observation // by the node's final reference
	cause   map[causeKey]int                        //
}

type causeKey struct {
	id     string
	entity streamkeeper.Entity
	block  string
}

// shared kinds serve many others: their causes are weighed first, everything else given them.
func shared(k streamkeeper.EntityKind) bool {
	switch k {
	case streamkeeper.KindCluster, streamkeeper.KindBroker, streamkeeper.KindStore, streamkeeper.KindDisk:
		return true
	}
	return false
}

// model turns the suspects into one network. Each suspect group is a block with its topics and clients;
// a topic or client without a suspect group is a block of its own.
func (p *pass) model(suspects []rules.Suspect) *model {
	m := &model{
		p: p, Model: infer.Model{Now: p.scope.Now}, blocks: map[string][]streamkeeper.Entity{},
		anchors: map[string]streamkeeper.Entity{}, nodeAt: map[infer.Ref]int{},
		seen: map[infer.Ref]*streamkeeper.Observation{}, cause: map[causeKey]int{},
	}
	suspects = slices.DeleteFunc(slices.Clone(suspects), func(s rules.Suspect) bool { return s.Control || len(s.Causes) == 0 })
	m.layout(suspects)
	for _, s := range suspects {
		for _, block := range m.blocksOf(s.Entity) {
			for _, id := range s.Causes {
				m.addCause(id, s.Entity, block)
			}
		}
	}
	m.thin()
	m.chain()
	return m
}

// layout makes the blocks: first those of groups, then those of topics and clients on their own.
func (m *model) layout(suspects []rules.Suspect) {
	start := func(e streamkeeper.Entity) {
		m.anchors[e.Key()] = e
		m.blocks[e.Key()] = append([]streamkeeper.Entity{e}, m.neighbours(e)...)
	}
	for _, s := range suspects {
		if s.Entity.Kind == streamkeeper.KindGroup {
			start(s.Entity)
		}
	}
	for _, s := range suspects {
		if !shared(s.Entity.Kind) && len(m.blocksOf(s.Entity)) == 0 {
			start(s.Entity)
		}
	}
}

// neighbours are the unshared entities that belong to an anchor's story.
func (m *model) neighbours(e streamkeeper.Entity) []streamkeeper.Entity {
	var out []streamkeeper.Entity
	for _, kind := range []streamkeeper.EntityKind{
		streamkeeper.KindGroup, streamkeeper.KindTopic, streamkeeper.KindClient, streamkeeper.KindPartition,
	} {
		if kind == e.Kind {
			continue
		}
		related := slices.Clone(m.p.World.Related(e, kind))
		slices.SortFunc(related, streamkeeper.CompareEntities)
		out = append(out, related...)
	}
	return out
}

// blocksOf lists the blocks that an entity's causes belong to, "" for shared ones.
func (m *model) blocksOf(e streamkeeper.Entity) []string {
	if shared(e.Kind) {
		return []string{""}
	}
	if _, own := m.anchors[e.Key()]; own {
		return []string{e.Key()}
	}
	var out []string
	for name, entities := range m.blocks {
		if m.anchors[name].Kind == streamkeeper.KindGroup && slices.Contains(entities, e) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func (m *model) addCause(id string, e streamkeeper.Entity, block string) {
	c, ok := m.p.Catalog.Cause(id)
	key := causeKey{id, e, block}
	if _, done := m.cause[key]; done || !ok {
		return
	}
	out := infer.Cause{
		ID: id, Entity: e, Block: block, Prior: c.Prior, Benign: c.Benign, Premature: c.Benign && m.absent(c.HoldsWhile, e),
		Requires: m.requires(&c, e), Discount: m.p.discount(id, e),
	}
	for _, edge := range c.Edges {
		applies := m.p.Catalog.Applies(edge.AppliesWhen, e, m.p.World)
		for _, n := range m.targets(edge.Node, e, block) {
			out.Edges = append(out.Edges, infer.Edge{Node: n, Chance: edge.Chance, After: edge.After, Applies: applies})
		}
	}
	for _, set := range c.AnswerSets {
		if m.p.Catalog.Applies(set.When, e, m.p.World) == streamkeeper.Present {
			out.Sets = append(out.Sets, infer.Set{With: set.With, Part: set.Part})
		}
	}
	m.cause[key] = len(m.Causes)
	m.Causes = append(m.Causes, out)
}

// absent says whether one of the nodes is known to be absent on an entity.
func (m *model) absent(nodes []string, e streamkeeper.Entity) bool {
	return slices.ContainsFunc(nodes, func(id string) bool {
		n, ok := m.p.Catalog.Node(id)
		return ok && m.merge(&n, bound(m.p.World, e, n.Entity)).State == streamkeeper.Absent
	})
}

// requires judges a cause's soft gate: what must hold for it to be possible, and what may not be seen. A noisy-OR cannot
// refute: beside another cause that explains what contradicts it, a cause with a high prior would stay.
func (m *model) requires(c *rules.Cause, e streamkeeper.Entity) streamkeeper.State {
	for _, id := range c.Contradicted {
		if n, ok := m.p.Catalog.Node(id); ok && m.merge(&n, bound(m.p.World, e, n.Entity)).State == streamkeeper.Present {
			return streamkeeper.Absent
		}
	}
	return m.p.Catalog.Applies(c.Requires, e, m.p.World)
}

// targets lists the model's nodes that an edge of a cause on e leads to.
func (m *model) targets(id string, e streamkeeper.Entity, block string) []int {
	n, ok := m.p.Catalog.Node(id)
	if !ok {
		return nil
	}
	on := bound(m.p.World, e, n.Entity)
	if shared(n.Entity) {
		return m.sharedNodes(&n, on)
	}
	if block != "" {
		return []int{m.blockNode(&n, block)}
	}
	return m.within(&n, e, on)
}

// sharedNodes picks the shared entities on which an effect counts: those where it is seen, else one where
// it is known to be absent, else any one. A cause acts on some of its brokers, not on all of them.
func (m *model) sharedNodes(n *rules.Node, on []streamkeeper.Entity) []int {
	var present []int
	var absent, first *streamkeeper.Entity
	for i := range on {
		o := m.p.at(rules.NodeOn{Node: n.ID, Entity: on[i]})
		switch {
		case o != nil && o.State == streamkeeper.Present:
			present = append(present, m.node(n, "", []streamkeeper.Entity{on[i]}))
		case o != nil && o.State == streamkeeper.Absent && absent == nil:
			absent = &on[i]
		}
		if first == nil {
			first = &on[i]
		}
	}
	switch {
	case len(present) > 0:
		return present
	case absent != nil:
		return []int{m.node(n, "", []streamkeeper.Entity{*absent})}
	case first != nil:
		return []int{m.node(n, "", []streamkeeper.Entity{*first})}
	}
	return nil
}

// blockNode is the one node of a rule within a block: present when it is on any of the block's entities.
func (m *model) blockNode(n *rules.Node, block string) int {
	var on []streamkeeper.Entity
	for _, e := range m.blocks[block] {
		if e.Kind == n.Entity {
			on = append(on, e)
		}
	}
	return m.node(n, block, on)
}

// within lists the nodes of a rule in the blocks that a shared cause reaches; when it reaches none, the
// effect on all that it could reach counts once.
func (m *model) within(n *rules.Node, e streamkeeper.Entity, on []streamkeeper.Entity) []int {
	reach := map[streamkeeper.Entity]bool{}
	for _, x := range on {
		reach[x] = true
	}
	var names []string
	for name, entities := range m.blocks {
		if slices.ContainsFunc(entities, func(x streamkeeper.Entity) bool { return x.Kind == n.Entity && reach[x] }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var out []int
	for _, name := range names {
		out = append(out, m.blockNode(n, name))
	}
	if len(out) == 0 && len(on) > 0 {
		key := infer.Ref{ID: n.ID, Entity: e}
		if at, ok := m.nodeAt[key]; ok {
			return []int{at}
		}
		at := m.node(n, "", on)
		m.nodeAt[key] = at
		return []int{at}
	}
	return out
}

// node is the model's node of a rule on some entities taken together, made when it is first asked for.
func (m *model) node(n *rules.Node, block string, on []streamkeeper.Entity) int {
	key := infer.Ref{ID: n.ID, Block: block}
	if block == "" && len(on) > 0 {
		key.Entity = on[0]
	}
	if at, ok := m.nodeAt[key]; ok {
		return at
	}
	o := m.merge(n, on)
	at := len(m.Nodes)
	m.nodeAt[key] = at
	out := infer.Node{
		ID: n.ID, Entity: o.Entity, Block: block, Symptom: n.Symptom, Leak: n.Leak, Group: n.Group,
		State: o.State, Strength: o.Strength, Blur: m.p.Config.Interval,
		Unsourced: o.State == streamkeeper.Unknown && strings.HasPrefix(o.Why, streamkeeper.WhyMissing),
	}
	if n.Decisive && o.State == streamkeeper.Present {
		out.Strength = 1 // a direct fact is there or it is not
	}
	if o.State == streamkeeper.Present && m.p.next.dated(o) {
		out.Since = o.Since
	}
	if !n.Decisive && len(n.EventKinds) == 0 {
		out.Blur = min(n.Window/2, 2*time.Minute) // a trend is dated when it crossed a line, not when it began
	}
	m.Nodes = append(m.Nodes, out)
	m.seen[infer.Ref{ID: n.ID, Entity: o.Entity, Block: block}] = o
	return at
}

// merge takes the observations of a rule on several entities as one: present when it is anywhere, absent
// when it was judged and is nowhere.
func (m *model) merge(n *rules.Node, on []streamkeeper.Entity) *streamkeeper.Observation {
	var best *streamkeeper.Observation
	rank := func(o *streamkeeper.Observation) int {
		return map[streamkeeper.State]int{
			streamkeeper.Present: 4, streamkeeper.Unknown: 3, streamkeeper.Absent: 2, streamkeeper.NotApplicable: 1,
		}[o.State]
	}
	for _, e := range on {
		o := m.p.at(rules.NodeOn{Node: n.ID, Entity: e})
		if o == nil {
			continue
		}
		if best == nil || rank(o) > rank(best) || (rank(o) == rank(best) && o.Strength > best.Strength) {
			best = o
		}
	}
	if best != nil {
		return best
	}
	o := &streamkeeper.Observation{Node: n.ID, Why: streamkeeper.WhyPending, Needs: n.Needs}
	if len(on) > 0 {
		o.Entity = on[0]
	} else {
		o.State = streamkeeper.NotApplicable // nothing of that kind is there
	}
	return o
}

// thin keeps one instance per cause of a block's topics and clients: the one that shows most of the
// cause's own effects. Instances that share all their nodes could not be told apart.
func (m *model) thin() {
	type slot struct{ id, block string }
	best := map[slot]int{}
	for i := range m.Causes {
		c := &m.Causes[i]
		if c.Block == "" || m.anchors[c.Block] == c.Entity {
			continue
		}
		k := slot{c.ID, c.Block}
		if at, ok := best[k]; !ok || m.shows(c) > m.shows(&m.Causes[at]) {
			best[k] = i
		}
	}
	kept := m.Causes[:0:0]
	clear(m.cause)
	for i := range m.Causes {
		c := m.Causes[i]
		at, contested := best[slot{c.ID, c.Block}]
		if contested && at != i && m.anchors[c.Block] != c.Entity {
			continue
		}
		m.cause[causeKey{c.ID, c.Entity, c.Block}] = len(kept)
		kept = append(kept, c)
	}
	m.Causes = kept
}

// shows counts the cause's nodes that are present on its own entity.
func (m *model) shows(c *infer.Cause) int {
	count := 0
	rule, _ := m.p.Catalog.Cause(c.ID)
	for _, edge := range rule.Edges {
		if o := m.p.at(rules.NodeOn{Node: edge.Node, Entity: c.Entity}); o != nil && o.State == streamkeeper.Present {
			count++
		}
	}
	return count
}

// chain ties declared consequences to their roots in the same block or among the shared causes.
func (m *model) chain() {
	for i := range m.Causes {
		c := &m.Causes[i]
		rule, _ := m.p.Catalog.Cause(c.ID)
		for k := range m.Causes {
			root := &m.Causes[k]
			chance, ok := rule.ConsequenceOf[root.ID]
			if !ok || i == k || (root.Block != "" && root.Block != c.Block) {
				continue
			}
			if root.Block == "" && c.Block == "" && !slices.Contains(bound(m.p.World, c.Entity, root.Entity.Kind), root.Entity) {
				continue
			}
			c.Parents = append(c.Parents, infer.Parent{Cause: k, Chance: chance})
		}
	}
}
