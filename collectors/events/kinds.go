package events

import (
	"slices"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// SourceKafka, SourceDeploys, SourceDeclared and SourceLoki are the names under which the collectors of those kinds write
// events. Every other source that gives a watermark is a broker's event ring.
const (
	SourceKafka    = "kafka"
	SourceDeploys  = "deploys"
	SourceDeclared = "declared"
	SourceLoki     = "loki"
)

// kafkaKinds are told by the collector that watches through the Kafka protocol.
var kafkaKinds = []string{
	"offset_rewound", "offset_jumped", "transaction_holds", "stall_began", "stall_cleared", "stall_followed_partition",
	"stall_cleared_by_new_owner", "member_seen", "member_gone", "member_replaced", "group_became_empty", "broker_unreachable", "broker_back",
	"partition_offline", "partition_online", "retention_cut", "min_insync_replicas_lowered", "read_topic_deleted",
	"partitions_added_under_keys", "group_created", "group_deleted", "group_protocol_changed", "group_assignor_changed",
	"group_topics_changed", "log_dir_offline", "log_dir_back", "quorum_leader_changed", "quorum_voters_changed",
}

// sharedKinds are told by the broker itself where it has a ring, and by the Kafka collector elsewhere.
var sharedKinds = []string{"topic_created", "topic_deleted", "partitions_added", "config_changed"}

// loggedKinds are told by the logs of the brokers where there is no ring, each time they happen. What only clients write
// of themselves is not among them: nobody can promise that all clients' logs arrive.
var loggedKinds = []string{
	"member_left", "member_expired", "member_joined", "rebalance_started", "rebalance_completed", "shutdown_requested",
}

// lastingKinds survive a restart of their source, which tells them again: a gap does not hide them.
var lastingKinds = []string{"shutdown_requested", "broker_started"}

// maxSlack bounds what a slow source is granted.
const maxSlack = 5 * time.Minute

// mark is a source's watermark, with how far apart its last ones were.
type mark struct {
	streamkeeper.Watermark
	steps [2]time.Duration
}

func (m mark) next(w streamkeeper.Watermark) mark {
	out := mark{Watermark: w, steps: m.steps}
	if step := w.Through.Sub(m.Through); step > 0 && !m.Through.IsZero() {
		out.steps = [2]time.Duration{m.steps[1], step}
	}
	return out
}

// covers reports whether the watermark covers (from, to]. It may trail by grace, or by two and a half of
// the source's steps; the smaller of two counts, so that one outage grants nothing.
func (m mark) covers(from, to time.Time, grace time.Duration) bool {
	slack := max(grace, min(maxSlack, min(m.steps[0], m.steps[1])*5/2))
	end := to.Add(-slack)
	return !m.From.After(from) && !m.Through.Before(end) && !m.Heartbeat.Before(end)
}

// covered reports whether every source of c that tells of kind covers (from, to].
func (c *clusterLog) covered(kind string, from, to time.Time, grace time.Duration) bool {
	var rings, answered int
	for name, m := range c.marks {
		ring := isRing(name)
		if ring {
			rings++
		}
		if !tells(name, ring, kind) {
			continue
		}
		if ring && slices.Contains(lastingKinds, kind) {
			m.From = time.Time{}
		}
		if !m.covers(from, to, grace) {
			return false
		}
		answered++
	}
	if answered == 0 && rings == 0 && slices.Contains(sharedKinds, kind) {
		m, ok := c.marks[SourceKafka]
		return ok && m.covers(from, to, grace)
	}
	return answered > 0
}

// isRing reports whether a source is a broker's event ring.
func isRing(source string) bool {
	return source != SourceKafka && source != SourceDeploys && source != SourceDeclared && source != SourceLoki
}

// tells reports whether a source is one that tells of a kind of event.
func tells(source string, ring bool, kind string) bool {
	switch {
	case slices.Contains(kafkaKinds, kind):
		return source == SourceKafka
	case kind == "deploy":
		return source == SourceDeploys
	case kind == "drift" || kind == "drift_ended":
		return source == SourceDeclared
	case source == SourceLoki:
		return slices.Contains(loggedKinds, kind)
	default:
		return ring
	}
}
