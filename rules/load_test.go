package rules

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestFixture_ExamplesPass(t *testing.T) {
	for _, r := range loadFixture(t).Test() {
		if !r.Passed {
			t.Errorf("%s:%d: %s: %s", r.File, r.Line, r.Name, r.Text)
		}
	}
}

// TestLoad_Mistakes breaks one line of the fixture at a time. The golden file is what a user reads.
func TestLoad_Mistakes(t *testing.T) {
	cases := []struct{ reason, file, old, text string }{
		{"unknown key", "symptoms/lag_high.yaml", "title: The", "titel: The"},
		{"wrong type", "symptoms/lag_high.yaml", "leak: 0.02", "leak: much"},
		{"not YAML", "symptoms/lag_high.yaml", "leak: 0.02", "leak: [0.02"},
		{"id differs from the file name", "symptoms/lag_high.yaml", "id: lag_high", "id: lag_hihg"},
		{"unknown entity", "symptoms/lag_high.yaml", "entity: group", "entity: grp"},
		{"unknown signal", "symptoms/lag_high.yaml", "when: lag_seconds > 10", "when: lag_secnds > 10"},
		{"no condition", "symptoms/lag_high.yaml", "when: lag_seconds > 10", "when: lag_seconds + 10"},
		{"unknown name in a text", "symptoms/lag_high.yaml", "say: '{{group}} is {{duration(lag_seconds)}}", "say: '{{group}} is {{duration(lag)}}"},
		{"open braces in a text", "symptoms/lag_high.yaml", "say: '{{group}} is {{duration(lag_seconds)}}", "say: '{{group is"},
		{"default in a condition", "symptoms/lag_high.yaml", "when: lag_seconds > 10", "when: coalesce(lag_seconds, 0) > 10"},
		{"bad duration", "symptoms/lag_high.yaml", "window: 1m", "window: 1 minute"},
		{"bad range", "symptoms/lag_high.yaml", "delay: 10s..5m", "delay: 5m..10s"},
		{"leak out of range", "symptoms/lag_high.yaml", "leak: 0.02", "leak: 2"},
		{"unknown mask", "symptoms/rebalancing.yaml", "[quiet_topic]", "[quiet_topics]"},
		{"trigger on a symptom", "symptoms/rebalancing.yaml", "window: 5m", "trigger: true"},
		{"bad series", "symptoms/rebalancing.yaml", `"0 1 2 3 4"`, `"0 1 two"`},
		{"bad outcome", "symptoms/rebalancing.yaml", "then: quiet", "then: silent"},
		{"unknown signal in an example", "symptoms/rebalancing.yaml", `{rebalances: "_ _ _"}`, `{rebalance: "_ _ _"}`},
		{"bad event", "evidence/left_on_timeout.yaml", `["10s member_left member=m reason=closed"]`, `["member_left member=m"]`},
		{"mistake in a filter", "evidence/left_on_timeout.yaml", `reason == 'poll timeout') >= 1`, `reason = 'poll timeout') >= 1`},
		{"unknown node", "causes/poll_overrun.yaml", "  lag_high: usually", "  lag_hihg: usually"},
		{"unknown word", "causes/poll_overrun.yaml", "  lag_high: usually", "  lag_high: mostly"},
		{"evidence among effects", "causes/poll_overrun.yaml", "  lag_high: usually", "  slow_records: usually"},
		{"unknown key of an edge", "causes/poll_overrun.yaml", "chance: always, applies_when", "chance: always, aplies_when"},
		{"bad atoms", "causes/poll_overrun.yaml", "requires: poll_limit", "requires: poll_limit > 3"},
		{"unknown cause", "causes/poll_overrun.yaml", "{processing_slow: usually}", "{processing_slowed: usually}"},
		{"bad prior", "causes/poll_overrun.yaml", "prior: common", "prior: often"},
		{"bad scale", "causes/poll_overrun.yaml", "scale: forbid", "scale: never"},
		{"advice without a formula", "causes/poll_overrun.yaml", "formula: 'floor(0.5 × interval ÷ seconds per record)', ", ""},
		{"unknown cleared symptom", "causes/poll_overrun.yaml", "clears: rebalancing", "clears: rebalance"},
		{"query without scope", "signals/topic.yaml", "topic_end_offset{$by}[$window]", "topic_end_offset[$window]"},
		{"query without freshness", "signals/topic.yaml", ", fresh: 'topic_end_offset{$by}'", ""},
		{"signals file of another entity", "signals/topic.yaml", "entity: topic", "entity: store"},
		{"count of an expression", "signals/group.yaml", "metric: broker_rebalances_total, by", "query: 'sum(broker_rebalances_total{$by})', by"},
	}
	var got strings.Builder
	for _, c := range cases {
		files := fixtureFiles()
		text := string(files[c.file].Data)
		if !strings.Contains(text, c.old) {
			t.Fatalf("%s: %q is not in %s", c.reason, c.old, c.file)
		}
		files[c.file] = &fstest.MapFile{Data: []byte(strings.Replace(text, c.old, c.text, 1))}
		_, err := Load(files)
		if err == nil {
			t.Errorf("%s: loads", c.reason)
			continue
		}
		got.WriteString("# " + c.reason + "\n" + err.Error() + "\n\n")
	}
	golden(t, "testdata/mistakes.txt", got.String())
}

