package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	entsql "entgo.io/ent/dialect/sql"
	"github.com/oklog/ulid/v2"

	"github.com/streamkeeper-io/streamkeeper/diagnose/history/ent"
	"github.com/streamkeeper-io/streamkeeper/diagnose/history/ent/entry"
	"github.com/streamkeeper-io/streamkeeper/diagnose/history/ent/predicate"
)

// Kind is what an entry is.
type Kind string

// The kinds of entries.
const (
	Silence     Kind = "silence"     // it need not be told, until Until
	Acknowledge Kind = "acknowledge" // somebody looks after it
	Feedback    Kind = "feedback"    // it was right, or wrong and it was something else
	Taken       Kind = "taken"       // advice was followed at At
	Outcome     Kind = "outcome"     // what became of taken advice
)

// Entry is what a person decided about an incident or a finding, or what became of it.
type Entry struct {
	ID       string        `json:"id"`
	Kind     Kind          `json:"kind"`
	Cluster  string        `json:"cluster,omitempty"` // "" is every cluster
	Incident string        `json:"incident,omitempty"`
	Entity   string        `json:"entity,omitempty"` // kind/name@cluster; for silences a pattern with *
	Cause    string        `json:"cause,omitempty"`
	At       time.Time     `json:"at"`
	Until    time.Time     `json:"until"` // when it ceases to count
	By       string        `json:"by,omitempty"`
	Comment  string        `json:"comment,omitempty"`
	Causes   []string      `json:"causes,omitempty"`  // Feedback: of an answer set, Cause among them
	Wrong    bool          `json:"wrong,omitempty"`   // Feedback: Cause was not it, nor any of Causes
	Was      string        `json:"was,omitempty"`     // Feedback: what it was
	Clears   string        `json:"clears,omitempty"`  // Taken: the symptom that should clear
	Within   time.Duration `json:"within,omitempty"`  // Taken: how soon
	Of       string        `json:"of,omitempty"`      // Outcome: the entry it is the outcome of
	Outcome  string        `json:"outcome,omitempty"` // Outcome: worked, failed or unclear
	// Snapshot is, with Feedback, the incident as it was; JSON. It is large: only Feedback lists it.
	Snapshot []byte `json:"-"`
}

// How long entries count that do not say so themselves.
var counts = map[Kind]time.Duration{
	Acknowledge: 24 * time.Hour, Feedback: 90 * 24 * time.Hour, Taken: 24 * time.Hour, Outcome: 90 * 24 * time.Hour,
}

// Errors of AddEntry.
var (
	ErrKind  = errors.New("kind: want silence, acknowledge, feedback, taken or outcome")
	ErrUntil = errors.New("until: a silence needs the time when it ends")
)

// AddEntry writes an entry at now and returns it with its id and its missing times filled in.
func (s *Store) AddEntry(ctx context.Context, e Entry, now time.Time) (Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	lasts, ok := counts[e.Kind]
	switch {
	case e.Kind == Silence && !e.Until.After(now):
		return e, fmt.Errorf("adding a silence: %w", ErrUntil)
	case e.Kind != Silence && !ok:
		return e, fmt.Errorf("adding an entry: %w", ErrKind)
	}
	if e.ID == "" {
		e.ID = ulid.MustNew(ulid.Timestamp(now), ulid.DefaultEntropy()).String()
	}
	if e.At.IsZero() {
		e.At = now
	}
	if e.Until.IsZero() {
		e.Until = e.At.Add(lasts)
	}
	e.At, e.Until = e.At.UTC(), e.Until.UTC()
	body, err := json.Marshal(e)
	if err == nil {
		err = s.client.Entry.Create().SetID(e.ID).SetKind(string(e.Kind)).SetCluster(e.Cluster).SetIncident(e.Incident).
			SetEntity(e.Entity).SetCause(e.Cause).SetAt(e.At).SetUntil(e.Until).SetBody(body).SetSnapshot(e.Snapshot).Exec(ctx)
	}
	if err != nil {
		return e, fmt.Errorf("adding %s: %w", e.Kind, err)
	}
	return e, nil
}

// RemoveEntry takes an entry back; found is false when there was none with that id.
func (s *Store) RemoveEntry(ctx context.Context, id string) (found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	n, err := s.client.Entry.Delete().Where(entry.ID(id)).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("removing entry %s: %w", id, err)
	}
	return n > 0, nil
}

// entriesLimit bounds what a tick reads.
const entriesLimit = 1000

// Entries lists what counts at now for a cluster, oldest first. An empty cluster asks for all.
func (s *Store) Entries(ctx context.Context, cluster string, now time.Time) ([]Entry, error) {
	where := []predicate.Entry{entry.UntilGT(now.UTC())}
	if cluster != "" {
		where = append(where, entry.Or(entry.Cluster(cluster), entry.Cluster("")))
	}
	return s.list(ctx, where...)
}

// About lists all entries of an incident, oldest first.
func (s *Store) About(ctx context.Context, incidentID string) ([]Entry, error) {
	return s.list(ctx, entry.Incident(incidentID))
}

func (s *Store) list(ctx context.Context, where ...predicate.Entry) ([]Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	rows, err := s.client.Entry.Query().Where(where...).Order(entry.ByAt(), entry.ByID()).Limit(entriesLimit).
		Select(entry.FieldBody).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing entries: %w", err)
	}
	return decodeEntries(rows)
}

func decodeEntries(rows []*ent.Entry) ([]Entry, error) {
	out := make([]Entry, 0, len(rows))
	for _, row := range rows {
		var e Entry
		if err := json.Unmarshal(row.Body, &e); err != nil {
			return nil, fmt.Errorf("listing entries: %s in the database is damaged: %w", row.ID, err)
		}
		e.Snapshot = row.Snapshot
		out = append(out, e)
	}
	return out, nil
}

// Feedback lists the newest feedback with its snapshots, oldest first. An empty cluster asks for all.
func (s *Store) Feedback(ctx context.Context, cluster string, limit int) ([]Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	where := []predicate.Entry{entry.Kind(string(Feedback))}
	if cluster != "" {
		where = append(where, entry.Cluster(cluster))
	}
	rows, err := s.client.Entry.Query().Where(where...).Order(entry.ByAt(desc), entry.ByID(desc)).Limit(limit).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing feedback: %w", err)
	}
	slices.Reverse(rows)
	return decodeEntries(rows)
}

// pruneEntries keeps feedback: it is what the diagnosis is measured by, and there is little of it.
func (s *Store) pruneEntries(ctx context.Context, before time.Time) (int, error) {
	return s.client.Entry.Delete().Where(entry.UntilLT(before.UTC()), entry.KindNEQ(string(Feedback))).Exec(ctx)
}

// desc orders the newest first.
var desc = entsql.OrderDesc()
