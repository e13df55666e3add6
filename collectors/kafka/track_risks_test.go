package kafka

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/streamkeeper-io/streamkeeper"
)

// configured gives the topic of a scene a configuration from now on.
func (s *scene) configured(pairs ...string) {
	values := map[string]string{"cleanup.policy": "delete", "retention.ms": "604800000", "retention.bytes": "-1", "min.insync.replicas": "2"}
	for i := 0; i < len(pairs); i += 2 {
		values[pairs[i]] = pairs[i+1]
	}
	s.with = func(snap *snapshot) { snap.configs = map[string]map[string]string{"t": values} }
}

// only returns the events of a kind since the last call, and forgets all.
func (s *scene) only(kind string) []streamkeeper.Event {
	out := slices.DeleteFunc(s.events, func(e streamkeeper.Event) bool { return e.Kind != kind })
	s.events = nil
	return out
}

func TestRetentionCutBelowTheLag(t *testing.T) {
	for name, c := range map[string]struct {
		cut     []string
		working []int
		want    string
	}{
		"to less than the group is late":       {cut: []string{"retention.ms", "60000"}, want: "g 604800→60"},
		"to more than it is late":              {cut: []string{"retention.ms", "3600000"}},
		"to little, and the group is in time":  {cut: []string{"retention.ms", "60000"}, working: []int{0, 1}},
		"compacted until now, then deleted":    {cut: []string{"retention.ms", "60000", "cleanup.policy", "compact,delete"}, want: "g 604800→60"},
		"to bytes, and no size is known":       {cut: []string{"retention.bytes", "1000"}},
		"the configuration cannot be read any": {cut: []string{"retention.ms", "soon"}},
		"it is raised":                         {cut: []string{"retention.ms", "-1"}},
		"it is little, but nothing is deleted": {cut: []string{"retention.ms", "60000", "cleanup.policy", "compact"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 2)
			s.members = map[string][]int32{"a": {0, 1}}
			s.configured()
			s.rounds(3, 0, 1)
			s.rounds(60, c.working...) // five minutes
			s.configured(c.cut...)
			s.rounds(2, c.working...)
			var got string
			for _, e := range s.only("retention_cut") {
				from, _ := e.Number("from_seconds")
				to, _ := e.Number("to_seconds")
				late, _ := e.Number("lag_seconds")
				got += fmt.Sprintf("%s %v→%v", e.String("group"), from, to)
				if e.Entity.Name != "t" || e.String("topic") != "t" || late < 290 || late > 310 {
					t.Errorf("%+v", e)
				}
			}
			if got != c.want {
				t.Errorf("told %q, want %q", got, c.want)
			}
		})
	}
}

func TestRetentionFromForever(t *testing.T) {
	s := newScene(t, 1)
	s.members = map[string][]int32{"a": {0}}
	s.configured("cleanup.policy", "compact")
	s.rounds(3, 0)
	s.rounds(60)
	s.configured("cleanup.policy", "delete", "retention.ms", "60000")
	s.round()
	told := s.only("retention_cut")
	if len(told) != 1 || told[0].Attrs["from_seconds"] != -1.0 {
		t.Errorf("%+v", told)
	}
}

// Sizes tell what retention.bytes takes away.
func TestRetentionCutInBytes(t *testing.T) {
	s := newScene(t, 1)
	s.members = map[string][]int32{"a": {0}}
	s.configured()
	s.rounds(3, 0)
	s.rounds(20)
	s.track.topics["t"].parts[0].weigh(220_000, 0) // of 2,200 records, 1,050 of them unread
	s.configured("retention.bytes", "50000")
	s.round()
	told := s.only("retention_cut")
	if len(told) != 1 || told[0].Attrs["to_bytes"] != 50000.0 || told[0].Attrs["from_bytes"] != -1.0 {
		t.Errorf("%+v", told)
	}
}

func TestConfigChanges(t *testing.T) {
	s := newScene(t, 1)
	s.configured()
	s.rounds(2, 0)
	s.wantTold("nothing changed")
	s.configured("min.insync.replicas", "1")
	s.round(0)
	s.wantTold("fewer copies suffice", "config_changed@10", "min_insync_replicas_lowered@10")
	s.configured("min.insync.replicas", "3")
	s.round(0)
	s.wantTold("more are asked for: no risk", "config_changed@15")
}

// What is set for the whole cluster is told once, not by each of its topics.
func TestConfigOfManyTopicsIsOneChange(t *testing.T) {
	s := newScene(t, 1)
	many := func(value string) func(*snapshot) {
		return func(snap *snapshot) {
			snap.configs = map[string]map[string]string{}
			for i := range 2 * maxAlike {
				name := fmt.Sprintf("t%d", i)
				snap.topics[name] = &topicState{id: [16]byte{2, byte(i)}, parts: []partState{newPartState()}}
				snap.configs[name] = map[string]string{"min.insync.replicas": value}
			}
		}
	}
	s.with = many("2")
	s.rounds(2, 0)
	s.with = many("1")
	s.round(0)
	for _, kind := range []string{"config_changed", "min_insync_replicas_lowered"} {
		told := slices.DeleteFunc(slices.Clone(s.events), func(e streamkeeper.Event) bool { return e.Kind != kind })
		if len(told) != 1 || told[0].Entity.Kind != streamkeeper.KindCluster || told[0].Attrs["topics"] != float64(2*maxAlike) {
			t.Errorf("%s: %+v", kind, told)
		}
	}
}

