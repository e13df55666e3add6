package diagnose

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// tell publishes the report with the incidents that are worth a message of their own, and now and then a roll-up of the
// others.
func (l *Loop) tell(ctx context.Context, name string, w *watched, report streamkeeper.Report, changed []streamkeeper.Incident) {
	if l.opt.Publisher == nil {
		return
	}
	now := report.GeneratedAt
	var entries []Entry
	if l.opt.Tick.Ledger != nil && len(changed) > 0 {
		var err error
		if entries, err = l.opt.Tick.Ledger.Entries(ctx, name, now); err != nil {
			l.log.Error("reading silences; nothing is silenced", "cluster", name, "error", err)
		}
	}
	var loud []streamkeeper.Incident
	for _, i := range changed {
		if told, ok := l.admit(name, w, i, Silenced(i, entries, now), now); ok {
			loud = append(loud, told)
		}
	}
	if err := l.opt.Publisher.Publish(ctx, report, loud); err != nil {
		l.log.Error("telling about incidents", "cluster", name, "error", err)
	}
	l.endShadow(ctx, name, w, now)
	l.rollUp(ctx, name, w, now)
}

// admit decides whether a changed incident is told, and as what: to receivers that have not heard of it, it opens. A
// resolution is told to whoever was told of the opening.
func (l *Loop) admit(name string, w *watched, i streamkeeper.Incident, silenced bool, now time.Time) (streamkeeper.Incident, bool) {
	known := w.announced[i.ID]
	var why streamkeeper.Untold
	switch {
	case i.State == streamkeeper.IncidentResolved:
		delete(w.announced, i.ID)
		w.budget.over(i)
	case known:
		return i, !silenced
	case silenced:
		why = streamkeeper.UntoldSilence
	case i.Standing:
		why = streamkeeper.UntoldStanding
	case !w.budget.admit(i, now, l.opt.Budget):
		why = streamkeeper.UntoldBudget
		w.budget.hold(i)
	default:
		w.announced[i.ID] = true
		i.State = streamkeeper.IncidentOpen
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if why != "" && w.untold[i.ID] != why {
		l.metrics.untold.WithLabelValues(name, string(why)).Inc()
		w.untold[i.ID] = why
	}
	if why == "" {
		delete(w.untold, i.ID)
	}
	return i, known || why == "" && i.State != streamkeeper.IncidentResolved
}

// rollUp tells in one message what the budget held back since the last one.
func (l *Loop) rollUp(ctx context.Context, name string, w *watched, now time.Time) {
	r, due := w.budget.rollup(name, now, l.opt.RollupEvery)
	if !due {
		return
	}
	r.Headline = fmt.Sprintf("%d %s of %s held back, the budget of %d a day is used up: %s",
		r.Count, plural(r.Count, "incident"), name, l.opt.Budget, kinds(r.Held))
	l.sendRollup(ctx, name, r)
}

// endShadow tells in one message what still stands when the first day is over. From then on it is told like all others.
func (l *Loop) endShadow(ctx context.Context, name string, w *watched, now time.Time) {
	var stood budget
	for _, i := range w.newlyTold() {
		stood.hold(i)
		w.announced[i.ID] = true
		l.mu.Lock()
		delete(w.untold, i.ID)
		l.mu.Unlock()
	}
	r, some := stood.rollup(name, now, 0)
	if !some {
		return
	}
	r.ID, r.Reason = "first-day-"+r.ID, streamkeeper.UntoldStanding
	r.Headline = fmt.Sprintf("the first day on %s is over, and %d %s still open that stood when it began: %s",
		name, r.Count, areIncidents(r.Count), kinds(r.Held))
	l.sendRollup(ctx, name, r)
}

func areIncidents(n int) string {
	if n == 1 {
		return "incident is"
	}
	return "incidents are"
}

func (l *Loop) sendRollup(ctx context.Context, name string, r streamkeeper.Rollup) {
	if url := l.opt.Tick.Config.URL; url != "" {
		r.URL = strings.TrimSuffix(url, "/") + "/#/incidents"
	}
	l.metrics.rollups.WithLabelValues(name, string(r.Reason)).Inc()
	l.log.Info("incidents are told rolled up", "cluster", name, "id", r.ID, "reason", string(r.Reason), "incidents", r.Count)
	if err := l.opt.Publisher.Rollup(ctx, r); err != nil {
		l.log.Error("telling a roll-up", "cluster", name, "id", r.ID, "error", err)
	}
}

// memo is what must be remembered of a cluster over restarts beside its incidents.
type memo struct {
	Budget budget `json:"budget"`
	Shadow Shadow `json:"shadow"`
}

// recall reads what was remembered; a cluster without a memo is one never looked at.
//
// Somebody who comes back after longer than a first day comes to a cluster anew.
func (l *Loop) recall(ctx context.Context, name string, shadow time.Duration) (m memo) {
	body, at, err := l.opt.History.Memo(ctx, name)
	if err == nil && body != nil {
		err = json.Unmarshal(body, &m)
	}
	if err != nil {
		l.log.Error("reading what was remembered of a cluster; its incident budget and its first day begin anew", "cluster", name, "error", err)
		return memo{}
	}
	if time.Since(at) > shadow {
		m.Shadow = Shadow{}
	}
	return m
}

// remember writes what must survive a restart when it changed.
func (l *Loop) remember(ctx context.Context, name string, w *watched, now time.Time) {
	if l.opt.History == nil {
		return
	}
	m := memo{Budget: w.budget, Shadow: w.memory.Shadow}
	news := m.fingerprint()
	if bytes.Equal(news, w.memo) && now.Sub(w.memoed) < saveEvery {
		return
	}
	body, _ := json.Marshal(m) // plain data: cannot fail
	if err := l.opt.History.SaveMemo(ctx, name, body, now); err != nil {
		l.log.Error("remembering a cluster; it is tried again", "cluster", name, "error", err)
		return
	}
	w.memo, w.memoed = news, now
}

// fingerprint is what makes a memo worth writing at once: that something still stands is no news.
func (m memo) fingerprint() []byte {
	still := make(map[string]time.Time, len(m.Shadow.Standing))
	for key := range m.Shadow.Standing {
		still[key] = time.Time{}
	}
	m.Shadow.Standing = still
	body, _ := json.Marshal(m) // plain data: cannot fail
	return body
}
