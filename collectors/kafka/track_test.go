package kafka

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/streamkeeper-io/streamkeeper"
)

func TestOnePartitionStalls(t *testing.T) {
	s := newScene(t, 4)
	s.members = map[string][]int32{"a": {0, 1}, "b": {2, 3}}
	s.rounds(10, 0, 1, 2, 3) // until 45
	s.wantTold("all work")
	s.want("all work", map[string]float64{
		"group_stalled_partitions": 0, "group_moving_partitions": 4, "group_frozen_alone": 0, "group_commit_gap_seconds": 5,
		"group_busy_members": 2, "group_idle_members": 0, "group_partitions_per_busy_member_max": 2, "group_top_member_partitions": 2,
	})
	s.rounds(6, 0, 2, 3) // until 75; partition 1 stands still since its last commit, seen at 45
	s.wantTold("thirty seconds", "stall_began/1@75")
	s.want("thirty seconds", map[string]float64{"group_stalled_partitions": 1, "group_moving_partitions": 3, "group_partition_frozen_seconds/1": 30, "group_frozen_alone": 0})
	s.rounds(6, 0, 2, 3)
	s.want("a minute", map[string]float64{"group_frozen_alone": 1, "group_frozen_members": 0, "group_commit_age_seconds": 0})
	s.wantTold("it is told once")
	s.round(0, 1, 2, 3)
	s.wantTold("over", "stall_cleared/1@110")
	s.want("over", map[string]float64{"group_stalled_partitions": 0, "group_frozen_alone": 0, "group_fact/owner_changed": 0})
}

// The first event says who and where.
func TestStallAttributes(t *testing.T) {
	s := newScene(t, 2)
	s.members = map[string][]int32{"a": {0, 1}}
	s.rounds(8, 0, 1)
	s.rounds(8, 0)
	var found bool
	for _, e := range s.events {
		if e.Kind == "stall_began" {
			found = true
			want := map[string]any{"group": "g", "topic": "t", "partition": 1.0, "offset": 1350.0, "seconds": 30.0, "owner": "a@h"}
			if !maps.Equal(e.Attrs, want) || e.Entity.Name != "g" || e.Text == "" {
				t.Errorf("%+v, want %v", e, want)
			}
		}
	}
	if !found {
		t.Error("no stall was told")
	}
}

func TestIdleIsNoStall(t *testing.T) {
	s := newScene(t, 2)
	s.members = map[string][]int32{"a": {0, 1}}
	s.rounds(8, 0, 1)
	s.rate = 0
	s.look() // the last records are not committed yet, and no more arrive
	for range 60 {
		s.look()
	}
	s.wantTold("a quiet topic")
	s.want("a quiet topic", map[string]float64{"group_stalled_partitions": 0, "group_partition_frozen_seconds/0": 305})
}

func TestSlowCommitsAreNoStall(t *testing.T) {
	s := newScene(t, 2)
	s.members = map[string][]int32{"a": {0, 1}}
	for range 8 { // commits once a minute
		s.rounds(11)
		s.round(0, 1)
	}
	s.events = slices.DeleteFunc(s.events, func(e streamkeeper.Event) bool { return e.At.Before(at(300)) }) // until it is learned
	s.rounds(20)
	s.wantTold("a group that commits once a minute")
	s.rounds(20)
	s.wantTold("three minutes are unusual for it as well", "stall_began/0@655", "stall_began/1@655")
}

func TestStallFollowsThePartition(t *testing.T) {
	s := newScene(t, 4)
	s.members = map[string][]int32{"a": {0, 1}, "b": {2, 3}}
	s.rounds(10, 0, 1, 2, 3)
	s.rounds(8, 0, 2, 3)
	s.wantTold("stalled", "stall_began/1@75")
	s.members = map[string][]int32{"a": {0, 2}, "b": {1, 3}}
	s.rounds(6, 0, 2, 3) // until 115, the change was seen at 90
	s.wantTold("the new owner has its chance")
	s.want("the owner has changed", map[string]float64{"group_fact/owner_changed": 1})
	s.rounds(8, 0, 2, 3)
	s.wantTold("the record is to blame, and it is told once for this owner", "stall_followed_partition/1@120")
	s.members = map[string][]int32{"a": {1, 2}, "b": {0, 3}}
	s.rounds(8, 0, 2, 3)
	s.wantTold("and for the next", "stall_followed_partition/1@190")
}

