package kafka

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper"
)

// coordinator writes the group log as Kafka's coordinators do.
type coordinator struct {
	l       *lab
	records []*kgo.Record
}

func (c *coordinator) write(seconds float64) func(key, value []byte) {
	return func(key, value []byte) {
		c.records = append(c.records, &kgo.Record{Topic: groupLog, Timestamp: at(seconds), Key: key, Value: value})
	}
}

func (c *coordinator) flush() {
	c.l.t.Helper()
	if err := c.l.client.ProduceSync(c.l.t.Context(), c.records...).FirstErr(); err != nil {
		c.l.t.Fatal(err)
	}
	c.records = nil
}

func (l *lab) topics(partitions map[string]int32) {
	l.t.Helper()
	for _, name := range sortedKeys(partitions) {
		if _, err := l.admin.CreateTopic(l.t.Context(), partitions[name], 1, nil, name); err != nil {
			l.t.Fatal(err)
		}
	}
}

func commitRecord(group, topic string, index int32, offset int64) (key, value []byte) {
	k, v := kmsg.OffsetCommitKey{Version: 1, Group: group, Topic: topic, Partition: index}, kmsg.OffsetCommitValue{Version: 3, Offset: offset}
	return k.AppendTo(nil), v.AppendTo(nil)
}

// rosterRecord names members as "id" or "id=partition of the topic t".
func rosterRecord(group string, members ...string) (key, value []byte) {
	k := kmsg.GroupMetadataKey{Version: 2, Group: group}
	v := kmsg.GroupMetadataValue{Version: 3, ProtocolType: "consumer", Generation: 1}
	for _, name := range members {
		id, own, _ := strings.Cut(name, "=")
		client, _, _ := strings.Cut(id, "#")
		m := kmsg.GroupMetadataValueMember{MemberID: id, ClientID: client, ClientHost: "/10.0.0.1", SessionTimeoutMillis: 10_000, RebalanceTimeoutMillis: 300_000}
		if own != "" {
			a := kmsg.ConsumerMemberAssignment{Topics: []kmsg.ConsumerMemberAssignmentTopic{{Topic: "t", Partitions: []int32{int32(own[0] - '0')}}}}
			m.Assignment = a.AppendTo(nil)
		}
		v.Members = append(v.Members, m)
	}
	return k.AppendTo(nil), v.AppendTo(nil)
}

func joinRecord(group, id, client string, rebalance int32) (key, value []byte) {
	key = kbin.AppendString(kbin.AppendString(kbin.AppendInt16(nil, keyOf848Join), group), id)
	value = kbin.AppendInt16(nil, 0)
	value = kbin.AppendCompactNullableString(value, nil)
	value = kbin.AppendCompactNullableString(value, nil)
	value = kbin.AppendCompactString(kbin.AppendCompactString(value, client), "/10.0.0.2")
	value = kbin.AppendCompactString(kbin.AppendCompactArrayLen(value, 1), "t")
	value = kbin.AppendCompactNullableString(value, nil)
	value = kbin.AppendInt32(value, rebalance)
	return key, kbin.AppendCompactNullableString(value, nil)
}

func TestReadLogged(t *testing.T) {
	record := func(key, value []byte) *kgo.Record { return &kgo.Record{Key: key, Value: value, Timestamp: at(7)} }
	commit, _, err := readLogged(record(commitRecord("g", "t", 3, 42)))
	if err != nil || commit.group != "g" || commit.commit != (partition{"t", 3}) || !commit.at.Equal(at(7)) {
		t.Errorf("a commit: %+v, %v", commit, err)
	}
	roster, _, err := readLogged(record(rosterRecord("g", "a#1=0", "b#1")))
	if err != nil || len(roster.roster) != 2 || roster.roster[0].host != "10.0.0.1" || roster.roster[0].session != 10*time.Second ||
		roster.roster[0].rebalance != 5*time.Minute || !slices.Equal(roster.roster[0].assigned, []partition{{"t", 0}}) {
		t.Errorf("a roster: %+v, %v", roster, err)
	}
	joined, _, err := readLogged(record(joinRecord("k", "m1", "app", 45_000)))
	if err != nil || joined.joined == nil || joined.joined.client != "app" || joined.joined.host != "10.0.0.2" || joined.joined.rebalance != 45*time.Second {
		t.Errorf("a KIP-848 member: %+v, %v", joined, err)
	}
	key, _ := joinRecord("k", "m1", "app", 1)
	if left, ok, err := readLogged(record(key, nil)); err != nil || !ok || left.left != "m1" {
		t.Errorf("a KIP-848 member that left: %+v, %v, %v", left, ok, err)
	}
	key, _ = rosterRecord("g")
	if gone, ok, err := readLogged(record(key, nil)); err != nil || !ok || gone.roster == nil || len(gone.roster) != 0 {
		t.Errorf("a group that was forgotten: %+v, %v, %v", gone, ok, err)
	}
	if _, ok, err := readLogged(record(kbin.AppendInt16(nil, 99), []byte("?"))); ok || err != nil {
		t.Errorf("a kind of record of later: %v, %v, want it left out", ok, err)
	}
	if _, _, err := readLogged(record([]byte{1}, nil)); err == nil {
		t.Error("no error of a key of one byte")
	}
}

