package history

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose/history/ent"
	"github.com/streamkeeper-io/streamkeeper/diagnose/history/ent/incident"
)

// Filter selects incidents. Empty fields select everything.
type Filter struct {
	Cluster string
	// State open selects all that are not resolved; any other state selects itself.
	State streamkeeper.IncidentState
	Since time.Time // opened or resolved at or after
	Limit int       // default 100
}

const defaultLimit = 100

// SaveIncident writes an incident, new or known. follow is what the diagnosis needs to go on with it
// after a restart; it is opaque here.
func (s *Store) SaveIncident(ctx context.Context, i streamkeeper.Incident, follow []byte) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	body, err := json.Marshal(i)
	if err != nil {
		return fmt.Errorf("saving incident %s: %w", i.ID, err)
	}
	entity := i.Root.Entity.Key()
	found, err := s.client.Incident.Update().Where(incident.ID(i.ID)).
		SetState(string(i.State)).SetCause(i.Root.Cause).SetEntity(entity).SetSeverity(string(i.Severity)).
		SetUpdatedAt(i.UpdatedAt.UTC()).SetNillableResolvedAt(utc(i.ResolvedAt)).SetBody(body).SetFollow(follow).Save(ctx)
	if err == nil && found == 0 {
		err = s.client.Incident.Create().SetID(i.ID).SetCluster(i.Cluster).
			SetState(string(i.State)).SetCause(i.Root.Cause).SetEntity(entity).SetSeverity(string(i.Severity)).
			SetOpenedAt(i.OpenedAt.UTC()).SetUpdatedAt(i.UpdatedAt.UTC()).SetNillableResolvedAt(utc(i.ResolvedAt)).
			SetBody(body).SetFollow(follow).Exec(ctx)
	}
	if err != nil {
		return fmt.Errorf("saving incident %s: %w", i.ID, err)
	}
	return nil
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// Incident returns one incident; ok is false when there is none with that id.
func (s *Store) Incident(ctx context.Context, id string) (i streamkeeper.Incident, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	row, err := s.client.Incident.Get(ctx, id)
	if ent.IsNotFound(err) {
		return i, false, nil
	}
	if err == nil {
		i, err = decode(row)
	}
	if err != nil {
		return i, false, fmt.Errorf("reading incident %s: %w", id, err)
	}
	return i, true, nil
}

// Incidents lists incidents, newest first.
func (s *Store) Incidents(ctx context.Context, f Filter) ([]streamkeeper.Incident, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	q := s.client.Incident.Query().Order(incident.ByOpenedAt(desc), incident.ByID(desc))
	if f.Cluster != "" {
		q = q.Where(incident.Cluster(f.Cluster))
	}
	switch f.State {
	case "":
	case streamkeeper.IncidentOpen:
		q = q.Where(incident.StateNEQ(string(streamkeeper.IncidentResolved)))
	default:
		q = q.Where(incident.State(string(f.State)))
	}
	if !f.Since.IsZero() {
		q = q.Where(incident.Or(incident.OpenedAtGTE(f.Since.UTC()), incident.ResolvedAtGTE(f.Since.UTC()), incident.ResolvedAtIsNil()))
	}
	if f.Limit <= 0 {
		f.Limit = defaultLimit
	}
	rows, err := q.Limit(f.Limit).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing incidents: %w", err)
	}
	out := make([]streamkeeper.Incident, 0, len(rows))
	for _, row := range rows {
		i, err := decode(row)
		if err != nil {
			return nil, fmt.Errorf("listing incidents: %w", err)
		}
		out = append(out, i)
	}
	return out, nil
}

// Follow lists what SaveIncident was given for the unresolved incidents of a cluster, oldest first.
func (s *Store) Follow(ctx context.Context, cluster string) ([][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	rows, err := s.client.Incident.Query().
		Where(incident.Cluster(cluster), incident.StateNEQ(string(streamkeeper.IncidentResolved))).
		Order(incident.ByOpenedAt()).Limit(defaultLimit).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading open incidents of %s: %w", cluster, err)
	}
	var out [][]byte
	for _, row := range rows {
		if len(row.Follow) > 0 {
			out = append(out, row.Follow)
		}
	}
	return out, nil
}

func decode(row *ent.Incident) (streamkeeper.Incident, error) {
	var i streamkeeper.Incident
	if err := json.Unmarshal(row.Body, &i); err != nil {
		return i, fmt.Errorf("incident %s in the database is damaged: %w", row.ID, err)
	}
	return i, nil
}

func (s *Store) pruneIncidents(ctx context.Context, before time.Time) (int, error) {
	return s.client.Incident.Delete().Where(incident.ResolvedAtLT(before.UTC())).Exec(ctx)
}
