package events

import (
	"slices"
	"time"
)

// SourceKafka and SourceDeploys are the names under which the collectors of those kinds write events.
// Every other source is a broker's event ring.
const (
	SourceKafka   = "kafka"
	SourceDeploys = "deploys"
)

// kafkaKinds are told by the collector that watches through the Kafka protocol.
var kafkaKinds = []string{
	"offset_rewound", "offset_jumped", "stall_began", "stall_cleared", "stall_followed_partition",
	"stall_cleared_by_new_owner", "member_seen", "member_gone", "group_became_empty", "broker_unreachable", "broker_back",
}

// sharedKinds are told by the broker itself where it has a ring, and by the Kafka collector elsewhere.
var sharedKinds = []string{"topic_created", "topic_deleted", "partitions_added", "config_changed"}

// lastingKinds survive a restart of their source, which tells them again: a gap does not hide them.
var lastingKinds = []string{"shutdown_requested", "broker_started"}

// covered reports whether every source of c that tells of kind covers (from, through].
func (c *clusterLog) covered(kind string, from, through time.Time) bool {
	var rings, answered int
	for name, w := range c.marks {
		isRing := name != SourceKafka && name != SourceDeploys
		if isRing {
			rings++
		}
		if !tells(name, isRing, kind) {
			continue
		}
		if w.From.After(from) && !slices.Contains(lastingKinds, kind) || w.Through.Before(through) || w.Heartbeat.Before(through) {
			return false
		}
		answered++
	}
	if answered == 0 && rings == 0 && slices.Contains(sharedKinds, kind) {
		w, ok := c.marks[SourceKafka]
		return ok && !w.From.After(from) && !w.Through.Before(through) && !w.Heartbeat.Before(through)
	}
	return answered > 0
}

// tells reports whether a source is one that tells of a kind of event.
func tells(source string, ring bool, kind string) bool {
	switch {
	case slices.Contains(kafkaKinds, kind):
		return source == SourceKafka
	case kind == "deploy":
		return source == SourceDeploys
	default:
		return ring
	}
}
