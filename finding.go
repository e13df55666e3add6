package streamkeeper

import "time"

// Verdict is how sure a finding is worded.
type Verdict string

// The verdicts.
const (
	VerdictRootCause Verdict = "root_cause"
	VerdictProbable  Verdict = "probable"
	VerdictOneOf     Verdict = "one_of"
	VerdictBenign    Verdict = "benign"
	VerdictOther     Verdict = "other"
)

// CauseOther is the cause that the catalog does not know.
const CauseOther = "other"

// Trigger is what set a cause off.
type Trigger struct {
	Kind string    `json:"kind"` // deploy, traffic, config, dependency
	Text string    `json:"text"`
	At   time.Time `json:"at"`
}

// Alternative is a cause that was weighed and set aside.
type Alternative struct {
	Cause      string  `json:"cause"`
	Confidence float64 `json:"confidence"`
	WhyNot     string  `json:"why_not"`
}

// Finding is a cause on an entity, with its reasons and what to do.
type Finding struct {
	ID           string        `json:"id"` // from (cause, entity)
	Cause        string        `json:"cause"`
	Causes       []string      `json:"causes,omitempty"` // the answer set when Verdict is one_of
	Title        string        `json:"title"`
	Summary      string        `json:"summary,omitempty"`
	Entity       Entity        `json:"entity"`
	Owner        string        `json:"owner,omitempty"` // whose the entity is, as scopes say
	Locus        []Locus       `json:"locus"`
	Trigger      *Trigger      `json:"trigger,omitempty"`
	Verdict      Verdict       `json:"verdict"`
	Confidence   float64       `json:"confidence"`
	Assessed     float64       `json:"assessed"`             // share of the expected weight of all the cause's evidence that was known
	Assessable   float64       `json:"assessable,omitempty"` // share of what the sources can supply that was known
	Severity     Severity      `json:"severity"`
	Loss         bool          `json:"loss,omitempty"` // records are lost by it
	Since        time.Time     `json:"since"`
	Standing     bool          `json:"standing,omitempty"` // it stood already when watching began, on the cluster's first day
	Explains     []string      `json:"explains"`
	Evidence     []Evidence    `json:"evidence"`
	Alternatives []Alternative `json:"alternatives"`
	Consequence  string        `json:"consequence_of,omitempty"` // id of the finding it follows from
	Incident     string        `json:"incident,omitempty"`
	AskNext      *AskNext      `json:"ask_next,omitempty"`
	Advice       []Advice      `json:"advice"`
	Scale        *ScaleAdvice  `json:"scale,omitempty"`
}

// AskNext is the missing evidence that would tell most, by expected information gain in nats.
type AskNext struct {
	Evidence string  `json:"evidence"`
	Text     string  `json:"text"`
	Gain     float64 `json:"gain"`
}

// ScaleAdvice says whether scaling helps, and why.
type ScaleAdvice struct {
	Do  string `json:"do"` // no, yes, after (the remedy)
	Why string `json:"why"`
}
