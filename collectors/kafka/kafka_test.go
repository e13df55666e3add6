package kafka

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper"
)

func TestLagAndProgress(t *testing.T) {
	l := newLab(t, 1, Options{}, kfake.SeedTopics(2, "orders"))
	l.produce("orders", 0, 100)
	l.produce("orders", 1, 50)
	l.commit("billing", "orders", map[int32]int64{0: 100, 1: 50})
	l.mustRound(0)
	l.want("caught up", map[string]any{
		"topic_end_offset{topic=orders}":                                           150,
		"topic_partitions{topic=orders}":                                           2,
		"topic_partition_end_offset{partition=1,topic=orders}":                     50,
		"topic_partition_log_start_offset{partition=1,topic=orders}":               0,
		"cluster_brokers{}":                                                        1,
		"broker_reachable{broker=0}":                                               1,
		"broker_leaderships{broker=0}":                                             2,
		"group_members{group=billing}":                                             0,
		"group_partitions{group=billing}":                                          2,
		"group_lag_messages{group=billing}":                                        0,
		"group_lag_seconds{group=billing}":                                         0,
		"group_committed_total{group=billing}":                                     0,
		"group_produced_total{group=billing}":                                      0,
		"group_commit_age_seconds{group=billing}":                                  0,
		"group_commit_gap_seconds{group=billing}":                                  "absent",
		"group_top_partition_lag_share{group=billing}":                             "absent",
		"group_watched_seconds{group=billing}":                                     0,
		"group_topic{group=billing,topic=orders}":                                  1,
		"group_partition_committed_offset{group=billing,partition=0,topic=orders}": 100,
	})
	l.produce("orders", 0, 100)
	l.mustRound(10)
	l.want("100 records arrived within 10 s", map[string]any{
		"group_lag_messages{group=billing}":                                      100,
		"group_lag_seconds{group=billing}":                                       9.9, // the first of them after 0.1 s
		"group_partition_lag_seconds{group=billing,partition=1,topic=orders}":    0,
		"group_produced_total{group=billing}":                                    100,
		"group_top_partition_lag_share{group=billing}":                           1,
		"group_busy_partitions{group=billing}":                                   1,
		"group_partition_frozen_seconds{group=billing,partition=0,topic=orders}": 0,
	})
	l.commit("billing", "orders", map[int32]int64{0: 150})
	l.mustRound(20)
	l.want("half of them are done", map[string]any{
		"group_committed_total{group=billing}":   50,
		"group_lag_seconds{group=billing}":       14.9,
		"group_lag_messages{group=billing}":      50,
		"group_moving_partitions{group=billing}": 1,
	})
	l.mustRound(80)
	l.want("and then nothing for a minute", map[string]any{
		"group_partition_frozen_seconds{group=billing,partition=0,topic=orders}": 60,
		"group_commit_age_seconds{group=billing}":                                60,
		"group_partition_frozen_seconds{group=billing,partition=1,topic=orders}": 0,
	})
	if l.mark.Source != "kafka" || !l.mark.From.Equal(at(80)) || !l.mark.Through.Equal(at(80)) {
		t.Errorf("watermark %+v: a minute's silence cannot be told of", l.mark)
	}
}

