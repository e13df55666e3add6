package broker

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// nextGen lets tests of KIP-848 groups use short sessions.
var nextGen = GroupOptions{
	MinSessionTimeout: 100 * time.Millisecond, InitialRebalanceDelay: 100 * time.Millisecond,
	ConsumerSessionTimeout: 2 * time.Second, ConsumerHeartbeatInterval: 100 * time.Millisecond,
}

// joining is the first heartbeat of a member.
func joining(name, id string, topics ...string) *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.RebalanceTimeoutMillis = name, id, 5000
	req.SubscribedTopicNames, req.Topics = topics, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	return req
}

// alive is the heartbeat of a member to which nothing happened.
func alive(name, id string, epoch int32) *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch = name, id, epoch
	return req
}

func (r *raw) beat(req *kmsg.ConsumerGroupHeartbeatRequest, code int16) *kmsg.ConsumerGroupHeartbeatResponse {
	r.l.t.Helper()
	resp := request1[*kmsg.ConsumerGroupHeartbeatResponse](r, req)
	if resp.ErrorCode != code {
		r.l.t.Fatalf("heartbeat of %s at epoch %d is answered %s %q, want %s", req.MemberID, req.MemberEpoch, codeName(resp.ErrorCode), text(resp.ErrorMessage), codeName(code))
	}
	return resp
}

func (r *raw) describeConsumer(name string) kmsg.ConsumerGroupDescribeResponseGroup {
	r.l.t.Helper()
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups = []string{name}
	return request1[*kmsg.ConsumerGroupDescribeResponse](r, req).Groups[0]
}

func TestConsumerGroups_ConsumeAndShare(t *testing.T) {
	for name, balancer := range map[string]kgo.GroupBalancer{"range": kgo.RangeBalancer(), "uniform": kgo.StickyBalancer()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newGroupLab(t, nextGen)
			l.topic("t", 4)
			l.produce("t", 4, 400)
			opts := []kgo.Opt{kgo.Balancers(balancer), kgo.ServerSideBalancer()}
			a := l.consume("g", "t", append(opts, kgo.ClientID("a"))...)
			l.eventually("a has everything", func() bool { return a.received() == 400 && a.partitions() == 4 })
			b := l.consume("g", "t", append(opts, kgo.ClientID("b"))...)
			l.eventually("both share", func() bool { return a.partitions() == 2 && b.partitions() == 2 })
			l.produce("t", 4, 400)
			l.eventually("the group is caught up", func() bool {
				m := l.metrics()
				return m["backlog_messages{group=g}"] == 0 && m["members{group=g}"] == 2 && m["fetched_records_total{group=g}"] >= 800
			})
			r := l.raw("admin")
			l.eventually("the group is stable", func() bool { return r.describeConsumer("g").State == "Stable" })
			d := r.describeConsumer("g")
			if d.AssignorName != name || len(d.Members) != 2 || d.Epoch != d.AssignmentEpoch || d.Members[0].MemberType != 1 ||
				len(d.Members[0].Assignment.TopicPartitions[0].Partitions) != 2 || d.Members[0].ClientHost != "/127.0.0.1" {
				t.Errorf("described as %+v", d)
			}
			b.Close()
			l.eventually("a has all again", func() bool { return a.partitions() == 4 })
			left := l.event("member_left", 1)
			is(t, left, "member", "b@127.0.0.1")
			is(t, left, "type", "consumer")
			is(t, left, "reason", "not provided")
			is(t, left, "conn_open", true)
			l.between(left, "heartbeat_age_s", 0, 2)
			l.between(left, "fetch_age_s", 0, 2)
			l.eventually("three rebalances are over", func() bool { return l.metrics()["rebalances_total{group=g}"] >= 3 })
			m := l.metrics()
			if m["losses_total{group=g,kind=left}"] != 1 || m["losses_total{group=g,kind=expired}"] != 0 {
				t.Errorf("losses: %v", m)
			}
			if m["fact{fact=kip848,group=g}"] != 1 || m["fact{fact=leave_reasons,group=g}"] != 0 || m["fact{fact=classic,group=g}"] != 0 {
				t.Errorf("facts: %v", m)
			}
		})
	}
}

