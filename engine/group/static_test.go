package group

import (
	"testing"
	"time"
)

func (s *sim) static(instance, host string) JoinRequest {
	r := s.joining("c-"+instance, "")
	r.InstanceID, r.Host = instance, host
	return r
}

// stableStatic brings static members into a stable group and returns their ids.
func (s *sim) stableStatic(instances ...string) []string {
	s.t.Helper()
	var tokens []Token
	for _, i := range instances {
		tokens = append(tokens, s.join(s.static(i, "h1")))
	}
	s.pass(2 * s.g.options.InitialRebalanceDelay)
	s.syncAll(nil)
	ids := make([]string, len(tokens))
	for i, t := range tokens {
		ids[i] = s.joins[t].MemberID
	}
	want(s.t, s.g.State(), Stable)
	return ids
}

func TestStatic(t *testing.T) {
	o := Options{InitialRebalanceDelay: time.Second}
	cases := []struct {
		name, why string
		run       func(*testing.T, *sim)
	}{
		{"a restart takes its place without a rebalance", "KIP-345's purpose", func(t *testing.T, s *sim) {
			ids := s.stableStatic("i1", "i2")
			gen, rounds := s.g.Generation(), s.count(RebalanceStarted)
			j := s.joins[s.join(s.static("i2", "h2"))]
			want(t, j.Code, None)
			want(t, j.Generation, gen)
			want(t, s.count(RebalanceStarted), rounds)
			code, _ := s.g.Heartbeat(s.now, ids[1], "i2", gen)
			want(t, code, FencedInstanceID)
			code, _ = s.g.Heartbeat(s.now, j.MemberID, "i2", gen)
			want(t, code, None)
			e := s.last(MemberFenced)
			want(t, e.OldMember.Host+">"+e.Member.Host, "h1>h2")
			want(t, e.OldMember.ID, ids[1])
		}},
		{"the replaced process, if it waits, is fenced", "two processes with one id must not both believe they are members", func(t *testing.T, s *sim) {
			old := s.join(s.static("i1", "h1"))
			s.join(s.static("i1", "h2"))
			want(t, s.joins[old].Code, FencedInstanceID)
			want(t, s.g.Size(), 1)
		}},
		{"a restarted leader is told the old leader's id before v9", "it would assign, and a stable group passes nothing on", func(t *testing.T, s *sim) {
			ids := s.stableStatic("i1", "i2")
			leader := s.g.Leader()
			want(t, leader, ids[0])
			j := s.joins[s.join(s.static("i1", "h1"))]
			want(t, j.Leader, leader)
			want(t, len(j.Members), 0)
		}},
		{"a restarted leader is told to skip the assignment from v9", "it must still watch the metadata", func(t *testing.T, s *sim) {
			s.stableStatic("i1", "i2")
			r := s.static("i1", "h1")
			r.SkipAssignment = true
			j := s.joins[s.join(r)]
			want(t, j.SkipAssignment, true)
			want(t, j.Leader, j.MemberID)
			want(t, len(j.Members), 2)
		}},
		{"a replacement that changes the selected protocol rebalances", "the assignment is made by another assignor", func(t *testing.T, s *sim) {
			s.stableStatic("i1")
			r := s.static("i1", "h1")
			r.Protocols[0].Name = "sticky"
			want(t, s.joins[s.join(r)].Code, InconsistentGroupProtocol) // nobody else supports it, the old one included
			r = s.static("i1", "h1")
			r.Protocols = []Protocol{{"sticky", subscription("t")}, {"range", subscription("t")}}
			j := s.join(r)
			e := s.last(RebalanceStarted)
			want(t, e.Cause, CauseStaticReplaced)
			want(t, e.Reason, "Group's selectedProtocol will change because static member "+s.joins[j].MemberID+
				" with instance id i1 joined with change of protocol; client reason: not provided")
		}},
		{"a replacement while the leader assigns starts another round", "the leader assigns to the old member id", func(t *testing.T, s *sim) {
			s.join(s.static("i1", "h1"))
			s.join(s.static("i2", "h1"))
			s.pass(2 * time.Second)
			want(t, s.g.State(), CompletingRebalance)
			s.join(s.static("i2", "h2"))
			want(t, s.g.State(), PreparingRebalance)
			want(t, s.last(RebalanceStarted).Cause, CauseStaticReplaced)
		}},
		{"a replacement that could not be stored is taken back", "after a restart the old id would be the member again", func(t *testing.T, s *sim) {
			ids := s.stableStatic("i1", "i2")
			s.holdSaves = true
			j := s.join(s.static("i1", "h2"))
			s.absorb(s.g.Saved(s.now, s.saves[0].ID, NotCoordinator))
			want(t, s.joins[j].Code, NotCoordinator)
			code, _ := s.g.Heartbeat(s.now, ids[0], "i1", s.g.Generation())
			want(t, code, None)
			want(t, s.g.Leader(), ids[0])
		}},
		{"an operator removes by instance id alone", "the member id is not known to a tool", func(t *testing.T, s *sim) {
			s.stableStatic("i1", "i2")
			want(t, s.leave(Leaving{InstanceID: "i1"}, Leaving{InstanceID: "i9"}), []Code{None, UnknownMemberID})
			want(t, s.last(MemberLeft).Admin, true)
		}},
		{"a wrong member id with a known instance id is fenced", "UNKNOWN_MEMBER_ID would make it rejoin and steal the place", func(t *testing.T, s *sim) {
			s.stableStatic("i1")
			want(t, s.leave(Leaving{MemberID: "x", InstanceID: "i1"}), []Code{FencedInstanceID})
			want(t, s.g.Commit(s.now, "x", "i1", s.g.Generation()), FencedInstanceID)
			r := s.static("i1", "h1")
			r.MemberID = "x"
			want(t, s.joins[s.join(r)].Code, FencedInstanceID)
		}},
		{"a static member that does not rejoin keeps its place until its session ends", "a restart may take longer than a round", func(t *testing.T, s *sim) {
			r1, r2 := s.static("i1", "h1"), s.static("i2", "h1")
			r1.SessionTimeout, r2.SessionTimeout = time.Minute, time.Minute
			s.join(r1)
			s.join(r2)
			s.pass(2 * time.Second)
			s.syncAll(nil)
			again := r1
			again.MemberID = s.g.Leader()
			j := s.join(again)
			s.pass(30 * time.Second) // the rebalance timeout
			want(t, s.joins[j].Code, None)
			want(t, s.g.Size(), 2)
			s.syncAll(nil)
			want(t, s.g.State(), Stable)
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Log("because: " + c.why)
			c.run(t, newSim(t, o))
		})
	}
}
