package advise

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// fill is a renderer that knows {{name}} only.
func fill(template string, numbers map[string]float64, words map[string]string) (string, []string) {
	var missing []string
	for {
		before, rest, ok := strings.Cut(template, "{{")
		if !ok {
			return template, missing
		}
		name, after, _ := strings.Cut(rest, "}}")
		text := "unknown"
		if n, ok := numbers[name]; ok {
			text = fmt.Sprint(n)
		} else if w, ok := words[name]; ok {
			text = w
		} else {
			missing = append(missing, name)
		}
		template = before + text + after
	}
}

var poll = Template{
	Do: "set max.poll.records to {{records}} for {{group}}", Needs: []string{"records"},
	Formula: "max.poll.records = floor(0.5 × max.poll.interval ÷ seconds per record)",
	Find:    "seconds per record: the consumer's own metrics", Why: "a batch takes {{batch_seconds}} s",
	Risk: "low", Command: "kafka-configs --entity-name {{group}} --records {{records}}",
	Clears: "rebalance_rate_high", Title: "The group rebalances again and again", Within: 8 * time.Minute,
}

func TestRender(t *testing.T) {
	full := Values{Numbers: map[string]float64{"records": 96, "batch_seconds": 15.5}, Strings: map[string]string{"group": "orders"}}
	want := streamkeeper.Advice{
		Do: "set max.poll.records to 96 for orders", Why: "a batch takes 15.5 s", Risk: "low",
		Command: "kafka-configs --entity-name orders --records 96",
		Verify: &streamkeeper.Verify{
			Clears: "rebalance_rate_high", WithinSeconds: 480,
			Text: "verified when this has cleared: The group rebalances again and again",
		},
	}
	if diff := cmp.Diff([]streamkeeper.Advice{want}, Render([]Template{poll}, full, fill)); diff != "" {
		t.Errorf("full values:\n%s", diff)
	}
}

// A missing input gives the formula and where to find it, and no command: never a default.
func TestMissingInput(t *testing.T) {
	got := Render([]Template{poll}, Values{Strings: map[string]string{"group": "orders"}}, fill)
	if len(got) != 1 || !strings.HasPrefix(got[0].Do, poll.Formula) || !strings.Contains(got[0].Do, "records not known") {
		t.Fatalf("advice %+v, want the formula and what is missing", got)
	}
	if !strings.Contains(got[0].Why, poll.Find) {
		t.Errorf("why %q does not say where to find the input", got[0].Why)
	}
	if got[0].Command != "" {
		t.Errorf("command %q would run with an unknown value", got[0].Command)
	}
	bare := poll
	bare.Formula = ""
	if got := Render([]Template{bare}, Values{}, fill); len(got) != 0 {
		t.Errorf("advice without value and formula: %+v", got)
	}
}

func TestScale(t *testing.T) {
	if s := Scale("forbid", "more members rebalance more; the group can do {{x}}/s", Values{}, fill); s == nil || s.Do != "no" || s.Why != "more members rebalance more" {
		t.Errorf("scale %+v", s)
	}
	if s := Scale("", "", Values{}, fill); s != nil {
		t.Errorf("a cause without a word on scaling gives %+v", s)
	}
}

func TestScaleAmong(t *testing.T) {
	yes := Word{"undersized", &streamkeeper.ScaleAdvice{Do: "yes", Why: "partitions are left"}}
	no := Word{"quota", &streamkeeper.ScaleAdvice{Do: "no", Why: "members share it"}}
	silent := Word{"burst", nil}
	for _, c := range []struct {
		words []Word
		do    string
		says  []string
	}{
		{[]Word{yes, silent}, "yes", []string{"partitions are left"}},
		{[]Word{silent, no, no}, "no", []string{"members share it"}},
		{[]Word{yes, no}, "after", []string{"if it is undersized, yes: partitions are left", "if it is quota, no: members share it"}},
	} {
		got := ScaleAmong(c.words)
		if got == nil || got.Do != c.do {
			t.Errorf("%+v: %+v, want %q", c.words, got, c.do)
			continue
		}
		for _, s := range c.says {
			if !strings.Contains(got.Why, s) {
				t.Errorf("%q does not say %q", got.Why, s)
			}
		}
	}
	if got := ScaleAmong([]Word{silent}); got != nil {
		t.Errorf("nobody says anything, and yet %+v", got)
	}
}

func TestCheck(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	taken := Taken{At: at, Verify: streamkeeper.Verify{Clears: "x", WithinSeconds: 60}}
	for _, c := range []struct {
		after time.Duration
		state streamkeeper.State
		want  Outcome
	}{
		{59 * time.Second, streamkeeper.Absent, Pending},
		{59 * time.Second, streamkeeper.Present, Pending},
		{time.Minute, streamkeeper.Absent, Worked},
		{time.Minute, streamkeeper.Present, Failed},
		{time.Minute, streamkeeper.Unknown, Pending},
		{2 * time.Minute, streamkeeper.Unknown, Unclear},
		{time.Minute, streamkeeper.NotApplicable, Unclear},
	} {
		if got := Check(taken, c.state, at.Add(c.after)); got != c.want {
			t.Errorf("after %s with the symptom %s: %s, want %s", c.after, c.state, got, c.want)
		}
	}
}

// A reason with a hole in it is no reason: it would say "unknown" where people want a number.
func TestRender_LeavesOutAReasonThatIsNotKnown(t *testing.T) {
	v := Values{Numbers: map[string]float64{"records": 39}, Strings: map[string]string{"group": "orders"}}
	got := Render([]Template{poll}, v, fill)
	if len(got) != 1 || got[0].Why != "" || !strings.Contains(got[0].Do, "39") {
		t.Errorf("got %+v, want the computed advice without a reason", got)
	}
}