func TestConsumerGroups_Loss(t *testing.T) {
	t.Parallel()
	l := newGroupLab(t, nextGen)
	l.topic("t", 2)
	k := newLink()
	c := l.consume("g", "t", kgo.Balancers(kgo.RangeBalancer()), kgo.ServerSideBalancer(), kgo.ClientID("a"), kgo.Dialer(k.dial))
	l.eventually("it has a rhythm", func() bool {
		g := l.broker.groups.find("g")
		if c.partitions() == 0 || g == nil {
			return false
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.machine.HeartbeatInterval(g.machine.Members()[0].ID) > 0
	})
	k.freeze(true)
	lost := l.event("member_expired", 1)
	is(t, lost, "reason", "session expired")
	is(t, lost, "type", "consumer")
	is(t, lost, "conn_open", true)
	l.between(lost, "heartbeat_age_s", 1.9, 8)
	l.between(lost, "session_timeout_s", 2, 2)
	k.freeze(false)
	l.eventually("it is back", func() bool { return len(l.events("member_joined")) == 2 })
	is(t, l.event("member_joined", 2), "rejoin", true)
}

// What was answered is known after a restart: members, epochs, what they hold, and the kind of group.
func TestConsumerGroups_Restart(t *testing.T) {
	t.Parallel()
	l := newGroupLab(t, nextGen)
	l.topic("t", 4)
	r := l.raw("a")
	first := r.beat(joining("g", "m1", "t"), 0)
	r.beat(joining("g", "m2", "t"), 0)
	before := r.describeConsumer("g")
	if first.MemberEpoch != 1 || len(first.Assignment.Topics[0].Partitions) != 4 || before.State != "Reconciling" {
		t.Fatalf("the first got %+v, then the group is %s", first, before.State)
	}
	l.stop()
	l.start()
	r = l.raw("a")
	after := r.describeConsumer("g")
	if after.Epoch != before.Epoch || len(after.Members) != 2 || len(after.Members[0].Assignment.TopicPartitions) != 1 || after.Members[0].MemberEpoch != 1 {
		t.Fatalf("before %+v\nafter %+v", before, after)
	}
	told := r.beat(alive("g", "m1", 1), 0)
	if told.Assignment == nil || len(told.Assignment.Topics[0].Partitions) != 2 {
		t.Errorf("after the restart m1 is told %+v", told.Assignment)
	}
	if got := r.list(); len(got) != 1 || got[0].GroupType != "consumer" || got[0].ProtocolType != "consumer" || got[0].GroupState != "Reconciling" {
		t.Errorf("listed as %+v", got)
	}
}

// A group changes its protocol when it is empty, keeps its offsets then, and refuses members of the other one until then.
func TestConsumerGroups_UpgradeAndBack(t *testing.T) {
	t.Parallel()
	l := newGroupLab(t, nextGen)
	l.topic("t", 1)
	r := l.raw("a")
	id, generation := r.join("g", "", "")
	if code := r.commit("g", id, generation); code != 0 {
		t.Fatal(code)
	}
	mixed := r.beat(joining("g", "m", "t"), 69)
	if text(mixed.ErrorMessage) == "" {
		t.Error("a mixed group is refused without a reason")
	}
	r.beat(alive("g", "m", 1), 25)
	r.leave("g", id, "")
	l.eventually("the group takes members of the consumer protocol", func() bool {
		return request1[*kmsg.ConsumerGroupHeartbeatResponse](r, joining("g", "m", "t")).ErrorCode == 0
	})
	if offset := r.committed("g"); offset != 1 {
		t.Errorf("committed %d after the upgrade", offset)
	}
	if d := r.describe("g"); d.State != "Dead" || d.ErrorCode != 69 {
		t.Errorf("DescribeGroups says %+v", d)
	}
	if code := r.heartbeat("g", id, generation); code != 25 {
		t.Errorf("a classic heartbeat is answered %d", code)
	}
	if code := r.deleteGroup("g"); code != 68 {
		t.Errorf("deleting it is answered %d", code)
	}
	if code := r.deleteOffset("g", "t"); code != 86 {
		t.Errorf("deleting offsets of a topic in use is answered %d", code)
	}
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.ProtocolType, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = "g", "consumer", 2000, 5000
	join.Protocols = append(join.Protocols, kmsg.JoinGroupRequestProtocol{Name: "range"})
	if code := request1[*kmsg.JoinGroupResponse](r, join).ErrorCode; code != 23 {
		t.Errorf("a classic member is answered %d, want INCONSISTENT_GROUP_PROTOCOL", code)
	}
	r.beat(alive("g", "m", -1), 0)
	id, _ = r.join("g", "", "")
	l.stop()
	l.start()
	r = l.raw("a")
	if got := r.list(); len(got) != 1 || got[0].GroupType != "classic" {
		t.Errorf("after a restart %+v", got)
	}
	if d := r.describeConsumer("g"); d.ErrorCode != 69 {
		t.Errorf("described as %+v", d)
	}
	r.leave("g", id, "")
	if code := r.deleteGroup("g"); code != 0 {
		t.Errorf("deleting it is answered %d", code)
	}
}

func TestConsumerGroups_Offsets(t *testing.T) {
	t.Parallel()
	l := newGroupLab(t, nextGen)
	l.topic("t", 1)
	r := l.raw("a")
	r.beat(joining("g", "m", "t"), 0)
	for _, c := range []struct {
		name string
		id   string
		at   int32
		want int16
	}{{"a member", "m", 1, 0}, {"one ahead", "m", 2, 113}, {"a stranger", "x", 1, 25}, {"nobody", "", -1, 25}} {
		if got := r.commit("g", c.id, c.at); got != c.want {
			t.Errorf("%s commits: %s, want %s", c.name, codeName(got), codeName(c.want))
		}
	}
	if got := l.at(keyOffsetCommit, 8).commit("g", "m", 1); got != 35 {
		t.Errorf("a commit that knows no epochs is answered %s", codeName(got))
	}
	fetch := func(id string, epoch int32) int16 {
		req := kmsg.NewPtrOffsetFetchRequest()
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group, g.MemberID, g.MemberEpoch = "g", textOrNil(id), epoch
		req.Groups = append(req.Groups, g)
		return request1[*kmsg.OffsetFetchResponse](r, req).Groups[0].ErrorCode
	}
	got := []int16{fetch("", -1), fetch("m", 1), fetch("m", 0), fetch("x", 1)}
	if want := []int16{0, 0, 113, 25}; !slices.Equal(got, want) {
		t.Errorf("fetches are answered %v, want %v", got, want)
	}
	r.beat(alive("g", "m", -1), 0)
	if code := r.commit("g", "", -1); code != 0 {
		t.Errorf("an operator's commit to the empty group is answered %s", codeName(code))
	}
	if code := r.deleteGroup("g"); code != 0 {
		t.Errorf("deleting it is answered %s", codeName(code))
	}
	l.stop()
	l.start()
	if got := l.raw("a").list(); len(got) != 0 {
		t.Errorf("after its deletion and a restart: %+v", got)
	}
}

func TestConsumerGroups_Configs(t *testing.T) {
	t.Parallel()
	l := newGroupLab(t, nextGen)
	l.topic("t", 1)
	r := l.raw("a")
	alter := func(kind kmsg.ConfigResourceType, name, config, value string) int16 {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		res := kmsg.NewIncrementalAlterConfigsRequestResource()
		res.ResourceType, res.ResourceName = kind, name
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Value = config, &value
		res.Configs = append(res.Configs, c)
		req.Resources = append(req.Resources, res)
		return request1[*kmsg.IncrementalAlterConfigsResponse](r, req).Resources[0].ErrorCode
	}
	interval := func(want int32) {
		t.Helper()
		l.eventually("the interval members are told", func() bool {
			return r.beat(joining("g", "m", "t"), 0).HeartbeatIntervalMillis == want
		})
	}
	interval(100)
	if code := alter(kmsg.ConfigResourceTypeBroker, "", "group.consumer.heartbeat.interval.ms", "300"); code != 0 {
		t.Fatal(codeName(code))
	}
	interval(300)
	if code := alter(kmsg.ConfigResourceTypeGroupConfig, "g", groupHeartbeat, "200"); code != 0 {
		t.Fatal(codeName(code))
	}
	interval(200)
	for name, c := range map[string]struct {
		group, config, value string
	}{
		"rarer than the session": {"g", groupHeartbeat, "3000"}, "no number": {"g", groupHeartbeat, "often"},
		"unknown": {"g", "retention.ms", "1"}, "no group": {"", groupHeartbeat, "200"},
	} {
		if code := alter(kmsg.ConfigResourceTypeGroupConfig, c.group, c.config, c.value); code != codeInvalidConfig && code != codeInvalidRequest {
			t.Errorf("%s: %s", name, codeName(code))
		}
	}
	req := kmsg.NewPtrDescribeConfigsRequest()
	res := kmsg.NewDescribeConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeGroupConfig, "g"
	req.Resources = append(req.Resources, res)
	got := request1[*kmsg.DescribeConfigsResponse](r, req).Resources[0]
	if len(got.Configs) != 2 || text(got.Configs[0].Value) != "200" || got.Configs[0].Source != kmsg.ConfigSourceGroupConfig || text(got.Configs[1].Value) != "2000" {
		t.Errorf("described as %+v", got)
	}
	list := kmsg.NewPtrListConfigResourcesRequest()
	list.ResourceTypes = []int8{int8(kmsg.ConfigResourceTypeGroupConfig)}
	if got := request1[*kmsg.ListConfigResourcesResponse](r, list).ConfigResources; len(got) != 1 || got[0].Name != "g" {
		t.Errorf("listed %+v", got)
	}
}

func TestConsumerGroups_Feature(t *testing.T) {
	t.Parallel()
	l := newGroupLab(t, nextGen)
	resp := request1[*kmsg.ApiVersionsResponse](l.raw("a"), &kmsg.ApiVersionsRequest{ClientSoftwareName: "x", ClientSoftwareVersion: "1"})
	if resp.FinalizedFeaturesEpoch < 0 || len(resp.FinalizedFeatures) != len(features) || resp.FinalizedFeatures[0].Name != "group.version" || resp.FinalizedFeatures[0].MaxVersionLevel != 1 {
		t.Errorf("features: %+v", resp)
	}
}

// Two processes with one instance id are a conflict; a restart that waits for the session of the process before is none.
func TestConsumerGroups_InstanceConflict(t *testing.T) {
	t.Parallel()
	l := newGroupLab(t, nextGen)
	l.topic("t", 1)
	static := func(id string) *kmsg.ConsumerGroupHeartbeatRequest {
		req := joining("g", id, "t")
		req.InstanceID = kmsg.StringPtr("i")
		return req
	}
	first, second := l.raw("first"), l.raw("second")
	first.beat(static("m1"), 0)
	second.beat(static("m2"), 111)
	conflict := l.event("member_fenced", 1)
	is(t, conflict, "conflict", true)
	is(t, conflict, "code", "UNRELEASED_INSTANCE_ID")
	is(t, conflict, "instance_id", "i")
	first.c.Close()
	l.eventually("the holder's connection is closed", func() bool {
		g := l.broker.groups.find("g")
		g.mu.Lock()
		defer g.mu.Unlock()
		m := g.track.members["m1"]
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.conn == nil
	})
	second.beat(static("m2"), 111)
	if n := l.metrics()["fenced_total{code=UNRELEASED_INSTANCE_ID,group=g}"]; n != 1 {
		t.Errorf("%v conflicts counted, want 1", n)
	}
	l.event("member_expired", 1)
	second.beat(static("m2"), 0)
}
