package broker

import (
	"slices"
	"testing"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/group"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// at makes a raw client that speaks at most version of one API.
func (l *groupLab) at(key, version int16) *raw {
	v := kversion.Tip()
	v.SetMaxKeyVersion(key, version)
	return &raw{l, l.client(kgo.ClientID("sweep"), kgo.MaxVersions(v))}
}

// Every announced version of every group API must be answered with what that version can say.
func TestGroupAPIs_EveryVersion(t *testing.T) {
	l := newGroupLab(t, GroupOptions{MinSessionTimeout: 100 * time.Millisecond, InitialRebalanceDelay: -1})
	l.topic("t", 1)
	for _, a := range groupAPIs() {
		for version := a.min; version <= a.max; version++ {
			r := l.at(a.key, version)
			name := apiName(a.key) + string(rune('0'+version/10)) + string(rune('0'+version%10))
			sweep(t, r, name, a.key, version)
			r.c.Close()
		}
	}
}

func sweep(t *testing.T, r *raw, name string, key, version int16) {
	t.Helper()
	id, generation := r.join(name, "", "")
	fail := func(got, want any) {
		t.Helper()
		t.Errorf("%s: %v, want %v", name, got, want)
	}
	if code := r.heartbeat(name, id, generation); code != 0 {
		fail(code, "a heartbeat to be accepted")
	}
	wantCommit := int16(0)
	if key == keyOffsetCommit && version == 0 {
		wantCommit = 25 // v0 cannot say that it is a member
	}
	if code := r.commit(name, id, generation); code != wantCommit {
		fail(code, wantCommit)
	}
	if offset := r.committed(name); offset != 1 && wantCommit == 0 {
		fail(offset, "offset 1")
	}
	d := r.describe(name)
	if d.State != "Stable" || d.Protocol != "range" || len(d.Members) != 1 || d.Members[0].ClientID != "sweep" || d.Members[0].ClientHost != "/127.0.0.1" {
		fail(d, "a stable group of one")
	}
	listed := r.list()
	if i := slices.IndexFunc(listed, func(g kmsg.ListGroupsResponseGroup) bool { return g.Group == name }); i < 0 {
		fail(listed, "the group among them")
	} else if key == 16 && version >= 5 && (listed[i].GroupState != "Stable" || listed[i].GroupType != "classic") {
		fail(listed[i], "a stable classic group")
	}
	if code := r.deleteOffset(name, "t"); code != 86 {
		fail(code, "GROUP_SUBSCRIBED_TO_TOPIC")
	}
	if code := r.deleteGroup(name); code != 68 {
		fail(code, "NON_EMPTY_GROUP")
	}
	if host, port := r.coordinator(name); host != r.l.broker.host || port != r.l.broker.port {
		fail([]any{host, port}, "our address")
	}
	r.leave(name, id, "the consumer is being closed")
	if d := r.describe(name); d.State != "Empty" {
		fail(d.State, "Empty")
	}
	if code := r.deleteOffset(name, "t"); code != 0 {
		fail(code, "the offset to be deleted")
	}
	if offset := r.committed(name); offset != -1 {
		fail(offset, "no offset")
	}
	if code := r.deleteGroup(name); code != 0 {
		fail(code, "the group to be deleted")
	}
	if code := r.deleteGroup(name); code != 69 {
		fail(code, "GROUP_ID_NOT_FOUND")
	}
	if d := r.describe(name); d.State != "Dead" || key == 15 && version >= 6 && d.ErrorCode != 69 {
		fail(d, "a dead group")
	}
}

func (r *raw) committed(name string) int64 {
	r.l.t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = name
	old := kmsg.NewOffsetFetchRequestTopic()
	old.Topic, old.Partitions = "t", []int32{0}
	req.Topics = append(req.Topics, old)
	g := kmsg.NewOffsetFetchRequestGroup()
	topic := kmsg.NewOffsetFetchRequestGroupTopic()
	topic.Topic, topic.Partitions = "t", []int32{0}
	if t, ok := r.l.engine.Topic("t"); ok {
		topic.TopicID = t.ID
	}
	g.Group, g.Topics = name, append(g.Topics, topic)
	req.Groups = append(req.Groups, g)
	resp := request1[*kmsg.OffsetFetchResponse](r, req)
	if len(resp.Groups) > 0 {
		return resp.Groups[0].Topics[0].Partitions[0].Offset
	}
	return resp.Topics[0].Partitions[0].Offset
}

func (r *raw) describe(name string) kmsg.DescribeGroupsResponseGroup {
	r.l.t.Helper()
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{name}
	return request1[*kmsg.DescribeGroupsResponse](r, req).Groups[0]
}

func (r *raw) list(states ...string) []kmsg.ListGroupsResponseGroup {
	r.l.t.Helper()
	req := kmsg.NewPtrListGroupsRequest()
	req.StatesFilter = states
	return request1[*kmsg.ListGroupsResponse](r, req).Groups
}

func (r *raw) deleteOffset(name, topic string) int16 {
	r.l.t.Helper()
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = name
	t := kmsg.NewOffsetDeleteRequestTopic()
	t.Topic = topic
	t.Partitions = append(t.Partitions, kmsg.NewOffsetDeleteRequestTopicPartition())
	req.Topics = append(req.Topics, t)
	resp := request1[*kmsg.OffsetDeleteResponse](r, req)
	if resp.ErrorCode != 0 {
		return resp.ErrorCode
	}
	return resp.Topics[0].Partitions[0].ErrorCode
}

func (r *raw) deleteGroup(name string) int16 {
	r.l.t.Helper()
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = []string{name}
	return request1[*kmsg.DeleteGroupsResponse](r, req).Groups[0].ErrorCode
}

func (r *raw) coordinator(name string) (host string, port int32) {
	r.l.t.Helper()
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKey, req.CoordinatorKeys = name, []string{name}
	resp := request1[*kmsg.FindCoordinatorResponse](r, req)
	if len(resp.Coordinators) > 0 {
		return resp.Coordinators[0].Host, resp.Coordinators[0].Port
	}
	return resp.Host, resp.Port
}

// A client that manages its partitions itself only stores offsets here.
func TestSimpleGroup(t *testing.T) {
	t.Parallel()
	l := newGroupLab(t, quick)
	l.topic("t", 1)
	r := l.raw("simple")
	if offset := r.committed("unheard-of"); offset != -1 {
		t.Errorf("an unknown group has committed %d", offset)
	}
	if code := r.commit("s", "", -1); code != 0 {
		t.Fatalf("commit answered %d", code)
	}
	if code := r.commit("s", "ghost", 7); code != 25 {
		t.Errorf("a commit of a ghost is answered %d", code)
	}
	if code := r.commit("unheard-of", "ghost", 7); code != 22 {
		t.Errorf("a commit of a ghost of no group is answered %d", code)
	}
	if got := r.list("empty"); len(got) != 1 || got[0].Group != "s" {
		t.Errorf("empty groups: %+v", got)
	}
	if got := r.list("Stable"); len(got) != 0 {
		t.Errorf("stable groups: %+v", got)
	}
	l.stop()
	l.start()
	r = l.raw("simple")
	if got := r.list(); len(got) != 1 || got[0].Group != "s" {
		t.Errorf("groups after a restart: %+v", got)
	}
	if offset := r.committed("s"); offset != 1 {
		t.Errorf("committed %d after a restart", offset)
	}
	if _, ok := l.metrics()["members{group=s}"]; !ok {
		t.Error("a group with offsets only has no metrics")
	}
	if code := r.deleteGroup("s"); code != 0 {
		t.Errorf("deleting answered %d", code)
	}
	if got := r.list(); len(got) != 0 {
		t.Errorf("groups after the deletion: %+v", got)
	}
}

// A topic made anew under an old name must not inherit offsets.
func TestTopicDeleted(t *testing.T) {
	t.Parallel()
	l := newGroupLab(t, quick)
	l.topic("t", 1)
	r := l.raw("simple")
	if code := r.commit("s", "", -1); code != 0 {
		t.Fatalf("commit answered %d", code)
	}
	if err := l.engine.DeleteTopic(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	if err := l.broker.groups.topicDeleted(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	l.topic("t", 1)
	if offset := r.committed("s"); offset != -1 {
		t.Errorf("the new topic has committed offset %d", offset)
	}
}

func BenchmarkHeartbeat(b *testing.B) {
	s, id, generation := benchGroup(b)
	for b.Loop() {
		s.actOn("g", false, func(c *coordinated, now time.Time) group.Effects {
			code, effects := c.classic().Heartbeat(now, id, "", generation)
			if code != group.None {
				b.Fatal(code)
			}
			c.heard(id)
			return effects
		})
	}
}

// What the telemetry adds to one partition of one Fetch.
func BenchmarkFetchAttribution(b *testing.B) {
	s, _, _ := benchGroup(b)
	c := &conn{b: s.b, host: "h"}
	offset := int64(0)
	for b.Loop() {
		s.fetchArrived(c, "t", 0, offset)
		s.fetched(c, "t", 0, offset, 10, 1000, engine.Hot, true)
		offset += 10
	}
}

// benchGroup is a stable group of one member that owns t-0, without a network.
func benchGroup(b *testing.B) (s *groups, id string, generation int32) {
	telemetry := NewTelemetry(TelemetryOptions{})
	broker := &Broker{telemetry: telemetry, now: time.Now, conns: newConns(1, 1, time.Now)}
	s = &groups{
		b: broker, now: time.Now, byName: map[string]*coordinated{}, hosts: newHostIndex(), fetchers: newFetchers(), heads: newHeadLog(),
	}
	s.clock = newGroupClock(s)
	broker.groups = s
	now := time.Now()
	m, err := group.Restore("g", now, group.Options{}, group.Snapshot{
		ProtocolType: "consumer", Generation: 1, Protocol: "range", Leader: "m",
		Members: []group.SnapshotMember{{
			ID: "m", Host: "h", SessionTimeout: time.Hour, RebalanceTimeout: time.Hour,
			Assignment: []byte{0, 1, 0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 1, 0, 0, 0, 0},
		}},
	})
	if err != nil {
		b.Fatal(err)
	}
	c := s.insertLocked(m)
	for _, v := range m.Members() {
		c.track.join(s, v, nil)
	}
	c.track.assigned(s, m)
	b.ReportAllocs()
	return s, "m", 1
}
