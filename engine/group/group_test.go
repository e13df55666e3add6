package group

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Each case is one rule of Kafka's coordinator; why says what breaks without it.
func TestRules(t *testing.T) {
	cases := []struct {
		name, why string
		options   Options
		run       func(*testing.T, *sim)
	}{
		{
			"a dynamic newcomer must come again with its id", "a JoinGroup whose answer got lost would leave a ghost member behind",
			Options{},
			func(t *testing.T, s *sim) {
				r := s.joining("c", "")
				r.MemberIDRequired = true
				first := s.joins[s.join(r)]
				want(t, first.Code, MemberIDRequired)
				want(t, s.g.Size(), 0)
				r.MemberID = first.MemberID
				want(t, s.joins[s.join(r)].Code, None)
				want(t, s.g.Size(), 1)
			},
		},
		{
			"an announced id is forgotten after the session timeout", "it would block every join phase for ever",
			Options{},
			func(t *testing.T, s *sim) {
				s.stable("a")
				r := s.joining("b", "")
				r.MemberIDRequired = true
				s.join(r)
				rejoin := s.join(s.joining("a", s.g.Leader())) // the leader starts a round
				_, done := s.joins[rejoin]
				want(t, done, false)
				s.pass(10 * time.Second)
				want(t, s.joins[rejoin].Code, None)
			},
		},
		{
			"an empty group waits the initial delay, longer while members come", "each start of a fleet would rebalance once per process",
			Options{InitialRebalanceDelay: 3 * time.Second},
			func(t *testing.T, s *sim) {
				a := s.join(s.joining("a", ""))
				s.pass(2 * time.Second)
				b := s.join(s.joining("b", ""))
				s.pass(2 * time.Second) // 4 s: prolonged
				_, done := s.joins[a]
				want(t, done, false)
				s.pass(2 * time.Second)
				want(t, s.joins[a].Generation, 1)
				want(t, s.joins[b].Generation, 1)
				want(t, len(s.joins[a].Members)+len(s.joins[b].Members), 2) // the leader alone gets the list
			},
		},
		{
			"the initial delay never passes the rebalance timeout", "a trickle of members would hold back the first generation for ever",
			Options{InitialRebalanceDelay: 3 * time.Second},
			func(t *testing.T, s *sim) {
				first := s.joining("a", "")
				first.RebalanceTimeout = 7 * time.Second
				a := s.join(first)
				for range 12 {
					s.pass(time.Second)
					r := s.joining("x", "")
					r.RebalanceTimeout = 7 * time.Second
					if _, done := s.joins[a]; !done {
						s.join(r)
					}
				}
				want(t, s.joins[a].Generation, 1)
			},
		},
		{
			"dynamic members that do not rejoin in time are removed", "one stuck process would stop the whole group",
			Options{},
			func(t *testing.T, s *sim) {
				ids := s.stable("a", "b")
				s.join(s.joining("a", ids[0]))
				for range 10 {
					s.pass(3 * time.Second)
					s.beat(ids[1], s.g.Generation())
				}
				want(t, s.g.Size(), 1)
				e := s.last(MemberExpired)
				want(t, e.Reason, ReasonRebalance)
				want(t, e.Member.ID, ids[1])
				want(t, s.now.Sub(e.Member.LastHeartbeat) <= 3*time.Second, true)
			},
		},
		{
			"a silent member expires and its peers rebalance", "its partitions would never be read again",
			Options{},
			func(t *testing.T, s *sim) {
				ids := s.stable("a", "b")
				for range 4 {
					s.pass(3 * time.Second)
					s.beat(ids[0], s.g.Generation())
				}
				want(t, s.g.State(), PreparingRebalance)
				e := s.last(MemberExpired)
				want(t, e.Reason, ReasonSession)
				want(t, e.At.Sub(e.Member.LastHeartbeat), 10*time.Second)
				r := s.last(RebalanceStarted)
				want(t, r.Reason, "removing member "+ids[1]+" on heartbeat expiration.")
				want(t, r.Cause, CauseMemberExpired)
				want(t, r.Trigger, "b@10.0.0.1")
			},
		},
		{
			"leaving starts a rebalance with Kafka's sentence and the client's reason", "the classifier reads both engines",
			Options{},
			func(t *testing.T, s *sim) {
				ids := s.stable("a", "b")
				codes := s.leave(Leaving{MemberID: ids[1], Reason: "consumer poll timeout has expired."}, Leaving{MemberID: "x"})
				want(t, codes, []Code{None, UnknownMemberID})
				want(t, s.last(MemberLeft).Reason, "consumer poll timeout has expired.")
				r := s.last(RebalanceStarted)
				want(t, r.Reason, "explicit `LeaveGroup` request for ("+ids[1]+") members.")
				want(t, r.ClientReason, "consumer poll timeout has expired.")
			},
		},
		{
			"the last to leave empties the group", "an empty group keeps its offsets and its generation",
			Options{},
			func(t *testing.T, s *sim) {
				ids := s.stable("a")
				g := s.g.Generation()
				s.leave(Leaving{MemberID: ids[0]})
				want(t, s.g.State(), Empty)
				want(t, s.g.Generation(), g+1)
				want(t, s.count(GroupEmptied), 1)
				want(t, s.last(MemberLeft).Reason, ReasonNotProvided)
			},
		},
		{
			"a follower that joins again unchanged gets the current generation", "a lost answer must not cost the group a round",
			Options{},
			func(t *testing.T, s *sim) {
				ids := s.stable("a", "b")
				r := s.joins[s.join(s.joining("b", ids[1]))]
				want(t, r.Generation, s.g.Generation())
				want(t, s.g.State(), Stable)
			},
		},
		{
			"a leader that joins again rebalances", "it saw new partitions: only the leader looks",
			Options{},
			func(t *testing.T, s *sim) {
				ids := s.stable("a", "b")
				r := s.joining("a", ids[0])
				r.Reason = "cached metadata has changed"
				s.join(r)
				e := s.last(RebalanceStarted)
				want(t, e.Reason, "Leader "+ids[0]+" re-joining group during Stable; client reason: cached metadata has changed")
				want(t, e.Cause, CauseLeaderRejoin)
			},
		},
		{
			"a changed subscription rebalances and is told", "the assignment no longer fits",
			Options{},
			func(t *testing.T, s *sim) {
				ids := s.stable("a", "b")
				r := s.joining("b", ids[1])
				r.Protocols = []Protocol{{"range", subscription("t", "u")}}
				s.join(r)
				e := s.last(SubscriptionChanged)
				want(t, e.From+">"+e.To, "t>t,u")
				want(t, s.last(RebalanceStarted).Reason, "Updating metadata for member "+ids[1]+" during Stable; client reason: not provided")
			},
		},
		{
			"the protocol most members prefer among those all support wins", "old and new assignors meet in a rolling change",
			Options{InitialRebalanceDelay: time.Second},
			func(t *testing.T, s *sim) {
				for _, names := range [][]string{{"sticky", "range"}, {"range", "sticky", "x"}, {"x", "sticky", "range"}} {
					r := s.joining("c", "")
					r.Protocols = nil
					for _, n := range names {
						r.Protocols = append(r.Protocols, Protocol{n, subscription("t")})
					}
					s.join(r)
				}
				s.pass(5 * time.Second)
				want(t, s.g.Protocol(), "sticky")
			},
		},
		{
			"a newcomer without a common protocol is refused", "nobody could assign for both",
			Options{},
			func(t *testing.T, s *sim) {
				s.stable("a")
				r := s.joining("b", "")
				r.Protocols[0].Name = "other"
				want(t, s.joins[s.join(r)].Code, InconsistentGroupProtocol)
				r = s.joining("b", "")
				r.ProtocolType = "connect"
				want(t, s.joins[s.join(r)].Code, InconsistentGroupProtocol)
			},
		},
		{
			"members that joined but never sync are removed", "followers would wait for a leader that died while assigning",
			Options{InitialRebalanceDelay: time.Second},
			func(t *testing.T, s *sim) {
				a, b := s.join(s.joining("a", "")), s.join(s.joining("b", ""))
				s.pass(2 * time.Second)
				leader, follower := s.joins[a].MemberID, s.joins[b].MemberID
				sync := s.sync(follower, 1, nil)
				for range 10 {
					s.pass(3 * time.Second)
					s.beat(leader, 1)
				}
				want(t, s.syncs[sync].Code, RebalanceInProgress)
				e := s.last(RebalanceStarted)
				want(t, e.Reason, "Removing ["+leader+"] on pending sync request expiration")
				want(t, e.Cause, CauseSyncExpired)
				want(t, s.g.Leader(), follower)
			},
		},
		{
			"assignments are answered only once they are stored", "a coordinator that restarts would not know the generation",
			Options{},
			func(t *testing.T, s *sim) {
				s.holdSaves = true
				j := s.joins[s.join(s.joining("a", ""))]
				sync := s.sync(j.MemberID, 1, map[string][]byte{j.MemberID: assignment("t", 0, 1)})
				_, done := s.syncs[sync]
				want(t, done, false)
				want(t, s.saves[0].Snapshot.Members[0].Assignment, assignment("t", 0, 1))
				s.absorb(s.g.Saved(s.now, s.saves[0].ID, None))
				want(t, s.syncs[sync].Assignment, assignment("t", 0, 1))
				want(t, s.count(AssignmentChanged), 2)
			},
		},
		{
			"assignments that could not be stored start another round", "the group must not be stable on a lost generation",
			Options{},
			func(t *testing.T, s *sim) {
				s.holdSaves = true
				j := s.joins[s.join(s.joining("a", ""))]
				sync := s.sync(j.MemberID, 1, nil)
				s.absorb(s.g.Saved(s.now, s.saves[0].ID, NotCoordinator))
				want(t, s.syncs[sync].Code, NotCoordinator)
				want(t, s.last(RebalanceStarted).Reason,
					"Error NOT_COORDINATOR when storing group assignment during SyncGroup (member: "+j.MemberID+").")
			},
		},
		{
			"the leader's SyncGroup of an older round is ignored once it is stored", "two generations would mix",
			Options{},
			func(t *testing.T, s *sim) {
				s.holdSaves = true
				j := s.joins[s.join(s.joining("a", ""))]
				s.sync(j.MemberID, 1, nil)
				s.join(s.joining("b", ""))
				s.absorb(s.g.Saved(s.now, s.saves[0].ID, None))
				want(t, s.g.State(), PreparingRebalance)
			},
		},
		{
			"the group is never larger than its limit", "group.max.size",
			Options{MaxSize: 1},
			func(t *testing.T, s *sim) {
				s.stable("a")
				want(t, s.joins[s.join(s.joining("b", ""))].Code, GroupMaxSizeReached)
			},
		},
		{
			"session timeouts outside the bounds are refused", "group.min.session.timeout.ms",
			Options{MinSessionTimeout: 6 * time.Second, MaxSessionTimeout: time.Minute},
			func(t *testing.T, s *sim) {
				for _, d := range []time.Duration{0, 5 * time.Second, 2 * time.Minute} {
					r := s.joining("a", "")
					r.SessionTimeout = d
					want(t, s.joins[s.join(r)].Code, InvalidSessionTimeout)
				}
			},
		},
		{
			"heartbeats tell a running rebalance and refuse strangers", "that is how followers learn of it",
			Options{},
			func(t *testing.T, s *sim) {
				ids := s.stable("a", "b")
				gen := s.g.Generation()
				want(t, s.beat("x", gen), UnknownMemberID)
				want(t, s.beat(ids[0], gen-1), IllegalGeneration)
				want(t, s.beat(ids[0], gen), None)
				s.leave(Leaving{MemberID: ids[1]})
				want(t, s.beat(ids[0], gen), RebalanceInProgress)
			},
		},
		{
			"the heartbeat interval is measured, not assumed", "the autopsy compares ages with it",
			Options{},
			func(t *testing.T, s *sim) {
				ids := s.stable("a")
				for range 5 {
					s.pass(3 * time.Second)
					s.beat(ids[0], s.g.Generation())
				}
				m, _ := s.g.Member(ids[0])
				want(t, m.HeartbeatInterval, 3*time.Second)
			},
		},
		{
			"the same members again are told as such", "a rebalance without a change of members is churn",
			Options{},
			func(t *testing.T, s *sim) {
				ids := s.stable("a")
				want(t, s.last(RebalanceCompleted).SameKnown, false)
				s.join(s.joining("a", ids[0]))
				s.syncAll(nil)
				want(t, s.last(RebalanceCompleted).SameMembers, true)
				s.stable("b")
				want(t, s.last(RebalanceCompleted).SameMembers, false)
			},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Log("because: " + c.why)
			c.run(t, newSim(t, c.options))
		})
	}
}

