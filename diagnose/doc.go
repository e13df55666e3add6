// Package diagnose finds out why something is late, losing or failing, and what to change.
//
// One pass is a Tick: signals read → rules.Symptoms → rules.Suspects (with controls) → signals read →
// rules.Evidence → infer → incident.Step → advise, capacity → publish. A tick takes the time and the
// memory and returns a report and the new memory; the same input gives the same bytes, so a recording
// replays to the same report. Nothing calls back: silences, acknowledgements, feedback and outcomes are
// ledger entries that the next tick reads.
//
// The Loop runs ticks of every cluster, keeps their memory, saves incidents, tells receivers and serves
// the newest reports to the web.
//
// The package needs no network and no language model to decide, acts on no cluster, and says "not judged"
// where data is missing instead of guessing.
//
// Start with tick.go, which shows the product in one function; then model.go (catalog to model),
// finding.go (model to words) and loop.go.
package diagnose
