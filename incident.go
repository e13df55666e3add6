package streamkeeper

import (
	"slices"
	"time"
)

// IncidentState is where an incident is in its life.
type IncidentState string

// The states of an incident.
const (
	IncidentOpen     IncidentState = "open"
	IncidentUpdated  IncidentState = "updated"
	IncidentResolved IncidentState = "resolved"
)

// IncidentSchema names the form of Incident in JSON and in webhook bodies.
const IncidentSchema = "streamkeeper.incident/v1"

// Impact is the first breach of a service level: lag in seconds, errors, a loss countdown.
type Impact struct {
	Text  string    `json:"text"`
	Since time.Time `json:"since"`
}

// Change is something that changed around an incident: a deploy, a config, a topic.
type Change struct {
	At    time.Time `json:"at"`
	Kind  string    `json:"kind"`
	Text  string    `json:"text"`
	Risky bool      `json:"risky,omitempty"` // it can cost somebody records or their order
}

// Incident is one story over time. Its id is minted when it opens and survives a change of cause.
type Incident struct {
	Schema       string        `json:"schema"`
	ID           string        `json:"id"`
	State        IncidentState `json:"state"`
	OpenedAt     time.Time     `json:"opened_at"`
	UpdatedAt    time.Time     `json:"updated_at"`
	ResolvedAt   *time.Time    `json:"resolved_at"`
	Severity     Severity      `json:"severity"`
	Standing     bool          `json:"standing,omitempty"` // it stood when watching began and is no worse since: receivers are not told
	Impact       *Impact       `json:"impact"`             // nil while nobody is hurt yet (pre-impact)
	Headline     string        `json:"headline"`
	Root         Finding       `json:"root"`
	Consequences []Finding     `json:"consequences"`
	Symptoms     []Symptom     `json:"symptoms"`
	Changes      []Change      `json:"changes"`
	Advice       []Advice      `json:"advice"`
	Cluster      string        `json:"cluster"`
	Owner        string        `json:"owner,omitempty"`  // of the root, else of all that is hurt when that is one
	Owners       []string      `json:"owners,omitempty"` // of the root and of all that is hurt
	URL          string        `json:"url,omitempty"`
	Feedback     []Feedback    `json:"feedback,omitempty"` // what people said of it, oldest first, where it is asked for by its id
	Untold       Untold        `json:"untold,omitempty"`   // why receivers were not told; "" when they were, or there are none
}

// Loses says whether records are lost in it, by its root or by what follows from that, or will be.
func (i Incident) Loses() bool {
	return i.Root.Loss || slices.ContainsFunc(i.Consequences, func(f Finding) bool { return f.Loss }) ||
		slices.ContainsFunc(i.Symptoms, func(y Symptom) bool { return y.Breach == BreachLoss })
}
