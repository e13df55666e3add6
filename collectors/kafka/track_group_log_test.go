package kafka

import (
	"testing"
	"time"
)

// logScene is a scene whose coordinator writes down what the test says, which the next look reads.
func logScene(t *testing.T) (s *scene, write func(logged)) {
	s = newScene(t, 2)
	s.track.logs = true
	var written []logged
	s.with = func(snap *snapshot) {
		snap.logged, snap.loggedAll = written, true
		written = nil
	}
	return s, func(l logged) {
		l.group = "g"
		written = append(written, l)
	}
}

func rosterOf(seconds float64, ids ...string) logged {
	l := logged{at: at(seconds), roster: []loggedMember{}}
	for _, id := range ids {
		l.roster = append(l.roster, loggedMember{memberState: memberState{id: id, client: id[3:4], host: "h"}, session: 10 * time.Second})
	}
	return l
}

func joinOf(seconds float64, id, instance, host string) logged {
	m := memberState{id: id, client: id[3:4], host: host, instance: instance}
	return logged{at: at(seconds), joined: &loggedMember{memberState: m, rebalance: 6 * time.Second}}
}

// TestLostBetweenLooks: a change is told once, whether descriptions show it or the log alone has it.
func TestLostBetweenLooks(t *testing.T) {
	s, write := logScene(t)
	s.members = map[string][]int32{"a": {0}, "b": {1}}
	write(rosterOf(-20, "id-a", "id-b"))
	s.rounds(3, 0, 1)
	s.wantTold("nothing happened")

	delete(s.members, "b")
	s.round(0, 1)
	s.wantTold("descriptions show it at once", "member_gone@15")
	s.members["b#2"] = []int32{1}
	s.round(0, 1)
	write(rosterOf(21, "id-a", "id-b#2"))
	s.rounds(3, 0, 1)
	s.wantTold("and the log when the rebalance is over: that is told already", "member_seen@20")

	write(rosterOf(36, "id-a", "id-b#2", "id-c"))
	write(rosterOf(38, "id-a", "id-b#2"))
	s.round(0, 1)
	s.wantTold("a description may yet show it")
	s.round(0, 1)
	s.wantTold("one that came and went between two looks", "member_seen@36", "member_gone@38")
	s.want("it counts", map[string]float64{"group_losses_watched": 2})
	s.rounds(3, 0, 1)
	s.wantTold("once")
}

// TestBackUnderTheSameID: a KIP-848 member that takes too long leaves, and joins under the id that it had.
func TestBackUnderTheSameID(t *testing.T) {
	s, write := logScene(t)
	s.members = map[string][]int32{"a": {0}, "b": {1}}
	s.rounds(3, 0, 1)
	write(joinOf(11, "id-b", "", "h"))
	s.rounds(2, 0, 1)
	s.wantTold("its subscription changed, which is no news of who is there")

	write(logged{at: at(18), commit: partition{"t", 1}})
	write(logged{at: at(24), left: "id-b"})
	write(joinOf(25, "id-b", "", "h"))
	s.round(0, 1)
	s.round(0, 1)
	lost := s.events
	s.wantTold("between two looks", "member_gone@24", "member_seen@25")
	if age := lost[0].Attrs["commit_age_s"]; age != 6.0 {
		t.Errorf("the lost member had last committed %v s before, want 6", age)
	}

	delete(s.members, "b")
	s.look()
	s.members["b"] = []int32{1}
	write(logged{at: at(34), left: "id-b"})
	write(joinOf(36, "id-b", "", "h"))
	s.rounds(3, 0, 1)
	s.wantTold("and in sight", "member_gone@35", "member_seen@40")
}

// TestOneInstanceIDOnTwoHosts: two processes throw each other out, and back on the first host that is known.
func TestOneInstanceIDOnTwoHosts(t *testing.T) {
	s, write := logScene(t)
	holder := func(seconds float64, id, host string) logged {
		l := rosterOf(seconds, id)
		l.roster[0].instance, l.roster[0].host = "A", host
		return l
	}
	s.members = map[string][]int32{"A": {0, 1}}
	write(holder(-20, "id-A", "h"))
	s.rounds(2, 0, 1)
	s.members = map[string][]int32{"A#2": {0, 1}}
	write(holder(6, "id-A#1", "k"))
	write(holder(8, "id-A#2", "h"))
	s.round(0, 1)
	told := s.events
	s.wantTold("each takeover is told once, by the log or by descriptions", "member_replaced@6", "member_replaced@8")
	if told[0].Attrs["back"] != false || told[1].Attrs["back"] != true || told[1].Attrs["old_host"] != "k" {
		t.Errorf("%v, then %v: want the second one back on h from k", told[0].Attrs, told[1].Attrs)
	}
	s.members = map[string][]int32{"A#3": {0, 1}}
	s.round(0, 1)
	told = s.events
	s.wantTold("without the log", "member_replaced@15")
	if _, ok := told[0].Attrs["back"]; ok {
		t.Errorf("%v: on one host nobody knows whether it is one process or two", told[0].Attrs)
	}
}

// TestStaticMemberRestarts_848: the member that is taken over ends first, which is no loss.
func TestStaticMemberRestarts_848(t *testing.T) {
	s, write := logScene(t)
	s.members = map[string][]int32{"A": {0, 1}}
	write(joinOf(-30, "id-A", "A", "h"))
	write(logged{at: at(-20), left: "id-A"})
	write(joinOf(-20, "id-A#2", "A", "k"))
	s.members = map[string][]int32{"A#2": {0, 1}}
	s.rounds(4, 0, 1)
	s.wantTold("before we came", "member_seen@-30", "member_replaced@-20")
}
