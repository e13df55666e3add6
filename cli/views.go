package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose"
	"github.com/streamkeeper-io/streamkeeper/diagnose/history"
	"github.com/streamkeeper-io/streamkeeper/rules"
	"github.com/streamkeeper-io/streamkeeper/web"
)

// updates shows the loop's ticks to the web side.
type updates struct{ loop *diagnose.Loop }

// Subscribe forwards ticks.
func (u updates) Subscribe() (<-chan struct{}, func()) { return u.loop.Subscribe() }

// Inventories is the merged inventory of every cluster.
func (p *places) Inventories() []streamkeeper.Inventory { return p.world.Snapshot() }

// eventScan bounds how many events one page of the API looks through.
const eventScan = 20000

// Recent lists events, newest first.
func (p *places) Recent(cluster string, kinds []string, since time.Time, limit int) []streamkeeper.Event {
	entries, _, _ := p.events.Since(0, eventScan)
	var out []streamkeeper.Event
	for i := len(entries) - 1; i >= 0 && len(out) < limit; i-- {
		e := entries[i].Event
		if (cluster == "" || e.Entity.Cluster == cluster) && (kinds == nil || slices.Contains(kinds, e.Kind)) && e.At.After(since) {
			out = append(out, e)
		}
	}
	return out
}

// decisions keeps what people decide in the history, where the next tick reads it.
type decisions struct{ history *history.Store }

// Silences lists those in force.
func (s decisions) Silences(ctx context.Context) ([]web.Silence, error) {
	all, err := s.history.Entries(ctx, "", time.Now())
	if err != nil {
		return nil, err
	}
	var out []web.Silence
	for _, e := range all {
		if e.Kind == history.Silence {
			out = append(out, silenceOf(e))
		}
	}
	return out, nil
}

func silenceOf(e history.Entry) web.Silence {
	return web.Silence{ID: e.ID, Entity: e.Entity, Cause: e.Cause, Until: e.Until, By: e.By, Comment: e.Comment}
}

// AddSilence keeps one.
func (s decisions) AddSilence(ctx context.Context, w web.Silence) (web.Silence, error) {
	entity, err := streamkeeper.ParseEntity(w.Entity)
	if err != nil {
		return w, err
	}
	e, err := s.history.AddEntry(ctx, history.Entry{
		Kind: history.Silence, Cluster: entity.Cluster, Entity: w.Entity, Cause: w.Cause, Until: w.Until, By: w.By, Comment: w.Comment,
	}, time.Now())
	return silenceOf(e), err
}

// RemoveSilence ends one.
func (s decisions) RemoveSilence(ctx context.Context, id string) (bool, error) {
	return s.history.RemoveEntry(ctx, id)
}

// AddFeedback keeps what a person said of an incident, where the next tick reads it.
func (s decisions) AddFeedback(ctx context.Context, f streamkeeper.Feedback) (streamkeeper.Feedback, error) {
	seen, err := json.Marshal(f.Seen)
	if err != nil {
		return f, err
	}
	e, err := s.history.AddEntry(ctx, history.Entry{
		Kind: history.Feedback, Cluster: f.Cluster, Incident: f.Incident, Entity: f.Entity, Cause: f.Said[0], Causes: f.Said,
		Was: f.Was, Wrong: f.Wrong, Comment: f.Note, By: f.By, Snapshot: seen,
	}, time.Now())
	f.ID, f.At = e.ID, e.At
	return f, err
}

// FeedbackOn lists what was said of one incident.
func (s decisions) FeedbackOn(ctx context.Context, incident string) ([]streamkeeper.Feedback, error) {
	entries, err := s.history.About(ctx, incident)
	if err != nil {
		return nil, err
	}
	return feedbackOf(entries)
}

// Feedback lists the newest of all.
func (s decisions) Feedback(ctx context.Context, cluster string, limit int) ([]streamkeeper.Feedback, error) {
	entries, err := s.history.Feedback(ctx, cluster, limit)
	if err != nil {
		return nil, err
	}
	return feedbackOf(entries)
}

func feedbackOf(entries []history.Entry) ([]streamkeeper.Feedback, error) {
	var out []streamkeeper.Feedback
	for _, e := range entries {
		if e.Kind != history.Feedback {
			continue
		}
		f := streamkeeper.Feedback{
			ID: e.ID, Incident: e.Incident, Cluster: e.Cluster, Entity: e.Entity, Said: e.Causes, Was: e.Was, Wrong: e.Wrong,
			Note: e.Comment, By: e.By, At: e.At,
		}
		if len(e.Snapshot) > 0 {
			if err := json.Unmarshal(e.Snapshot, &f.Seen); err != nil {
				return nil, fmt.Errorf("what was seen with feedback %s is damaged: %w", e.ID, err)
			}
		}
		out = append(out, f)
	}
	return out, nil
}

// rulebookView lists the catalog.
type rulebookView struct{ catalog *rules.Catalog }

// Rules lists causes, symptoms and evidence.
func (v rulebookView) Rules() []web.Rule {
	var out []web.Rule
	for _, c := range v.catalog.Causes() {
		out = append(out, web.Rule{ID: c.ID, Kind: "cause", Entity: string(c.Entity), Title: c.Title, Why: c.Summary})
	}
	for _, n := range v.catalog.Nodes() {
		kind := "evidence"
		if n.Symptom {
			kind = "symptom"
		}
		out = append(out, web.Rule{ID: n.ID, Kind: kind, Entity: string(n.Entity), Title: n.Title, Why: n.Why})
	}
	return out
}