// golden compares with a file; UPDATE=1 rewrites it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (UPDATE=1 rewrites it):\n%s", file, d)
	}
}

func TestLoad_LaterRootsOverride(t *testing.T) {
	user := fstest.MapFS{
		"signals/group.yaml":     {Data: []byte("entity: group\nsignals:\n  lag_seconds:\n    unit: seconds\n    help: Ours.\n    queries:\n      site: {metric: our_lag}\n")},
		"symptoms/lag_high.yaml": {Data: []byte("id: lag_high\nentity: group\ntitle: Our limit\nleak: 0.02\nwhen: lag_seconds > 99\nsay: late\n")},
	}
	c, err := Load(fixtureFiles(), user)
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := c.Node("lag_high"); n.When != "lag_seconds > 99" {
		t.Errorf("the symptom is still %q", n.When)
	}
	if s := c.signals["group.lag_seconds"]; len(s.Dialects) != 1 || s.Dialects[0].Name != "site" {
		t.Errorf("the signal is still %+v", s)
	}
	if c.signals["group.rebalances"] == nil {
		t.Error("signals that the user did not name are lost")
	}
}

func TestLoad_Edges(t *testing.T) {
	c := loadFixture(t)
	k, ok := c.Cause("poll_overrun")
	if !ok {
		t.Fatal("no such cause")
	}
	lag, _ := c.Node("lag_high")
	for _, e := range k.Edges {
		switch e.Node {
		case "lag_high":
			if e.Chance != .8 || !e.Symptom || e.After != lag.Delay {
				t.Errorf("the bare word gives %+v, want usually with the node's delay", e)
			}
		case "left_on_timeout":
			if e.Chance != .95 || e.Symptom || e.AppliesWhen != "leave_reasons" {
				t.Errorf("the evidence edge is %+v", e)
			}
		}
	}
	if b, _ := c.Cause("nothing_to_read"); b.Prior < .149 || b.Prior > .151 || !b.Benign || len(b.HoldsWhile) != 1 {
		t.Errorf("the benign cause is %+v", b)
	}
}

// FuzzLoad: whatever somebody writes into a rule file is loaded or refused with its place, never a panic.
func FuzzLoad(f *testing.F) {
	for name, file := range fixtureFiles() {
		f.Add(name, string(file.Data))
	}
	f.Add("symptoms/x.yaml", "a: &a [*a]")
	f.Add("causes/x.yaml", "id: x\neffects:\n  ? [a]\n  : b\n")
	f.Fuzz(func(t *testing.T, name, text string) {
		files := fixtureFiles()
		if _, ok := files[name]; !ok {
			name = "symptoms/lag_high.yaml"
		}
		files[name] = &fstest.MapFile{Data: []byte(text)}
		c, err := Load(files)
		if err == nil {
			c.Test()
			return
		}
		var e *Error
		if !errors.As(err, &e) || e.Line < 1 || e.Column < 1 {
			t.Fatalf("a mistake without a place: %v", err)
		}
	})
}
