package rules

import (
	"math"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

const (
	// partsNeeded is the share of expected parts under which a sum is unknown.
	partsNeeded = 0.9
	// staleAfter is the age in intervals from which a sample no longer speaks for now: instant queries
	// hide up to five minutes.
	staleAfter = 2.5
)

// resolver turns answers into readings. Per signal the first dialect with fresh data wins, so that a
// cluster may be watched through several; values are never mixed between dialects.
type resolver struct {
	scope   Scope
	plans   map[need][]plan
	answers streamkeeper.Answers
	done    map[need]resolved
}

// resolved is one signal on all entities.
type resolved struct {
	dialect string
	values  map[string]streamkeeper.Value // by entity name
	other   streamkeeper.Value            // entities without a value of their own
}

func newResolver(p *planner, answers streamkeeper.Answers) *resolver {
	return &resolver{scope: p.scope, plans: p.plans, answers: answers, done: map[need]resolved{}}
}

// reading gives the value of a signal of an entity.
func (r *resolver) reading(sig *Signal, window time.Duration, e streamkeeper.Entity) streamkeeper.Value {
	all := r.resolve(need{sig, window})
	if v, ok := all.values[e.Name]; ok {
		return v
	}
	return all.other
}

func (r *resolver) resolve(n need) resolved {
	if v, ok := r.done[n]; ok {
		return v
	}
	plans, asked := r.plans[n]
	out := resolved{other: streamkeeper.NotKnown(streamkeeper.WhyMissing)}
	if !asked {
		out.other = streamkeeper.NotKnown(streamkeeper.WhyPending)
	}
	for _, p := range plans {
		candidate, alive := r.candidate(n, p)
		if alive {
			out = candidate
			break
		}
		// nothing is fresh: keep the most telling reason
		if out.values == nil && (len(candidate.values) > 0 || candidate.other.Why == streamkeeper.WhyPending) {
			out = candidate
		}
	}
	r.done[n] = out
	return out
}

// candidate reads one dialect; alive when it has fresh data, or a live source that makes missing zero.
func (r *resolver) candidate(n need, p plan) (resolved, bool) {
	out := resolved{
		dialect: p.dialect.Name, values: map[string]streamkeeper.Value{}, other: streamkeeper.NotKnown(streamkeeper.WhyMissing),
	}
	answer, asked := r.answers[p.value]
	if !asked {
		out.other = streamkeeper.NotKnown(streamkeeper.WhyPending)
		return out, false
	}
	alive := false
	if answer.Err == nil {
		alive = r.fill(n, p, answer, out.values)
	}
	if answer.Err == nil && p.zero != "" && r.zeroHolds(p) {
		alive, out.other = true, streamkeeper.Known(0)
	}
	if alive && p.expect != "" {
		r.checkParts(n, p, out.values)
	}
	return out, alive
}

// fill puts points into values and says whether any is fresh.
func (r *resolver) fill(n need, p plan, answer streamkeeper.Answer, values map[string]streamkeeper.Value) bool {
	kind := n.signal.Entity
	times := r.byEntity(p.fresh, kind)
	alive := false
	for _, point := range answer.Points {
		name, ok := r.entityName(kind, point.Labels)
		if !ok {
			continue
		}
		v := streamkeeper.Known(point.Value)
		switch {
		case r.stale(n.signal.Kind, p, point, name, times):
			v = streamkeeper.NotKnown(streamkeeper.WhyStale)
		case math.IsNaN(point.Value) || math.IsInf(point.Value, 0):
			v, alive = streamkeeper.NotKnown(streamkeeper.WhyNaN), true
		default:
			alive = true
		}
		if old, ok := values[name]; ok {
			v = mergePoints(n.signal.Kind, old, v)
		}
		values[name] = v
	}
	return alive
}

// mergePoints joins several points of one entity: counts add up, of others the largest counts.
func mergePoints(kind streamkeeper.QueryKind, a, b streamkeeper.Value) streamkeeper.Value {
	switch {
	case a.State != streamkeeper.Present:
		return b
	case b.State != streamkeeper.Present:
		return a
	case kind == streamkeeper.QueryCount:
		return streamkeeper.Known(a.Number + b.Number)
	}
	return streamkeeper.Known(math.Max(a.Number, b.Number))
}

// stale tells whether the newest sample behind a point is too old. A count tells its age itself, an
// instant value is judged by the timestamps of its fresh selector.
func (r *resolver) stale(kind streamkeeper.QueryKind, p plan, point streamkeeper.Point, name string, times map[string]float64) bool {
	switch {
	case kind == streamkeeper.QueryCount:
		return point.Age >= 0 && r.tooOld(point.Age.Seconds())
	case p.fresh == "":
		return false
	}
	at, ok := times[name]
	if !ok {
		at, ok = times[""] // the fresh series is not per entity
	}
	return !ok || r.tooOld(r.now()-at)
}

func (r *resolver) now() float64 { return float64(r.scope.Now.UnixMilli()) / 1000 }

func (r *resolver) tooOld(seconds float64) bool {
	interval := r.scope.Interval
	if interval <= 0 {
		interval = 15 * time.Second
	}
	return seconds > staleAfter*interval.Seconds()
}

// byEntity reads an answer as one number per entity name; "" is a point without the entity's labels.
func (r *resolver) byEntity(id string, kind streamkeeper.EntityKind) map[string]float64 {
	out := map[string]float64{}
	for _, point := range r.answers[id].Points {
		name, ok := r.entityName(kind, point.Labels)
		if !ok && len(point.Labels) > 0 && point.Labels["cluster"] != "" && point.Labels["cluster"] != r.scope.Cluster {
			continue
		}
		if !math.IsNaN(point.Value) {
			out[name] = math.Max(point.Value, out[name])
		}
	}
	return out
}

// entityName is the name that labels give an entity of a kind; not ok when labels are missing or are of
// another cluster.
func (r *resolver) entityName(kind streamkeeper.EntityKind, labels map[string]string) (string, bool) {
	if c := labels["cluster"]; c != "" && c != r.scope.Cluster {
		return "", false
	}
	if kind == streamkeeper.KindCluster {
		return r.scope.Cluster, true
	}
	name := ""
	for i, label := range entityLabels[kind] {
		v := labels[label]
		if v == "" {
			return "", false
		}
		if i > 0 {
			name += "-"
		}
		name += v
	}
	return name, true
}

// zeroHolds tells whether the source is alive, so that what it does not tell is zero.
func (r *resolver) zeroHolds(p plan) bool {
	holds := false
	for _, point := range r.answers[p.zero].Points {
		if c := point.Labels["cluster"]; (c == "" || c == r.scope.Cluster) && !math.IsNaN(point.Value) {
			holds = true
		}
	}
	if !holds {
		return false
	}
	for _, point := range r.answers[p.zeroFresh].Points {
		if !math.IsNaN(point.Value) && !r.tooOld(r.now()-point.Value) {
			return true
		}
	}
	return false
}

// checkParts makes values unknown that are made of too few parts.
func (r *resolver) checkParts(n need, p plan, values map[string]streamkeeper.Value) {
	want, got := r.byEntity(p.expect, n.signal.Entity), r.byEntity(p.counts, n.signal.Entity)
	for name, v := range values {
		expected, ok := want[name]
		if !ok {
			expected, ok = want[""]
		}
		if v.State == streamkeeper.Present && (!ok || got[name] < partsNeeded*expected) {
			values[name] = streamkeeper.NotKnown(streamkeeper.WhyPartial)
		}
	}
}
