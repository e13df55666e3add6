package cli

import (
	"fmt"
	"strings"
	"testing"

	"github.com/streamkeeper-io/streamkeeper"
)

// TestWriteReport_NamesWhatIsNotWorthAPage: on a fleet the answer must not drown in what is harmless.
func TestWriteReport_NamesWhatIsNotWorthAPage(t *testing.T) {
	finding := func(verdict streamkeeper.Verdict, cause, group string) streamkeeper.Finding {
		return streamkeeper.Finding{
			Verdict: verdict, Cause: cause, Title: "Title of " + cause, Summary: "Summary of " + cause, Confidence: 0.9,
			Entity: streamkeeper.Entity{Kind: streamkeeper.KindGroup, Name: group, Cluster: "c"},
		}
	}
	r := streamkeeper.Report{Headline: "late", Findings: []streamkeeper.Finding{finding(streamkeeper.VerdictRootCause, "poison", "orders")}}
	for i := range 8 {
		r.Findings = append(r.Findings, finding(streamkeeper.VerdictBenign, "retired", fmt.Sprintf("g%d", i)))
	}
	var b strings.Builder
	writeReport(&b, r, false)
	for text, want := range map[string]int{
		"ROOT CAUSE 90 %   poison": 1, "Summary of poison": 1, "Summary of retired": 0, "Title of retired": 1,
		"BENIGN   retired · group g0, group g1, group g2, group g3, group g4, group g5 and 2 more": 1,
	} {
		if n := strings.Count(b.String(), text); n != want {
			t.Errorf("%q is written %d times, want %d:\n%s", text, n, want, b.String())
		}
	}
	b.Reset()
	writeReport(&b, streamkeeper.Report{Findings: r.Findings[1:2]}, false)
	if !strings.Contains(b.String(), "Summary of retired") {
		t.Errorf("a harmless finding alone is the answer:\n%s", b.String())
	}
}
