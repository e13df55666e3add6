package broker

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// link is a client's network that a test can cut or freeze.
type link struct {
	mu     sync.Mutex
	thawed sync.Cond
	conns  []*net.TCPConn
	frozen bool
	dead   bool
}

func newLink() *link {
	k := &link{}
	k.thawed.L = &k.mu
	return k
}

func (k *link) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	k.mu.Lock()
	dead := k.dead
	k.mu.Unlock()
	if dead {
		return nil, errors.New("the link is cut")
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.conns = append(k.conns, c.(*net.TCPConn))
	return &linkConn{c, k}, nil
}

// cut ends all connections as the death of a process does; reset sends RSTs instead of FINs.
func (k *link) cut(reset bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dead = true
	for _, c := range k.conns {
		if reset {
			c.SetLinger(0)
		}
		c.Close()
	}
}

// freeze stops the process behind the link; its kernel still answers.
func (k *link) freeze(on bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.frozen = on
	k.thawed.Broadcast()
}

func (k *link) wait() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.frozen {
		k.thawed.Wait()
	}
}

type linkConn struct {
	net.Conn
	k *link
}

func (c *linkConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.k.wait()
	return n, err
}

func (c *linkConn) Write(b []byte) (int, error) {
	c.k.wait()
	return c.Conn.Write(b)
}

func (l *groupLab) between(e streamkeeper.Event, name string, low, high float64) {
	l.t.Helper()
	if v := l.number(e, name); v < low || v > high {
		l.t.Errorf("%s %s is %v, want %v to %v", e.Kind, name, v, low, high)
	}
}

func is(t *testing.T, e streamkeeper.Event, name string, want any) {
	t.Helper()
	if got, ok := e.Attrs[name]; !ok || got != want {
		t.Errorf("%s %s is %v, want %v", e.Kind, name, got, want)
	}
}

func TestLoss_KilledProcess(t *testing.T) {
	for how, reset := range map[string]bool{connFIN: false, connRST: true} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			l := newGroupLab(t, quick)
			l.topic("t", 2)
			l.produce("t", 2, 10)
			k := newLink()
			dead := l.consume("g", "t", kgo.ClientID("dead"), kgo.Dialer(k.dial))
			l.eventually("dead consumes", func() bool { return dead.received() == 10 })
			other := l.consume("other", "t", kgo.ClientID("peer"))
			l.eventually("the peer consumes", func() bool { return other.received() == 10 })
			l.eventually("heartbeats have a rhythm", func() bool {
				c := l.broker.groups.find("g")
				c.mu.Lock()
				defer c.mu.Unlock()
				return c.machine.HeartbeatInterval(c.classic().Leader()) > 0
			})
			k.cut(reset)
			e := l.event("member_expired", 1)
			is(t, e, "reason", "session expired")
			is(t, e, "member", "dead@127.0.0.1")
			is(t, e, "library", "kgo")
			is(t, e, "conn_open", false)
			is(t, e, "conn_closed", how)
			is(t, e, "admin", false)
			is(t, e, "peers_on_host", 1.0)
			is(t, e, "peers_on_host_lost_15s", 0.0)
			is(t, e, "peers_on_host_silent", 0.0)
			is(t, e, "session_timeout_s", 2.0)
			is(t, e, "rebalance_timeout_s", 5.0)
			l.between(e, "heartbeat_age_s", 1.99, 2.5)
			l.between(e, "heartbeat_interval_s", .1, .5)
			l.between(e, "conn_closed_before_s", 1, 2.5)
			l.between(e, "fetch_age_s", 1, 3)
			if _, ok := e.Attrs["unacked_bytes"]; ok {
				t.Error("a closed connection has no unacknowledged bytes to tell")
			}
			l.eventually("the group is empty", func() bool { return len(l.events("group_emptied")) == 1 })
			started := l.events("rebalance_started")
			is(t, started[len(started)-1], "cause_kind", "member_expired")
			m := l.metrics()
			if m["losses_total{group=g,kind=expired}"] != 1 || m["members{group=g}"] != 0 {
				t.Errorf("losses %v, members %v", m["losses_total{group=g,kind=expired}"], m["members{group=g}"])
			}

			again := l.consume("g", "t", kgo.ClientID("dead"))
			l.eventually("a new process takes over", func() bool { return again.partitions() == 2 })
			joined := l.lastJoin("g")
			is(t, joined, "rejoin", true)
			is(t, joined, "same_connection", false)
			is(t, joined, "old_half_open", false)
			l.between(joined, "previous_loss_s", 0, 10)
		})
	}
}

