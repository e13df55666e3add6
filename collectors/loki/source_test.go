package loki

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

func member(id, client, host, instance string) streamkeeper.MemberInfo {
	return streamkeeper.MemberInfo{MemberID: id, ClientID: client, Host: host, InstanceID: instance}
}

func group(name string, members ...streamkeeper.MemberInfo) streamkeeper.GroupInfo {
	return streamkeeper.GroupInfo{Name: name, Members: members}
}

const (
	maxPoll    = `%4|1791661108.167|MAXPOLL|rdkafka#consumer-1| [thrd:main]: Application maximum poll interval (6000ms) exceeded by 398ms (adjust max.poll.interval.ms for long-running message processing): leaving group`
	brokerLeft = `INFO [GroupCoordinator id=1 topic=__consumer_offsets partition=3] [Group orders] Member orders-2-206e801e-b293-41ef-807a-23b1ce1dc442 has left group through explicit ` + "`LeaveGroup`" + ` request; client reason: consumer poll timeout has expired. (org.apache.kafka.coordinator.group.GroupMetadataManager)`
	leaving    = `INFO [Consumer clientId=orders-2, groupId=orders] Member orders-2-206e801e-b293-41ef-807a-23b1ce1dc442 sending LeaveGroup request to coordinator kafka-2:9092 (id: 2147483645 rack: null) due to consumer poll timeout has expired. (org.apache.kafka.clients.consumer.internals.ConsumerCoordinator)`
)

// TestSource_NamesWhomALineIsAbout: from the line, then its labels, then the members that were seen; else not at all.
func TestSource_NamesWhomALineIsAbout(t *testing.T) {
	inv := streamkeeper.Inventory{Groups: []streamkeeper.GroupInfo{
		group("audit", member("rdkafka-1", "rdkafka", "10.0.0.1", ""), member("rdkafka-2", "rdkafka", "10.0.0.2", "")),
		group("bills", member("rdkafka-3", "rdkafka", "10.0.0.3", ""), member("pod-3-x", "c", "10.0.0.9", "pod-3")),
		group("orders", member("orders-2-206e801e-b293-41ef-807a-23b1ce1dc442", "orders-2", "10.0.4.17", "")),
	}}
	for _, c := range []struct {
		name, labels, line string
		group, member      string
	}{
		{"the line names the group, the inventory the host", `{app="x"}`, pollTimeout, "orders", "orders-2@10.0.4.17"},
		{"a broker's line names a member id", `{app="kafka"}`, brokerLeft, "orders", "orders-2@10.0.4.17"},
		{"labels name the group, client and host fit one member", `{group="audit", pod_ip="10.0.0.2"}`, maxPoll, "audit", "rdkafka@10.0.0.2"},
		{"the address is in one group only", `{pod_ip="10.0.0.3"}`, maxPoll, "bills", "rdkafka@10.0.0.3"},
		{"which of two members is not known", `{consumer_group="audit"}`, maxPoll, "audit", "rdkafka"},
		{"which of two groups is not known", `{app="x"}`, maxPoll, "", ""},
		{"an address that nobody has", `{pod_ip="10.9.9.9"}`, maxPoll, "", ""},
		{"an instance id", `{group_instance_id="pod-3"}`, `WARNING kafka.coordinator Heartbeat poll expired, leaving group`, "bills", "pod-3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, Limits{})
			b.world.inv = inv
			s := b.Source(SourceOptions{Cluster: "prod"})
			b.send(c.labels, c.line)
			k := collect(t, s, noon)
			if c.group == "" {
				if len(k.events) != 0 || b.counts.unclaimed.Load() != 1 {
					t.Errorf("guessed: %+v, %d counted", k.events, b.counts.unclaimed.Load())
				}
				return
			}
			if len(k.events) != 1 {
				t.Fatalf("%d events", len(k.events))
			}
			if e := k.events[0]; e.Entity.Name != c.group || e.String("member") != c.member {
				t.Errorf("group %s member %s, want %s %s", e.Entity.Name, e.String("member"), c.group, c.member)
			}
		})
	}
}

