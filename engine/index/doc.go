// Package index finds record batches in the local log, and holds the checkpoint a restart begins from.
//
// A run is what one segment holds of one stream. Runs of segments that are not in Pebble yet live in memory (Memory);
// when a segment is sealed and durable, all its runs, the states of the streams they touched and the new watermark go to
// Pebble in one batch (Batch.Commit). Pebble runs without a WAL: after a crash it holds some prefix of those batches,
// and the log is replayed from Watermark on. That is why
//
//   - everything in a batch must be durable in the log before the batch is committed, and
//   - applying any frame twice must change nothing.
//
// Row keys, big-endian so that they sort:
//
//	w                         watermark: LSN up to which segments are applied
//	s segment                 sealed segment that is still in the ring, with its runs (the segment's footer)
//	l stream base             up to 128 batches of one run: places, offsets, cumulative max timestamp
//	p stream                  stream state: next offset, log start, max timestamp, epochs
//	q stream producer         the last batches of an idempotent producer
//	t key                     last tier record of a key
//	a stream marker           aborted transaction, by the offset of its marker
//	o group topic partition   committed offset
//	y producer group topic partition   offset committed in a transaction that is not over
//	x id                      transactional id: the value of its last record in __transaction_state
//	g group                   group metadata
//	r group key               one record of a group of the consumer protocol
//
// The package refuses to know topics, to read payloads and to decide what is recycled.
//
// Read db.go first, then memory.go and rows.go.
package index
