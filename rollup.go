package streamkeeper

import "time"

// RollupSchema names the form of Rollup in JSON and in webhook bodies.
const RollupSchema = "streamkeeper.rollup/v1"

// Rollup is one message about many incidents that were not told one by one: the incident budget of their cluster was used
// up, or they stood already when watching began. The incidents themselves are kept as ever.
type Rollup struct {
	Schema   string     `json:"schema"`
	ID       string     `json:"id"`
	Cluster  string     `json:"cluster"`
	At       time.Time  `json:"at"`
	Next     time.Time  `json:"next"` // before that no other one comes
	Reason   Untold     `json:"reason"`
	Severity Severity   `json:"severity"` // of the worst
	Headline string     `json:"headline"`
	Count    int        `json:"count"` // of incidents
	Held     []HeldBack `json:"held"`  // the worst first, then the most
	URL      string     `json:"url,omitempty"`
}

// HeldBack are the incidents of one cause and one owner. Incidents may list fewer than Count.
type HeldBack struct {
	Cause     string         `json:"cause"`
	Owner     string         `json:"owner,omitempty"`
	Severity  Severity       `json:"severity"` // of the worst
	Count     int            `json:"count"`
	Incidents []HeldIncident `json:"incidents"`
}

// HeldIncident is one of them in short.
type HeldIncident struct {
	ID       string        `json:"id"`
	State    IncidentState `json:"state"`
	Entity   Entity        `json:"entity"`
	Severity Severity      `json:"severity"`
	Headline string        `json:"headline"`
	OpenedAt time.Time     `json:"opened_at"`
	URL      string        `json:"url,omitempty"`
}

// Untold is why an incident is not told to receivers; it is on the page all the same.
type Untold string

// Why incidents are not told.
const (
	UntoldBudget   Untold = "budget"   // the incident budget of the day is used up
	UntoldStanding Untold = "standing" // it stood already when watching began
	UntoldSilence  Untold = "silence"  // a person said so
)