// A record that kills whoever reads it leaves no owner the time to be watched.
func TestStallOutlivesItsOwners(t *testing.T) {
	s := newScene(t, 4)
	owners := []map[string][]int32{{"a": {0, 1}, "b": {2, 3}}, {"a": {2, 3}, "b": {0, 1}}}
	s.members = owners[0]
	s.rounds(10, 0, 1, 2, 3)
	s.rounds(8, 0, 2, 3)
	s.wantTold("stalled", "stall_began/1@75")
	s.members = owners[1]
	s.rounds(2, 0, 2, 3)
	s.wantTold("one change proves nothing")
	s.members = owners[0]
	s.rounds(1, 0, 2, 3)
	s.wantTold("both owners had it", "stall_followed_partition/1@100")

	s = newScene(t, 2)
	s.members = map[string][]int32{"a": {0}, "b": {1}}
	s.rounds(10, 0, 1)
	s.rounds(8)
	s.wantTold("all stands still", "stall_began/0@75", "stall_began/1@75")
	s.members = map[string][]int32{"a": {1}, "b": {0}}
	s.rounds(2)
	s.members = map[string][]int32{"a": {0}, "b": {1}}
	s.rounds(2)
	s.wantTold("nothing else goes on: it may be anything")
}

// A group that reads and never commits is late from where the log ended when that began to count.
func TestNeverCommitted(t *testing.T) {
	s := newScene(t, 2)
	s.commit = []int64{-1, -1}
	s.members = map[string][]int32{"a": {0, 1}}
	s.rounds(30)
	if _, known := s.series["group_lag_messages"]; known {
		t.Fatal("a new group has time to make its first commit")
	}
	s.rounds(13)
	s.want("nothing of what came since is committed", map[string]float64{
		"group_lag_messages": 1100, "group_committed_total": 0, "group_commit_age_seconds": 50, "group_partition_lag_messages/0": 550,
	})
	s.round(0, 1)
	s.want("the first commit is where the group is, and no jump", map[string]float64{"group_lag_messages": 100, "group_commit_age_seconds": 0})
	s.wantTold("stalled until then", "stall_began/0@190", "stall_began/1@190", "stall_cleared/0@215", "stall_cleared/1@215")
	s.rounds(22)
	s.wantTold("its first commit took as long")

	s.members = nil
	s.commit = []int64{-1, -1}
	s.round()
	if _, known := s.series["group_lag_messages"]; known {
		t.Error("without members and commits there is no position")
	}
}

// The time for a first commit begins with the first record.
func TestNeverCommittedBecauseNothingCame(t *testing.T) {
	s := newScene(t, 1)
	s.commit = []int64{-1}
	s.members = map[string][]int32{"a": {0}}
	s.rate = 0
	s.rounds(60)
	s.rate = 50
	s.rounds(20)
	if _, known := s.series["group_lag_messages"]; known {
		t.Error("100 s after the first record it counts as late")
	}
	s.rounds(20)
	if age := s.series["group_commit_age_seconds"]; age < 30 {
		t.Errorf("200 s after the first record nothing was committed for %v s", age)
	}
}

func TestStallFollowsOnlyFromAWorkingOwner(t *testing.T) {
	s := newScene(t, 4)
	s.members = map[string][]int32{"a": {0, 1}, "b": {2, 3}}
	s.rounds(10, 0, 1, 2, 3)
	s.rounds(8, 2, 3) // a stands still with both
	s.wantTold("stalled", "stall_began/0@75", "stall_began/1@75")
	s.want("a member stands still", map[string]float64{"group_frozen_members": 0})
	s.rounds(4, 2, 3)
	s.want("for a minute", map[string]float64{"group_frozen_members": 1, "group_frozen_alone": 0})
	s.members = map[string][]int32{"a": {0}, "b": {1, 2, 3}}
	s.rounds(14, 2, 3)
	s.wantTold("the old owner stands still with its other partition too: nothing is proven")
	s.round(1, 2, 3)
	s.wantTold("over, long after the change", "stall_cleared/1@180")
}