func TestCommitRules(t *testing.T) {
	s := newSim(t, Options{})
	want(t, s.g.Commit(s.now, "", "", -1), None)            // a simple client in an empty group
	want(t, s.g.Commit(s.now, "x", "", 3), UnknownMemberID) // a member of a group that is no more
	s.holdSaves = true
	id := s.joins[s.join(s.joining("a", ""))].MemberID
	want(t, s.g.Commit(s.now, id, "", 1), RebalanceInProgress) // no assignment yet
	s.sync(id, 1, nil)
	s.absorb(s.g.Saved(s.now, s.saves[0].ID, None))
	want(t, s.g.Commit(s.now, id, "", 1), None)
	want(t, s.g.Commit(s.now, id, "", 0), IllegalGeneration)
	want(t, s.g.Commit(s.now, "", "", -1), UnknownMemberID) // a simple client beside members
	want(t, s.g.Commit(s.now, id, "i", 1), UnknownMemberID)
	s.join(s.joining("b", ""))
	want(t, s.g.Commit(s.now, id, "", 1), None) // still the owner while a round collects members
	want(t, CommitUnknown(-1), None)
	want(t, CommitUnknown(4), IllegalGeneration)
}

func TestDeletionRules(t *testing.T) {
	s := newSim(t, Options{})
	want(t, s.g.Deletable(), None)
	want(t, s.g.OffsetDeletable("t"), None)
	ids := s.stable("a")
	want(t, s.g.Deletable(), NonEmptyGroup)
	want(t, s.g.OffsetsDeletable(), None)
	want(t, s.g.OffsetDeletable("t"), GroupSubscribedToTopic)
	want(t, s.g.OffsetDeletable("other"), None)
	s.leave(Leaving{MemberID: ids[0]})
	want(t, s.g.OffsetDeletable("t"), None)
	s.absorb(s.g.Kill(s.now))
	want(t, s.g.Deletable(), GroupIDNotFound)
	want(t, s.beat(ids[0], 1), CoordinatorNotAvailable)
}

