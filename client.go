package streamkeeper

// ClientMeasure is one number that Kafka's clients tell of themselves and that serves diagnosis, however it comes: pushed
// to a broker (KIP-714) or sent as OpenTelemetry metrics.
type ClientMeasure struct {
	Name   string // as a metric of the client, below the teller's prefix
	Help   string
	Names  []string // in KIP-714's spelling, below org.apache.kafka.
	Scale  float64  // from the client's unit to ours
	Lowest bool     // of several clients the lowest is the worst
	Group  string   // as a metric of the client's group, "" = it is none
}

// PollMeasures are the indices of the measures that tell of a consumer's polls.
var PollMeasures = [3]int{0, 2, 3}

const inMillis = 1e-3

// ClientMeasures are all of them. Their order is kept: indices are used as bits.
var ClientMeasures = [17]ClientMeasure{
	{"client_poll_idle_ratio", "Share of its time the client waits in poll instead of processing", []string{"consumer.poll.idle.ratio.avg"}, 1, true, "group_client_poll_idle_ratio"},
	{"client_time_between_polls_seconds", "Mean time between two polls", []string{"consumer.time.between.poll.avg"}, inMillis, false, ""},
	{"client_time_between_polls_seconds_max", "Longest time between two polls", []string{"consumer.time.between.poll.max"}, inMillis, false, "group_client_time_between_polls_seconds_max"},
	{"client_last_poll_seconds", "Time since the last poll, when it was pushed", []string{"consumer.last.poll.seconds.ago"}, 1, false, "group_client_last_poll_seconds"},
	{"client_rebalance_latency_seconds", "Mean time a rebalance took", []string{"consumer.coordinator.rebalance.latency.avg"}, inMillis, false, ""},
	{"client_rebalance_latency_seconds_max", "Longest time a rebalance took", []string{"consumer.coordinator.rebalance.latency.max"}, inMillis, false, "group_client_rebalance_latency_seconds_max"},
	{"client_commit_latency_seconds", "Mean time a commit took", []string{"consumer.coordinator.commit.latency.avg"}, inMillis, false, ""},
	{"client_commit_latency_seconds_max", "Longest time a commit took", []string{"consumer.coordinator.commit.latency.max"}, inMillis, false, "group_client_commit_latency_seconds_max"},
	{"client_fetch_latency_seconds", "Mean time a fetch took", []string{"consumer.fetch.manager.fetch.latency.avg"}, inMillis, false, ""},
	{"client_fetch_latency_seconds_max", "Longest time a fetch took", []string{"consumer.fetch.manager.fetch.latency.max"}, inMillis, false, ""},
	{"client_records_lag_max", "Largest lag of a partition", []string{"consumer.fetch.manager.records.lag.max", "consumer.fetch.manager.records.lag"}, 1, false, ""},
	{"client_request_latency_seconds", "Mean time a produce request took", []string{"producer.request.latency.avg", "producer.node.request.latency.avg"}, inMillis, false, ""},
	{"client_request_latency_seconds_max", "Longest time a produce request took", []string{"producer.request.latency.max", "producer.node.request.latency.max"}, inMillis, false, ""},
	{"client_queue_seconds", "Mean time a record waited to be sent", []string{"producer.record.queue.time.avg"}, inMillis, false, ""},
	{"client_queue_seconds_max", "Longest time a record waited to be sent", []string{"producer.record.queue.time.max"}, inMillis, false, ""},
	{"client_buffer_available_bytes", "Free bytes of the producer's buffer", []string{"producer.buffer.available.bytes"}, 1, true, ""},
	{"client_buffer_total_bytes", "Size of the producer's buffer", []string{"producer.buffer.total.bytes"}, 1, false, ""},
}
