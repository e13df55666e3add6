package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestToMove(t *testing.T) {
	of := func(topic byte, partitions ...int32) kmsg.Assignment {
		return kmsg.Assignment{TopicPartitions: []kmsg.AssignmentTopicPartition{{TopicID: [16]byte{topic}, Partitions: partitions}}}
	}
	for _, c := range []struct {
		reason        string
		owned, target kmsg.Assignment
		want          int
	}{
		{"all there", of(1, 0, 1), of(1, 0, 1), 0},
		{"in another order", of(1, 1, 0), of(1, 0, 1), 0},
		{"one is with somebody else still", of(1, 0), of(1, 0, 1), 1},
		{"one is to be given up", of(1, 0, 1), of(1, 0), 0},
		{"another topic", of(1, 0, 1), of(2, 0, 1), 2},
		{"nothing yet", kmsg.Assignment{}, of(1, 0), 1},
	} {
		if got := toMove(c.owned, c.target); got != c.want {
			t.Errorf("%s: %d, want %d", c.reason, got, c.want)
		}
	}
}

func TestEpochs(t *testing.T) {
	s, write := logScene(t)
	s.members = map[string][]int32{"a": {0, 1}}
	s.rounds(2, 0, 1)
	if got, ok := s.series["group_epoch"]; ok {
		t.Errorf("no rebalance was written down, and the generation is %v", got)
	}
	roster := rosterOf(8, "id-a")
	roster.generation = 7
	write(roster)
	s.round(0, 1)
	s.want("a classic group's generation", map[string]float64{"group_epoch": 7})
	if _, ok := s.series["group_members_behind"]; ok {
		t.Error("members of a classic group have no epochs")
	}

	logged := s.with
	s.with = func(snap *snapshot) {
		logged(snap)
		g := snap.groups["g"]
		g.kip848, g.epoch, g.assigned, g.behind, g.moving = true, 12, 11, 1, 2
	}
	s.round(0, 1)
	s.want("a KIP-848 group's", map[string]float64{"group_epoch": 12, "group_assignment_epoch": 11, "group_members_behind": 1, "group_partitions_moving": 2})
}
