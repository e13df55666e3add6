package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// tieredScene copies up to the given offset, of segments of 10,000 bytes with records of 100 bytes.
func tieredScene(t *testing.T, configs ...string) (s *scene, copied *int64) {
	s = newScene(t, 1)
	s.members = map[string][]int32{"a": {0}}
	s.configured(append([]string{"remote.storage.enable", "true", "segment.bytes", "10000", "segment.ms", "600000"}, configs...)...)
	s.round(0) // what is tiered is known from configurations
	copied = new(int64)
	*copied = 1000
	s.with = func(snap *snapshot) {
		snap.tiered = map[partition]tieredState{{"t", 0}: {local: 900, next: *copied}}
		snap.disks = map[int32]brokerDisks{1: {sizes: map[partition]int64{{"t", 0}: 100 * (s.heads[0] - 900)}}}
	}
	return s, copied
}

func TestTieredOffsets(t *testing.T) {
	s, copied := tieredScene(t)
	for range 10 {
		*copied = s.heads[0] - 60 // each segment of 100 records is copied when it is closed
		s.round(0)
	}
	s.want("all goes well", map[string]float64{
		"topic_partition_tiered_end_offset/0": float64(*copied), "topic_partition_local_start_offset/0": 900, "tier_still_seconds": 0,
	})
	at := s.now
	for s.series["tier_still_seconds"] == 0 && s.now < at+60 {
		s.round(0)
	}
	if waited := s.now - at; waited < 15 || waited > 30 {
		t.Errorf("nothing is copied, and that is told after %v s", waited)
	}
	s.rounds(6, 0)
	if still := s.series["tier_still_seconds"]; still < 30 {
		t.Errorf("nothing has been copied for half a minute, told are %v s", still)
	}
	*copied = s.heads[0]
	s.round(0)
	s.want("it goes on", map[string]float64{"tier_still_seconds": 0})
}

func TestTieredOffsets_Unjudged(t *testing.T) {
	for _, c := range []struct {
		reason  string
		configs []string
	}{
		{"told to copy late", []string{"remote.copy.lag.ms", "86400000"}},
		{"segments that are far from full", []string{"segment.bytes", "1073741824"}},
		{"segments that are never closed for their age", []string{"segment.bytes", "1073741824", "segment.ms", "9223372036854775807"}},
		{"nor for one that overflows", []string{"segment.bytes", "1073741824", "segment.ms", "18446744073710"}},
	} {
		s, _ := tieredScene(t, c.configs...)
		s.rounds(40, 0)
		if still := s.series["tier_still_seconds"]; still != 0 {
			t.Errorf("%s: told are %v s", c.reason, still)
		}
	}
	s, copied := tieredScene(t)
	*copied = unset // a broker that does not know the question
	s.rounds(3, 0)
	if v, ok := s.series["tier_still_seconds"]; ok {
		t.Errorf("nobody said what is copied, and %v is told", v)
	}
}

// TestCollect_TieredOffsets asks a broker, which is told to know tiered storage.
func TestCollect_TieredOffsets(t *testing.T) {
	l := newLab(t, 1, Options{SeriesPartitions: 10})
	l.topics(map[string]int32{"t": 1})
	l.produce("t", 0, 10)
	l.cluster.ControlKey(int16(kmsg.ListOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
		l.cluster.KeepControl()
		asked := req.(*kmsg.ListOffsetsRequest)
		at := asked.Topics[0].Partitions[0].Timestamp
		if at != atLocal && at != atTiered {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
		topic, part := kmsg.NewListOffsetsResponseTopic(), kmsg.NewListOffsetsResponseTopicPartition()
		topic.Topic, part.Offset = "t", map[int64]int64{atLocal: 3, atTiered: 6}[at]
		topic.Partitions = append(topic.Partitions, part)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	l.mustRound(0)
	l.collector.track.tiered = map[string]bool{"t": true} // the fake has no such configuration
	l.mustRound(5)
	l.mustRound(10)
	series := func(name string) string { return "topic_partition_" + name + "_offset{partition=0,topic=t}" }
	l.want("copied", map[string]any{series("local_start"): 3, series("tiered_end"): 7})
}
