package kafka

import (
	"maps"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// holdUp opens a transaction at offset 1200 of partition 1, behind which everything else goes on.
func holdUp(s *scene, rounds int) {
	for range rounds {
		for p := range s.heads {
			s.commit[p] = s.heads[p]
			s.heads[p] += s.rate
			s.lso[p] = s.heads[p]
		}
		if s.lso[1] = min(s.lso[1], 1200); s.lso[1] == 1200 {
			s.commit[1] = 1199 // the marker of the transaction before is not committed
		}
		s.look()
	}
}

func TestHeldByAnOpenTransaction(t *testing.T) {
	s := newScene(t, 3)
	s.members = map[string][]int32{"a": {0, 1, 2}}
	holdUp(s, 4) // until 15
	s.wantTold("all is stable")
	s.want("all is stable", map[string]float64{"group_held_partitions": 0, "group_held_messages": 0, "group_held_seconds": 0})
	holdUp(s, 6) // the stable offset stands still since 20
	s.wantTold("nobody knows who", "transaction_holds/1@30", "stall_began/1@45")
	began := at(-30)
	x := openTxn{producer: 1 << 60, epoch: 3, coordinatorEpoch: 2, start: 1200, written: at(-20), listed: true, id: "pay", state: "Ongoing", timeout: 15 * time.Minute, began: began}
	s.held = map[partition]openTxn{{"t", 1}: x}
	holdUp(s, 1)
	want := map[string]any{
		"group": "g", "topic": "t", "partition": 1.0, "start_offset": "1200", "producer_id": "1152921504606846976", "producer_epoch": "3",
		"coordinator_epoch": "2", "transactional_id": "pay", "state": "Ongoing", "timeout_seconds": 900.0,
	}
	if got := s.events[0].Attrs; !maps.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
	s.wantTold("its producer is found", "transaction_holds/1@50")
	s.want("its producer is found", map[string]float64{
		"group_held_partitions": 1, "group_held_messages": float64(s.heads[1] - 1200), "group_transaction_open_seconds": 80,
		"group_transaction_silent_seconds": 70, "group_transaction_unlisted": 0, "group_stalled_partitions": 1,
	})
	x.id, x.state = "", ""
	s.held[partition{"t", 1}] = x
	holdUp(s, 8)
	s.want("no coordinator knows it", map[string]float64{"group_transaction_unlisted": 1, "group_frozen_alone": 0})
	s.held = nil
	s.lso[1], s.commit[1] = s.heads[1], s.heads[1]
	s.look()
	s.want("it ends", map[string]float64{"group_held_partitions": 0, "group_held_seconds": 0})
	if _, there := s.series["group_transaction_open_seconds"]; there {
		t.Error("a transaction is told of that is over")
	}
}

// A group that reads uncommitted records passes the stable offset; one that is stuck elsewhere is not held.
func TestNotHeld(t *testing.T) {
	for name, commit := range map[string]int64{"it reads uncommitted records": 1250, "it is stuck before": 1100} {
		s := newScene(t, 3)
		s.members = map[string][]int32{"a": {0, 1, 2}}
		for range 16 {
			holdUp(s, 1)
			s.commit[1] = min(s.heads[1], commit)
			s.look()
		}
		s.want(name, map[string]float64{"group_held_partitions": 0, "group_held_messages": 0})
	}
}

func TestHeld_UnknownWithoutStableOffsets(t *testing.T) {
	s := newScene(t, 2)
	s.members = map[string][]int32{"a": {0, 1}}
	s.rounds(3, 0, 1)
	if v, there := s.series["group_held_partitions"]; there {
		t.Errorf("%v partitions are held, and no stable offset is known", v)
	}
}

func TestOldestOpen(t *testing.T) {
	type producer = kmsg.DescribeProducersResponseTopicPartitionActiveProducer
	x, ok := oldestOpen([]producer{
		{ProducerID: 1, CurrentTxnStartOffset: -1, LastTimestamp: 5},
		{ProducerID: 2, CurrentTxnStartOffset: 90, LastTimestamp: 7},
		{ProducerID: 3, CurrentTxnStartOffset: 40, LastTimestamp: -1},
	})
	if !ok || x.producer != 3 || x.start != 40 || !x.written.IsZero() {
		t.Errorf("%+v, %v", x, ok)
	}
	if _, ok := oldestOpen([]producer{{CurrentTxnStartOffset: -1}}); ok {
		t.Error("a producer without a transaction holds something")
	}
}
