package group

import (
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamkeeper-io/streamkeeper/test/alloctest"
)

func (s *modern) joining(id string, names ...string) HeartbeatRequest {
	return HeartbeatRequest{MemberID: id, RebalanceTimeout: time.Minute, Names: names, Owned: Partitions{}}
}

// keepalive is the heartbeat of a member to which nothing happened.
func keepalive(id string, epoch int32) HeartbeatRequest {
	return HeartbeatRequest{MemberID: id, Epoch: epoch, RebalanceTimeout: -1}
}

func (s *modern) want(r HeartbeatReply, code Code, epoch int32) {
	s.t.Helper()
	if r.Code != code || code == None && r.Epoch != epoch {
		s.t.Fatalf("answer %s %q at epoch %d, want %s at %d", r.Code, r.Message, r.Epoch, code, epoch)
	}
}

func (s *modern) count(kind EventKind) (n int) {
	for _, e := range s.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

func (s *modern) id(topic string) TopicID { return s.world.byName[topic].ID }

func TestConsumer_RevokesBeforeItAssigns(t *testing.T) {
	s := newModern(t)
	s.world.set("t", 4)
	r := s.beat(s.joining("a", "t"))
	s.want(r, None, 1)
	if r.Assignment.Len() != 4 || r.Interval != 5*time.Second || s.g.State() != Stable {
		t.Fatalf("the first member gets %v every %v in state %s", r.Assignment, r.Interval, s.g.State())
	}
	r = s.beat(s.joining("b", "t"))
	s.want(r, None, 2)
	if r.Assignment == nil || r.Assignment.Len() != 0 || s.g.State() != Reconciling || !s.g.Unsettled() {
		t.Fatalf("the second gets %v while the first holds all, state %s", r.Assignment, s.g.State())
	}
	r = s.beat(keepalive("a", 1))
	s.want(r, None, 1)
	if r.Assignment.Len() != 2 {
		t.Fatalf("the first is told %v, want to give up two", r.Assignment)
	}
	if r = s.beat(keepalive("b", 2)); r.Assignment != nil {
		t.Fatalf("the second gets %v before the first gave it up", r.Assignment)
	}
	if r = s.beat(keepalive("a", 1)); r.Epoch != 1 || r.Assignment != nil {
		t.Fatalf("the first moved to %d (%v) without giving up", r.Epoch, r.Assignment)
	}
	full := keepalive("a", 1)
	full.Owned = s.g.byID["a"].assigned
	s.want(s.beat(full), None, 2)
	if r = s.beat(keepalive("b", 2)); r.Assignment.Len() != 2 || s.g.State() != Stable || s.g.Unsettled() {
		t.Fatalf("the second has %v in state %s", r.Assignment, s.g.State())
	}
	if started, done := s.count(RebalanceStarted), s.count(RebalanceCompleted); started != 2 || done != 2 {
		t.Errorf("%d rebalances started and %d completed, want 2", started, done)
	}
}

func TestConsumer_AnswersWhatIsDurable(t *testing.T) {
	s := newModern(t)
	s.world.set("t", 1)
	s.hold = true
	s.beat(s.joining("a", "t"))
	s.beat(keepalive("a", 1)) // changes nothing, but tells an epoch that is not durable
	if len(s.replies) != 0 || len(s.held) != 1 {
		t.Fatalf("%d answers and %d saves while nothing is durable", len(s.replies), len(s.held))
	}
	s.absorb(s.g.Saved(s.now, s.held[0].ID, NotCoordinator))
	for token, r := range s.replies {
		if r.Code != NotCoordinator {
			t.Errorf("answer %d is %s although it could not be stored", token, r.Code)
		}
	}
	s.hold = false
	s.want(s.beat(keepalive("a", 1)), None, 1)
	s.restart() // the next change stored what the first did not
	s.want(s.beat(keepalive("a", 1)), None, 1)
}

func TestConsumer_FencesTimeouts(t *testing.T) {
	s := newModern(t)
	s.world.set("t", 2)
	s.beat(s.joining("a", "t"))
	s.beat(s.joining("b", "t"))
	s.beat(keepalive("a", 1)) // told to give one up
	for range 7 {             // heartbeats, but never gives it up
		s.pass(10 * time.Second)
		s.beat(keepalive("a", 1))
		s.beat(keepalive("b", 2))
	}
	last := s.events[len(s.events)-1]
	if s.g.HasMember("a") || s.count(MemberExpired) != 1 {
		t.Fatalf("a member that does not give up is still there, last event %+v", last)
	}
	i := slices.IndexFunc(s.events, func(e Event) bool { return e.Kind == MemberExpired })
	if s.events[i].Reason != ReasonRebalance || s.events[i].Member.ID != "a" {
		t.Errorf("it expired as %+v", s.events[i])
	}
	s.pass(46 * time.Second)
	if s.g.Size() != 0 || s.g.State() != Empty || s.events[len(s.events)-1].Kind != GroupEmptied {
		t.Errorf("after a session of silence %d members in state %s", s.g.Size(), s.g.State())
	}
	s.want(s.beat(keepalive("b", s.g.epoch)), UnknownMemberID, 0)
}

func TestConsumer_Epochs(t *testing.T) {
	s := newModern(t)
	s.world.set("t", 2)
	s.beat(s.joining("a", "t"))
	s.world.set("t", 3)
	s.want(s.beat(keepalive("a", 1)), None, 2)
	s.want(s.beat(keepalive("a", 3)), FencedMemberEpoch, 0)
	s.want(s.beat(keepalive("a", 1)), FencedMemberEpoch, 0) // does not say what it holds
	lost := keepalive("a", 1)
	lost.Owned = Partitions{s.id("t"): {0, 1}}
	s.want(s.beat(lost), None, 2)
	lost.Owned = Partitions{s.id("t"): {0, 1, 7}}
	s.want(s.beat(lost), FencedMemberEpoch, 0)
	r := s.beat(s.joining("a", "t")) // a fenced member starts anew under its id
	s.want(r, None, 2)
	if r.Assignment.Len() != 3 || s.g.Size() != 1 {
		t.Errorf("after a restart it has %v, %d members", r.Assignment, s.g.Size())
	}
}

func TestConsumer_Commits(t *testing.T) {
	s := newModern(t)
	s.world.set("t", 2)
	part := func(n ...int32) func() Partitions { return func() Partitions { return Partitions{s.id("t"): n} } }
	if c := s.g.Commit("", "", -1, part(0)); c != None {
		t.Errorf("an operator's commit to an empty group is answered %s", c)
	}
	s.beat(s.joining("a", "t"))
	s.world.set("t", 3)
	s.beat(keepalive("a", 1)) // epoch 2 brings partition 2
	for _, c := range []struct {
		name  string
		id    string
		epoch int32
		parts []int32
		want  Code
	}{
		{"its epoch", "a", 2, []int32{0, 1, 2}, None},
		{"the epoch before, what it had then", "a", 1, []int32{0, 1}, None},
		{"the epoch before, what it got since", "a", 1, []int32{0, 2}, StaleMemberEpoch},
		{"an epoch to come", "a", 3, []int32{0}, StaleMemberEpoch},
		{"a stranger", "b", 2, []int32{0}, UnknownMemberID},
		{"an operator while members work", "", -1, []int32{0}, UnknownMemberID},
	} {
		if got := s.g.Commit(c.id, "", c.epoch, part(c.parts...)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if got := []Code{s.g.Fetch("", -1), s.g.Fetch("a", 2), s.g.Fetch("a", 1), s.g.Fetch("b", 1)}; !slices.Equal(got, []Code{None, None, StaleMemberEpoch, UnknownMemberID}) {
		t.Errorf("fetches are answered %v", got)
	}
}

func TestConsumer_StaticMembers(t *testing.T) {
	s := newModern(t)
	s.world.set("t", 4)
	static := func(id string) HeartbeatRequest {
		r := s.joining(id, "t")
		r.InstanceID = "i"
		return r
	}
	s.beat(static("a"))
	s.beat(s.joining("b", "t"))
	for range 3 {
		for id, m := range maps.Clone(s.g.byID) {
			r := keepalive(id, m.epoch)
			r.InstanceID, r.Owned = m.instance, m.assigned
			s.beat(r)
		}
	}
	had := s.g.byID["a"].assigned
	s.want(s.beat(static("a2")), UnreleasedInstanceID, 0)
	away := keepalive("a", -2)
	away.InstanceID = "i"
	if r := s.beat(away); r.Code != None || r.Epoch != -2 || s.g.Size() != 2 {
		t.Fatalf("a good-bye for a while is answered %+v", r)
	}
	epoch := s.g.epoch
	r := s.beat(static("a2"))
	s.want(r, None, epoch)
	if !r.Assignment.equal(had) || s.g.epoch != epoch || s.g.HasMember("a") {
		t.Errorf("the successor has %v at epoch %d, the one before had %v at %d", r.Assignment, s.g.epoch, had, epoch)
	}
	old := keepalive("a", epoch)
	old.InstanceID = "i"
	s.want(s.beat(old), FencedInstanceID, 0)
	if c := s.g.Commit("a", "i", epoch, nil); c != FencedInstanceID {
		t.Errorf("a commit of the one before is answered %s", c)
	}
	codes, e := s.g.Leave(s.now, []Leaving{{InstanceID: "i"}, {InstanceID: "none"}, {MemberID: "b"}})
	s.absorb(e)
	if !slices.Equal(codes, []Code{None, UnknownMemberID, UnknownMemberID}) || s.g.Size() != 1 {
		t.Errorf("an operator's removal is answered %v", codes)
	}
	away = keepalive("b", -2)
	away.InstanceID = ""
	s.want(s.beat(away), InvalidRequest, 0)
}

func TestConsumer_Refuses(t *testing.T) {
	s := newModern(t)
	s.g.options.MaxSize = 1
	bad, wish := "t(", "sticky"
	for _, c := range []struct {
		name   string
		change func(r *HeartbeatRequest)
		want   Code
	}{
		{"no member id", func(r *HeartbeatRequest) { r.MemberID = "" }, InvalidRequest},
		{"an epoch below -2", func(r *HeartbeatRequest) { r.Epoch = -3 }, InvalidRequest},
		{"no rebalance timeout", func(r *HeartbeatRequest) { r.RebalanceTimeout = -1 }, InvalidRequest},
		{"no subscription", func(r *HeartbeatRequest) { r.Names = nil }, InvalidRequest},
		{"partitions from before", func(r *HeartbeatRequest) { r.Owned = Partitions{TopicID{1}: {0}} }, InvalidRequest},
		{"nothing said of partitions", func(r *HeartbeatRequest) { r.Owned = nil }, InvalidRequest},
		{"an unknown assignor", func(r *HeartbeatRequest) { r.Assignor = &wish }, UnsupportedAssignor},
		{"a broken expression", func(r *HeartbeatRequest) { r.Regex = &bad }, InvalidRegularExpression},
		{"nothing wrong", func(*HeartbeatRequest) {}, None},
		{"one too many", func(r *HeartbeatRequest) { r.MemberID = "b" }, GroupMaxSizeReached},
	} {
		r := s.joining("a", "t")
		c.change(&r)
		if got := s.beat(r); got.Code != c.want || c.want != None && got.Message == "" {
			t.Errorf("%s: %s %q, want %s", c.name, got.Code, got.Message, c.want)
		}
	}
	if len(s.g.patterns) != 0 {
		t.Errorf("a refused expression is kept: %v", s.g.patterns)
	}
}

func TestConsumer_Regex(t *testing.T) {
	s := newModern(t)
	s.world.set("orders", 1)
	s.world.set("orders-v2", 1)
	re := "orders.*"
	r := s.joining("a")
	r.Names, r.Regex = nil, &re
	if got := s.beat(r); got.Assignment.Len() != 2 {
		t.Fatalf("it matches %v", got.Assignment)
	}
	s.world.set("orders-v3", 2)
	s.world.set("my-orders", 1) // not the whole name
	if got := s.beat(keepalive("a", 1)); got.Assignment.Len() != 4 || got.Epoch != 2 {
		t.Errorf("a new topic brings it to %v at epoch %d", got.Assignment, got.Epoch)
	}
	s.world.set("orders", 0)
	epoch := s.g.epoch
	if s.beat(keepalive("a", epoch)); s.g.epoch != epoch+1 {
		t.Error("a deleted topic changes nothing")
	}
}

// A storm must be counted, and a burst of joins is one rebalance.
func TestConsumer_CountsRounds(t *testing.T) {
	s := newModern(t)
	s.world.set("t", 8)
	s.beat(s.joining("slow", "t"))
	for i := range 5 {
		s.beat(s.joining("m"+string(rune('0'+i)), "t"))
	}
	if n := s.count(RebalanceStarted); n != 2 {
		t.Errorf("a burst of joins is %d rebalances, want 2: the first alone, then all", n)
	}
	for i := range 10 { // never converges: the slow one gives nothing up
		s.pass(6 * time.Second)
		s.beat(keepalive("slow", 1))
		s.beat(s.joining("n"+string(rune('0'+i)), "t"))
	}
	if n := s.count(RebalanceCompleted); n < 8 {
		t.Errorf("ten changes, one in six seconds, are %d rebalances", n)
	}
}

func TestAssign(t *testing.T) {
	a, b := TopicID{1}, TopicID{2}
	members := func(list ...subscriber) []subscriber { return list }
	for _, c := range []struct {
		name, assignor string
		members        []subscriber
		counts         map[TopicID]int32
		want           map[string]Partitions
	}{
		{
			"range cuts all topics alike", Range,
			members(subscriber{id: "x", topics: []TopicID{a, b}}, subscriber{id: "y", topics: []TopicID{a, b}}),
			map[TopicID]int32{a: 3, b: 3},
			map[string]Partitions{"x": {a: {0, 1}, b: {0, 1}}, "y": {a: {2}, b: {2}}},
		},
		{
			"uniform keeps what it can", Uniform,
			members(subscriber{id: "x", topics: []TopicID{a}, has: Partitions{a: {0, 1, 2, 3}}}, subscriber{id: "y", topics: []TopicID{a}}),
			map[TopicID]int32{a: 4},
			map[string]Partitions{"x": {a: {0, 1}}, "y": {a: {2, 3}}},
		},
		{
			"uniform evens out over different subscriptions", Uniform,
			members(subscriber{id: "x", topics: []TopicID{a, b}, has: Partitions{a: {0, 1}, b: {0, 1}}}, subscriber{id: "y", topics: []TopicID{b}}),
			map[TopicID]int32{a: 2, b: 2},
			map[string]Partitions{"x": {a: {0, 1}}, "y": {b: {0, 1}}},
		},
		{
			"a partition nobody takes is nobody's", Uniform,
			members(subscriber{id: "x", topics: []TopicID{a}}),
			map[TopicID]int32{a: 1, b: 1},
			map[string]Partitions{"x": {a: {0}}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := assign(c.assignor, c.members, c.counts)
			if !maps.EqualFunc(got, c.want, Partitions.equal) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// The bytes are Kafka's: these were worked out by hand from the messages of its group coordinator.
func TestConsumerRecords_KafkasBytes(t *testing.T) {
	m := &consumerMember{
		id: "m", instance: "i", client: "c", host: "h", names: []string{"t"}, rebalanceTimeout: time.Second, assignor: "range",
		epoch: 5, previousEpoch: 4, state: unreleased, since: map[placed]int32{{TopicID{9}, 1}: 3},
		assigned: Partitions{TopicID{9}: {1}}, target: Partitions{TopicID{9}: {1}},
	}
	id := "09000000000000000000000000000000"
	for _, c := range []struct {
		what string
		got  []byte
		want string
	}{
		{"epoch key", epochKey("g"), "0003 0001 67"},
		{"member key", memberKey("g", "m"), "0005 0001 67 0001 6d"},
		{"epoch", epochValue(7), "0000 00000007 00"},
		{"member", memberValue(m), "0000 0269 00 0263 0268 02 0274 00 000003e8 06 72616e6765 00"},
		{"target", targetValue(m), "0000 02" + id + "02 00000001 00 00"},
		{"current", currentValue(m), "0000 00000005 00000004 02 02" + id + "02 00000001 01 00 05 02 00000003 01 00"},
	} {
		if got, want := hex.EncodeToString(c.got), strings.ReplaceAll(c.want, " ", ""); got != want {
			t.Errorf("%s is %s, want %s", c.what, got, want)
		}
	}
}

// FuzzRestoreConsumer feeds a stored record of each kind with arbitrary values: they are read or refused, and what is read
// holds no partition twice.
func FuzzRestoreConsumer(f *testing.F) {
	m := &consumerMember{id: "m", regex: "t.*", names: []string{"t"}, assigned: Partitions{TopicID{1}: {0, 1}}, since: map[placed]int32{{TopicID{1}, 0}: 1}}
	f.Add(memberValue(m), currentValue(m), targetValue(m), epochValue(3))
	f.Add([]byte{0, 0, 0xff, 0xff, 0xff, 0xff, 7}, []byte{}, []byte{0, 0, 0xff}, []byte{0, 0})
	f.Fuzz(func(t *testing.T, member, current, target, epochs []byte) {
		size := len(member) + len(current) + len(target) + len(epochs)
		var g *Consumer
		var err error
		alloctest.Bound(t, size, 256, func() { // a partition's row in a map for 4 bytes, and in the set of who holds what
			g, err = RestoreConsumer("g", epoch, modernOptions, newWorld(), map[string][]byte{
				string(memberKey("g", "m")): member, string(currentKey("g", "m")): current,
				string(targetKey("g", "m")): target, string(epochKey("g")): epochs,
			})
		})
		if err != nil {
			return
		}
		held := 0
		for _, m := range g.members {
			held += m.assigned.Len() + m.revoking.Len() + m.target.Len()
		}
		if held*4 > size {
			t.Fatalf("%d partitions out of %d bytes", held, size)
		}
	})
}
