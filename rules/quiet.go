package rules

import (
	"iter"
	"slices"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// Quiet is what symptoms are on those groups, topics and clients of a large cluster on which, and on whose neighbours,
// nothing is present: the states alone, a few bytes each, where observations would be a hundred megabytes. Nothing in it is
// present. The nil Quiet is empty.
type Quiet struct {
	rows []quietRow     // in the catalog's order
	byID map[string]int // of rows
	whys []string
}

// quietRow is one node on the entities that it is judged on.
type quietRow struct {
	node     *Node
	entities []streamkeeper.Entity // sorted
	seen     []glimpse             // by entity
}

func (r *quietRow) at(entity streamkeeper.Entity) (g *glimpse, at int) {
	at, ok := slices.BinarySearchFunc(r.entities, entity, streamkeeper.CompareEntities)
	if !ok || !r.seen[at].kept {
		return nil, at
	}
	return &r.seen[at], at
}

type glimpse struct {
	strength float32
	why      int32 // in Quiet.whys
	state    streamkeeper.State
	kept     bool // it is quiet; else it is observed, or was dropped
}

// At is the observation of a node on an entity, without text and numbers; not ok where it is not quiet.
func (q *Quiet) At(on NodeOn) (o streamkeeper.Observation, ok bool) {
	if q == nil {
		return o, false
	}
	row, ok := q.byID[on.Node]
	if !ok {
		return o, false
	}
	g, at := q.rows[row].at(on.Entity)
	if g == nil {
		return o, false
	}
	return q.observation(row, at), true
}

// size counts the observations.
func (q *Quiet) size() (n int) {
	if q == nil {
		return 0
	}
	for _, row := range q.rows {
		for _, g := range row.seen {
			if g.kept {
				n++
			}
		}
	}
	return n
}

// row is what was seen of a node, by entity; nil when nothing is quiet of it.
func (q *Quiet) row(n *Node) []glimpse {
	if q == nil {
		return nil
	}
	if row, ok := q.byID[n.ID]; ok {
		return q.rows[row].seen
	}
	return nil
}

// All goes through the observations, by node, then entity.
func (q *Quiet) All() iter.Seq[streamkeeper.Observation] {
	return func(yield func(streamkeeper.Observation) bool) {
		if q == nil {
			return
		}
		for row := range q.rows {
			for at := range q.rows[row].seen {
				if q.rows[row].seen[at].kept && !yield(q.observation(row, at)) {
					return
				}
			}
		}
	}
}

func (q *Quiet) observation(row, at int) streamkeeper.Observation {
	n, g := q.rows[row].node, q.rows[row].seen[at]
	o := streamkeeper.Observation{Node: n.ID, Entity: q.rows[row].entities[at], State: g.state, Strength: float64(g.strength), Why: q.whys[g.why]}
	if g.state == streamkeeper.Unknown {
		o.Needs = n.Needs
	}
	return o
}

// Drop leaves out entities.
func (q *Quiet) Drop(out func(streamkeeper.Entity) bool) {
	if q == nil {
		return
	}
	for _, row := range q.rows {
		for at, entity := range row.entities {
			row.seen[at].kept = row.seen[at].kept && !out(entity)
		}
	}
}

// calm says whether a node that counts as a symptom is known to be absent on an entity.
func (q *Quiet) calm(entity streamkeeper.Entity) bool {
	if q == nil {
		return false
	}
	return slices.ContainsFunc(q.rows, func(row quietRow) bool {
		g, _ := row.at(entity)
		return g != nil && !row.node.Cost && g.state == streamkeeper.Absent
	})
}

// glanced are the kinds of which a large cluster has many.
var glanced = []streamkeeper.EntityKind{streamkeeper.KindGroup, streamkeeper.KindTopic, streamkeeper.KindClient}

// glances judges those nodes on all their entities of which there are many, without what is written about it, and keeps what
// is quiet. The entities are listed by node.
func (e *evaluation) glances(nodes []*Node, entities [][]streamkeeper.Entity) *Quiet {
	q := &Quiet{byID: map[string]int{}, whys: []string{""}}
	whys := map[string]int32{"": 0}
	present := map[streamkeeper.Entity]bool{}
	for i, n := range nodes {
		if !slices.Contains(glanced, n.Entity) {
			continue
		}
		row := quietRow{n, entities[i], make([]glimpse, len(entities[i]))}
		for at, entity := range row.entities {
			v := e.judge(n, e.reuse(n, entity))
			why, known := whys[v.why]
			if !known {
				why = int32(len(q.whys))
				whys[v.why], q.whys = why, append(q.whys, v.why)
			}
			row.seen[at] = glimpse{float32(v.strength), why, v.state, true}
			if v.state == streamkeeper.Present {
				present[entity] = true
			}
		}
		q.byID[n.ID], q.rows = len(q.rows), append(q.rows, row)
	}
	loud := e.beside(present)
	q.Drop(func(entity streamkeeper.Entity) bool { return loud[entity] })
	return q
}

// beside is a set of entities with their neighbours.
func (e *evaluation) beside(set map[streamkeeper.Entity]bool) map[streamkeeper.Entity]bool {
	out := make(map[streamkeeper.Entity]bool, 2*len(set))
	for entity := range set {
		for _, kind := range glanced {
			for _, other := range e.bound(entity, kind) {
				out[other] = true
			}
		}
	}
	return out
}

// reuse is a frame that lasts until the next one is asked for.
func (e *evaluation) reuse(n *Node, entity streamkeeper.Entity) *frame {
	f := &e.spare
	*f = frame{
		phase: e.phase, entity: entity, asked: n.Window, window: effective(n.Window, e.phase.scope.Interval),
		notes: f.notes[:0], absent: f.absent[:0], matched: f.matched[:0],
	}
	return f
}