// lastJoin is the latest member_joined of a group.
func (l *groupLab) lastJoin(name string) (last streamkeeper.Event) {
	l.t.Helper()
	for _, e := range l.events("member_joined") {
		if e.String("group") == name {
			last = e
		}
	}
	return last
}

func TestLoss_FrozenProcess(t *testing.T) {
	t.Parallel()
	l := newGroupLab(t, quick)
	l.topic("t", 2)
	k := newLink()
	frozen := l.consume("g", "t", kgo.ClientID("frozen"), kgo.Dialer(k.dial))
	l.eventually("frozen owns both", func() bool { return frozen.partitions() == 2 })
	k.freeze(true)
	e := l.event("member_expired", 1)
	is(t, e, "conn_open", true)
	is(t, e, "conn_closed", "")
	l.between(e, "heartbeat_age_s", 1.99, 2.5)
	if runtime.GOOS == "linux" { // elsewhere the kernel is not asked, and nothing is said
		l.between(e, "unacked_bytes", 0, 0)
		l.between(e, "keepalive_unanswered", 0, 0)
		l.between(e, "last_ack_recv_s", 0, 6)
	}
	k.freeze(false)
	l.eventually("it is back", func() bool { return len(l.events("member_joined")) == 2 })
	joined := l.lastJoin("g")
	is(t, joined, "rejoin", true)
	is(t, joined, "same_connection", true)
	is(t, joined, "old_half_open", false)
	l.between(joined, "previous_loss_s", 0, 10)
	l.between(joined, "conn_age_s", 1, 60)
}

// A client that is back on a new connection while the old one never closed was cut off, not restarted.
func TestLoss_HalfOpenConnection(t *testing.T) {
	t.Parallel()
	l := newGroupLab(t, quick)
	l.topic("t", 1)
	k := newLink()
	cut := l.consume("g", "t", kgo.ClientID("c"), kgo.Dialer(k.dial))
	l.eventually("it owns the partition", func() bool { return cut.partitions() == 1 })
	k.freeze(true)
	defer k.freeze(false)
	l.event("member_expired", 1)
	back := l.consume("g", "t", kgo.ClientID("c"))
	l.eventually("it is back", func() bool { return back.partitions() == 1 })
	is(t, l.lastJoin("g"), "rejoin", true)
	is(t, l.lastJoin("g"), "same_connection", false)
	is(t, l.lastJoin("g"), "old_half_open", true)
}

