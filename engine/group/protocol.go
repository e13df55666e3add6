package group

import (
	"encoding/binary"
	"errors"
	"slices"
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
	r := reader{b: b}
	r.version()
	n := r.count(2)
	topics := make([]string, 0, n)
	for range n {
		topics = append(topics, r.text())
	}
	if r.bad {
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
	r := reader{b: b}
	r.version()
	var all []TopicPartition
	for range r.count(6) {
		topic := r.text()
		for range r.count(4) {
			all = append(all, TopicPartition{topic, r.int32()})
		}
	}
	if r.bad {
		return nil, errConsumerProtocol
	}
	return all, nil
}

// reader walks Kafka's big-endian encoding; after the first mistake it only returns zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	head := r.b[:n]
	r.b = r.b[n:]
	return head
}

func (r *reader) int16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *reader) version() {
	if v := r.int16(); v < 0 || v > 100 {
		r.bad = true
	}
}

// count reads an array's length and refuses one that the remaining bytes cannot hold: a forged length must not allocate.
func (r *reader) count(elementBytes int) int {
	n := int(r.int32())
	if r.bad || n < 0 || n > len(r.b)/elementBytes {
		r.bad = true
		return 0
	}
	return n
}

func (r *reader) text() string { return string(r.take(int(r.int16()))) }
