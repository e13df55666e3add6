// Package kafka is the source that watches a cluster through the Kafka protocol alone, whatever engine
// speaks it. It reads and never writes: Metadata, ListOffsets, ListGroups, DescribeGroups,
// ConsumerGroupDescribe, OffsetFetch, DescribeConfigs, DescribeLogDirs, DescribeQuorum, and about open transactions
// DescribeProducers, ListTransactions, DescribeTransactions and, where it may, the heads of a few batches; and the topic that
// coordinators keep groups in (Fetch).
//
// A round has two halves. Reading (read_*.go) asks the cluster and fills a [snapshot], in which everything
// that could not be read is missing. Tracking (track_*.go) is pure: it compares the snapshot with what was
// seen before and computes lag in seconds, freezes, stalls, losses and so on, with the time as a parameter.
//
// What a round measured goes to the sink as samples, and to /metrics as a page (page.go).
//
// It refuses to fill gaps: a partition whose head could not be read has no lag this round, lag in seconds
// is absent where neither timestamps nor history tell it, and a sum that lacks a tenth of its parts is absent.
//
// Lag in seconds has files of its own: stamps.go is what is known of timestamps and what to ask next, sent.go says when a
// record was sent, read_sent.go asks, read_headers.go tells records from what only takes up offsets.
//
// Start with kafka.go, then snapshot.go and track.go.
package kafka
