package cli

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// How much a tired person reads: the rest is in -o json and on the dashboard.
const (
	textWidth       = 100
	maxSupporting   = 6
	maxRefuting     = 3
	maxAlternatives = 3
	maxMissing      = 2
	maxNotJudged    = 4
	maxChanges      = 5
	maxFindings     = 5 // in full; the others are named
	maxNames        = 6 // of the entities of findings that are only named
)

// painter colours words on a terminal and leaves them alone elsewhere.
type painter bool

func (p painter) in(code, s string) string {
	if !p || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p painter) bold(s string) string   { return p.in("1", s) }
func (p painter) red(s string) string    { return p.in("1;31", s) }
func (p painter) green(s string) string  { return p.in("32", s) }
func (p painter) yellow(s string) string { return p.in("33", s) }
func (p painter) dim(s string) string    { return p.in("2", s) }

// writeReports writes reports for people: the answer first, then why, then what to do.
func writeReports(w io.Writer, reports []streamkeeper.Report, p painter) {
	if len(reports) == 0 {
		fmt.Fprintln(w, "No cluster has been looked at yet: the first report comes with the first tick.")
	}
	for i, r := range reports {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if len(reports) > 1 {
			fmt.Fprintln(w, p.dim("cluster "+r.Cluster.Name))
		}
		writeReport(w, r, p)
	}
}

func writeReport(w io.Writer, r streamkeeper.Report, p painter) {
	fmt.Fprintln(w, p.bold(headline(r)))
	writeLosses(w, r, p)
	full, brief := fullAndBrief(r.Findings)
	for _, f := range full {
		fmt.Fprintln(w)
		writeFinding(w, f, r.GeneratedAt, p)
	}
	writeBrief(w, brief, p)
	writeUnexplained(w, r, p)
	writeChanges(w, r, p)
	writeNotJudged(w, r, p)
	writeFirstDay(w, r, p)
	writeIgnored(w, r, p)
	writeSources(w, r, p)
}

// writeLosses tells what will be lost, and when, before anything else: later there is nothing to be done about it.
func writeLosses(w io.Writer, r streamkeeper.Report, p painter) {
	for _, y := range r.Symptoms {
		if y.Breach == streamkeeper.BreachLoss {
			fmt.Fprintln(w, p.red("loss         ")+y.Text)
		}
	}
}

// writeFirstDay says why nobody is told of what stands.
func writeFirstDay(w io.Writer, r streamkeeper.Report, p painter) {
	if d := r.FirstDay; d != nil {
		fmt.Fprintln(w, p.dim(fmt.Sprintf("first day    until %s: what stood when watching began (%s) is listed and not paged", day(d.Until), countSymptoms(d.Standing))))
	}
}

func countSymptoms(n int) string {
	if n == 1 {
		return "1 symptom"
	}
	return fmt.Sprintf("%d symptoms", n)
}

// writeIgnored says that what is not seen may be there all the same.
func writeIgnored(w io.Writer, r streamkeeper.Report, p painter) {
	if r.Ignored > 0 {
		fmt.Fprintln(w, p.dim(fmt.Sprintf("ignored      %d groups and topics, as the config's scopes say", r.Ignored)))
	}
}

// fullAndBrief parts the findings that are worth a page each from those that are only named: what is harmless, beside
// anything else, and what comes after the first few.
func fullAndBrief(all []streamkeeper.Finding) (full, brief []streamkeeper.Finding) {
	for _, f := range all {
		if harmless := f.Verdict == streamkeeper.VerdictBenign && len(all) > 1; harmless || len(full) == maxFindings {
			brief = append(brief, f)
		} else {
			full = append(full, f)
		}
	}
	return full, brief
}

// writeBrief names findings, those of one cause and verdict in one entry.
func writeBrief(w io.Writer, brief []streamkeeper.Finding, p painter) {
	type kind struct {
		verdict streamkeeper.Verdict
		cause   string
	}
	var order []kind
	by := map[kind][]streamkeeper.Finding{}
	for _, f := range brief {
		k := kind{f.Verdict, causeName(f)}
		if by[k] == nil {
			order = append(order, k)
		}
		by[k] = append(by[k], f)
	}
	for _, k := range order {
		same := by[k]
		var names []string
		for _, f := range same[:min(len(same), maxNames)] {
			names = append(names, f.Entity.String())
		}
		text := k.cause + " · " + strings.Join(names, ", ")
		if more := len(same) - len(names); more > 0 {
			text += fmt.Sprintf(" and %d more (-o json lists them)", more)
		}
		word := verdictName(k.verdict)
		for i, line := range wrap(text, textWidth-len(word)-3) {
			left := "  "
			if i == 0 {
				left = "\n" + inVerdict(k.verdict, word, p) + "   "
			}
			fmt.Fprintln(w, left+line)
		}
		for _, line := range wrap(same[0].Title, textWidth-2) {
			fmt.Fprintln(w, "  "+line)
		}
	}
}

