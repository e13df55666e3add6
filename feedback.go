package streamkeeper

import "time"

// Feedback is a person's word on what an incident was.
type Feedback struct {
	ID       string    `json:"id"`
	Incident string    `json:"incident"`
	Cluster  string    `json:"cluster"`
	Entity   string    `json:"entity"`         // of the root: kind/name@cluster
	Said     []string  `json:"said"`           // the cause, or the causes of the answer set, that were told
	Was      string    `json:"was"`            // the cause that it was, or other
	Wrong    bool      `json:"wrong"`          // Was is none of Said
	Note     string    `json:"note,omitempty"` //
	By       string    `json:"by,omitempty"`   //
	At       time.Time `json:"at"`             //
	Seen     *Incident `json:"seen,omitempty"` // as it was then, with its evidence; where it is asked for
}
