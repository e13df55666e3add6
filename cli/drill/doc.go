// Package drill injects faults with known truth and measures the diagnosis.
//
// It is a black-box client: it sees addresses only, and works with real clients in processes of
// their own, which it slows, freezes, kills and restarts as a bad day would. It never reaches into the
// broker or the diagnoser, and knows nothing of rules.
//
// Read drill.go (what a drill is), scenarios.go (the faults), run.go (one run and its result), then
// worker.go and consumer.go (the clients that misbehave on command).
package drill