// Groups on one host that die together must show it, whichever expires first.
func TestLoss_NeighboursDieToo(t *testing.T) {
	t.Parallel()
	l := newGroupLab(t, quick)
	l.topic("t", 1)
	k := newLink()
	for _, g := range []string{"g1", "g2"} {
		c := l.consume(g, "t", kgo.ClientID(g), kgo.Dialer(k.dial))
		l.eventually(g+" has a rhythm", func() bool {
			g := l.broker.groups.find(g)
			if c.partitions() == 0 {
				return false
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			return g.machine.HeartbeatInterval(g.classic().Leader()) > 0
		})
	}
	k.freeze(true)
	defer k.freeze(false)
	first, second := l.event("member_expired", 1), l.event("member_expired", 2)
	is(t, first, "peers_on_host", 1.0)
	is(t, first, "peers_on_host_silent", 1.0)
	is(t, second, "peers_on_host_lost_15s", 1.0)
}

func TestLoss_PollTimeout(t *testing.T) {
	t.Parallel()
	l := newGroupLab(t, quick)
	l.topic("t", 1)
	raw := l.raw("worker")
	id, generation := raw.join("g", "", "")
	raw.heartbeat("g", id, generation)
	raw.heartbeat("g", id, generation)
	raw.leave("g", id, "consumer poll timeout has expired.")
	e := l.event("member_left", 1)
	is(t, e, "reason", "consumer poll timeout has expired.")
	is(t, e, "conn_open", true)
	l.between(e, "heartbeat_age_s", 0, 1)
	l.between(e, "stable_for_s", 0, 5)
	if _, ok := e.Attrs["fetch_age_s"]; ok {
		t.Error("fetch_age_s of a member that never fetched")
	}
	if code := raw.commit("g", id, generation); code != 25 {
		t.Errorf("a commit after leaving is answered %d, want UNKNOWN_MEMBER_ID", code)
	}
	rejected := l.event("commit_rejected", 1)
	is(t, rejected, "code", "UNKNOWN_MEMBER_ID")
	is(t, rejected, "was_lost", true)
	if m := l.metrics(); m["commits_total{code=UNKNOWN_MEMBER_ID,group=g}"] != 1 {
		t.Errorf("commits: %v", m)
	}
	raw.join("g", "", "")
	is(t, l.event("member_joined", 2), "same_connection", true)
}

// raw speaks the group protocol by hand, on one connection.
type raw struct {
	l *groupLab
	c *kgo.Client
}

func (l *groupLab) raw(clientID string) *raw { return &raw{l, l.client(kgo.ClientID(clientID))} }

func request1[R kmsg.Response](r *raw, req kmsg.Request) R {
	r.l.t.Helper()
	resp, err := r.c.Request(r.l.t.Context(), req)
	if err != nil {
		r.l.t.Fatal(err)
	}
	return resp.(R)
}

// join brings a member into a stable group of its own.
func (r *raw) join(name, id, instance string) (member string, generation int32) {
	r.l.t.Helper()
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.ProtocolType = name, id, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 2000, 5000
	req.InstanceID = textOrNil(instance)
	protocol := kmsg.NewJoinGroupRequestProtocol()
	metadata := kmsg.NewConsumerMemberMetadata()
	metadata.Topics = []string{"t"}
	protocol.Name, protocol.Metadata = "range", metadata.AppendTo(nil)
	req.Protocols = append(req.Protocols, protocol)
	resp := request1[*kmsg.JoinGroupResponse](r, req)
	if resp.ErrorCode == 79 { // MEMBER_ID_REQUIRED
		return r.join(name, resp.MemberID, instance)
	}
	if resp.ErrorCode != 0 {
		r.l.t.Fatalf("join answered %d", resp.ErrorCode)
	}
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.MemberID, sync.Generation, sync.InstanceID = name, resp.MemberID, resp.Generation, req.InstanceID
	if resp.LeaderID == resp.MemberID {
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID = resp.MemberID
		assignment := kmsg.NewConsumerMemberAssignment()
		topic := kmsg.NewConsumerMemberAssignmentTopic()
		topic.Topic, topic.Partitions = "t", []int32{0}
		assignment.Topics = append(assignment.Topics, topic)
		a.MemberAssignment = assignment.AppendTo(nil)
		sync.GroupAssignment = append(sync.GroupAssignment, a)
	}
	if code := request1[*kmsg.SyncGroupResponse](r, sync).ErrorCode; code != 0 {
		r.l.t.Fatalf("sync answered %d", code)
	}
	return resp.MemberID, resp.Generation
}

func (r *raw) heartbeat(name, id string, generation int32) int16 {
	r.l.t.Helper()
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = name, id, generation
	return request1[*kmsg.HeartbeatResponse](r, req).ErrorCode
}

func (r *raw) leave(name, id, reason string) {
	r.l.t.Helper()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = name
	m := kmsg.NewLeaveGroupRequestMember()
	req.MemberID, m.MemberID, m.Reason = id, id, &reason
	req.Members = append(req.Members, m)
	resp := request1[*kmsg.LeaveGroupResponse](r, req)
	if resp.ErrorCode != 0 || len(resp.Members) > 0 && resp.Members[0].ErrorCode != 0 {
		r.l.t.Fatalf("leave answered %d %+v", resp.ErrorCode, resp.Members)
	}
}

func (r *raw) commit(name, id string, generation int32) int16 {
	r.l.t.Helper()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.Generation = name, id, generation
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic = "t"
	if t, ok := r.l.engine.Topic("t"); ok {
		topic.TopicID = t.ID
	}
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = 1
	topic.Partitions = append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	return request1[*kmsg.OffsetCommitResponse](r, req).Topics[0].Partitions[0].ErrorCode
}

func TestStatic_RestartAndConflict(t *testing.T) {
	t.Parallel()
	l := newGroupLab(t, quick)
	l.topic("t", 2)
	k := newLink()
	first := l.consume("g", "t", kgo.ClientID("c"), kgo.InstanceID("i-1"), kgo.Dialer(k.dial))
	l.eventually("the first owns both", func() bool { return first.partitions() == 2 })
	generation := l.event("rebalance_completed", 1)
	k.cut(false)
	l.eventually("its connections are closed", func() bool {
		for _, c := range l.broker.conns.byClient("c", "127.0.0.1") {
			if c.closed == connOpen {
				return false
			}
		}
		return true
	})
	second := l.consume("g", "t", kgo.ClientID("c"), kgo.InstanceID("i-1"))
	l.eventually("the restart owns both", func() bool { return second.partitions() == 2 })
	taken := l.event("member_fenced", 1)
	is(t, taken, "conflict", false)
	is(t, taken, "instance_id", "i-1")
	is(t, taken, "code", "FENCED_INSTANCE_ID")
	is(t, l.lastJoin("g"), "rejoin", true)
	is(t, l.lastJoin("g"), "same_connection", false)
	if n := len(l.events("rebalance_completed")); n != 1 {
		t.Errorf("%d rebalances, a static restart needs none after generation %v", n, generation.Attrs["generation"])
	}
	if m := l.metrics(); m["fenced_total{code=FENCED_INSTANCE_ID,group=g}"] != 0 || m["losses_total{group=g,kind=fenced}"] != 0 {
		t.Errorf("a quiet restart counts as fencing: %v", m)
	}

	l.consume("g", "t", kgo.ClientID("c"), kgo.InstanceID("i-1")) // a second process by mistake
	is(t, l.event("member_fenced", 2), "conflict", true)
	l.eventually("the first process is told", func() bool { return l.metrics()["fenced_total{code=FENCED_INSTANCE_ID,group=g}"] >= 1 })
	if m := l.metrics(); m["losses_total{group=g,kind=fenced}"] != 1 || m["fact{fact=static,group=g}"] != 1 || m["fact{fact=dynamic,group=g}"] != 0 {
		t.Errorf("metrics after a conflict: %v", m)
	}
}

func TestRestart_MembersSurvive(t *testing.T) {
	t.Parallel()
	l := newGroupLab(t, quick)
	l.topic("t", 2)
	l.produce("t", 2, 20)
	c := l.consume("g", "t", kgo.ClientID("c"), kgo.SessionTimeout(time.Minute), kgo.RebalanceTimeout(time.Minute))
	l.eventually("it consumed and committed", func() bool { return c.received() == 20 && l.metrics()["backlog_messages{group=g}"] == 0 })
	l.stop()
	l.start()
	l.produce("t", 2, 40)
	l.eventually("it consumes on", func() bool { return c.received() == 40 })
	for _, kind := range []string{"member_joined", "member_expired", "member_left", "rebalance_started"} {
		if n := len(l.events(kind)); n != 0 {
			t.Errorf("%d %s after a restart within the session timeout:\n%s", n, kind, l.story())
		}
	}
	if m := l.metrics(); m["members{group=g}"] != 1 {
		t.Errorf("members: %v", m["members{group=g}"])
	}
}

// A library without reasons leaves the same way when it closes and when its application did not poll: who stays connected
// did not close.
func TestLoss_LeaverStays(t *testing.T) {
	t.Parallel()
	l := newGroupLab(t, quick)
	l.topic("t", 1)
	closes := l.consume("closes", "t", kgo.ClientID("closes"))
	stays := l.consume("stays", "t", kgo.ClientID("stays"))
	l.eventually("both own the partition", func() bool { return closes.partitions() == 1 && stays.partitions() == 1 })
	member, _ := stays.GroupMetadata()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = "stays"
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID = member
	req.Members = append(req.Members, m)
	if _, err := req.RequestWith(t.Context(), stays.Client); err != nil {
		t.Fatal(err)
	}
	closes.CloseAllowingRebalance()
	e := l.event("leaver_stayed", 1)
	is(t, e, "group", "stays")
	is(t, e, "member", "stays@127.0.0.1")
	is(t, e, "admin", false)
	l.between(e, "heartbeat_age_s", 0, 2)
	l.eventually("both leavers were judged", func() bool {
		l.broker.groups.leavers.mu.Lock()
		defer l.broker.groups.leavers.mu.Unlock()
		return len(l.events("member_left")) >= 2 && len(l.broker.groups.leavers.waiting) == 0
	})
	for _, e := range l.events("leaver_stayed") {
		if e.String("group") == "closes" {
			t.Error("a client that closed did not stay")
		}
	}
}