func TestStallClearedByNewOwner(t *testing.T) {
	s := newScene(t, 4)
	s.members = map[string][]int32{"a": {0, 1}, "b": {2, 3}}
	s.rounds(10, 0, 1, 2, 3)
	s.rounds(8, 0, 2, 3)
	s.told()
	s.members = map[string][]int32{} // a rebalance: nobody owns anything for a moment
	s.look()
	s.members = map[string][]int32{"a": {0}, "b": {1, 2, 3}}
	s.round(0, 2, 3)
	s.told()
	s.round(0, 1, 2, 3)
	s.wantTold("the owner was to blame", "stall_cleared_by_new_owner/1@100", "stall_cleared/1@100")
}

// Several processes with one client id on one host are still several.
func TestOwnersWithOneName(t *testing.T) {
	s := newScene(t, 4)
	s.members = map[string][]int32{"app#1": {0, 1}, "app#2": {2, 3}}
	s.rounds(10, 0, 1, 2, 3)
	s.rounds(8, 0, 2, 3)
	s.told()
	s.members = map[string][]int32{"app#1": {0, 2}, "app#2": {1, 3}}
	s.rounds(8, 0, 2, 3)
	s.wantTold("moved between two of one name", "stall_followed_partition/1@120")
}

func TestMembersComeAndGo(t *testing.T) {
	for _, test := range []struct {
		name   string
		before map[string][]int32
		after  map[string][]int32
		want   []string
	}{
		{"a new one", map[string][]int32{"a": {0}}, map[string][]int32{"a": {0}, "b": {1}}, []string{"member_seen"}},
		{"one gone", map[string][]int32{"a": {0}, "b": {1}}, map[string][]int32{"a": {0, 1}}, []string{"member_gone"}},
		{"the last one gone", map[string][]int32{"a": {0}}, map[string][]int32{}, []string{"member_gone", "group_became_empty"}},
		{"back with another id: it was lost in between", map[string][]int32{"a": {0}}, map[string][]int32{"a#2": {0}}, []string{"member_gone", "member_seen"}},
		{"a static member back with another id is the same", map[string][]int32{"A": {0}}, map[string][]int32{"A#2": {0}}, []string{"member_replaced"}},
		{"only the assignment changed", map[string][]int32{"a": {0}, "b": {1}}, map[string][]int32{"a": {1}, "b": {0}}, nil},
	} {
		s := newScene(t, 2)
		s.members = test.before
		s.rounds(3, 0, 1)
		s.wantTold(test.name + ": those who were there when watching began did not come")
		s.members = test.after
		s.round(0, 1)
		var got []string
		for _, text := range s.told() {
			got = append(got, text[:strings.IndexByte(text, '@')])
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: told %v, want %v", test.name, got, test.want)
		}
	}
}

func TestListedWhileFrozen(t *testing.T) {
	for _, test := range []struct {
		name   string
		frozen int // rounds in which b does nothing before it is gone
		want   bool
	}{
		{"worked until it was gone: it left", 0, false},
		{"stood still for long and then was gone: it expired", 8, true},
	} {
		s := newScene(t, 4)
		s.members = map[string][]int32{"a": {0, 1}, "b": {2, 3}}
		s.rounds(10, 0, 1, 2, 3)
		s.rounds(test.frozen, 0, 1)
		s.events = nil
		s.members = map[string][]int32{"a": {0, 1, 2, 3}}
		s.round(0, 1)
		if len(s.events) != 1 || s.events[0].Attrs["listed_while_frozen"] != test.want {
			t.Errorf("%s: %v", test.name, s.events)
		}
	}
}

