package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamkeeper-io/streamkeeper"
)

const heldSignals = `# streamkeeper.series/v1
streamkeeper_broker_group_fact{cluster="c", fact="leave_reasons", group="a @b\" }"} @1000=1 +5000=1 +5000=stale
streamkeeper_broker_group_fact{cluster="c", fact="poll_limit", group="a"} @1000=1
streamkeeper_group_members{cluster="c", group="a"} @1000=3 +5000=4
up @1000=1
`

func heldRecording() recording {
	return recording{
		signals: []byte(heldSignals),
		rounds: []round{
			{Watermark: streamkeeper.Watermark{Source: "broker"}, Events: []streamkeeper.Event{
				{Kind: "member_left", Text: "left: tired", Attrs: map[string]any{"reason": "tired", "member": "m"}},
				{Kind: "member_expired", Text: "expired", Attrs: map[string]any{"reason": "session expired"}},
				{Kind: "rebalance_started", Attrs: map[string]any{"reason": "removing m on LeaveGroup; client reason: tired", "client_reason": "tired"}},
			}},
			{Watermark: streamkeeper.Watermark{Source: "kafka"}},
		},
		inventories: []streamkeeper.Inventory{{Groups: []streamkeeper.GroupInfo{{Name: "a", Facts: map[string]bool{"leave_reasons": true, "classic": true}}}}},
	}
}

func TestWithoutLeaveReasons(t *testing.T) {
	whole := heldRecording()
	r, err := whole.without(withoutLeaveReasons)
	if err != nil {
		t.Fatal(err)
	}
	var attrs []map[string]any
	for _, e := range r.rounds[0].Events {
		attrs = append(attrs, e.Attrs)
	}
	want := []map[string]any{
		{"reason": "", "member": "m"},
		{"reason": "session expired"},
		{"reason": "removing m on LeaveGroup", "client_reason": ""},
	}
	if d := cmp.Diff(want, attrs); d != "" {
		t.Error(d)
	}
	if !strings.Contains(string(r.signals), `group="a @b\" }"} @1000=0 +5000=0 +5000=stale`) {
		t.Errorf("the fact that reasons are sent must be false:\n%s", r.signals)
	}
	if strings.Count(string(r.signals), "=0") != 2 {
		t.Errorf("other series must stay:\n%s", r.signals)
	}
	if d := cmp.Diff(map[string]bool{"leave_reasons": false, "classic": true}, r.inventories[0].Groups[0].Facts); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(heldRecording(), whole, cmp.AllowUnexported(recording{}, recordingMeta{})); d != "" {
		t.Errorf("the recording itself was changed: %s", d)
	}
}

func TestWithoutBroker(t *testing.T) {
	r, err := heldRecording().without(withoutBroker)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(r.signals), "streamkeeper_broker_") || !strings.Contains(string(r.signals), "streamkeeper_group_members") {
		t.Errorf("what is left:\n%s", r.signals)
	}
	if len(r.rounds) != 1 || r.rounds[0].Watermark.Source != "kafka" {
		t.Errorf("rounds that are left: %+v", r.rounds)
	}
	if _, err := heldRecording().without("sleep"); err == nil {
		t.Error("nobody can withhold that")
	}
}

func TestDropping(t *testing.T) {
	var b strings.Builder
	b.WriteString("# streamkeeper.series/v1\n")
	for i := range 2000 {
		line := "m{partition=\"" + time.Duration(i).String() + "\"} @1000=1\n"
		b.WriteString(line + line) // a long series goes on in another line
	}
	r := recording{signals: []byte(b.String())}
	count := func(seed uint64) (int, string) {
		out := r.dropping(.2, seed).signals
		for line := range strings.Lines(string(out)) {
			if line[0] != '#' && strings.Count(string(out), line) != 2 {
				t.Fatalf("a series is dropped whole or not at all: %s", line)
			}
		}
		return strings.Count(string(out), "\n"), string(out)
	}
	n, one := count(1)
	if share := 1 - float64(n)/4001; share < .16 || share > .24 {
		t.Errorf("%.2f of the series were dropped, want about 0.2", share)
	}
	if _, again := count(1); again != one {
		t.Error("the same seed drops the same series")
	}
	if _, other := count(2); other == one {
		t.Error("another seed drops others")
	}
}