func TestRestore(t *testing.T) {
	s := newSim(t, Options{})
	ids := s.stable("a", "b")
	s.join(s.joining("a", ids[0]))
	s.join(s.joining("b", ids[1]))
	s.syncAll(map[string][]byte{ids[0]: assignment("t", 0), ids[1]: assignment("t", 1)})
	snapshot := s.g.Snapshot()
	later := s.now.Add(time.Hour)
	g, err := Restore("g", later, Options{}, snapshot)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(snapshot, g.Snapshot()); diff != "" {
		t.Errorf("snapshot changed by a restart (-before +after):\n%s", diff)
	}
	code, _ := g.Heartbeat(later.Add(9*time.Second), ids[0], "", snapshot.Generation)
	want(t, code, None) // members survive a restart within their session timeout
	e := g.Expire(later.Add(10 * time.Second))
	i := slices.IndexFunc(e.Events, func(e Event) bool { return e.Kind == MemberExpired })
	want(t, e.Events[i].Member.ID, ids[1])
	want(t, e.Events[i].Member.LastHeartbeat.IsZero(), true) // never seen by this process: unknown, not zero seconds ago

	snapshot.Leader = "nobody"
	if _, err := Restore("g", later, Options{}, snapshot); err == nil {
		t.Error("a snapshot whose leader is no member was accepted")
	}
}

func want[T any](t *testing.T, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
}
