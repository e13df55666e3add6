package kafka

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

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
	_, admin, c := guarded(t, []string{"kept", "orders", "dropped"}, []string{"billing", "ended", "kept"},
		describe(kmsg.ACLResourceTypeTopic, "*", true), describe(kmsg.ACLResourceTypeGroup, "*", true))
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
