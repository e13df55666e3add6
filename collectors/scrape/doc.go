// Package scrape is the source that reads metrics over HTTP, as Prometheus does: the text format and
// OpenMetrics.
//
// It refuses to present the past as the present: a series that is no longer exposed ends with a staleness
// marker, a failed scrape ends all of them and says up 0. Bodies, samples and labels are bounded; a target
// over a bound is an error, not a truncated truth.
//
// [Targets] scrapes what files list in the form of Prometheus' file_sd_configs.
//
// Start with scrape.go, then parse.go and targets.go.
package scrape
