//go:build !notelemetry

package broker

// measuring is false in a build with the tag notelemetry, which exists to measure what measuring costs
// (task bench:broker). Such a broker serves, and tells nothing of its hot path.
const measuring = true
