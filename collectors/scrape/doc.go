// Package scrape is the source that reads metrics over HTTP, as Prometheus does: the text format and
// OpenMetrics.
//
// It refuses to present the past as the present: a series that is no longer exposed ends with a staleness
// marker, a failed scrape ends all of them and says up 0. Bodies, samples and labels are bounded; a target
// over a bound is an error, not a truncated truth.
//
// Start with scrape.go, then parse.go.
package scrape
