// Package collectors watches clusters from the outside and hands over what it saw: samples (measured
// points), events (dated facts) and inventories (what exists and how it hangs together).
//
// A [Collector] does one round at a time and is told the time; a [Scheduler] runs the rounds; a [Sink]
// takes what they bring. Sources (kafka, scrape, events) and places (series, events, inventory) live in
// folders of their own and never import each other: they meet in the Sink, which the wiring builds.
//
// The package refuses to judge: it has no thresholds and no verdicts, and what it could not measure it
// leaves out. A missing number is a missing series, never a zero.
//
// Start with collector.go, then scheduler.go.
package collectors