// TestSource_AMemberThatHasLeftIsStillKnown: its line comes when the inventory has it no more.
func TestSource_AMemberThatHasLeftIsStillKnown(t *testing.T) {
	b := newBench(t, Limits{})
	s := b.Source(SourceOptions{Cluster: "prod"})
	b.world.inv = streamkeeper.Inventory{Groups: []streamkeeper.GroupInfo{group("orders", member("m", "orders-2", "10.0.4.17", ""))}}
	collect(t, s, noon)
	b.world.inv = streamkeeper.Inventory{}
	b.send(`{a="b"}`, pollTimeout)
	if k := collect(t, s, noon); k.events[0].String("member") != "orders-2@10.0.4.17" {
		t.Errorf("%+v", k.events)
	}
	b.at = noon.Add(2 * memberMemory)
	b.send(`{a="b"}`, pollTimeout)
	if k := collect(t, s, b.at); k.events[0].String("member") != "orders-2" {
		t.Errorf("remembered for ever: %+v", k.events)
	}
}

// TestSource_OneFactOnce: a client writes two lines and its broker a third about one leave, and agents send lines twice.
func TestSource_OneFactOnce(t *testing.T) {
	b := newBench(t, Limits{})
	s := b.Source(SourceOptions{Cluster: "prod"})
	b.send(`{app="orders"}`, pollTimeout, leaving)
	b.send(`{app="orders"}`, pollTimeout, leaving)
	b.at = b.at.Add(time.Second)
	b.send(`{app="kafka"}`, brokerLeft)
	k := collect(t, s, noon)
	if len(k.events) != 1 {
		t.Fatalf("%d events: %+v", len(k.events), k.events)
	}
	if id := k.events[0].String("member_id"); !strings.HasPrefix(id, "orders-2-206e") {
		t.Errorf("member id %q: what the later lines know is lost", id)
	}
	// The same member again, a little later, is another leave; so is another member with the same client id.
	b.at = b.at.Add(12 * time.Second)
	b.send(`{app="orders"}`, pollTimeout)
	b.send(`{app="orders", pod_ip="10.0.0.8"}`, pollTimeout)
	if k := collect(t, s, b.at); len(k.events) != 2 {
		t.Errorf("%d events, want 2: %+v", len(k.events), k.events)
	}
}

func TestSource_WhereTheBrokerTellsItselfLogsAddWhatOnlyClientsKnow(t *testing.T) {
	b := newBench(t, Limits{})
	s := b.Source(SourceOptions{Cluster: "local", Ring: true})
	b.send(`{app="orders"}`, pollTimeout, strings.ReplaceAll(dull[1], "x", "y"),
		`INFO [Consumer clientId=orders-1, groupId=orders] Request joining group due to: encountered UNKNOWN_MEMBER_ID from HEARTBEAT response`)
	k := collect(t, s, noon)
	if len(k.events) != 2 || k.events[0].Kind != "leave_explained" || k.events[1].Kind != "eviction_noticed" {
		t.Errorf("%+v", k.events)
	}
	b.send(`{group="audit"}`, `%4|1791661108.167|MAXPOLL|rdkafka#consumer-1| [thrd:main]: Application maximum poll interval (6000ms) exceeded by 398ms (adjust max.poll.interval.ms for long-running message processing): leaving group`)
	if e := collect(t, s, noon.Add(5*time.Second)).events; len(e) != 1 || e[0].Kind != "leave_explained" || e[0].String("reason") != "consumer poll timeout has expired." || e[0].Entity.Name != "audit" {
		t.Errorf("librdkafka: %+v", e)
	}
	for _, m := range k.marks {
		if !m.Through.IsZero() {
			t.Errorf("claims coverage: %+v", m)
		}
	}
}

