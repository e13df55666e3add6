package streamkeeper

// Bearing is which way a piece of evidence points.
type Bearing string

// The bearings.
const (
	Supports Bearing = "supports"
	Refutes  Bearing = "refutes"
	Missing  Bearing = "missing"
)

// Evidence is one reason for or against a cause, or one that is missing. Weight is its weight of
// evidence in nats (natural log of the likelihood ratio); for missing evidence, the most it could move.
type Evidence struct {
	ID      string   `json:"id"`
	Bearing Bearing  `json:"bearing"`
	Text    string   `json:"text"`
	Value   *float64 `json:"value"`
	Weight  float64  `json:"weight"`
	Group   string   `json:"group,omitempty"` // correlation group
	Needs   string   `json:"needs,omitempty"`
}