func TestDynamicConfigs(t *testing.T) {
	s := newScene(t, 1)
	dynamic := func(values ...map[string]map[string]string) {
		for _, v := range values {
			s.with = func(snap *snapshot) { snap.dynamic = v }
			s.round(0)
		}
	}
	dynamic(
		map[string]map[string]string{"": {}, "1": {"a": "1", "ssl.keystore.password": hiddenValue}},
		map[string]map[string]string{"": {"min.insync.replicas": "2"}, "1": {"a": "2", "ssl.keystore.password": hiddenValue}},
		map[string]map[string]string{"1": {}}, // the other was not read
		map[string]map[string]string{"": {"min.insync.replicas": "1"}},
	)
	var got []string
	for _, e := range s.events {
		got = append(got, fmt.Sprintf("%s %s %s %q→%q", e.Kind, e.Entity, e.String("key"), e.String("from"), e.String("to")))
	}
	want := []string{
		`config_changed cluster c min.insync.replicas ""→"2"`, `config_changed broker 1 a "1"→"2"`,
		`config_changed broker 1 a "2"→""`, `config_changed broker 1 ssl.keystore.password "(not shown)"→""`,
		`config_changed cluster c min.insync.replicas "2"→"1"`, `min_insync_replicas_lowered cluster c min.insync.replicas "2"→"1"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestReadTopicDeleted(t *testing.T) {
	s := newScene(t, 2)
	s.members = map[string][]int32{"a": {0, 1}}
	s.rounds(3, 0, 1)
	s.rounds(2, 0)
	s.with = func(snap *snapshot) {
		delete(snap.topics, "t")
		snap.groups["g"].committed, snap.groups["g"].members[0].assigned = table[position]{}, nil
	}
	s.events = nil
	s.look()
	told := s.only("read_topic_deleted")
	if len(told) != 1 || told[0].String("group") != "g" || told[0].Attrs["unread"] != 200.0 || told[0].Attrs["working"] != true || told[0].Attrs["made_anew"] != false {
		t.Errorf("%+v", told)
	}
	s.look()
	if again := s.only("read_topic_deleted"); len(again) > 0 {
		t.Errorf("told again: %+v", again)
	}
}

func TestReadTopicMadeAnew(t *testing.T) {
	s := newScene(t, 1)
	s.members = map[string][]int32{"a": {0}}
	s.rounds(3, 0)
	s.events = nil
	s.with = func(snap *snapshot) { snap.topics["t"].id = [16]byte{9} }
	s.round(0)
	told := s.only("read_topic_deleted")
	if len(told) != 1 || told[0].Attrs["made_anew"] != true {
		t.Errorf("%+v", told)
	}
}

func TestPartitionsAddedUnderKeys(t *testing.T) {
	for name, c := range map[string]struct {
		configs []string
		empty   bool
		want    int
		keyed   any
	}{
		"records with or without keys": {want: 1},
		"a compacted topic":            {configs: []string{"cleanup.policy", "compact"}, want: 1, keyed: true},
		"an empty topic":               {empty: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 2)
			if c.empty {
				s.heads, s.commit, s.rate = []int64{0, 0}, []int64{0, 0}, 0
			}
			s.configured(c.configs...)
			s.rounds(2, 0, 1)
			s.heads, s.starts, s.lso, s.commit = append(s.heads, 0), append(s.starts, 0), append(s.lso, unset), append(s.commit, -1)
			s.events = nil
			s.look()
			told := s.only("partitions_added_under_keys")
			if len(told) != c.want {
				t.Fatalf("%+v", told)
			}
			for _, e := range told {
				if e.Attrs["keyed"] != c.keyed || e.Attrs["from"] != 2.0 || e.Attrs["to"] != 3.0 {
					t.Errorf("%+v", e)
				}
			}
		})
	}
}

func TestGroupChanges(t *testing.T) {
	s := newScene(t, 2)
	s.members = map[string][]int32{"a": {0, 1}}
	s.with = func(snap *snapshot) { snap.groups["g"].assignor = "range" }
	s.rounds(2, 0, 1)
	s.wantTold("as it was")
	s.with = func(snap *snapshot) {
		g := snap.groups["g"]
		g.kip848, g.assignor = true, "uniform"
		g.members[0].assigned = append(g.members[0].assigned, partition{"u", 0})
		snap.groups["h"] = &groupState{state: "Empty", described: true, committedRead: true}
	}
	s.round(0, 1)
	s.wantTold("made anew", "group_protocol_changed@10", "group_assignor_changed@10", "group_topics_changed@10", "group_created@10")
	s.with = func(snap *snapshot) { snap.groups["g"].state, snap.groups["g"].assignor = "PreparingRebalance", "" }
	s.round(0, 1)
	s.wantTold("in between nothing is judged", "group_deleted@15")
}
