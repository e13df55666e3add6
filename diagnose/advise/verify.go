package advise

import (
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// Outcome is what became of advice that was taken.
type Outcome string

// The outcomes. Unclear is an outcome of its own: a remedy is not blamed for missing data.
const (
	Pending Outcome = "pending"
	Worked  Outcome = "worked"
	Failed  Outcome = "failed"
	Unclear Outcome = "unclear"
)

// Taken is advice that somebody followed.
type Taken struct {
	At     time.Time // when the change was seen in effect
	Verify streamkeeper.Verify
}

// Check judges taken advice by the symptom it should clear. Nothing is judged before the time the advice
// asks for has passed, because until then the symptom's window still holds what happened before the
// change; lint keeps that time longer than the window.
func Check(t Taken, symptom streamkeeper.State, now time.Time) Outcome {
	within := time.Duration(t.Verify.WithinSeconds * float64(time.Second))
	if now.Before(t.At.Add(within)) {
		return Pending
	}
	switch symptom {
	case streamkeeper.Absent:
		return Worked
	case streamkeeper.Present:
		return Failed
	case streamkeeper.Unknown:
		if now.Before(t.At.Add(2 * within)) {
			return Pending // data may come back
		}
		return Unclear
	default:
		return Unclear
	}
}

// FailedDiscount is what remains of a cause's odds after its remedy did not work.
const FailedDiscount = .3
