package kafka

import (
	"slices"
	"testing"
)

// A broker that only replica lists name was away when we came; partitions without a leader are told of, also then, and
// also when the first rounds could not read everything.
func TestLossesBeforeUs(t *testing.T) {
	s := newScene(t, 1)
	meta := func(leader int32, isr ...int32) *snapshot {
		part := partState{leader: leader, replicas: []int32{2}, isr: isr, start: unset, lso: unset, head: unset}
		both := partState{leader: 1, replicas: []int32{1, 2}, isr: append([]int32{1}, isr...), start: unset, lso: unset, head: unset}
		snap := &snapshot{
			brokers: map[int32]brokerState{1: {address: "a:1"}}, reachable: map[int32]bool{1: true, 2: false},
			topics: map[string]*topicState{"alone": {parts: []partState{part}}, "copied": {parts: []partState{both}}}, topicsRead: true,
			groups: map[string]*groupState{}, groupsRead: true,
		}
		if slices.Contains(isr, 2) {
			snap.brokers[2], snap.reachable[2] = brokerState{address: "b:1"}, true
		}
		return snap
	}
	for i := range 3 {
		s.now += 5
		s.wantTold("before a whole round")
		snap := meta(-1)
		snap.groupsRead = i == 2
		s.play(snap)
	}
	s.want("the broker is away", map[string]float64{
		"broker_reachable/2": 0, "broker_replicas/2": 2, "broker_replicas_out_of_sync/2": 2, "broker_away_seconds/2": 10,
		"broker_replicas_out_of_sync/1": 0, "topic_offline_partitions": 0, // of the last topic by name
	})
	s.wantTold("both losses", "partition_offline/0@0", "broker_unreachable@0")
	s.now += 5
	s.play(meta(2, 2))
	s.want("the broker is back", map[string]float64{"broker_reachable/2": 1, "broker_replicas_out_of_sync/2": 0, "broker_away_seconds/2": 0})
	s.wantTold("both are over", "broker_back@15", "partition_online/0@15")
}

// One loss is counted from the first round that misses the member, and is forgotten in the end.
func TestLossesWatched(t *testing.T) {
	s := newScene(t, 2)
	s.members = map[string][]int32{"a": {0}, "b": {1}}
	s.rounds(3, 0, 1)
	s.want("nobody was lost", map[string]float64{"group_losses_watched": 0})
	if _, ok := s.series["group_last_loss_seconds"]; ok {
		t.Error("a loss that never was has an age")
	}
	s.members = map[string][]int32{"a": {0, 1}}
	s.rounds(7, 0, 1)
	s.want("b was lost", map[string]float64{"group_losses_watched": 1, "group_last_loss_seconds": 30})
	s.rounds(180, 0, 1)
	s.want("long ago", map[string]float64{"group_losses_watched": 0})
}

// What was deleted before the group had read it is counted until it is past it.
func TestDeletedUnread(t *testing.T) {
	s := newScene(t, 2)
	s.members = map[string][]int32{"a": {0, 1}}
	s.rounds(5, 0, 1)
	s.want("nothing was deleted", map[string]float64{"group_deleted_unread_messages": 0})
	s.starts[0] = s.commit[0] + 30
	s.round(1)
	s.want("30 are gone", map[string]float64{"group_deleted_unread_messages": 30})
	s.round(0, 1)
	s.want("it is past them", map[string]float64{"group_deleted_unread_messages": 0})
}
