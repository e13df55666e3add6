// Package meta is the cluster's metadata: topics with their ids, streams and configs, cluster-level configs, node epochs
// and producer-id blocks.
//
// Every change is durable when its method returns, and readers see whole snapshots (copy on write), so a reader never
// locks. It is process-wide and independent of any node's log. It is no quorum and does not pretend to be one.
//
// It refuses to hold anything that grows with data: offsets, producers' sequences and runs live in engine/index.
//
// Read store.go first, then topics.go; config.go is the table of settings.
package meta
