package kafka

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestDisksAreRead(t *testing.T) {
	l := newLab(t, 2, Options{}, kfake.SeedTopics(2, "orders"))
	l.produce("orders", 0, 100)
	l.mustRound(0)
	if got := l.series["topic_partition_log_bytes{partition=0,topic=orders}"]; got <= 0 {
		t.Errorf("a partition with records weighs %v", got)
	}
	l.want("what a broker tells of its disks", map[string]any{
		"broker_log_dirs_offline{broker=0}":                   0,
		"topic_partition_log_bytes{partition=1,topic=orders}": 0,
		"cluster_fact{fact=disks_told}":                       1,
		"cluster_fact{fact=quorum_told}":                      0, // the fake has none
	})
	if len(l.collector.Untold()) > 0 {
		t.Errorf("nothing was refused: %+v", l.collector.Untold())
	}
}

// What needs a permission that we lack is told with it, and is no failure.
func TestDeniedIsTold(t *testing.T) {
	l := newLab(t, 1, Options{}, kfake.SeedTopics(1, "orders"))
	for _, key := range []kmsg.Key{kmsg.DescribeConfigs, kmsg.DescribeLogDirs} {
		l.cluster.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
			l.cluster.KeepControl()
			return refused(req), nil, true
		})
	}
	l.mustRound(0)
	var needs []string
	for _, n := range l.collector.Untold() {
		needs = append(needs, n.Needs)
	}
	want := []string{
		"the ACL DescribeConfigs on topics", "the ACL DescribeConfigs on the cluster", "the ACL Describe on the cluster (DescribeLogDirs)",
	}
	if !slices.Equal(needs, want) {
		t.Errorf("needs %v, want %v", needs, want)
	}
	l.want("not told", map[string]any{"broker_log_dirs_offline{broker=0}": "absent", "cluster_fact{fact=disks_told}": 0})
}

// refused answers as a broker whose administrator has not let us in.
func refused(req kmsg.Request) kmsg.Response {
	if in, ok := req.(*kmsg.DescribeLogDirsRequest); ok {
		resp := in.ResponseKind().(*kmsg.DescribeLogDirsResponse)
		resp.ErrorCode = kerr.ClusterAuthorizationFailed.Code
		return resp
	}
	in := req.(*kmsg.DescribeConfigsRequest)
	resp := in.ResponseKind().(*kmsg.DescribeConfigsResponse)
	for _, r := range in.Resources {
		out := kmsg.NewDescribeConfigsResponseResource()
		out.ResourceType, out.ResourceName, out.ErrorCode = r.ResourceType, r.ResourceName, kerr.TopicAuthorizationFailed.Code
		if r.ResourceType == kmsg.ConfigResourceTypeBroker {
			out.ErrorCode = kerr.ClusterAuthorizationFailed.Code
		}
		resp.Resources = append(resp.Resources, out)
	}
	return resp
}

func TestDisksAreTracked(t *testing.T) {
	s := newScene(t, 2)
	disks := func(offline bool, usable int64) func(*snapshot) {
		return func(snap *snapshot) {
			snap.disks = map[int32]brokerDisks{1: {
				dirs:  []logDir{{path: "/a", total: 1000, usable: usable}, {path: "/b", offline: offline, total: unset, usable: unset}},
				sizes: map[partition]int64{{"t", 0}: 70, {"t", 1}: 30, {"gone", 0}: 5},
			}}
		}
	}
	s.with = disks(false, 400)
	s.round(0, 1)
	s.want("as read", map[string]float64{
		"broker_log_dirs/1": 2, "broker_log_dirs_offline/1": 0, "broker_log_bytes/1": 105, "broker_log_dir_total_bytes/1": 1000,
		"broker_log_dir_usable_bytes/1": 400, "topic_log_bytes": 100, "topic_partition_log_bytes/0": 70,
	})
	s.with = disks(true, 300)
	s.round(0, 1)
	s.want("one failed", map[string]float64{"broker_log_dirs_offline/1": 1, "broker_log_dir_usable_bytes/1": 300})
	s.with = nil
	s.rounds(2, 0, 1)
	s.wantTold("it is told once", "log_dir_offline@5")
	s.want("and stands until it is read again", map[string]float64{"broker_log_dirs_offline/1": 1})
	s.with = func(snap *snapshot) { snap.reachable[1] = false }
	s.round(0, 1)
	if _, there := s.series["broker_log_bytes/1"]; there {
		t.Error("a broker that does not answer tells of its disks")
	}
	s.with = disks(false, 300)
	s.round(0, 1)
	s.wantTold("mended", "log_dir_back@25")
}

func TestQuorum(t *testing.T) {
	replica := func(id int32, end, caughtUp int64) kmsg.DescribeQuorumResponseTopicPartitionReplicaState {
		r := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
		r.ReplicaID, r.LogEndOffset, r.LastCaughtUpTimestamp, r.LastFetchTimestamp = id, end, caughtUp, caughtUp
		return r
	}
	answer := func(leader, epoch int32, voters ...kmsg.DescribeQuorumResponseTopicPartitionReplicaState) *quorumState {
		resp := kmsg.NewPtrDescribeQuorumResponse()
		p := kmsg.NewDescribeQuorumResponseTopicPartition()
		p.LeaderID, p.LeaderEpoch, p.CurrentVoters = leader, epoch, voters
		p.Observers = append(p.Observers, replica(9, 80, -1))
		x := kmsg.NewDescribeQuorumResponseTopic()
		x.Topic, x.Partitions = metadataTopic, append(x.Partitions, p)
		resp.Topics = append(resp.Topics, x)
		return quorumOf(resp)
	}
	first := answer(3000, 7, replica(3001, 90, 40_000), replica(3000, 100, -1), replica(3002, -1, 55_000))
	want := &quorumState{leader: 3000, epoch: 7, voters: []replicaState{
		{id: 3000}, {id: 3001, lag: 10, behind: 15 * time.Second}, {id: 3002, lag: unset},
	}, observers: []replicaState{{id: 9, lag: 20, behind: -1}}}
	if diff := cmp.Diff(want, first, cmp.AllowUnexported(quorumState{}, replicaState{})); diff != "" {
		t.Error(diff)
	}
	if answer(-1, 7) != nil || quorumOf(kmsg.NewPtrDescribeQuorumResponse()) != nil {
		t.Error("a quorum without a leader tells nothing")
	}
	s := newScene(t, 1)
	for _, q := range []*quorumState{first, nil, first, answer(3001, 9, replica(3000, 100, -1), replica(3001, 100, -1))} {
		s.with = func(snap *snapshot) { snap.quorum = q }
		s.round(0)
	}
	s.wantTold("another leader, and a voter less", "quorum_leader_changed@15", "quorum_voters_changed@15")
	s.want("as last told", map[string]float64{"quorum_epoch": 9, "quorum_voters": 2})
}

func TestTurns(t *testing.T) {
	var w turns[string]
	list := strings.Split("a b c d e", " ")
	now := epoch
	var got []string
	for range 4 {
		if !w.due(now, time.Minute) {
			t.Fatal("it is time")
		}
		got = append(got, fmt.Sprint(w.next(now, list, 2)))
		if w.due(now.Add(59*time.Second), time.Minute) {
			t.Error("it is too early")
		}
		now = now.Add(time.Minute)
	}
	if want := []string{"[a b]", "[c d]", "[e]", "[a b]"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
