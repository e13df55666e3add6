// Package engine is the broker engine: it stores Kafka record batches and knows nothing of Kafka's wire protocol.
//
// All partitions share one commit log, so one fsync serves every partition waiting. Sealed log segments are offloaded to
// an object store and then recycled: that is the only way out of the log. A Pebble index of runs and the segments'
// footers find the batches again.
//
// The invariants, named where they are kept:
//
//	I1  Visible is durable: high watermark and last stable offset never pass what a crash may take away (flush: fsync).
//	I2  An offset's bytes never change once they were visible.
//	I3  A done callback runs exactly once, and in append order within a partition.
//	I4  An fsync error is never retried: the log fails, and only a restart recovers it.
//	I5  A log segment is reused only when its COMMIT record and the index rows that replace it are durable.
//	I6  The index holds only what the log holds durably; replaying any suffix of the log twice changes nothing.
//
// The engine refuses to: replicate, decode records on the hot path, or start on a log that is corrupt rather than torn.
//
// Read options.go and engine.go first, then append.go and read.go, then apply.go (replay and index) and offload.go;
// for transactions transactions.go, then stable.go (what readers of committed records see) and marker.go.
package engine
