// Package series is the place for measurements: the Prometheus time series database and its query
// language, embedded.
//
// It stores samples, answers the product's queries with the age of what it found, serves the read side of
// the Prometheus HTTP API (so Grafana can point at it), and writes and reads recordings. It is the only
// package that knows Prometheus' tsdb and promql.
//
// It refuses to guess: a series that ended is absent at once (staleness markers), a count says how often a
// counter moved and never extrapolates, and a query over its limits fails instead of answering in part.
//
// Start with store.go, then read.go and count.go.
package series
