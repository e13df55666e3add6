// Package answers words what a diagnosis answered, for tests that judge it from outside. It judges nothing itself.
package answers

import (
	"fmt"
	"strings"

	"github.com/streamkeeper-io/streamkeeper"
)

// Said is a finding in a line: its cause or its set of causes, how sure, and where; "nothing" for nil.
func Said(f *streamkeeper.Finding) string {
	if f == nil {
		return "nothing"
	}
	name := f.Cause
	if len(f.Causes) > 0 {
		name = strings.Join(f.Causes, " | ")
	}
	return fmt.Sprintf("%s (%s, %.0f %%, %s)", name, f.Verdict, 100*f.Confidence, f.Entity)
}

// Explain prints what spoke for and against the findings on the entities of a name.
func Explain(r *streamkeeper.Report, name string) {
	for _, f := range r.Findings {
		if f.Entity.Name != name {
			continue
		}
		fmt.Printf("        finding %s %s %.2f (assessed %.2f)\n", f.Cause, f.Verdict, f.Confidence, f.Assessed)
		for _, e := range f.Evidence {
			fmt.Printf("          %s %s: %s\n", e.Bearing, e.ID, e.Text)
		}
		for _, a := range f.Alternatives {
			fmt.Printf("          not %s %.2f: %s\n", a.Cause, a.Confidence, a.WhyNot)
		}
	}
}
