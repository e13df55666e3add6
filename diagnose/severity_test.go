package diagnose

import (
	"testing"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose/infer"
	"github.com/streamkeeper-io/streamkeeper/rules"
	builtin "github.com/streamkeeper-io/streamkeeper/rules/catalog"
)

// What has no name, or may be harmless, must hurt somebody before it wakes somebody.
func TestSeverity(t *testing.T) {
	rulebook, err := rules.Load(builtin.Files)
	if err != nil {
		t.Fatal(err)
	}
	m := &model{p: &pass{Tick: &Tick{Catalog: rulebook}}}
	loss, lag := []infer.Ref{{ID: "member_loss"}}, []infer.Ref{{ID: "member_loss"}, {ID: "lag_growth"}}
	for _, c := range []struct {
		name string
		f    infer.Finding
		want streamkeeper.Severity
	}{
		{"an unknown cause that hurts nobody", infer.Finding{Cause: streamkeeper.CauseOther, Verdict: streamkeeper.VerdictOther, Explains: loss}, streamkeeper.SeverityInfo},
		{"an unknown cause and consumption is late", infer.Finding{Cause: streamkeeper.CauseOther, Verdict: streamkeeper.VerdictOther, Explains: lag}, streamkeeper.SeverityWarning},
		{"a set that may be one lost member", infer.Finding{Cause: "session_timeout_network", Set: []string{"session_timeout_network", "member_lost_once"}, Verdict: streamkeeper.VerdictOneOf, Explains: loss}, streamkeeper.SeverityInfo},
		{"the same while consumption is late", infer.Finding{Cause: "session_timeout_network", Set: []string{"session_timeout_network", "member_lost_once"}, Verdict: streamkeeper.VerdictOneOf, Explains: lag}, streamkeeper.SeverityWarning},
		{"a named cause is told before it hurts", infer.Finding{Cause: "session_timeout_network", Verdict: streamkeeper.VerdictRootCause, Explains: loss}, streamkeeper.SeverityWarning},
		{"a benign one never wakes anybody", infer.Finding{Cause: "member_lost_once", Verdict: streamkeeper.VerdictBenign, Explains: lag}, streamkeeper.SeverityInfo},
	} {
		rule, _ := rulebook.Cause(c.f.Cause)
		if got := m.severity(&rule, &c.f, CriticalityNormal); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
