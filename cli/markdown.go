package cli

import (
	"fmt"
	"io"

	"github.com/streamkeeper-io/streamkeeper"
)

// writeMarkdown writes reports for a ticket or a chat: the same content as the text, in Markdown.
func writeMarkdown(w io.Writer, reports []streamkeeper.Report) {
	for _, r := range reports {
		fmt.Fprintf(w, "# %s\n\nCluster `%s`, %s\n", headline(r), r.Cluster.Name, r.GeneratedAt.UTC().Format("2006-01-02 15:04:05Z"))
		for _, y := range r.Symptoms {
			if y.Breach == streamkeeper.BreachLoss {
				fmt.Fprintf(w, "\n**Loss ahead:** %s\n", y.Text)
			}
		}
		for _, f := range r.Findings {
			markdownFinding(w, f)
		}
		if len(r.Changes) > 0 {
			fmt.Fprint(w, "\n## What changed\n\n")
		}
		for _, c := range r.Changes {
			risk := ""
			if c.Risky {
				risk = "**risky**: "
			}
			fmt.Fprintf(w, "- %s %s%s\n", c.At.UTC().Format("15:04:05Z"), risk, c.Text)
		}
		if len(r.NotJudged) > 0 {
			fmt.Fprint(w, "\n## Not judged\n\n")
		}
		for _, n := range r.NotJudged {
			fmt.Fprintf(w, "- %s (%s)\n", n.What, n.Needs)
		}
		if d := r.FirstDay; d != nil {
			fmt.Fprintf(w, "\nFirst day, until %s: what stood when watching began (%s) is listed and not paged.\n", day(d.Until), countSymptoms(d.Standing))
		}
		if r.Ignored > 0 {
			fmt.Fprintf(w, "\n%d groups and topics are ignored, as the config's scopes say.\n", r.Ignored)
		}
	}
}

func markdownFinding(w io.Writer, f streamkeeper.Finding) {
	fmt.Fprintf(w, "\n## %s: `%s` on %s\n\n%s\n", verdictWord(f, false), causeName(f), f.Entity, f.Summary)
	if f.Owner != "" {
		fmt.Fprintf(w, "\nOwner: %s\n", f.Owner)
	}
	section := func(title string, lines []string) {
		if len(lines) == 0 {
			return
		}
		fmt.Fprintf(w, "\n**%s**\n\n", title)
		for _, l := range lines {
			fmt.Fprintln(w, "- "+l)
		}
	}
	by := map[streamkeeper.Bearing][]string{}
	for _, e := range f.Evidence {
		by[e.Bearing] = append(by[e.Bearing], e.Text)
	}
	section("For", by[streamkeeper.Supports])
	section("Against", by[streamkeeper.Refutes])
	var not, do []string
	for _, a := range f.Alternatives {
		not = append(not, fmt.Sprintf("`%s` (%s): %s", a.Cause, percentText(a.Confidence), a.WhyNot))
	}
	section("Ruled out", not)
	section("Missing", by[streamkeeper.Missing])
	for _, a := range f.Advice {
		line := "**" + a.Do + "**"
		if a.Why != "" {
			line += ": " + a.Why
		}
		if a.Risk != "" {
			line += " (risk: " + a.Risk + ")"
		}
		if a.Command != "" {
			line += "\n  ```sh\n  " + a.Command + "\n  ```"
		}
		do = append(do, line)
	}
	section("Do", do)
	if f.Scale != nil {
		fmt.Fprintf(w, "\n**Scale**: %s, %s\n", f.Scale.Do, f.Scale.Why)
	}
}
