package kafka

import (
	"context"
	"slices"
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

// told keeps the kinds of events, with whom they are about.
type told struct{ seenGroups }

func (s *told) Events(_ context.Context, events []streamkeeper.Event, _ streamkeeper.Watermark) error {
	for _, e := range events {
		s.groups = append(s.groups, e.Kind+" "+e.Entity.Name)
	}
	return nil
}

func (*told) Inventory(context.Context, streamkeeper.Inventory) error { return nil }

// A topic and a group that an ACL hides were not deleted, and are not new when they may be seen again.
func TestCollector_HiddenIsNotDeleted(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "orders", "kept", "dropped"), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.Superuser("PLAIN", "admin", "secret"),
		kfake.User("PLAIN", "reader", "secret",
			kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: "*", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationDescribe, Allow: true},
			kfake.ACL{Resource: kmsg.ACLResourceTypeGroup, Name: "*", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationDescribe, Allow: true}))
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
	for _, group := range []string{"billing", "ended", "kept"} {
		var offsets kadm.Offsets
		offsets.AddOffset("kept", 0, 0, -1)
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
	var sink told
	at := time.Now()
	round := func() []string {
		t.Helper()
		sink.groups = nil
		if err := c.Collect(t.Context(), at, &sink); err != nil {
			t.Fatal(err)
		}
		at = at.Add(askDeniedEvery)
		slices.Sort(sink.groups)
		return sink.groups
	}
	round()
	if got := round(); len(got) > 0 {
		t.Fatalf("told %q before anything happened", got)
	}
	denials := kadm.NewACLs().Topics("orders").Groups("billing").ResourcePatternType(kadm.ACLPatternLiteral).
		Operations(kadm.OpDescribe).Deny("User:reader").DenyHosts("*")
	if _, err := admin.CreateACLs(t.Context(), denials); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.DeleteTopics(t.Context(), "dropped"); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.DeleteGroups(t.Context(), "ended"); err != nil {
		t.Fatal(err)
	}
	if got := round(); !slices.Equal(got, []string{"group_deleted ended", "topic_deleted dropped"}) {
		t.Errorf("told %q, want what was deleted, and not what is hidden", got)
	}
	notJudged := func() (out string) {
		for _, n := range c.Untold() {
			out += n.What + " needs " + n.Needs + "\n"
		}
		return out
	}
	for _, want := range []string{"topic orders: it is hidden by now needs the ACL Describe on the topic", "group billing: its members and its lag needs the ACL Describe on the group"} {
		if !strings.Contains(notJudged(), want) {
			t.Errorf("not told: %s\ntold:\n%s", want, notJudged())
		}
	}
	if got := round(); len(got) > 0 {
		t.Errorf("told %q while nothing changed", got)
	}
	if _, err := admin.DeleteACLs(t.Context(), denials); err != nil {
		t.Fatal(err)
	}
	round() // what was refused is asked for again after a while
	if got := round(); len(got) > 0 {
		t.Errorf("told %q when it may be seen again", got)
	}
	if got := notJudged(); strings.Contains(got, "orders") || strings.Contains(got, "billing") {
		t.Errorf("still told as hidden:\n%s", got)
	}
}
