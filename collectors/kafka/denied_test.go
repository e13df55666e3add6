package kafka

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/streamkeeper-io/streamkeeper"
)

// describe is an ACL of a guarded cluster's reader.
func describe(resource kmsg.ACLResourceType, name string, allow bool) kfake.ACL {
	return kfake.ACL{Resource: resource, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationDescribe, Allow: allow}
}

// guarded is a fake cluster with ACLs and who watches it with no more rights than given, beside somebody who may do all. The
// groups have committed on the first of the topics.
func guarded(t *testing.T, topics, groups []string, acls ...kfake.ACL) (*kfake.Cluster, *kadm.Client, *Collector) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, topics...), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.Superuser("PLAIN", "admin", "secret"), kfake.User("PLAIN", "reader", "secret", acls...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.SASL(plain.Auth{User: "admin", Pass: "secret"}.AsMechanism()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	admin := kadm.NewClient(client)
	for _, group := range groups {
		var offsets kadm.Offsets
		offsets.AddOffset(topics[0], 0, 0, -1)
		if err := admin.CommitAllOffsets(t.Context(), group, offsets); err != nil {
			t.Fatal(err)
		}
	}
	c, err := New(Options{
		Cluster: "c", Kind: "kafka", Brokers: cluster.ListenAddrs(), RequestsPerSecond: 10_000,
		Security: Security{SASL: SASL{Mechanism: "PLAIN", User: "reader", Password: "secret"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return cluster, admin, c
}

// With Describe alone a cluster is watched: what is refused is no failure, and is told with the ACL that would let us.
func TestCollector_ToldWhatItMayNotSee(t *testing.T) {
	cluster, _, c := guarded(t, []string{"orders"}, []string{"billing", "hidden"},
		describe(kmsg.ACLResourceTypeTopic, "*", true), describe(kmsg.ACLResourceTypeGroup, "*", true),
		describe(kmsg.ACLResourceTypeCluster, "kafka-cluster", true), describe(kmsg.ACLResourceTypeGroup, "hidden", false))
	// Kafka lists all groups for who may describe the cluster, the fake only those that may be described.
	cluster.ControlKey(kmsg.ListGroups.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		resp := req.ResponseKind().(*kmsg.ListGroupsResponse)
		for _, name := range []string{"billing", "hidden"} {
			g := kmsg.NewListGroupsResponseGroup()
			g.Group, g.ProtocolType, g.GroupState, g.GroupType = name, "consumer", "Empty", "classic"
			resp.Groups = append(resp.Groups, g)
		}
		return resp, nil, true
	})
	var seen seenGroups
	for i := range 3 {
		if err := c.Collect(t.Context(), time.Now().Add(time.Duration(i)*5*time.Second), &seen); err != nil {
			t.Fatalf("a cluster that hides something is a failed round: %v", err)
		}
	}
	if strings.Join(seen.groups, " ") != "billing" || seen.through.IsZero() {
		t.Errorf("groups seen %q, events known through %s", seen.groups, seen.through)
	}
	told := ""
	for _, n := range c.Untold() {
		told += n.What + " needs " + n.Needs + "\n"
	}
	for _, want := range []string{
		"group hidden: its members and its lag needs the ACL Describe on the group",
		"changes of topics' configurations, and what retention deletes needs the ACL DescribeConfigs on topics",
	} {
		if !strings.Contains(told, want) {
			t.Errorf("not told: %s\ntold:\n%s", want, told)
		}
	}
}

// seenGroups keeps what the last round told.
type seenGroups struct {
	groups  []string
	through time.Time
}

func (*seenGroups) Samples(context.Context, []streamkeeper.Sample) error { return nil }
func (s *seenGroups) Events(_ context.Context, _ []streamkeeper.Event, w streamkeeper.Watermark) error {
	s.through = w.Through
	return nil
}

func (s *seenGroups) Inventory(_ context.Context, inv streamkeeper.Inventory) error {
	s.groups = nil
	for _, g := range inv.Groups {
		s.groups = append(s.groups, g.Name)
	}
	return nil
}

// What is allowed later is no longer told, and neither is what has not been refused for long.
func TestDenials_End(t *testing.T) {
	c := &Collector{o: Options{Cluster: "x"}}
	now := time.Unix(1000, 0)
	c.denyGroup(&snapshot{at: now}, "a")
	for _, name := range []string{"b", "c", "d"} {
		c.denyGroup(&snapshot{at: now.Add(forgetAfter)}, name)
	}
	if got := c.Untold(); len(got) != 1 || !strings.Contains(got[0].What, "4 groups") || !strings.Contains(got[0].What, "(a, b, c, …)") {
		t.Errorf("told %+v", got)
	}
	c.denials.forget(now.Add(forgetAfter))
	c.denials.allowed("b")
	if got := c.Untold(); len(got) != 1 || !strings.Contains(got[0].What, "(c, d)") {
		t.Errorf("told %+v", got)
	}
	if !c.denials.lately("c", now.Add(forgetAfter)) || c.denials.lately("c", now.Add(2*forgetAfter)) {
		t.Error("a refused group is asked for too soon, or never again")
	}
}
