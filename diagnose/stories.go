package diagnose

import (
	"cmp"
	"slices"
	"strings"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose/incident"
	"github.com/streamkeeper-io/streamkeeper/rules"
)

// changeKinds are the events that say that somebody changed something.
var changeKinds = append([]string{
	"deploy", "config_changed", "topic_created", "topic_deleted", "partitions_added", "subscription_changed",
	"quota_changed", "acl_changed", "shutdown_requested", "broker_started", "reassignment_started", "group_created", "group_deleted",
	"group_protocol_changed", "group_assignor_changed", "group_topics_changed", "drift",
}, riskyKinds...)

// riskyKinds are those of the changes that can cost somebody records or their order.
var riskyKinds = []string{"retention_cut", "min_insync_replicas_lowered", "read_topic_deleted", "partitions_added_under_keys"}

const (
	// changesWithin is how far back changes are looked for.
	changesWithin = 30 * time.Minute
	// changesTold bounds the changes in a report.
	changesTold = 50
)

// stories is what incident.Step needs to know of this tick.
func (p *pass) stories() incident.Input {
	in := incident.Input{Now: p.scope.Now, Cluster: p.cluster, Blind: p.blind, Changes: p.changes(), Shadowed: p.shadowed(), Settling: p.settling()}
	p.changed = changed(in.Changes)
	for _, id := range sortedKeys(p.judged) {
		j := p.judged[id]
		in.Candidates = append(in.Candidates, incident.Candidate{
			Finding: j.Finding, Decisive: j.decisive, Shared: j.shared, Holds: j.holds, Premature: j.premature, Leads: j.rule.LeadsChain, Own: j.own, Affects: j.affects,
			LedByBenign: j.Verdict == streamkeeper.VerdictOneOf && j.rule.Benign,
		})
	}
	for _, y := range p.symptoms() {
		in.Symptoms = append(in.Symptoms, incident.Symptom{Symptom: y, Impact: p.impact(y)})
	}
	return in
}

// symptoms lists the present ones, worst first, as they are once everything was seen.
func (p *pass) symptoms() []streamkeeper.Symptom {
	if p.listed != nil {
		return p.listed
	}
	out := []streamkeeper.Symptom{}
	for i := range p.observed {
		o := &p.observed[i]
		n, ok := p.Catalog.Node(o.Node)
		if !ok || !n.Symptom || n.Cost || o.State != streamkeeper.Present {
			continue
		}
		text := o.Text
		if text == "" {
			text = n.Title
		}
		y := streamkeeper.Symptom{ID: o.Node, Entity: o.Entity, Since: o.Since, Value: o.Value, Text: text, Severity: p.loudness(n, o), Standing: p.stands(o)}
		if n.Impact != nil {
			y.Breach = n.Impact.Kind
		}
		out = append(out, y)
	}
	slices.SortStableFunc(out, func(a, b streamkeeper.Symptom) int {
		return cmp.Or(cmp.Compare(b.Severity.Rank(), a.Severity.Rank()), incident.LossFirst(a, b),
			strings.Compare(a.ID, b.ID), streamkeeper.CompareEntities(a.Entity, b.Entity))
	})
	p.listed = out
	return out
}

// lossUrgent is the time to a loss of records from which on it is critical: what somebody needs to react.
const lossUrgent = time.Hour

// loudness is a symptom's severity, as its scope sees it. A loss ahead is no quieter where little is critical.
func (p *pass) loudness(n rules.Node, o *streamkeeper.Observation) streamkeeper.Severity {
	s := p.scopeOf(o.Entity)
	loud := breached(n, o, cmp.Or(s.SLOLag, p.Config.SLOLag))
	if n.Impact != nil && n.Impact.Kind == streamkeeper.BreachLoss && s.Criticality == CriticalityLow {
		return loud
	}
	return s.Criticality.Move(loud)
}

// breached is a symptom's severity: that of its rule, and critical once the lag is beyond the service level, or a loss
// near. A number that is not known breaches nothing.
func breached(n rules.Node, o *streamkeeper.Observation, slo time.Duration) streamkeeper.Severity {
	if n.Impact == nil {
		return n.Severity
	}
	lag, known := o.Numbers["lag_seconds"]
	switch n.Impact.Kind {
	case "lag":
		if known && lag > slo.Seconds() {
			return streamkeeper.SeverityCritical
		}
	case streamkeeper.BreachLoss:
		if o.Value != nil && *o.Value < lossUrgent.Seconds() {
			return streamkeeper.SeverityCritical
		}
	}
	return n.Severity
}

// breaches says whether a symptom on an entity is the breach of a service level. Whoever says what late means to a group
// is not told that it is late before; a lag that is not known may be any.
func (p *pass) breaches(n *rules.Node, e streamkeeper.Entity) bool {
	slo := p.scopeOf(e).SLOLag
	if n.Impact == nil || n.Impact.Kind != "lag" || slo == 0 {
		return n.Impact != nil
	}
	for i := range p.observed {
		if lag, known := p.observed[i].Numbers["lag_seconds"]; known && p.observed[i].Entity == e {
			return lag > slo.Seconds()
		}
	}
	return true
}

// impact is a symptom's text as a breach of a service level, "" when it is none.
func (p *pass) impact(y streamkeeper.Symptom) string {
	n, ok := p.Catalog.Node(y.ID)
	if !ok || !p.breaches(&n, y.Entity) {
		return ""
	}
	for i := range p.observed {
		if o := &p.observed[i]; o.Node == y.ID && o.Entity == y.Entity {
			if text, missing := p.Catalog.Render(n.Impact.Text, o.Numbers, o.Strings); len(missing) == 0 && text != "" {
				return text
			}
		}
	}
	return y.Text
}

// changes lists what changed lately.
func (p *pass) changes() []incident.Change {
	if p.Events == nil {
		return nil
	}
	var out []incident.Change
	for _, e := range p.Events.Events(p.cluster, changeKinds, p.scope.Now.Add(-changesWithin), p.scope.Now) {
		text := e.Text
		if text == "" {
			text = strings.ReplaceAll(e.Kind, "_", " ") + " on " + e.Entity.String()
		}
		change := streamkeeper.Change{At: e.At, Kind: e.Kind, Text: text, Risky: slices.Contains(riskyKinds, e.Kind)}
		out = append(out, incident.Change{Change: change, Entity: e.Entity})
	}
	return out
}

// changed lists what changed lately for the report: the risky changes first, then the newest.
func changed(all []incident.Change) []streamkeeper.Change {
	out := make([]streamkeeper.Change, 0, len(all))
	for _, c := range all {
		out = append(out, c.Change)
	}
	slices.SortStableFunc(out, func(a, b streamkeeper.Change) int {
		switch {
		case a.Risky == b.Risky:
			return b.At.Compare(a.At)
		case a.Risky:
			return -1
		default:
			return 1
		}
	})
	return out[:min(len(out), changesTold)]
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
