// Package batch reads and patches Kafka record batches (message format v2) as raw bytes.
//
// The hot path never decodes records: a batch is its 61-byte header plus opaque bytes, and the two fields a broker
// must fill in (base offset and leader epoch) lie before the CRC, so they are patched in place. Only LogAppendTime
// needs the CRC again (SetLogAppendTime).
//
// The package refuses older formats (magic 0 and 1), and it never allocates in proportion to a number a client claims:
// Check walks the bytes it was given, and Records decompresses into a bounded buffer.
//
// Read header.go first, then check.go; records.go is for compaction, time look-ups and tests; build.go makes batches.
package batch
