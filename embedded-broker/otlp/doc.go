// Package otlp reads OpenTelemetry metrics (MetricsData v1, protobuf) as Kafka's clients push them with KIP-714: numbers
// with their attributes, one call for each, without building the message.
//
// Guarantees: a payload costs no memory beyond itself, whatever it claims; what is malformed is an error, never a panic.
// It reads gauges and sums, which is all that KIP-714 asks clients to send; histograms and summaries are stepped over.
//
// It refuses to know what a metric means, and to decompress.
package otlp