func TestLagOfBeforeWeWatched(t *testing.T) {
	l := newLab(t, 1, Options{}, kfake.SeedTopics(1, "orders"))
	stamp := func(age time.Duration, n int) {
		for range n {
			r := &kgo.Record{Topic: "orders", Value: []byte("x"), Timestamp: epoch.Add(-age)}
			if err := l.client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	stamp(100*time.Hour, 10)
	stamp(20*time.Minute, 10)
	stamp(3*time.Minute, 10)
	stamp(time.Second, 10)
	l.commit("late", "orders", map[int32]int64{0: 25})
	l.commit("ancient", "orders", map[int32]int64{0: 5})
	l.mustRound(0)
	l.wantNear("as the records are stamped", map[string]float64{"group_lag_seconds{group=late}": 180, "group_lag_seconds{group=ancient}": 360_000})
}

// Markers and aborted records take up offsets; a group that has only those before it is not late.
func TestLagBehindMarkers(t *testing.T) {
	l := newLab(t, 1, Options{}, kfake.SeedTopics(1, "orders"))
	writer, err := kgo.NewClient(kgo.SeedBrokers(l.cluster.ListenAddrs()...), kgo.TransactionalID("writer"), kgo.DefaultProduceTopic("orders"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(writer.Close)
	now := time.Since(epoch).Seconds() // markers are stamped by the broker
	write := func(n int, age time.Duration, end kgo.TransactionEndTry) {
		t.Helper()
		if err := writer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for range n {
			r := &kgo.Record{Value: []byte("x"), Timestamp: at(now).Add(-age)}
			if err := writer.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := writer.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	write(10, 100*time.Second, kgo.TryCommit) // 0 to 9, and a marker
	l.commit("done", "orders", map[int32]int64{0: 10})
	l.commit("late", "orders", map[int32]int64{0: 5})
	l.mustRound(now + 0)
	l.want("a marker is left", map[string]any{
		"group_lag_messages{group=done}": 1, "group_lag_seconds{group=done}": 0,
	})
	l.wantNear("a record is left", map[string]float64{"group_lag_seconds{group=late}": 100})
	write(4, 50*time.Second, kgo.TryAbort) // 11 to 14, and a marker
	l.mustRound(now + 5)
	l.mustRound(now + 10)
	l.want("and what was aborted", map[string]any{"group_lag_messages{group=done}": 6, "group_lag_seconds{group=done}": 0})
	write(3, 0, kgo.TryCommit)
	l.mustRound(now + 15)
	l.mustRound(now + 20)
	l.wantNear("and a record", map[string]float64{"group_lag_seconds{group=done}": 20, "group_lag_seconds{group=late}": 120})
}

func TestLagWithoutReadRights(t *testing.T) {
	l := newLab(t, 1, Options{}, kfake.SeedTopics(1, "orders"))
	var fetches atomic.Int32
	l.cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		l.cluster.KeepControl()
		fetches.Add(1)
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		for _, t := range req.(*kmsg.FetchRequest).Topics {
			rt := kmsg.NewFetchResponseTopic()
			rt.Topic, rt.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				rp := kmsg.NewFetchResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, kerr.TopicAuthorizationFailed.Code
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
	r := &kgo.Record{Topic: "orders", Value: []byte("x"), Timestamp: epoch.Add(-time.Minute)}
	if err := l.client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	l.commit("late", "orders", map[int32]int64{0: 0})
	for i := range 5 {
		l.mustRound(float64(700 * i)) // a topic is looked into every ten minutes
		l.want("from what Describe allows", map[string]any{"group_lag_seconds{group=late}": 60 + 700*i})
	}
	if n := fetches.Load(); n != 1 {
		t.Errorf("asked for %d times within an hour, what was refused", n)
	}
}

func TestMembersAndSharing(t *testing.T) {
	for _, kip848 := range []bool{false, true} {
		t.Run(fmt.Sprintf("kip848=%v", kip848), func(t *testing.T) {
			l := newLab(t, 3, Options{}, kfake.SeedTopics(4, "orders"))
			var opts []kgo.Opt
			if kip848 {
				//lint:ignore SA1029 the key is the client's own, a plain string
				opts = append(opts, kgo.WithContext(context.WithValue(t.Context(), "opt_in_kafka_next_gen_balancer_beta", true)))
			}
			for p := range int32(4) {
				l.produce("orders", p, 10)
			}
			c := l.consumer("billing", "orders", "app", opts...)
			l.mustRound(0)
			l.want("one member", map[string]any{
				"group_members{group=billing}":               1,
				"group_stable{group=billing}":                1,
				"group_empty_seconds{group=billing}":         0,
				"group_partitions{group=billing}":            4,
				"group_multi_parts{group=billing}":           1,
				"group_lag_messages{group=billing}":          "absent", // no position yet: nothing to be late from
				"group_fact{fact=multi_parts,group=billing}": 1,
				"group_fact{fact=classic,group=billing}":     int(truth(!kip848)),
				"group_fact{fact=kip848,group=billing}":      int(truth(kip848)),
				"group_fact{fact=dynamic,group=billing}":     1,
				"group_fact{fact=static,group=billing}":      0,
				"group_fact{fact=poll_limit,group=billing}":  "absent",
				"cluster_fact{fact=multi_broker}":            1,
				"cluster_fact{fact=kafka}":                   1,
				"cluster_fact{fact=embedded}":                0,
			})
			fetches := c.PollRecords(t.Context(), 40)
			if err := c.CommitRecords(t.Context(), fetches.Records()...); err != nil {
				t.Fatal(err)
			}
			l.mustRound(5)
			g := l.inventory.Groups[0]
			if g.Name != "billing" || len(g.Members) != 1 || g.Members[0].Key != "app@127.0.0.1" || len(g.Members[0].Assigned) != 1 || len(g.Members[0].Assigned[0].Partitions) != 4 {
				t.Errorf("inventory: %+v", g)
			}
			c.Close()
			l.mustRound(10)
			l.mustRound(15)
			l.want("the member is gone", map[string]any{
				"group_members{group=billing}":                 0,
				"group_empty_seconds{group=billing}":           5,
				"group_members_seen_seconds{group=billing}":    10,
				"group_commits_without_members{group=billing}": 0,
				"group_fact{fact=dynamic,group=billing}":       "absent",
				"group_top_member_lag_share{group=billing}":    "absent",
			})
			if k := l.kinds(); k["member_gone"] != 1 || k["group_became_empty"] != 1 || k["member_seen"] != 0 {
				t.Errorf("events %v", k)
			}
			for _, e := range l.events {
				if e.Kind == "member_gone" && (e.String("member") != "app@127.0.0.1" || e.Attrs["listed_while_frozen"] != false || e.Entity != (streamkeeper.Entity{Kind: "group", Name: "billing", Cluster: "c"})) {
					t.Errorf("%+v", e)
				}
			}
		})
	}
}

func TestCommitsWithoutMembers(t *testing.T) {
	l := newLab(t, 1, Options{}, kfake.SeedTopics(1, "orders"))
	l.produce("orders", 0, 100)
	l.commit("flink", "orders", map[int32]int64{0: 10})
	l.mustRound(0)
	l.commit("flink", "orders", map[int32]int64{0: 20})
	l.mustRound(5)
	l.want("one could be an administrator", map[string]any{"group_commits_without_members{group=flink}": 0})
	l.commit("flink", "orders", map[int32]int64{0: 30})
	l.mustRound(10)
	l.want("two are a habit", map[string]any{"group_commits_without_members{group=flink}": 1})
}

// What could not be read is absent; it is never zero and never what it was.
func TestFailedPartitionsAreUnknown(t *testing.T) {
	l := newLab(t, 1, Options{}, kfake.SeedTopics(2, "orders"))
	l.produce("orders", 0, 10)
	l.produce("orders", 1, 10)
	l.commit("billing", "orders", map[int32]int64{0: 5, 1: 5})
	l.mustRound(0)
	var fail atomic.Bool
	fail.Store(true)
	l.cluster.ControlKey(int16(kmsg.ListOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
		l.cluster.KeepControl()
		if !fail.Load() {
			return nil, nil, false
		}
		in := req.(*kmsg.ListOffsetsRequest)
		resp := in.ResponseKind().(*kmsg.ListOffsetsResponse)
		for _, t := range in.Topics {
			rt := kmsg.NewListOffsetsResponseTopic()
			rt.Topic = t.Topic
			for _, p := range t.Partitions {
				rp := kmsg.NewListOffsetsResponseTopicPartition()
				rp.Partition = p.Partition
				if p.Partition == 1 {
					rp.ErrorCode = kerr.NotLeaderForPartition.Code
				} else if p.Timestamp == atHead {
					rp.Offset = 10
				} else {
					rp.Offset, rp.Timestamp = 0, -1
				}
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
	if err := l.round(5); err == nil || !strings.Contains(err.Error(), "orders-1") {
		t.Errorf("%v: want the partition named", err)
	}
	l.want("a partition of two failed", map[string]any{
		"group_partition_lag_messages{group=billing,partition=0,topic=orders}": 5,
		"group_partition_lag_messages{group=billing,partition=1,topic=orders}": "absent",
		"topic_partition_end_offset{partition=1,topic=orders}":                 "absent",
		"group_lag_messages{group=billing}":                                    "absent",
		"group_committed_total{group=billing}":                                 "absent",
		"topic_end_offset{topic=orders}":                                       "absent",
		"group_members{group=billing}":                                         0,
	})
	fail.Store(false)
	l.mustRound(10)
	l.want("back", map[string]any{"group_lag_messages{group=billing}": 10, "topic_end_offset{topic=orders}": 20})
}

func TestFailedGroupIsUnknown(t *testing.T) {
	l := newLab(t, 1, Options{}, kfake.SeedTopics(1, "orders"))
	l.produce("orders", 0, 10)
	l.commit("billing", "orders", map[int32]int64{0: 5})
	l.mustRound(0)
	through := l.mark.Through
	var fail atomic.Bool
	fail.Store(true)
	for _, key := range []kmsg.Key{kmsg.DescribeGroups, kmsg.OffsetFetch} {
		l.cluster.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
			l.cluster.KeepControl()
			if !fail.Load() {
				return nil, nil, false
			}
			switch in := req.(type) {
			case *kmsg.DescribeGroupsRequest:
				resp := in.ResponseKind().(*kmsg.DescribeGroupsResponse)
				for _, name := range in.Groups {
					g := kmsg.NewDescribeGroupsResponseGroup()
					g.Group, g.ErrorCode = name, kerr.CoordinatorLoadInProgress.Code
					resp.Groups = append(resp.Groups, g)
				}
				return resp, nil, true
			case *kmsg.OffsetFetchRequest:
				resp := in.ResponseKind().(*kmsg.OffsetFetchResponse)
				for _, g := range in.Groups {
					rg := kmsg.NewOffsetFetchResponseGroup()
					rg.Group, rg.ErrorCode = g.Group, kerr.CoordinatorLoadInProgress.Code
					resp.Groups = append(resp.Groups, rg)
				}
				return resp, nil, true
			}
			return nil, nil, false
		})
	}
	if err := l.round(5); err == nil {
		t.Error("a coordinator that loads is fine")
	}
	l.want("the group could not be read", map[string]any{
		"group_lag_messages{group=billing}":       "absent",
		"group_committed_total{group=billing}":    "absent",
		"group_commit_age_seconds{group=billing}": "absent",
		"topic_end_offset{topic=orders}":          10,
	})
	if !l.mark.Through.Equal(through) {
		t.Error("the watermark moved over a round that saw half")
	}
	fail.Store(false)
	l.mustRound(10)
	l.want("back", map[string]any{"group_members{group=billing}": 0, "group_lag_messages{group=billing}": 5})
	if len(l.events) != 0 {
		t.Errorf("a failed reading made events: %v", l.events)
	}
}

func TestBrokerLossAndReturn(t *testing.T) {
	l := newLab(t, 1, Options{}, kfake.SeedTopics(3, "orders"))
	l.mustRound(0)
	var down atomic.Bool
	down.Store(true)
	l.cluster.Control(func(kmsg.Request) (kmsg.Response, error, bool) {
		l.cluster.KeepControl()
		if down.Load() {
			return nil, fmt.Errorf("closed"), true
		}
		return nil, nil, false
	})
	for i := range 3 {
		if err := l.round(5 + 5*float64(i)); err == nil {
			t.Fatal("a cluster that does not answer is fine")
		}
	}
	l.want("it does not answer", map[string]any{"broker_reachable{broker=0}": 0, "broker_connection_refused{broker=0}": 0, "topic_end_offset{topic=orders}": "absent", "broker_leaderships{broker=0}": "absent"})
	down.Store(false)
	l.mustRound(20)
	l.mustRound(25)
	l.want("back", map[string]any{"broker_reachable{broker=0}": 1, "topic_end_offset{topic=orders}": 0})
	var got []string
	for _, e := range l.events {
		got = append(got, fmt.Sprintf("%s@%v lead=%v moved=%v", e.Kind, e.At.Sub(epoch).Seconds(), e.Attrs["leaderships_at_loss"], e.Attrs["leaders_moved_first"]))
	}
	if want := []string{"broker_unreachable@5 lead=3 moved=false", "broker_back@20 lead=<nil> moved=<nil>"}; !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
}

// A host on which nobody listens any more says so.
func TestRefusedConnection(t *testing.T) {
	l := newLab(t, 1, Options{}, kfake.SeedTopics(1, "orders"))
	l.mustRound(0)
	l.want("there", map[string]any{"broker_connection_refused{broker=0}": 0})
	l.cluster.Close()
	for i := range 3 { // the connections that there were must be found dead first
		_ = l.round(5 + 5*float64(i))
	}
	l.want("its process ended", map[string]any{"broker_reachable{broker=0}": 0, "broker_connection_refused{broker=0}": 1})
}

func TestTopicLife(t *testing.T) {
	l := newLab(t, 1, Options{}, kfake.SeedTopics(1, "orders"))
	l.mustRound(0)
	if _, err := l.admin.CreateTopics(t.Context(), 2, 1, nil, "fresh"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.admin.CreatePartitions(t.Context(), 2, "orders"); err != nil {
		t.Fatal(err)
	}
	l.mustRound(5)
	if _, err := l.admin.DeleteTopics(t.Context(), "fresh"); err != nil {
		t.Fatal(err)
	}
	l.mustRound(10)
	l.want("deleted", map[string]any{"topic_end_offset{topic=fresh}": "absent"})
	value := "1234"
	if _, err := l.admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "retention.ms", Value: &value}}, "orders"); err != nil {
		t.Fatal(err)
	}
	l.mustRound(400) // configurations are read every five minutes
	want := map[string]int{"topic_created": 1, "partitions_added": 1, "topic_deleted": 1, "config_changed": 1}
	if got := l.kinds(); !maps.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
	for i, e := range l.events {
		if e.Seq != uint64(i+1) || e.Text == "" || e.Source != "kafka" {
			t.Errorf("%+v", e)
		}
	}
}

func TestMaxPartitions(t *testing.T) {
	l := newLab(t, 1, Options{MaxPartitions: 3}, kfake.SeedTopics(2, "a"), kfake.SeedTopics(2, "read"))
	l.produce("read", 0, 5)
	l.commit("g", "read", map[int32]int64{0: 1, 1: 0})
	l.mustRound(0)
	l.want("what groups read comes first", map[string]any{
		"topic_end_offset{topic=read}": 5, "topic_end_offset{topic=a}": "absent", "group_lag_messages{group=g}": 4,
	})
}

func TestNewRefuses(t *testing.T) {
	for _, o := range []Options{{Brokers: []string{"h:1"}}, {Cluster: "c"}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

// Leaders and coordinators move while nothing is wrong: at most a round is lost, and nothing is told.
func TestLeadersAndCoordinatorsMove(t *testing.T) {
	l := newLab(t, 3, Options{}, kfake.SeedTopics(6, "orders"))
	for p := range int32(6) {
		l.produce("orders", p, 10)
	}
	l.commit("billing", "orders", map[int32]int64{0: 5, 1: 5, 2: 5, 3: 5, 4: 5, 5: 5})
	l.mustRound(0)
	for i := range 5 {
		l.cluster.RehashCoordinators()
		for p := range int32(6) {
			if err := l.cluster.MoveTopicPartition("orders", p, (p+int32(i))%3); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.round(float64(5 + 10*i)); err != nil {
			t.Logf("the round of the move: %v", err)
		}
		l.mustRound(float64(10 + 10*i))
		l.want("after the move", map[string]any{"group_lag_messages{group=billing}": 30, "topic_end_offset{topic=orders}": 60, "cluster_brokers{}": 3})
	}
	if len(l.events) != 0 {
		t.Errorf("events of a cluster on which nothing happened: %v", l.events)
	}
}
