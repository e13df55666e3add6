package streamkeeper

import "time"

// ReportsSchema names the form of Reports in JSON.
const ReportsSchema = "streamkeeper.reports/v1"

// HealthState is a cluster's health in one word.
type HealthState string

// The health states.
const (
	Healthy       HealthState = "healthy"
	Degraded      HealthState = "degraded"
	Critical      HealthState = "critical"
	HealthUnknown HealthState = "unknown"
)

// Health is a score from 0 to 100 (null when it cannot be judged) and its word.
type Health struct {
	Score *int        `json:"score"`
	State HealthState `json:"state"`
}

// NotJudged is something the diagnosis could not decide, and what would let it.
type NotJudged struct {
	What   string  `json:"what"`
	Needs  string  `json:"needs"`
	Entity *Entity `json:"entity,omitempty"` // what it is about, when that is one entity
}

// Report is what one tick says of one cluster. Findings are sorted by posterior, benign ones last:
// the first is the answer.
type Report struct {
	Cluster         ClusterInfo      `json:"cluster"`
	GeneratedAt     time.Time        `json:"generated_at"`
	TickSeconds     float64          `json:"tick_seconds"`
	Headline        string           `json:"headline"`
	Health          Health           `json:"health"`
	Findings        []Finding        `json:"findings"`
	Symptoms        []Symptom        `json:"symptoms"`
	Unexplained     []string         `json:"unexplained"`
	NotJudged       []NotJudged      `json:"not_judged"`
	Sources         []Source         `json:"sources"`
	Recommendations []Recommendation `json:"recommendations"`
	Changes         []Change         `json:"changes"`           // of the last half hour: risky ones first, then the newest
	Ignored         int              `json:"ignored,omitempty"` // groups and topics that scopes keep out
	FirstDay        *FirstDay        `json:"first_day,omitempty"`
}

// FirstDay is the time in which what stood when watching began is listed and nobody is woken over it.
type FirstDay struct {
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"`
	Standing int       `json:"standing"` // symptoms that stood then and still do
}

// Reports is the envelope of `diagnose -o json` and GET /api/v1/reports.
type Reports struct {
	Schema    string     `json:"schema"`
	Reports   []Report   `json:"reports"`
	Incidents []Incident `json:"incidents,omitzero"` // of a span of time, where one was asked for; nil otherwise
	Waiting   string     `json:"waiting,omitempty"`  // why there is no report yet; empty once there is one
}
