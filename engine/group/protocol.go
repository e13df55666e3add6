package group

import (
	"errors"
	"slices"

	"github.com/streamkeeper-io/streamkeeper/engine/fields"
)

// ConsumerProtocol is the protocol type of consumers; Connect and others use their own.
const ConsumerProtocol = "consumer"

// TopicPartition names one partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

var errConsumerProtocol = errors.New("not the consumer protocol's bytes")

// SubscribedTopics reads the topics out of a consumer's subscription (ConsumerProtocolSubscription, any version),
// sorted. What follows the topics (user data, owned partitions, rack) is not read.
func SubscribedTopics(b []byte) ([]string, error) {
	r := fields.Of(b)
	stepOverVersion(&r)
	n := r.Array(2)
	topics := make([]string, 0, n)
	for range n {
		topics = append(topics, r.Text())
	}
	if r.Bad() {
		return nil, errConsumerProtocol
	}
	slices.Sort(topics)
	return slices.Compact(topics), nil
}

// AssignedPartitions reads a consumer's assignment (ConsumerProtocolAssignment, any version). No bytes are no partitions.
func AssignedPartitions(b []byte) ([]TopicPartition, error) {
	if len(b) == 0 {
		return nil, nil
	}
	r := fields.Of(b)
	stepOverVersion(&r)
	var all []TopicPartition
	for range r.Array(6) {
		topic := r.Text()
		for range r.Array(4) {
			all = append(all, TopicPartition{topic, r.Int32()})
		}
	}
	if r.Bad() {
		return nil, errConsumerProtocol
	}
	return all, nil
}

// stepOverVersion reads a version, none of which changed what came before.
func stepOverVersion(r *fields.Reader) {
	if v := r.Int16(); v < 0 || v > 100 {
		r.Fail()
	}
}
