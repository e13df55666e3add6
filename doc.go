// Package streamkeeper is the vocabulary of the product: the words of the field as Go types,
// and nothing else. Every other package imports it; it imports the standard library only.
//
// It holds no logic beyond naming and ordering: no clock, no network, no judgement. Times are
// time.Time in UTC, durations are seconds as float64 wherever they leave the process, and a number
// that is not known is a nil pointer (null in JSON), never zero.
//
// Start with entity.go (what is watched), value.go (what is known), event.go (what happened),
// then follow the pipeline: symptom.go, evidence.go, finding.go, advice.go, recommendation.go,
// incident.go and report.go.
package streamkeeper