func TestJumps(t *testing.T) {
	type step struct {
		name    string
		members map[string][]int32
		backlog int64          // gathers after ten normal rounds, in two minutes
		prepare func(s *scene) // before the look that sees it
		want    []string
	}
	worker := map[string][]int32{"a": {0, 1}}
	for _, test := range []step{
		{"set back", worker, 0, func(s *scene) { s.commit[0] = 200 }, []string{"offset_rewound/0"}},
		{"set to the head while nobody reads", nil, 20_000, func(s *scene) { s.commit[0] = s.heads[0] }, []string{"offset_jumped/0"}},
		{"a consumer that catches up quickly works, it does not jump", worker, 20_000, func(s *scene) { s.commit[0] = s.heads[0] }, nil},
		{"nobody reads millions of records a second", worker, 24_000_000, func(s *scene) { s.commit[0] = s.heads[0] }, []string{"offset_jumped/0"}},
		{
			"what retention took was not read", worker, 20_000, func(s *scene) { s.starts[0] = 15_000; s.commit[0] = 16_000 },
			[]string{"offset_jumped/0"},
		},
		{
			"a little step to what retention left is one, too", worker, 0,
			func(s *scene) { s.starts[0] = 1480; s.look(); s.commit[0] = 1480 },
			[]string{"offset_jumped/0"},
		},
		{
			"who fetched before retention came commits what was deleted meanwhile", worker, 0,
			func(s *scene) { s.starts[0] = 1480; s.look(); s.commit[0] = 1470 }, nil,
		},
		{
			"an application that deletes what it has done with does not jump", worker, 0,
			func(s *scene) { s.starts[0] = 1480; s.commit[0] = 1480 }, nil,
		},
		{"a burst is read as it comes", worker, 0, func(s *scene) { s.heads[0] += 20_000; s.commit[0] = s.heads[0] }, nil},
		{
			"the first thing a new consumer does may be a big step", nil, 20_000,
			func(s *scene) { s.members = worker; s.commit[0] = s.heads[0] }, nil,
		},
		{"normal work", worker, 0, func(s *scene) { s.commit[0] = s.heads[0] }, nil},
	} {
		s := newScene(t, 2)
		s.members = test.members
		s.rounds(10, 0, 1)
		if test.backlog > 0 {
			for range 24 {
				s.heads[0] += test.backlog / 24
				s.round(1)
			}
		}
		s.told()
		committed := s.series["group_committed_total"]
		test.prepare(s)
		s.look()
		told := slices.DeleteFunc(s.events, func(e streamkeeper.Event) bool { return !strings.HasPrefix(e.Kind, "offset_") })
		s.events = told
		var got []string
		for _, text := range s.told() {
			got = append(got, text[:strings.IndexByte(text, '@')])
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: told %v, want %v", test.name, got, test.want)
		}
		for _, e := range told {
			for _, attr := range []string{"from", "to", "head", "log_start", "rate"} {
				if _, ok := e.Number(attr); !ok {
					t.Errorf("%s: %s has no %s", test.name, e.Kind, attr)
				}
			}
			if s.series["group_committed_total"] != committed {
				t.Errorf("%s: a position that was set counts as work", test.name)
			}
		}
	}
}

// An open transaction pins a group that reads committed records: that is not a bad record.
func TestPinnedAtTheStableOffset(t *testing.T) {
	s := newScene(t, 3)
	s.members = map[string][]int32{"a": {0, 1, 2}}
	step := func(n int, pinned bool) {
		for range n {
			for p := range s.heads {
				s.lso[p] = s.heads[p] + s.rate
			}
			if pinned {
				s.lso[1] = 1450
			}
			committing := []int{0, 2}
			if !pinned {
				committing = append(committing, 1)
			}
			s.round(committing...)
		}
	}
	step(10, false)
	s.commit[1] = 1450
	step(20, true)
	s.want("pinned", map[string]float64{"group_frozen_alone": 0, "group_stalled_partitions": 1})
	if got := s.series["topic_stable_offset_stuck_seconds"]; got < 60 {
		t.Errorf("the stable offset stands still for %v s", got)
	}
	s.lso[1] = unset
	s.look()
	s.commit[1] = 1430
	s.rounds(20, 0, 2)
	s.want("below the stable offset it is", map[string]float64{"group_frozen_alone": 1})
}

func TestSharing(t *testing.T) {
	s := newScene(t, 4)
	s.members = map[string][]int32{"a": {0, 1}, "b": {2}, "c": {3}, "d": nil}
	s.rounds(3, 0, 1, 2, 3)
	for p, lag := range []int64{600, 0, 300, 100} {
		s.commit[p] = s.heads[p] - lag
	}
	s.look()
	s.want("one partition of a", map[string]float64{
		"group_lag_messages": 1000, "group_top_partition_lag_share": .6, "group_top_member_lag_share": .6, "group_top_member_partitions": 1,
		"group_busy_members": 3, "group_idle_members": 1, "group_partitions": 4, "group_multi_parts": 1,
	})
	s.commit[1] = s.heads[1] - 500
	s.look()
	s.want("both partitions of a", map[string]float64{"group_top_member_partitions": 2})
}

func TestGrowingShare(t *testing.T) {
	s := newScene(t, 4)
	s.members = map[string][]int32{"a": {0, 1, 2, 3}}
	s.rounds(5, 0, 1, 2, 3)
	s.rounds(20, 0)
	s.want("three of four grow", map[string]float64{"group_growing_partitions_share": .75})
}

