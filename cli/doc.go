// Package cli is the program: one file per command, and wire.go, which builds the pipeline. It is the
// only place that reads flags, environment and config files, and the only one that imports everyone.
//
// It judges nothing: what a command prints was computed in rules and diagnose.
//
// Read run.go (the commands and their exit codes), up.go and wire.go (the pipeline), then
// diagnose.go and text.go (what a person sees).
package cli
