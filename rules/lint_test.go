package rules

import (
	"errors"
	"math"
	"strings"
	"testing"
	"testing/fstest"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

func TestLint_Mistakes(t *testing.T) {
	for _, x := range []struct {
		reason, file, old, text string
		severity                RemarkSeverity
		check, says             string
	}{
		{"the ramp passes one half at 10, when flips at 12", "symptoms/lag_high.yaml", "when: lag_seconds > 10", "when: lag_seconds > 12", RemarkError, "strength", "strength is 0.70 where when flips"},
		{"the ramp falls where when rises", "symptoms/lag_high.yaml", "ramp(lag_seconds, 5, 15)", "ramp(lag_seconds, 15, 5)", RemarkError, "strength", "strength falls"},
		{"a chance below the leak", "symptoms/lag_high.yaml", "leak: 0.02", "leak: 0.9", RemarkError, "leak", "says nothing"},
		{"no example that is quiet", "symptoms/lag_high.yaml", `  - {name: in time, given: {lag_seconds: "0 5 9"}, then: quiet}`, "", RemarkError, "examples", "no example that is quiet"},
		{"verified before the window has passed", "causes/poll_overrun.yaml", "within: 8m", "within: 7m", RemarkError, "verify", "verify within more than 7m"},
		{"a cause that nothing can raise", "causes/processing_slow.yaml", "effects:\n  lag_high: {chance: always}\n", "", RemarkError, "reach", "nothing makes it a suspect"},
		{"two nodes that ask the same", "evidence/slow_records.yaml", "when: record_seconds > 0.1 and topic.produce_rate > 1", "when: 10 < lag_seconds\nwindow: 1m", RemarkError, "duplicate", "lag_high asks already"},
		{"an input that nobody supplies", "causes/poll_overrun.yaml", "needs: [poll_seconds, record_seconds]", "needs: [pole_seconds]", RemarkWarning, "inputs", "pole_seconds is no signal"},
		{"evidence that no cause names", "causes/processing_slow.yaml", "evidence:\n  slow_records: always\n", "", RemarkWarning, "usage", "no cause names slow_records"},
	} {
		files := fixtureFiles()
		text := string(files[x.file].Data)
		if !strings.Contains(text, x.old) {
			t.Fatalf("%s: %q is not in %s", x.reason, x.old, x.file)
		}
		if has(lintFiles(t, files), x.severity, x.check, x.says) {
			t.Errorf("%s: is said of the sound rules too", x.reason)
		}
		files[x.file] = &fstest.MapFile{Data: []byte(strings.Replace(text, x.old, x.text, 1))}
		remarks := lintFiles(t, files)
		if !has(remarks, x.severity, x.check, x.says) {
			t.Errorf("%s: no %s %s with %q in %v", x.reason, x.severity, x.check, x.says, remarks)
		}
	}
}

func lintFiles(t *testing.T, files fstest.MapFS) []Remark {
	t.Helper()
	c, err := Load(files)
	if err != nil {
		t.Fatal(err)
	}
	return c.Lint(LintOptions{})
}

func has(remarks []Remark, severity RemarkSeverity, check, says string) bool {
	for _, r := range remarks {
		if r.Severity == severity && r.Check == check && strings.Contains(r.Text, says) && r.Line > 0 && r.File != "" {
			return true
		}
	}
	return false
}

func TestLint_ChecksEveryQuery(t *testing.T) {
	c := loadFixture(t)
	asked := map[string]bool{}
	c.Lint(LintOptions{CheckQuery: func(q string) error { asked[q] = true; return nil }})
	for _, q := range []string{
		`broker_rebalances_total{cluster="c"}`, `broker_up{cluster="c"} == 1`, `max by (cluster, group) (group_lag_seconds{cluster="c"})`,
		`max by (cluster, group) (broker_record_seconds{cluster="c",group=~"a|b\\.c",kind="median"})`, `group_partitions{cluster="c"}`,
	} {
		if !asked[q] {
			t.Errorf("%s is not checked", q)
		}
	}
	remarks := c.Lint(LintOptions{CheckQuery: func(q string) error {
		if strings.Contains(q, "part_lag") {
			return errors.New("no such thing")
		}
		return nil
	}})
	if !has(remarks, RemarkError, "promql", "signal parts: ") {
		t.Errorf("a query that does not parse is not told: %v", remarks)
	}
}

// TestOverlaps computes the coefficient of the fixture's two faults by hand.
func TestOverlaps(t *testing.T) {
	c := loadFixture(t)
	bc := func(p, q float64) float64 { return math.Sqrt(p*q) + math.Sqrt((1-p)*(1-q)) }
	p := Profile{Name: "all", Limit: 1e-9, Facts: map[string]streamkeeper.State{"leave_reasons": streamkeeper.Present}}
	pair := bc(.8, .95) * bc(.8, .01) * bc(.95, .001) * bc(.01, .95) // lag_high, rebalancing, left_on_timeout, slow_records
	health := bc(.95, .02) * bc(.95, .01)
	if got := overlap(c, p, "poll_overrun", "processing_slow"); math.Abs(got-pair) > 1e-12 {
		t.Errorf("poll_overrun and processing_slow overlap by %v, want %v", got, pair)
	}
	if got := overlap(c, p, "processing_slow", ""); math.Abs(got-health) > 1e-12 {
		t.Errorf("processing_slow and health overlap by %v, want %v", got, health)
	}

	// the declared answer set holds where there are no leave reasons
	p.Facts["leave_reasons"] = streamkeeper.Absent
	if got := overlap(c, p, "poll_overrun", "processing_slow"); got != 0 {
		t.Errorf("an answer set is still told as an overlap of %v", got)
	}
	p.Facts["leave_reasons"] = streamkeeper.Present

	// without the broker's dialect and events only lag_high is left, too little to see poll_overrun at all
	p.Dialects, p.Events = []string{"kafka"}, kafkaEvents
	for _, o := range c.Overlaps(p) {
		if o.A != "poll_overrun" {
			continue
		}
		if !o.Blind() || math.Abs(o.Coefficient-bc(.8, .02)) > 1e-12 || o.Would != "left_on_timeout" {
			t.Errorf("by protocol poll_overrun is %+v, want it blind, and left_on_timeout to make it visible", o)
		}
	}

	// and a cause whose requires does not hold is out of the question
	p.Facts["poll_limit"] = streamkeeper.Absent
	if got := overlap(c, p, "poll_overrun", ""); got != 0 {
		t.Errorf("a cause that cannot be is still told as an overlap of %v", got)
	}
}

// overlap finds a pair; 0 when it is not listed.
func overlap(c *Catalog, p Profile, a, b string) float64 {
	for _, o := range c.Overlaps(p) {
		if o.A == a && o.B == b {
			return o.Coefficient
		}
	}
	return 0
}

// TestOverlaps_Groups: correlated nodes count by the root of how many are known.
func TestOverlaps_Groups(t *testing.T) {
	files := fixtureFiles()
	for _, name := range []string{"evidence/left_on_timeout.yaml", "evidence/slow_records.yaml"} {
		text := strings.Replace(string(files[name].Data), "group: leave\n", "", 1)
		files[name] = &fstest.MapFile{Data: []byte(strings.Replace(text, "\nleak:", "\ngroup: one\nleak:", 1))}
	}
	c, err := Load(files)
	if err != nil {
		t.Fatal(err)
	}
	bc := func(p, q float64) float64 { return math.Sqrt(p*q) + math.Sqrt((1-p)*(1-q)) }
	want := bc(.8, .95) * bc(.8, .01) * math.Pow(bc(.95, .001)*bc(.01, .95), 1/math.Sqrt2)
	if got := overlap(c, Profile{Limit: 1e-9, Facts: map[string]streamkeeper.State{"leave_reasons": streamkeeper.Present}}, "poll_overrun", "processing_slow"); math.Abs(got-want) > 1e-12 {
		t.Errorf("overlap %v, want %v", got, want)
	}
}

func TestCanonical(t *testing.T) {
	for _, x := range []struct {
		a, b string
		same bool
	}{
		{"a > 1 and b < 2", "b < 2 and 1 < a", true},
		{"a + b == 3", "3 == b + a", true},
		{"not (a > 1)", "!(a > 1)", true},
		{"a > 1", "a >= 1", false},
		{"a - b > 0", "b - a > 0", false},
	} {
		p, err1 := parse(x.a)
		q, err2 := parse(x.b)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if same := canonical(p) == canonical(q); same != x.same {
			t.Errorf("%s and %s: same is %v, want %v", x.a, x.b, same, x.same)
		}
	}
}