func headline(r streamkeeper.Report) string {
	switch {
	case r.Headline != "":
		return r.Headline
	case r.Health.State == streamkeeper.HealthUnknown:
		return "Not enough is known to say how " + r.Cluster.Name + " is"
	case len(r.Symptoms) == 0:
		return r.Cluster.Name + " is healthy: no symptoms"
	default:
		return r.Symptoms[0].Text
	}
}

func writeFinding(w io.Writer, f streamkeeper.Finding, now time.Time, p painter) {
	owner := ""
	if f.Owner != "" {
		owner = " · owner " + f.Owner
	}
	stood := ""
	if f.Standing {
		stood = " · stood when watching began"
	}
	fmt.Fprintf(w, "%s   %s · %s%s%s%s\n", verdictWord(f, p), p.bold(causeName(f)), f.Entity, owner, since(f.Since, now), stood)
	text := f.Summary
	if text == "" {
		text = f.Title
	}
	for _, line := range wrap(text, textWidth-2) {
		fmt.Fprintln(w, "  "+line)
	}
	fmt.Fprintln(w)
	writeEvidence(w, f, p)
	writeAdvice(w, f, p)
}

func verdictWord(f streamkeeper.Finding, p painter) string {
	return inVerdict(f.Verdict, fmt.Sprintf("%s %.0f %%", verdictName(f.Verdict), 100*f.Confidence), p)
}

func verdictName(v streamkeeper.Verdict) string {
	switch v {
	case streamkeeper.VerdictRootCause:
		return "ROOT CAUSE"
	case streamkeeper.VerdictProbable:
		return "PROBABLE"
	case streamkeeper.VerdictOneOf:
		return "ONE OF"
	case streamkeeper.VerdictBenign:
		return "BENIGN"
	default:
		return "NO KNOWN CAUSE"
	}
}

// inVerdict colours a text as its verdict asks for attention.
func inVerdict(v streamkeeper.Verdict, text string, p painter) string {
	switch v {
	case streamkeeper.VerdictRootCause:
		return p.red(text)
	case streamkeeper.VerdictBenign:
		return p.green(text)
	default:
		return p.yellow(text)
	}
}

func causeName(f streamkeeper.Finding) string {
	if f.Verdict == streamkeeper.VerdictOneOf && len(f.Causes) > 1 {
		return strings.Join(f.Causes, " | ")
	}
	return f.Cause
}

func since(at, now time.Time) string {
	if at.IsZero() {
		return ""
	}
	return fmt.Sprintf(" · since %s (%s)", at.UTC().Format("15:04:05"), span(now.Sub(at)))
}

func writeEvidence(w io.Writer, f streamkeeper.Finding, p painter) {
	why := label("why")
	counts := map[streamkeeper.Bearing]int{}
	limits := map[streamkeeper.Bearing]int{streamkeeper.Supports: maxSupporting, streamkeeper.Refutes: maxRefuting}
	for _, e := range f.Evidence {
		counts[e.Bearing]++
		if e.Bearing == streamkeeper.Missing || counts[e.Bearing] > limits[e.Bearing] {
			continue
		}
		sign := p.green("+")
		if e.Bearing == streamkeeper.Refutes {
			sign = p.yellow("−")
		}
		item(w, why.next(), sign+" ", 2, e.Text)
	}
	not := label("not")
	for i, a := range f.Alternatives {
		if i == maxAlternatives {
			break
		}
		item(w, not.next(), "− ", 2, fmt.Sprintf("%s (%s)   %s", a.Cause, percentText(a.Confidence), a.WhyNot))
	}
	ask := label("?")
	shown := 0
	if f.AskNext != nil {
		item(w, ask.next(), "", 0, f.AskNext.Text)
		shown++
	}
	for _, e := range f.Evidence {
		if e.Bearing != streamkeeper.Missing || shown >= maxMissing || (f.AskNext != nil && e.ID == f.AskNext.Evidence) {
			continue
		}
		text := e.Text
		if e.Needs != "" {
			text += ": " + e.Needs
		}
		item(w, ask.next(), "", 0, text)
		shown++
	}
}

func writeAdvice(w io.Writer, f streamkeeper.Finding, p painter) {
	if len(f.Advice) > 0 {
		fmt.Fprintln(w)
	}
	do := label("do")
	for i, a := range f.Advice {
		item(w, do.next(), fmt.Sprintf("%d. ", i+1), 3, p.bold(a.Do))
		if a.Why != "" {
			item(w, do.next(), "   ", 3, p.dim(a.Why))
		}
		if a.Command != "" {
			for _, line := range strings.Split(strings.TrimSpace(a.Command), "\n") {
				fmt.Fprintf(w, "%s   $ %s\n", do.next(), line)
			}
		}
		if a.Risk != "" {
			item(w, do.next(), "   ", 3, p.dim("risk: "+a.Risk))
		}
		if next := i + 1; verifyText(f.Advice, i) != "" && (next == len(f.Advice) || verifyText(f.Advice, next) != verifyText(f.Advice, i)) {
			item(w, do.next(), "", 0, p.dim(verifyText(f.Advice, i)))
		}
	}
	if f.Scale != nil {
		scale := label("scale")
		item(w, scale.next(), "", 0, f.Scale.Do+": "+f.Scale.Why)
	}
}

