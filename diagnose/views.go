package diagnose

import (
	"cmp"
	"context"
	"slices"
	"strings"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose/history"
)

// Reports gives the newest report of every cluster, ordered by name. It does not block on a tick.
func (l *Loop) Reports() []streamkeeper.Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := []streamkeeper.Report{}
	for _, name := range sortedKeys(l.clusters) {
		if r := l.clusters[name].report; r != nil {
			out = append(out, *r)
		}
	}
	return out
}

// Incidents lists incidents, newest first. Cluster and state filter when not empty; state open selects
// all that are not resolved. Open ones are as of the last tick.
func (l *Loop) Incidents(ctx context.Context, cluster string, state streamkeeper.IncidentState, limit int) ([]streamkeeper.Incident, error) {
	open, recent := l.live()
	list := append(open, recent...)
	if l.opt.History != nil {
		stored, err := l.opt.History.Incidents(ctx, history.Filter{Cluster: cluster, State: state, Limit: limit})
		if err != nil {
			return nil, err
		}
		list = append(list, stored...)
	}
	seen := map[string]bool{}
	out := []streamkeeper.Incident{}
	for _, i := range list {
		if seen[i.ID] || (cluster != "" && i.Cluster != cluster) || !inState(i, state) {
			continue
		}
		seen[i.ID] = true
		out = append(out, i)
	}
	slices.SortStableFunc(out, func(a, b streamkeeper.Incident) int {
		return cmp.Or(b.OpenedAt.Compare(a.OpenedAt), strings.Compare(b.ID, a.ID))
	})
	if limit > 0 && len(out) > limit {
		out = out[:limit]
	}
	return out, nil
}

func inState(i streamkeeper.Incident, state streamkeeper.IncidentState) bool {
	switch state {
	case "":
		return true
	case streamkeeper.IncidentOpen:
		return i.State != streamkeeper.IncidentResolved
	}
	return i.State == state
}

// Incident returns one incident by id; ok is false when there is none.
func (l *Loop) Incident(ctx context.Context, id string) (i streamkeeper.Incident, ok bool, err error) {
	open, recent := l.live()
	for _, i := range append(open, recent...) {
		if i.ID == id {
			return i, true, nil
		}
	}
	if l.opt.History == nil {
		return i, false, nil
	}
	return l.opt.History.Incident(ctx, id)
}

// live lists the open incidents as of the last ticks, and those resolved lately.
func (l *Loop) live() (open, recent []streamkeeper.Incident) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range sortedKeys(l.clusters) {
		for _, r := range l.clusters[name].memory.Stories.Open {
			i := r.Incident
			i.Untold = l.clusters[name].untold[i.ID]
			open = append(open, i)
		}
		recent = append(recent, l.clusters[name].recent...)
	}
	return open, recent
}

// Subscribe tells when a tick has published. The channel holds at most one pending signal, so that a
// slow reader costs nothing; cancel ends it.
func (l *Loop) Subscribe() (ticks <-chan struct{}, cancel func()) {
	ch := make(chan struct{}, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.subs[ch] = true
	return ch, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.subs, ch)
	}
}

func (l *Loop) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ch := range l.subs {
		select {
		case ch <- struct{}{}:
		default: // it has not read the last one yet: the newest state awaits it anyway
		}
	}
}
