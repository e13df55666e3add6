package drill

import (
	"fmt"
	"slices"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// Injected is the truth of a run.
type Injected struct {
	Cause  string    `json:"cause"`
	Entity string    `json:"entity"`
	At     time.Time `json:"at"`
	// Accept names causes that are the same answer told from further up or down a declared chain.
	Accept []string `json:"accept,omitempty"`
}

// Named is one answer of the diagnosis.
type Named struct {
	Cause      string   `json:"cause"`
	Causes     []string `json:"causes,omitempty"` // the answer set, when the verdict is one_of
	Entity     string   `json:"entity"`
	Confidence float64  `json:"confidence"`
	Verdict    string   `json:"verdict"`
}

// Impact is when the workload itself was hurt, as its own clients saw it.
type Impact struct {
	Text    string  `json:"text"`
	Seconds float64 `json:"seconds"` // since the injection
}

// Result is what one run measured. Seconds count from the injection; null when it did not happen.
type Result struct {
	ID               string   `json:"id"`
	Seed             uint64   `json:"seed"`
	Target           string   `json:"target"`
	Benign           bool     `json:"benign"`
	Injected         Injected `json:"injected"`
	Impact           *Impact  `json:"impact"`
	Top              []Named  `json:"top"`
	SecondsToSymptom *float64 `json:"seconds_to_symptom"`
	SecondsToCause   *float64 `json:"seconds_to_cause"` // first time the right answer was first and stayed so
	FloorSeconds     float64  `json:"floor_seconds"`
	Right            bool     `json:"right"`
	InSet            bool     `json:"in_set"` // the first answer is a set that holds the truth: scored apart
	Wrong            []Named  `json:"wrong"`  // other causes that were published at 0.9 or more
	Cleared          *bool    `json:"cleared"`
	Recording        string   `json:"recording,omitempty"`

	Ticks     int       `json:"ticks"`      // reports that were judged
	LateTicks int       `json:"late_ticks"` // gaps between them of more than two intervals
	TickedAt  time.Time `json:"ticked_at"`  // of the last of them
	CPUShare  *float64  `json:"cpu_share"`  // of the whole machine, from the healthy time to the end of the fault
	Error     string    `json:"error,omitempty"`
}

// published is the confidence from which an answer that names the wrong cause is a confident one.
const published = 0.9

// Judge reads the next report against the truth. Reports from before the injection, and one that was
// judged already, change nothing.
func (r *Result) Judge(report streamkeeper.Report) {
	at := report.GeneratedAt
	if at.Before(r.Injected.At) || !at.After(r.TickedAt) {
		return
	}
	if r.Ticks > 0 && at.Sub(r.TickedAt).Seconds() > 2*report.TickSeconds {
		r.LateTicks++
	}
	r.Ticks++
	r.TickedAt = at
	after := at.Sub(r.Injected.At).Seconds()
	if r.SecondsToSymptom == nil && len(report.Symptoms) > 0 {
		r.SecondsToSymptom = &after
	}
	r.Top = []Named{}
	for i, f := range report.Findings {
		if i < 3 {
			r.Top = append(r.Top, name(f))
		}
		if !r.Benign && f.Consequence == "" && sure(f) && !r.truth(name(f)) {
			r.addWrong(name(f))
		}
	}
	if r.Benign {
		for _, f := range report.Findings {
			if wakes(f) {
				r.addWrong(name(f))
			}
		}
		r.Right = len(r.Wrong) == 0
		return
	}
	r.Right, r.InSet = false, false
	if len(r.Top) > 0 && r.truth(r.Top[0]) {
		r.InSet = r.Top[0].Verdict == string(streamkeeper.VerdictOneOf)
		r.Right = !r.InSet
	}
	switch {
	case !r.Right:
		r.SecondsToCause = nil
	case r.SecondsToCause == nil:
		r.SecondsToCause = &after
	}
}

// Unjudged is the run's truth without what the diagnosis said of it: the start of another judgement.
func (r Result) Unjudged() Result {
	return Result{
		ID: r.ID, Seed: r.Seed, Target: r.Target, Benign: r.Benign, Injected: r.Injected, Impact: r.Impact,
		FloorSeconds: r.FloorSeconds, CPUShare: r.CPUShare, Recording: r.Recording, Error: r.Error,
		Top: []Named{}, Wrong: []Named{},
	}
}

// Differs says in one line how another judgement of the same run came out otherwise, "" when it did not.
func (r Result) Differs(other Result) string {
	switch first, second := r.first(), other.first(); {
	case r.Right != other.Right || first != second:
		return fmt.Sprintf("%s, and %s", first, second)
	}
	have := func(all []Named, n Named) bool {
		return slices.ContainsFunc(all, func(m Named) bool { return m.Cause == n.Cause && m.Entity == n.Entity })
	}
	for _, n := range r.Wrong {
		if !have(other.Wrong, n) {
			return fmt.Sprintf("only the first published %s on %s", n.Cause, n.Entity)
		}
	}
	for _, n := range other.Wrong {
		if !have(r.Wrong, n) {
			return fmt.Sprintf("only the second published %s on %s", n.Cause, n.Entity)
		}
	}
	return ""
}

// first is the answer that was given last, for people.
func (r Result) first() string {
	if len(r.Top) == 0 {
		return "nothing"
	}
	return r.Top[0].Cause + " on " + r.Top[0].Entity
}

// truth reports whether an answer names the injected cause on its entity, alone or in a set.
func (r Result) truth(n Named) bool {
	if n.Entity != r.Injected.Entity {
		return false
	}
	for _, c := range append([]string{r.Injected.Cause}, r.Injected.Accept...) {
		if n.Cause == c || slices.Contains(n.Causes, c) {
			return true
		}
	}
	return false
}

func (r *Result) addWrong(n Named) {
	for _, w := range r.Wrong {
		if w.Cause == n.Cause && w.Entity == n.Entity {
			return
		}
	}
	r.Wrong = append(r.Wrong, n)
}

func name(f streamkeeper.Finding) Named {
	return Named{Cause: f.Cause, Causes: f.Causes, Entity: f.Entity.Key(), Confidence: f.Confidence, Verdict: string(f.Verdict)}
}

// sure reports whether a finding is an answer that people would act on.
func sure(f streamkeeper.Finding) bool {
	named := f.Verdict == streamkeeper.VerdictRootCause || f.Verdict == streamkeeper.VerdictProbable
	return named && f.Confidence >= published && f.Severity.Rank() >= streamkeeper.SeverityWarning.Rank()
}

// wakes reports whether a finding would wake somebody.
func wakes(f streamkeeper.Finding) bool {
	return f.Verdict != streamkeeper.VerdictBenign && f.Severity.Rank() >= streamkeeper.SeverityWarning.Rank()
}

// loud reports whether a report would wake somebody.
func loud(r streamkeeper.Report) bool { return slices.ContainsFunc(r.Findings, wakes) }
