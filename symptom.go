package streamkeeper

import "time"

// Severity orders how loudly something is told.
type Severity string

// The severities, loudest first.
const (
	SeverityCritical Severity = "critical"
	SeverityWarning  Severity = "warning"
	SeverityInfo     Severity = "info"
)

// Rank is 3 for critical, 2 for warning, 1 for info and 0 for anything else.
func (s Severity) Rank() int {
	switch s {
	case SeverityCritical:
		return 3
	case SeverityWarning:
		return 2
	case SeverityInfo:
		return 1
	}
	return 0
}

// Observation is what a rule saw on one entity: a symptom's or an evidence node's state, with the
// strength that soft evidence needs (0.5 exactly where its condition flips).
type Observation struct {
	Node     string    // rule id
	Entity   Entity    //
	State    State     //
	Strength float64   // in [0,1]; meaningful when Present or Absent
	Since    time.Time // onset when Present; zero when not known
	Why      string    // why it is Unknown, with what is missing
	Needs    string    // what would supply it, when Unknown
	Text     string    // the rule's say, filled in
	Value    *float64  // the main number, if any
	Loci     []Locus   // what it points at inside the entity
	Numbers  map[string]float64
	Strings  map[string]string // values for advice templates: signals and event attributes by name
}

// Symptom is an observable condition on an entity, without a cause.
type Symptom struct {
	ID       string    `json:"id"`
	Entity   Entity    `json:"entity"`
	Since    time.Time `json:"since"`
	Value    *float64  `json:"value"`
	Text     string    `json:"text"`
	Severity Severity  `json:"severity"`
	Breach   string    `json:"breach,omitempty"`   // the service level that it breaches: lag, errors, loss (of records, soon)
	Standing bool      `json:"standing,omitempty"` // it stood already when watching began, on the cluster's first day
}

// BreachLoss is the Breach of a symptom that counts down to the loss of records; its Value is in seconds.
const BreachLoss = "loss"
