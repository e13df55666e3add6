package drill

import (
	"strings"
	"testing"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

var injectedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// report is what the diagnosis says some seconds after the injection.
func report(seconds int, findings ...streamkeeper.Finding) streamkeeper.Report {
	return streamkeeper.Report{
		GeneratedAt: injectedAt.Add(time.Duration(seconds) * time.Second), TickSeconds: 5, Findings: findings,
		Symptoms: make([]streamkeeper.Symptom, min(1, len(findings))),
	}
}

func finding(cause, group string, verdict streamkeeper.Verdict, confidence float64) streamkeeper.Finding {
	return streamkeeper.Finding{
		Cause: cause, Entity: streamkeeper.Entity{Kind: streamkeeper.KindGroup, Name: group, Cluster: "drill"},
		Verdict: verdict, Confidence: confidence, Severity: streamkeeper.SeverityWarning,
	}
}

func judged(benign bool, reports ...streamkeeper.Report) Result {
	r := Result{Benign: benign, Injected: Injected{Cause: "a", Entity: "group/orders@drill", At: injectedAt, Accept: []string{"a2"}}}
	for _, rep := range reports {
		r.Judge(rep)
	}
	return r
}

func TestJudge(t *testing.T) {
	root, probable, oneOf := streamkeeper.VerdictRootCause, streamkeeper.VerdictProbable, streamkeeper.VerdictOneOf
	right := finding("a", "orders", root, .95)
	set := finding("b", "orders", oneOf, .95)
	set.Causes = []string{"b", "a"}
	follows := finding("c", "orders", root, .95)
	follows.Consequence = "x"
	for _, c := range []struct {
		name    string
		reports []streamkeeper.Report
		right   bool
		inSet   bool
		wrong   int
		seconds float64 // to cause; 0: never
	}{
		{"right and stays right", []streamkeeper.Report{report(5), report(10, right), report(15, right)}, true, false, 0, 10},
		{"right, then not", []streamkeeper.Report{report(5, right), report(10)}, false, false, 0, 0},
		{"lost and found", []streamkeeper.Report{report(5, right), report(10), report(15, right)}, true, false, 0, 15},
		{"before the injection nothing counts", []streamkeeper.Report{report(-5, finding("b", "orders", root, .99))}, false, false, 0, 0},
		{"the accepted answer", []streamkeeper.Report{report(5, finding("a2", "orders", probable, .6))}, true, false, 0, 5},
		{"the right cause on another group", []streamkeeper.Report{report(5, finding("a", "mails", root, .95))}, false, false, 1, 0},
		{"in a set", []streamkeeper.Report{report(5, set)}, false, true, 0, 0},
		{"second only", []streamkeeper.Report{report(5, finding("b", "orders", probable, .6), right)}, false, false, 0, 0},
		{"sure and wrong, once", []streamkeeper.Report{report(5, finding("b", "orders", probable, .9)), report(10, finding("b", "orders", root, .95)), report(15, right)}, true, false, 1, 15},
		{"a consequence is no second answer", []streamkeeper.Report{report(5, right, follows)}, true, false, 0, 5},
		{"a benign finding is none either", []streamkeeper.Report{report(5, right, finding("b", "orders", streamkeeper.VerdictBenign, .99))}, true, false, 0, 5},
	} {
		r := judged(false, c.reports...)
		seconds := 0.0
		if r.SecondsToCause != nil {
			seconds = *r.SecondsToCause
		}
		if r.Right != c.right || r.InSet != c.inSet || len(r.Wrong) != c.wrong || seconds != c.seconds {
			t.Errorf("%s: right %v, in set %v, wrong %v, after %g s", c.name, r.Right, r.InSet, r.Wrong, seconds)
		}
	}
}

func TestJudge_BenignOnceLoudIsWrong(t *testing.T) {
	loudOnce := judged(true, report(5, finding("b", "orders", streamkeeper.VerdictProbable, .3)), report(10))
	if loudOnce.Right || len(loudOnce.Wrong) != 1 {
		t.Errorf("one warning makes a benign episode wrong for good: %+v", loudOnce)
	}
	quiet := judged(true, report(5, finding("b", "orders", streamkeeper.VerdictBenign, .99)), report(10))
	if !quiet.Right {
		t.Errorf("a benign finding wakes nobody: %+v", quiet)
	}
}

func TestJudge_CountsLateTicks(t *testing.T) {
	r := judged(false, report(0), report(5), report(5), report(16), report(21))
	if r.Ticks != 4 || r.LateTicks != 1 {
		t.Errorf("ticks %d, late %d; want 4 and the one after 11 s", r.Ticks, r.LateTicks)
	}
}

func TestDiffers(t *testing.T) {
	right := judged(false, report(5, finding("a", "orders", streamkeeper.VerdictRootCause, .95)))
	if how := right.Differs(judged(false, report(10, finding("a", "orders", streamkeeper.VerdictProbable, .8)))); how != "" {
		t.Errorf("the same answer, surer: %q", how)
	}
	for name, other := range map[string]Result{
		"nothing":     judged(false, report(5)),
		"b on":        judged(false, report(5, finding("b", "orders", streamkeeper.VerdictRootCause, .95))),
		"only the se": judged(false, report(5, finding("b", "orders", streamkeeper.VerdictRootCause, .95)), report(10, finding("a", "orders", streamkeeper.VerdictRootCause, .95))),
	} {
		if how := right.Differs(other); !strings.Contains(how, name) {
			t.Errorf("want %q in %q", name, how)
		}
	}
}
