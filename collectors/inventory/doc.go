// Package inventory is the place for topology: what exists in each cluster, how it hangs together, and
// the context facts ("atoms") that decide which rules apply.
//
// A [World] merges what several collectors saw. It has no clock: its time is the newest it was told, so a
// recording replays as it happened. It refuses to invent: a fact nobody stated is unknown, never false.
//
// Start with world.go, then related.go and facts.go.
package inventory