func TestSource_ClustersApart(t *testing.T) {
	for _, c := range []struct {
		name, path, tenant, labels string
		want                       string
	}{
		{"a label", "", "", `{kafka_cluster="eu"}`, "eu"},
		{"the address", "?cluster=us", "", `{app="x"}`, "us"},
		{"the tenant", "", "us", `{app="x"}`, "us"},
		{"the only one that knows the group", "", "fake", `{app="x", cluster="k8s"}`, "us"},
	} {
		b := newBench(t, Limits{})
		eu, us := b.Source(SourceOptions{Cluster: "eu"}), b.Source(SourceOptions{Cluster: "us"})
		collect(t, eu, noon)
		b.world.inv = streamkeeper.Inventory{Groups: []streamkeeper.GroupInfo{group("orders")}}
		collect(t, us, noon)
		b.world.inv = streamkeeper.Inventory{}
		headers := []string{}
		if c.tenant != "" {
			headers = append(headers, "X-Scope-OrgID", c.tenant)
		}
		w := b.doAt("/loki/api/v1/push"+c.path, encode(t, pushed(c.labels, noon, pollTimeout)), headers...)
		if w.Code != 204 {
			t.Fatalf("%s: %d", c.name, w.Code)
		}
		got := map[string]int{"eu": len(collect(t, eu, noon).events), "us": len(collect(t, us, noon).events)}
		if d := cmp.Diff(map[string]int{"eu": 0, "us": 0, c.want: 1}, got); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestSource_WhatTwoClustersKnowIsNobodys(t *testing.T) {
	b := newBench(t, Limits{})
	eu, us := b.Source(SourceOptions{Cluster: "eu"}), b.Source(SourceOptions{Cluster: "us"})
	b.world.inv = streamkeeper.Inventory{Groups: []streamkeeper.GroupInfo{group("orders")}}
	collect(t, eu, noon)
	collect(t, us, noon)
	b.send(`{app="x"}`, pollTimeout)
	if n := len(collect(t, eu, noon).events) + len(collect(t, us, noon).events); n != 0 || b.counts.unclaimed.Load() != 1 {
		t.Errorf("%d events, %d unclaimed", n, b.counts.unclaimed.Load())
	}
}

// TestSource_CoversOnlyWithTheLogsOfEveryBroker: silence tells something only then.
func TestSource_CoversOnlyWithTheLogsOfEveryBroker(t *testing.T) {
	b := newBench(t, Limits{})
	s := b.Source(SourceOptions{Cluster: "prod"})
	b.world.inv = streamkeeper.Inventory{Brokers: []streamkeeper.BrokerInfo{{ID: 0}, {ID: 1}}}
	mark := func() streamkeeper.Watermark {
		k := collect(t, s, b.at)
		if len(k.marks) == 0 {
			return streamkeeper.Watermark{}
		}
		return k.marks[len(k.marks)-1]
	}
	b.send(`{app="orders"}`, pollTimeout)
	if m := mark(); !m.Through.IsZero() {
		t.Errorf("a client's log covers %+v", m)
	}
	b.send(`{pod="prod-kafka-0"}`, dull[0])
	b.send(`{pod="prod-kafka-1", file="controller.log"}`, `INFO [QuorumController id=1] nothing new (org.apache.kafka.controller.QuorumController)`)
	if m := mark(); !m.Through.IsZero() {
		t.Errorf("a controller's log covers %+v", m)
	}
	b.at = b.at.Add(time.Minute)
	b.send(`{app="kafka"}`, brokerLeft) // of broker 1, as it says itself
	from := b.at
	b.at = b.at.Add(time.Minute)
	b.send(`{pod="prod-kafka-0"}`, dull[0])
	want := streamkeeper.Watermark{Source: "loki", Cluster: "prod", From: from, Through: from, Heartbeat: from}
	if d := cmp.Diff(want, mark()); d != "" {
		t.Errorf("the slowest broker bounds it: %s", d)
	}
	b.at = b.at.Add(time.Minute)
	b.send(`{app="kafka"}`, "INFO nothing to say")
	b.send(`{pod="prod-kafka-0"}`, dull[0])
	want.Through, want.Heartbeat = b.at, b.at
	if d := cmp.Diff(want, mark()); d != "" {
		t.Error(d)
	}
	b.world.inv.Brokers = append(b.world.inv.Brokers, streamkeeper.BrokerInfo{ID: 2})
	if m := mark(); !m.Through.IsZero() {
		t.Errorf("a broker without logs is covered: %+v", m)
	}
}

// TestSource_ProvesFactsOfGroups: that a library gives reasons for leaving is read from the reasons.
func TestSource_ProvesFactsOfGroups(t *testing.T) {
	b := newBench(t, Limits{})
	s := b.Source(SourceOptions{Cluster: "prod"})
	facts := func() map[string]float64 {
		out := map[string]float64{}
		for _, x := range collect(t, s, b.at).samples {
			if x.Metric != "streamkeeper_group_fact" || x.Labels["group"] != "orders" || x.Labels["cluster"] != "prod" {
				t.Errorf("%+v", x)
			}
			out[x.Labels["fact"]] = x.Value
		}
		return out
	}
	b.send(`{app="kafka"}`, brokerLeft)
	if d := cmp.Diff(map[string]float64{"leave_reasons": 1, "poll_limit": 1}, facts()); d != "" {
		t.Error(d)
	}
	b.at = b.at.Add(time.Minute)
	b.send(`{app="kafka"}`, strings.Replace(strings.Replace(brokerLeft, "consumer poll timeout has expired.", "not provided", 1), "orders-2-2", "orders-3-2", 1))
	if d := cmp.Diff(map[string]float64{"leave_reasons": 0, "poll_limit": 1}, facts()); d != "" {
		t.Errorf("a member without reasons: %s", d)
	}
	b.at = b.at.Add(2 * factMemory)
	for name, v := range facts() {
		if v == v {
			t.Errorf("%s is %v for ever", name, v)
		}
	}
}

// TestSource_BoundsWhatWaits: a cluster whose rounds stand still costs a bounded memory, and what was dropped is not
// claimed not to have happened.
func TestSource_BoundsWhatWaits(t *testing.T) {
	l := DefaultLimits()
	l.Hits = 3
	b := newBench(t, l)
	s := b.Source(SourceOptions{Cluster: "prod"})
	b.world.inv = streamkeeper.Inventory{Brokers: []streamkeeper.BrokerInfo{{ID: 1}}}
	b.send(`{pod="prod-kafka-1"}`, dull[0], brokerLeft)
	for i := range 5 {
		b.at = noon.Add(time.Duration(i+1) * time.Minute)
		b.send(`{app="x"}`, pollTimeout)
	}
	k := collect(t, s, b.at)
	if len(k.events) != 3 || b.counts.dropped.Load() != 3 {
		t.Errorf("%d events, %d dropped", len(k.events), b.counts.dropped.Load())
	}
	for _, m := range k.marks {
		if !m.Through.IsZero() {
			t.Errorf("claims %+v", m)
		}
	}
}

type fullStore struct{ keeper }

func (*fullStore) Events(context.Context, []streamkeeper.Event, streamkeeper.Watermark) error {
	return errors.New("disk full")
}

func TestSource_TellsOfAFullStore(t *testing.T) {
	b := newBench(t, Limits{})
	s := b.Source(SourceOptions{Cluster: "prod"})
	b.send(`{app="x"}`, pollTimeout)
	if err := s.Collect(t.Context(), noon, &fullStore{}); err == nil {
		t.Error("no error")
	}
}

func TestParseLabels(t *testing.T) {
	l := DefaultLimits()
	for in, want := range map[string]map[string]string{
		`{a="b"}`:                 {"a": "b"},
		` { a = "b" , c="d,e}" }`: {"a": "b", "c": "d,e}"},
		`{a="q\"uote\n", b="é"}`:  {"a": "q\"uote\n", "b": "é"},
		"{a=`raw`}":               {"a": "raw"},
	} {
		got, err := parseLabels(in, l)
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: %v %v", in, got, err)
		}
	}
	for _, in := range []string{"", "{", "{}", "a", `{a}`, `{a=b}`, `{a="b"`, `{1a="b"}`, `{="b"}`, `{a="b" c}`} {
		if got, err := parseLabels(in, l); err == nil {
			t.Errorf("%s gives %v", in, got)
		}
	}
}

func FuzzLabels(f *testing.F) {
	f.Add(`{a="b", c="d\"e"}`)
	f.Add("{a=`b`}")
	l := DefaultLimits()
	l.LabelNames = 8
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseLabels(s, l)
		if err == nil && (len(got) == 0 || len(got) > 8 || slices.Contains(slices.Collect(maps.Keys(got)), "")) {
			t.Errorf("%v", got)
		}
	})
}
