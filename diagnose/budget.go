package diagnose

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose/incident"
)

// budget is how many incidents of one cluster were told within the last day, and what was not told. It is plain data that
// survives a restart.
type budget struct {
	Told   []time.Time     `json:"told,omitempty"`   // when incidents were told that were new to the receivers, oldest first
	Held   map[string]held `json:"held,omitempty"`   // by incident id: what was not told and is open or not rolled up yet
	Rolled time.Time       `json:"rolled"`           // when the last roll-up was made
	Beyond int             `json:"beyond,omitempty"` // held back since then and not in Held, which is full
}

// held is an incident that was not told.
type held struct {
	streamkeeper.HeldIncident
	Cause  string `json:"cause"`
	Owner  string `json:"owner,omitempty"`
	Listed bool   `json:"listed,omitempty"` // in a roll-up
}

const (
	budgetSpan = 24 * time.Hour // slides: no midnight on which everything may be told again
	maxHeld    = 1000           // more are only counted
)

// admit says whether an incident that nobody was told of may be told now, and counts it. When records are being lost it is
// told whatever the budget says; perDay 0 is no limit.
func (b *budget) admit(i streamkeeper.Incident, now time.Time, perDay int) bool {
	b.Told = slices.DeleteFunc(b.Told, func(at time.Time) bool { return now.Sub(at) >= budgetSpan })
	lost := i.Severity == streamkeeper.SeverityCritical && i.Loses()
	if perDay > 0 && len(b.Told) >= perDay && !lost {
		return false
	}
	if perDay > 0 {
		b.Told = append(b.Told, now)
	}
	delete(b.Held, i.ID)
	return true
}

// hold keeps an incident for the next roll-up, or brings what is kept of it up to date.
func (b *budget) hold(i streamkeeper.Incident) {
	old, known := b.Held[i.ID]
	if !known && len(b.Held) >= maxHeld {
		if i.State == streamkeeper.IncidentOpen {
			b.Beyond++
		}
		return
	}
	if b.Held == nil {
		b.Held = map[string]held{}
	}
	b.Held[i.ID] = held{HeldIncident: streamkeeper.HeldIncident{
		ID: i.ID, State: i.State, Entity: i.Root.Entity, Severity: i.Severity, Headline: i.Headline, OpenedAt: i.OpenedAt, URL: i.URL,
	}, Cause: i.Root.Cause, Owner: i.Owner, Listed: old.Listed}
}

// over takes in that an incident is resolved: one that was rolled up is forgotten, another one is still to be listed.
func (b *budget) over(i streamkeeper.Incident) {
	switch h, known := b.Held[i.ID]; {
	case !known:
	case h.Listed:
		delete(b.Held, i.ID)
	default:
		b.hold(i)
	}
}

// rollup makes a message of what was held back and not listed yet; ok is false when that is nothing, or when the last one
// is younger than every.
func (b *budget) rollup(cluster string, now time.Time, every time.Duration) (r streamkeeper.Rollup, ok bool) {
	if now.Sub(b.Rolled) < every {
		return r, false
	}
	var list []held
	for _, id := range sortedKeys(b.Held) {
		h := b.Held[id]
		if h.Listed {
			continue
		}
		list = append(list, h)
		h.Listed = true
		b.Held[id] = h
		if h.State == streamkeeper.IncidentResolved {
			delete(b.Held, id)
		}
	}
	if len(list) == 0 && b.Beyond == 0 {
		return r, false
	}
	r = streamkeeper.Rollup{
		Schema: streamkeeper.RollupSchema, ID: fmt.Sprintf("rollup-%s-%d", cluster, now.UnixMilli()), Cluster: cluster,
		At: now, Next: now.Add(every), Reason: streamkeeper.UntoldBudget, Count: len(list) + b.Beyond, Held: byCauseAndOwner(list),
	}
	for _, h := range r.Held {
		r.Severity = incident.Louder(r.Severity, h.Severity)
	}
	b.Rolled, b.Beyond = now, 0
	return r, true
}

// byCauseAndOwner gathers incidents, the worst first, then the most.
func byCauseAndOwner(list []held) []streamkeeper.HeldBack {
	type key struct{ cause, owner string }
	at := map[key]int{}
	out := []streamkeeper.HeldBack{}
	for _, h := range list {
		k := key{h.Cause, h.Owner}
		if _, known := at[k]; !known {
			at[k] = len(out)
			out = append(out, streamkeeper.HeldBack{Cause: h.Cause, Owner: h.Owner})
		}
		group := &out[at[k]]
		group.Count++
		group.Severity = incident.Louder(group.Severity, h.Severity)
		group.Incidents = append(group.Incidents, h.HeldIncident)
	}
	slices.SortStableFunc(out, func(a, b streamkeeper.HeldBack) int {
		return cmp.Or(cmp.Compare(b.Severity.Rank(), a.Severity.Rank()), cmp.Compare(b.Count, a.Count),
			strings.Compare(a.Cause, b.Cause), strings.Compare(a.Owner, b.Owner))
	})
	return out
}

// kinds names the largest parts of a roll-up: 12 × broker_down (payments), 3 × poison_message.
func kinds(held []streamkeeper.HeldBack) string {
	const most = 4
	var parts []string
	for _, h := range held[:min(len(held), most)] {
		part := fmt.Sprintf("%d × %s", h.Count, h.Cause)
		if h.Owner != "" {
			part += " (" + h.Owner + ")"
		}
		parts = append(parts, part)
	}
	if more := len(held) - most; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more kinds", more))
	}
	return strings.Join(parts, ", ")
}
