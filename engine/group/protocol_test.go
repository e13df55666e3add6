package group

import (
	"testing"

	"github.com/streamkeeper-io/streamkeeper/test/alloctest"
)

func TestConsumerProtocol(t *testing.T) {
	topics, err := SubscribedTopics(subscription("b", "a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	want(t, topics, []string{"a", "b"})
	tps, err := AssignedPartitions(assignment("t", 3, 1))
	if err != nil {
		t.Fatal(err)
	}
	want(t, tps, []TopicPartition{{"t", 3}, {"t", 1}})
	if _, err := SubscribedTopics([]byte{0, 1, 0x7f, 0xff, 0xff, 0xff}); err == nil {
		t.Error("a forged count was believed")
	}
	if tps, err := AssignedPartitions(nil); err != nil || tps != nil {
		t.Errorf("no bytes gave %v, %v", tps, err)
	}
}

func FuzzConsumerProtocol(f *testing.F) {
	f.Add(subscription("a", "b"))
	f.Add(assignment("t", 1, 2))
	f.Add([]byte{0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		alloctest.Bound(t, len(b), 16, func() { // a string for 2 bytes
			if topics, err := SubscribedTopics(b); err == nil && len(topics)*2 > len(b) {
				t.Errorf("%d topics out of %d bytes", len(topics), len(b))
			}
		})
		alloctest.Bound(t, len(b), 24, func() { // a TopicPartition for 4 bytes
			if tps, err := AssignedPartitions(b); err == nil && len(tps)*4 > len(b) {
				t.Errorf("%d partitions out of %d bytes", len(tps), len(b))
			}
		})
	})
}
