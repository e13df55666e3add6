package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"

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

// TestWriteReport_TellsWhatChanged: what can cost records comes first, and the rest does not drown the page.
func TestWriteReport_TellsWhatChanged(t *testing.T) {
	at := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	r := streamkeeper.Report{Headline: "nothing is wrong", Changes: []streamkeeper.Change{{At: at, Kind: "retention_cut", Text: "topic orders now keeps 1m", Risky: true}}}
	for i := range 6 {
		r.Changes = append(r.Changes, streamkeeper.Change{At: at.Add(time.Duration(i) * time.Second), Kind: "deploy", Text: fmt.Sprintf("orders v%d", i)})
	}
	var b strings.Builder
	writeReport(&b, r, false)
	want := "risky change 12:00:00 topic orders now keeps 1m\nchanged      12:00:00 orders v0\n"
	if got := b.String(); !strings.Contains(got, want) || !strings.Contains(got, "changed      … and 2 more") || strings.Contains(got, "v4") {
		t.Errorf("want\n%s and 2 more, got\n%s", want, got)
	}
}
