package rules

import (
	"math"
	"slices"
	"strings"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// readings gives the values of signals. A value that nobody asked for is unknown, never zero.
type readings interface {
	reading(sig *Signal, window time.Duration, e streamkeeper.Entity) streamkeeper.Value
}

// phase is what one pass of evaluation shares: the tick's data, and indexes over it.
type phase struct {
	scope    Scope
	readings readings
	world    World
	events   *eventIndex
	relation map[relationKey][]streamkeeper.Entity
}

type relationKey struct {
	entity streamkeeper.Entity
	kind   streamkeeper.EntityKind
}

// frame is the evaluation of one node on one entity, or the rendering of one text.
type frame struct {
	phase  *phase
	entity streamkeeper.Entity
	asked  time.Duration // the node's window as written
	window time.Duration // the effective one
	event  *streamkeeper.Event

	numbers map[string]float64 // names for text
	strings map[string]string

	silent  int // > 0: a quiet evaluation, for known() and coalesce()
	notes   []note
	absent  []string // names that a text asked for in vain
	matched []*streamkeeper.Event
}

// note says why something was not known.
type note struct{ why, what string }

func (f *frame) note(why, what string) {
	n := note{why, what}
	if f.silent == 0 && !slices.Contains(f.notes, n) {
		f.notes = append(f.notes, n)
	}
}

// quiet evaluates without leaving notes: asking whether something is known is no complaint.
func (f *frame) quiet(fn evalFn) value {
	f.silent++
	defer func() { f.silent-- }()
	return fn(f)
}

// why joins the notes: "missing group_lag_seconds; stale topic_end_offset".
func (f *frame) why() string {
	if len(f.notes) == 1 {
		return f.notes[0].why + " " + f.notes[0].what
	}
	var order []string
	byWhy := map[string][]string{}
	for _, n := range f.notes {
		if byWhy[n.why] == nil {
			order = append(order, n.why)
		}
		byWhy[n.why] = append(byWhy[n.why], n.what)
	}
	for i, w := range order {
		order[i] = w + " " + strings.Join(byWhy[w], ", ")
	}
	return strings.Join(order, "; ")
}

// signal reads a signal of an entity.
func (f *frame) signal(sig *Signal, e streamkeeper.Entity) value {
	v := f.phase.readings.reading(sig, windowOf(sig, f.asked), e)
	if v.State == streamkeeper.Present {
		return num(v.Number)
	}
	name := sig.Name
	if e.Kind != f.entity.Kind {
		name = string(e.Kind) + "." + name
	}
	f.note(v.Why, name)
	if f.silent == 0 {
		f.absent = append(f.absent, name)
	}
	return value{}
}

// windowOf is the window a signal is read over: its own, or that of the node.
func windowOf(sig *Signal, node time.Duration) time.Duration {
	if sig.Window > 0 {
		return sig.Window
	}
	return node
}

// related folds a signal over related entities. max and min over partly known ones are bounds; a sum
// or mean wants nine tenths of them.
func (f *frame) related(sig *Signal, kind streamkeeper.EntityKind, how string) value {
	key := relationKey{f.entity, kind}
	list, ok := f.phase.relation[key]
	if !ok {
		list = f.phase.world.Related(f.entity, kind)
		f.phase.relation[key] = list
	}
	fold, seen := 0.0, 0
	for _, e := range list {
		v := f.signal(sig, e)
		if !v.known() {
			continue
		}
		switch {
		case how == "sum_of" || how == "avg_of":
			fold += v.n
		case seen == 0:
			fold = v.n
		case how == "max_of":
			fold = math.Max(fold, v.n)
		default:
			fold = math.Min(fold, v.n)
		}
		seen++
	}
	if len(list) == 0 {
		f.note(streamkeeper.WhyMissing, "related "+string(kind))
	}
	return folded(how, fold, seen, len(list))
}

func folded(how string, fold float64, seen, all int) value {
	if seen == 0 {
		return value{}
	}
	whole := float64(seen) >= partsNeeded*float64(all)
	switch how {
	case "sum_of":
		if whole {
			return num(fold)
		}
		return value{}
	case "avg_of":
		if whole {
			return num(fold / float64(seen))
		}
		return value{}
	}
	v := num(fold)
	if seen < all {
		v.bound = 1
		if how == "min_of" {
			v.bound = -1
		}
	}
	return v
}

// attribute reads the current event's attribute.
func (f *frame) attribute(name string) value {
	if f.event == nil {
		return value{}
	}
	return attribute(f.event, name)
}

// fact resolves a context atom on the entity, then on its cluster.
func (f *frame) fact(atom string) value {
	switch resolveFact(f.phase.world, f.entity, atom) {
	case streamkeeper.Present:
		return truth(true)
	case streamkeeper.Absent:
		return truth(false)
	}
	f.note(streamkeeper.WhyMissing, "fact "+atom)
	return value{}
}

func resolveFact(w World, e streamkeeper.Entity, atom string) streamkeeper.State {
	if s := w.Fact(e, atom); s == streamkeeper.Present || s == streamkeeper.Absent {
		return s
	}
	return w.Fact(streamkeeper.Entity{Kind: streamkeeper.KindCluster, Name: e.Cluster, Cluster: e.Cluster}, atom)
}

// named reads a name that text was given.
func (f *frame) named(name string) value {
	if s, ok := f.strings[name]; ok {
		return words(s)
	}
	if n, ok := f.numbers[name]; ok {
		return num(n)
	}
	if f.silent == 0 {
		f.absent = append(f.absent, name)
	}
	return value{}
}

// find runs an event call on the frame's entity.
func (f *frame) find(call *eventCall) found {
	within := call.within
	if within == 0 {
		within = f.window
	}
	set := f.phase.events.of(call.kinds, within, f.entity)
	r := found{covered: set.covered, all: len(set.events)}
	if call.filter == nil {
		r.match = set.events
	} else {
		outer := f.event
		for _, e := range set.events {
			f.event = e
			switch f.quiet(call.filter).state() {
			case streamkeeper.Present:
				r.match = append(r.match, e)
			case streamkeeper.Unknown:
				r.undecided++
			}
		}
		f.event = outer
	}
	if f.silent == 0 {
		f.matched = append(f.matched, r.match...)
		if !r.covered {
			f.note(streamkeeper.WhyMissing, "events "+strings.Join(call.kinds, "|"))
		} else if r.undecided > 0 && len(r.match) == 0 {
			f.note(streamkeeper.WhyMissing, "attributes "+strings.Join(call.attrs, ", ")+" of "+strings.Join(call.kinds, "|"))
		}
	}
	return r
}
