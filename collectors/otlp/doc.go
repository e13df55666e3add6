// Package otlp receives OpenTelemetry metrics, traces and logs, over HTTP (/v1/metrics, /v1/traces, /v1/logs; protobuf and
// JSON) and gRPC, and keeps what tells of Kafka's consumers; everything else is looked at once and dropped.
//
//   - Metrics: what clients say of themselves, by the names of KIP-714 and of the Java agent ([streamkeeper.ClientMeasures]),
//     become gauges of the client and of its group.
//   - Traces: what a record takes, from messaging spans that process records; and which remote peer takes that time, from
//     the calls made below them.
//   - Logs go to whoever reads lines ([Lines]).
//
// A [Receiver] is the door for all clusters. A [Source] is one cluster's collector: each round it hands over what is fresh.
//
// Nothing is unbounded: requests are read two at a time, bodies have sizes, and what they would build is counted before it
// is built (guard.go); clients, groups, peers and spans under way are numbered, and the oldest make room. What is left out
// is said in the answer (partial_success) and counted.
//
// It refuses to conclude from silence: a client that stops to tell is absent, not idle.
//
// Start with receiver.go, then metrics.go, spans.go and source.go.
package otlp