// verifyText says how one entry of the advice is verified; entries in a row that are verified alike say it once.
func verifyText(all []streamkeeper.Advice, i int) string {
	if all[i].Verify == nil {
		return ""
	}
	return all[i].Verify.Text
}

func writeUnexplained(w io.Writer, r streamkeeper.Report, p painter) {
	texts := map[string]string{}
	for _, s := range r.Symptoms {
		texts[s.ID] = s.Text
	}
	for i, id := range r.Unexplained {
		if i == 0 {
			fmt.Fprintln(w)
		}
		text := id
		if texts[id] != "" {
			text = texts[id]
		}
		fmt.Fprintln(w, p.yellow("unexplained  ")+text)
	}
}

// writeChanges tells what somebody changed lately; what can cost records or their order first.
func writeChanges(w io.Writer, r streamkeeper.Report, p painter) {
	const indent = "             "
	for i, c := range r.Changes {
		if i == 0 {
			fmt.Fprintln(w)
		}
		if i == maxChanges {
			fmt.Fprintln(w, p.dim(fmt.Sprintf("changed      … and %d more (-o json lists them)", len(r.Changes)-i)))
			return
		}
		word := p.dim("changed      ")
		if c.Risky {
			word = p.yellow("risky change ")
		}
		for j, line := range wrap(c.At.UTC().Format("15:04:05")+" "+c.Text, textWidth-len(indent)) {
			if j > 0 {
				word = indent
			}
			fmt.Fprintln(w, word+line)
		}
	}
}

func writeNotJudged(w io.Writer, r streamkeeper.Report, p painter) {
	for i, n := range r.NotJudged {
		if i == 0 {
			fmt.Fprintln(w)
		}
		if i == maxNotJudged {
			fmt.Fprintln(w, p.dim(fmt.Sprintf("not judged   … and %d more (-o json lists them)", len(r.NotJudged)-i)))
			break
		}
		fmt.Fprintln(w, p.dim("not judged   "+n.What+" ("+n.Needs+")"))
	}
}

// writeSources speaks of sources in trouble, and of the age of what is read at second hand: a diagnosis on old data must say
// so.
func writeSources(w io.Writer, r streamkeeper.Report, p painter) {
	for _, s := range r.Sources {
		switch {
		case s.Stale && s.FreshSeconds != nil:
			age := time.Duration(*s.FreshSeconds * float64(time.Second))
			fmt.Fprintln(w, p.yellow("source       ")+s.Name+" is stale, last read whole at "+r.GeneratedAt.Add(-age).UTC().Format("15:04:05Z")+": "+cmp.Or(s.Error, "it does not answer"))
		case s.Error != "":
			fmt.Fprintln(w, p.yellow("source       ")+s.Name+" is failing: "+s.Error)
		}
		if s.Kind == "prometheus" && s.FreshSeconds != nil {
			fmt.Fprintln(w, p.dim(fmt.Sprintf("source       the newest scrape of %s was %.0f s old", s.Name, *s.FreshSeconds)))
		}
	}
}

// label is the word in the left column, written once.
type label string

func (l *label) next() string {
	word := string(*l)
	*l = ""
	return fmt.Sprintf("  %-6s ", word)
}

// item writes one wrapped entry under a label, its continuation lines indented by hang.
func item(w io.Writer, left, mark string, hang int, text string) {
	for i, line := range wrap(text, textWidth-len(left)-hang) {
		if i > 0 {
			left, mark = strings.Repeat(" ", 9), strings.Repeat(" ", hang)
		}
		fmt.Fprintln(w, left+mark+line)
	}
}

// wrap breaks text at spaces so that lines stay within width characters where words allow.
func wrap(text string, width int) []string {
	var lines []string
	line, length := "", 0
	for _, word := range strings.Fields(text) {
		n := len([]rune(word))
		if length > 0 && length+1+n > width {
			lines = append(lines, line)
			line, length = "", 0
		}
		if length > 0 {
			line, length = line+" ", length+1
		}
		line, length = line+word, length+n
	}
	return append(lines, line)
}

func percentText(x float64) string {
	if x > 0 && x < 0.01 {
		return "< 1 %"
	}
	return fmt.Sprintf("%.0f %%", 100*x)
}

// span writes a duration as people say it: 38 s, 4 m 12 s, 2 h 5 m, 3 d.
func span(d time.Duration) string {
	d = max(d, 0).Round(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 10*time.Minute && d%time.Minute != 0:
		return fmt.Sprintf("%d m %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < time.Hour:
		return fmt.Sprintf("%d m", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d m", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%d d", int(d.Hours()/24))
	}
}
