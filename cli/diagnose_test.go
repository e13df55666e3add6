package cli

import (
	"errors"
	"testing"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

func TestVerdictOf(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	symptom := func(severity streamkeeper.Severity, age time.Duration) streamkeeper.Report {
		return streamkeeper.Report{
			GeneratedAt: now, TickSeconds: 5, Health: streamkeeper.Health{State: streamkeeper.Degraded},
			Symptoms: []streamkeeper.Symptom{{ID: "lag_growth", Severity: severity, Since: now.Add(-age)}},
		}
	}
	finding := func(r streamkeeper.Report, verdict streamkeeper.Verdict, severity streamkeeper.Severity) streamkeeper.Report {
		r.Findings = []streamkeeper.Finding{{Verdict: verdict, Severity: severity, Explains: []string{"lag_growth"}}}
		return r
	}
	const warning, critical, info = streamkeeper.SeverityWarning, streamkeeper.SeverityCritical, streamkeeper.SeverityInfo
	lasting := symptom(warning, time.Minute)
	for name, c := range map[string]struct {
		report streamkeeper.Report
		failOn string
		want   int
	}{
		"nothing":                         {streamkeeper.Report{Health: streamkeeper.Health{State: streamkeeper.Healthy}}, "warning", exitOK},
		"nothing could be judged":         {streamkeeper.Report{Health: streamkeeper.Health{State: streamkeeper.HealthUnknown}}, "warning", exitBlind},
		"a root cause":                    {finding(lasting, streamkeeper.VerdictRootCause, warning), "warning", exitFindings},
		"a root cause below what counts":  {finding(lasting, streamkeeper.VerdictRootCause, info), "warning", exitOK},
		"a benign explanation":            {finding(symptom(critical, time.Minute), streamkeeper.VerdictBenign, info), "warning", exitOK},
		"critical without a finding yet":  {symptom(critical, time.Second), "warning", exitFindings},
		"a symptom that just began":       {symptom(warning, 5*time.Second), "warning", exitOK},
		"a symptom that nothing explains": {lasting, "warning", exitFindings},
		"below what counts":               {lasting, "critical", exitOK},
		"never":                           {symptom(critical, time.Minute), "never", exitOK},
	} {
		code := exitOK
		if e := (exitError{}); errors.As(verdictOf([]streamkeeper.Report{c.report}, c.failOn), &e) {
			code = e.code
		}
		if code != c.want {
			t.Errorf("%s: exit %d, want %d", name, code, c.want)
		}
	}
}