func TestTopicMadeAnew(t *testing.T) {
	s := newScene(t, 1)
	s.members = map[string][]int32{"a": {0}}
	s.rounds(5, 0)
	total := s.series["group_committed_total"]
	s.heads[0], s.commit[0] = 10, 1200 // the old offset outlives the topic
	s.look()
	if _, ok := s.series["group_lag_messages"]; ok {
		t.Error("an offset beyond the head gives a lag")
	}
	s.wantTold("made anew")
	s.commit[0] = 5
	s.rate = 0
	s.look()
	s.look()
	s.want("committed again", map[string]float64{"group_lag_messages": 5, "group_committed_total": total})
	s.wantTold("a new beginning is no rewind")
}

func TestGroupsEnd(t *testing.T) {
	s := newScene(t, 1)
	s.rounds(3, 0)
	s.now += 5
	s.play(&snapshot{brokers: map[int32]brokerState{1: {}}, groups: map[string]*groupState{}, groupsRead: false, topics: map[string]*topicState{}})
	if len(s.track.groups) != 1 {
		t.Error("a list that is not whole ended a group")
	}
	s.now += 5
	s.play(&snapshot{brokers: map[int32]brokerState{1: {}}, groups: map[string]*groupState{}, groupsRead: true, topics: map[string]*topicState{}, topicsRead: true})
	if len(s.track.groups)+len(s.track.topics) != 0 {
		t.Error("a deleted group or topic is remembered")
	}
	for name := range s.series {
		if strings.HasPrefix(name, "group_") || strings.HasPrefix(name, "topic_") {
			t.Errorf("%s outlives its entity", name)
		}
	}
}

func TestWatermark(t *testing.T) {
	s := newScene(t, 1)
	if w := s.track.watermark(); !w.Through.IsZero() {
		t.Errorf("%+v before the first round", w)
	}
	s.rounds(4, 0)
	if w := s.track.watermark(); !w.From.Equal(at(0)) || !w.Through.Equal(at(15)) || !w.Heartbeat.Equal(at(15)) {
		t.Errorf("%+v, want 0 to 15", w)
	}
	s.now += 10
	s.round(0)
	if w := s.track.watermark(); !w.From.Equal(at(0)) {
		t.Errorf("%+v: a few seconds are no gap", w)
	}
	s.now += 600
	s.round(0)
	if w := s.track.watermark(); !w.From.Equal(w.Through) {
		t.Errorf("%+v: what happened in ten unwatched minutes is not known", w)
	}

	born := newScene(t, 1)
	born.track.born = true
	born.round(0)
	if w := born.track.watermark(); !w.From.IsZero() {
		t.Errorf("%+v: before a cluster that began with us nothing happened", w)
	}
	born.now += 600
	born.round(0)
	if w := born.track.watermark(); w.From.IsZero() {
		t.Errorf("%+v: but something may have while we did not watch", w)
	}
}

func TestLeadersMovedFirst(t *testing.T) {
	for _, moved := range []bool{false, true} {
		s := newScene(t, 0)
		play := func(down bool, leads int) {
			s.now += 5
			topic := &topicState{}
			for i := range 10 {
				leader := int32(2)
				if i < leads {
					leader = 1
				}
				topic.parts = append(topic.parts, partState{leader: leader, start: unset, lso: unset, head: 0})
			}
			s.play(&snapshot{
				brokers:   map[int32]brokerState{1: {}, 2: {}},
				reachable: map[int32]bool{1: !down, 2: true},
				topics:    map[string]*topicState{"t": topic}, topicsRead: true, groupsRead: true,
			})
		}
		play(false, 6)
		play(false, 6)
		if moved {
			play(false, 0)
		}
		play(true, 0)
		play(true, 0)
		if len(s.events) != 1 || s.events[0].Kind != "broker_unreachable" || s.events[0].Attrs["leaders_moved_first"] != moved {
			t.Errorf("moved %v: %v", moved, s.events)
		}
		if want := map[bool]float64{true: 0, false: 6}[moved]; s.events[0].Attrs["leaderships_at_loss"] != want {
			t.Errorf("moved %v: %v leaderships, want %v", moved, s.events[0].Attrs["leaderships_at_loss"], want)
		}
	}
}
