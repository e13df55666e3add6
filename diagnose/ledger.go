package diagnose

import (
	"context"
	"strings"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose/advise"
	"github.com/streamkeeper-io/streamkeeper/diagnose/history"
	"github.com/streamkeeper-io/streamkeeper/rules"
)

// Trial is advice that somebody took, followed until it can be judged.
type Trial struct {
	Cause   string         `json:"cause"`
	Entity  string         `json:"entity"`
	Outcome advise.Outcome `json:"outcome"`
}

// Odds that remain of a cause that a person called wrong.
const wrongDiscount = .1

// readLedger takes in what people decided, and judges the advice that was taken.
func (p *pass) readLedger(ctx context.Context) error {
	if p.Ledger == nil {
		return nil
	}
	entries, err := p.Ledger.Entries(ctx, p.cluster, p.now)
	if err != nil {
		return err
	}
	p.entries = entries
	p.said = p.feedback()
	known := map[string]string{} // what was judged before, also before a restart
	for _, e := range entries {
		if e.Kind == history.Outcome {
			known[e.Of] = e.Outcome
		}
	}
	trials := map[string]Trial{}
	for _, e := range entries {
		if e.Kind != history.Taken {
			continue
		}
		t, ok := p.mem.Trials[e.ID]
		if !ok {
			t = Trial{Cause: e.Cause, Entity: e.Entity, Outcome: advise.Pending}
		}
		if outcome, judged := known[e.ID]; judged {
			t.Outcome = advise.Outcome(outcome)
		}
		if t.Outcome == advise.Pending {
			t.Outcome = p.check(e)
		}
		trials[e.ID] = t
	}
	p.next.Trials = trials
	return nil
}

// check judges one taken advice by the symptom it should clear.
func (p *pass) check(e Entry) advise.Outcome {
	entity, err := streamkeeper.ParseEntity(e.Entity)
	if err != nil || e.Clears == "" {
		return advise.Unclear
	}
	state := streamkeeper.Unknown
	if n, ok := p.Catalog.Node(e.Clears); ok {
		for _, on := range bound(p.World, entity, n.Entity) {
			if o := p.at(rules.NodeOn{Node: n.ID, Entity: on}); o != nil && state != streamkeeper.Present {
				state = o.State
			}
		}
	}
	verify := streamkeeper.Verify{Clears: e.Clears, WithinSeconds: e.Within.Seconds()}
	return advise.Check(advise.Taken{At: e.At, Verify: verify}, state, p.now)
}

// discount is what remains of a cause's odds after a remedy that did not work, or a person's word that it
// was something else. A word about an incident counts while that incident is open.
func (p *pass) discount(cause string, e streamkeeper.Entity) float64 {
	odds := 1.0
	for _, id := range sortedKeys(p.next.Trials) {
		if t := p.next.Trials[id]; t.Outcome == advise.Failed && t.Cause == cause && t.Entity == e.Key() {
			odds *= advise.FailedDiscount
		}
	}
	for _, entry := range p.said {
		if entry.Wrong && entry.Entity == e.Key() && (entry.Cause == cause || contains(entry.Causes, cause)) {
			odds *= wrongDiscount
		}
	}
	return max(odds, .01)
}

// feedback is what counts of it now: the last word about each open incident, and every word about none.
func (p *pass) feedback() []Entry {
	var out []Entry
	last := map[string]int{} // where an incident's is
	for _, e := range p.entries {
		if e.Kind != history.Feedback || e.Incident != "" && !p.mem.Stories.Holds(e.Incident) {
			continue
		}
		if at, again := last[e.Incident]; again && e.Incident != "" {
			out[at] = e
			continue
		}
		last[e.Incident] = len(out)
		out = append(out, e)
	}
	return out
}

// Silenced says whether an incident need not be told: a silence for its root entity, its cause or itself
// is in force.
func Silenced(i streamkeeper.Incident, entries []Entry, now time.Time) bool {
	for _, e := range entries {
		if e.Kind != history.Silence || (!e.Until.IsZero() && !now.Before(e.Until)) {
			continue
		}
		if e.Incident != "" {
			if e.Incident == i.ID {
				return true
			}
			continue
		}
		if matches(e.Entity, i.Root.Entity.Key()) && (e.Cause == "" || e.Cause == i.Root.Cause) {
			return true
		}
	}
	return false
}

// matches compares kind/name@cluster with a pattern in which * matches within a part.
func matches(pattern, key string) bool {
	if pattern == "" || pattern == "*" {
		return true
	}
	kind, rest, _ := strings.Cut(key, "/")
	at := strings.LastIndexByte(rest, '@')
	if at < 0 {
		return false
	}
	wantKind, wantRest, _ := strings.Cut(pattern, "/")
	wantName, wantCluster := wantRest, "*"
	if i := strings.LastIndexByte(wantRest, '@'); i >= 0 {
		wantName, wantCluster = wantRest[:i], wantRest[i+1:]
	}
	for _, pair := range [][2]string{{wantKind, kind}, {wantName, rest[:at]}, {wantCluster, rest[at+1:]}} {
		if !glob(pair[0], pair[1]) {
			return false
		}
	}
	return true
}
