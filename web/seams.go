package web

import (
	"context"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// Reports gives the newest report of every cluster, ordered by cluster name. It must be safe for
// concurrent use and must not block: it is called for every page view.
type Reports interface {
	Reports() []streamkeeper.Report
}

// Incidents gives incidents, newest first. limit bounds the answer; cluster and state filter when not
// empty.
type Incidents interface {
	Incidents(ctx context.Context, cluster string, state streamkeeper.IncidentState, limit int) ([]streamkeeper.Incident, error)
	// Incident returns one by id; ok is false when there is none.
	Incident(ctx context.Context, id string) (i streamkeeper.Incident, ok bool, err error)
}

// Updates tells when a tick has published. The channel is never closed by the sender and holds at
// most one pending signal, so that a slow reader sees the newest state and costs nothing.
type Updates interface {
	Subscribe() (ticks <-chan struct{}, cancel func())
}

// World gives the newest inventory of every cluster, ordered by name.
type World interface {
	Inventories() []streamkeeper.Inventory
}

// Events gives dated facts, newest first, at most limit, filtered by cluster, kinds and entity key
// when not empty.
type Events interface {
	Recent(cluster string, kinds []string, since time.Time, limit int) []streamkeeper.Event
}

// Silence is a person's word that an incident or an entity need not be told until a time.
type Silence struct {
	ID      string    `json:"id"`
	Entity  string    `json:"entity"` // kind/name@cluster; * matches within a part
	Cause   string    `json:"cause,omitempty"`
	Until   time.Time `json:"until"`
	By      string    `json:"by,omitempty"`
	Comment string    `json:"comment,omitempty"`
}

// Actions records what people decide; the next tick reads it. Nothing here acts on a cluster.
type Actions interface {
	Silences(ctx context.Context) ([]Silence, error)
	AddSilence(ctx context.Context, s Silence) (Silence, error)
	RemoveSilence(ctx context.Context, id string) (found bool, err error)
	// AddFeedback keeps what a person said of an incident, with Seen, and returns it with its id and time.
	AddFeedback(ctx context.Context, f streamkeeper.Feedback) (streamkeeper.Feedback, error)
	// FeedbackOn lists what was said of one incident, oldest first, without Seen.
	FeedbackOn(ctx context.Context, incident string) ([]streamkeeper.Feedback, error)
	// Feedback lists the newest, oldest first, with Seen; cluster filters when not empty.
	Feedback(ctx context.Context, cluster string, limit int) ([]streamkeeper.Feedback, error)
}

// Rule is one rule of the catalog, as the API and the rules page show it.
type Rule struct {
	ID     string `json:"id"`
	Kind   string `json:"kind"` // symptom, evidence, cause
	Entity string `json:"entity"`
	Title  string `json:"title"`
	Why    string `json:"why,omitempty"`
}

// Rules lists the catalog.
type Rules interface {
	Rules() []Rule
}

// DrillInfo is one drill that can be run from the CLI.
type DrillInfo struct {
	ID         string   `json:"id"`
	Cause      string   `json:"cause"`
	EntityKind string   `json:"entity_kind"`
	Targets    []string `json:"targets"`
	Benign     bool     `json:"benign"`
	Seconds    float64  `json:"seconds"`
}