func FuzzReadLogged(f *testing.F) {
	add := func(key, value []byte) { f.Add(key, value) }
	add(commitRecord("g", "t", 3, 42))
	add(rosterRecord("g", "a#1=0", "b#1"))
	add(joinRecord("k", "m1", "app", 45_000))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		l, ok, err := readLogged(&kgo.Record{Key: key, Value: value})
		if ok && err != nil || l.joined != nil && l.roster != nil {
			t.Errorf("%v, %v: %+v", ok, err, l)
		}
		if len(l.roster) > len(value) {
			t.Errorf("%d members in %d bytes", len(l.roster), len(value))
		}
	})
}

// TestGroupLog comes to a cluster on which one member was lost twice in the last minutes, and tells of it at once.
func TestGroupLog(t *testing.T) {
	l := newLab(t, 2, Options{GroupLog: true})
	l.topics(map[string]int32{"t": 2, groupLog: 4})
	l.produce("t", 0, 10)
	l.commit("g", "t", map[int32]int64{0: 5, 1: 0})
	c := &coordinator{l: l}
	c.write(-1500)(rosterRecord("g", "long#1", "gone#1")) // beyond what is of interest
	c.write(-300)(rosterRecord("g", "a#1=0", "b#1=1"))
	c.write(-200)(commitRecord("g", "t", 1, 5))
	c.write(-188)(rosterRecord("g", "a#1=0"))
	c.write(-150)(rosterRecord("g", "a#1=0", "b#2=1"))
	c.write(-100)(rosterRecord("g", "a#1=0"))
	c.flush()
	l.mustRound(0)
	var told []string
	for _, e := range l.events {
		if e.Kind == "member_gone" || e.Kind == "member_seen" {
			told = append(told, e.Kind+" "+e.Attrs["member"].(string)+" "+e.At.Sub(at(0)).String())
		}
	}
	want := []string{"member_gone b@10.0.0.1 -3m8s", "member_seen b@10.0.0.1 -2m30s", "member_gone b@10.0.0.1 -1m40s"}
	if !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
	i := slices.IndexFunc(l.events, func(e streamkeeper.Event) bool { return e.Kind == "member_gone" })
	if i < 0 {
		t.FailNow()
	}
	for name, v := range map[string]any{"commit_age_s": 12.0, "session_timeout_s": 10.0, "rebalance_timeout_s": 300.0, "members": 1.0, "replaced": false} {
		if got := l.events[i].Attrs[name]; got != v {
			t.Errorf("%s is %v, want %v", name, got, v)
		}
	}
	l.want("two losses", map[string]any{"group_losses_watched{group=g}": 2})
	before := len(l.events)
	l.mustRound(5)
	for _, e := range l.events[before:] {
		if strings.HasPrefix(e.Kind, "member_") {
			t.Errorf("told again: %+v", e)
		}
	}
}

// TestGroupLog_CommitAge comes to a group that has stood still for two minutes.
func TestGroupLog_CommitAge(t *testing.T) {
	l := newLab(t, 1, Options{GroupLog: true})
	l.topics(map[string]int32{"t": 1, groupLog: 1})
	for _, seconds := range []float64{-140, -110} {
		if err := l.client.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Timestamp: at(seconds), Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	l.commit("g", "t", map[int32]int64{0: 1})
	c := &coordinator{l: l}
	c.write(-120)(commitRecord("g", "t", 0, 1))
	c.flush()
	l.mustRound(0)
	if got := l.series["group_commit_age_seconds{group=g}"]; math.Abs(got-110) > 1 {
		t.Errorf("nothing was committed for %v s, want 110: since then a record waits", got)
	}
}

func TestGroupLog_Refused(t *testing.T) {
	l := newLab(t, 1, Options{GroupLog: true})
	l.topics(map[string]int32{"t": 1, groupLog: 1})
	l.commit("g", "t", map[int32]int64{0: 0})
	asked := 0
	l.cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		l.cluster.KeepControl()
		asked++
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		resp.ErrorCode = kerr.UnknownServerError.Code
		return resp, nil, true
	})
	l.cluster.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		l.cluster.KeepControl()
		m := req.(*kmsg.MetadataRequest)
		if !m.IncludeTopicAuthorizedOperations {
			return nil, nil, false
		}
		resp, name := req.ResponseKind().(*kmsg.MetadataResponse), groupLog
		resp.Topics = []kmsg.MetadataResponseTopic{{Topic: &name, AuthorizedOperations: 1 << kmsg.ACLOperationDescribe}}
		return resp, nil, true
	})
	for i := range 3 {
		l.mustRound(float64(5 * i))
	}
	untold := l.collector.Untold()
	if asked > 0 || len(untold) != 1 || !strings.Contains(untold[0].Needs, groupLog) {
		t.Errorf("asked %d times, not judged %+v, want what it needs without that", asked, untold)
	}
}
