// Package advise turns the catalog's advice templates into advice with computed values, and judges
// afterwards whether advice that was taken has worked.
//
// A value that is not known is never replaced by a default: the advice then holds the formula and says
// where to find what is missing, and its command is left out. The package is pure and knows no catalog:
// package diagnose hands it templates, values and the renderer.
//
// Start with Render, then Check.
package advise

import (
	"strings"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// Template is advice with its computed parts still open.
type Template struct {
	Do      string
	Needs   []string // numbers without which Do cannot be computed
	Formula string
	Find    string // where to find what is missing
	Why     string
	Risk    string
	Command string
	Clears  string // symptom that tells whether it worked; "" when nothing does
	Title   string // that symptom's title
	Within  time.Duration
}

// Values are what templates are filled with.
type Values struct {
	Numbers map[string]float64
	Strings map[string]string
}

// Renderer fills a template in and lists the names that are missing.
type Renderer func(template string, numbers map[string]float64, strings map[string]string) (text string, missing []string)

// Render makes advice of templates, in their order. Advice that cannot be computed and has no formula
// either is left out: it would say nothing.
func Render(templates []Template, v Values, render Renderer) []streamkeeper.Advice {
	out := []streamkeeper.Advice{}
	for _, t := range templates {
		if a, ok := one(t, v, render); ok {
			out = append(out, a)
		}
	}
	return out
}

func one(t Template, v Values, render Renderer) (streamkeeper.Advice, bool) {
	a := streamkeeper.Advice{Risk: t.Risk, Verify: verify(t)}
	do, missing := render(t.Do, v.Numbers, v.Strings)
	for _, need := range t.Needs {
		if _, ok := v.Numbers[need]; !ok && !contains(missing, need) {
			missing = append(missing, need)
		}
	}
	a.Do = do
	if len(missing) > 0 {
		if t.Formula == "" {
			return a, false
		}
		a.Do = t.Formula + " (not computed: " + strings.Join(words(missing), ", ") + " not known)"
	}
	why, unknown := render(t.Why, v.Numbers, v.Strings)
	if len(unknown) > 0 {
		why = "" // half a reason would say "unknown" where people want a number
	}
	a.Why = why
	if len(missing) > 0 && t.Find != "" {
		find, _ := render(t.Find, v.Numbers, v.Strings)
		a.Why = strings.TrimSpace(why + "; " + find)
		a.Why = strings.TrimPrefix(a.Why, "; ")
	}
	if command, lacks := render(t.Command, v.Numbers, v.Strings); len(lacks) == 0 && len(missing) == 0 {
		a.Command = command
	}
	return a, true
}

func verify(t Template) *streamkeeper.Verify {
	if t.Clears == "" {
		return nil
	}
	what := t.Title
	if what == "" {
		what = strings.ReplaceAll(t.Clears, "_", " ")
	}
	return &streamkeeper.Verify{
		Clears: t.Clears, WithinSeconds: t.Within.Seconds(),
		Text: "verified when this has cleared: " + what,
	}
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// words makes names readable: record_seconds becomes record seconds.
func words(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = strings.ReplaceAll(n, "_", " ")
	}
	return out
}

// Scale is the catalog's word on scaling as advice; nil when it does not say.
func Scale(word, why string, v Values, render Renderer) *streamkeeper.ScaleAdvice {
	do, ok := map[string]string{"forbid": "no", "allow": "yes", "after": "after"}[word]
	if !ok {
		return nil
	}
	text, missing := render(why, v.Numbers, v.Strings)
	if len(missing) > 0 {
		text, _, _ = strings.Cut(text, ";") // the general part stays, the computed part is not known
	}
	return &streamkeeper.ScaleAdvice{Do: do, Why: text}
}

// Word is what a cause says about scaling.
type Word struct {
	Cause string
	Scale *streamkeeper.ScaleAdvice // nil when it does not say
}

// ScaleAmong is the word on scaling when the cause is one of several: theirs where they agree, else to find out first which
// it is. One of them may make it worse, or useless. nil when none says anything.
func ScaleAmong(words []Word) *streamkeeper.ScaleAdvice {
	var first *streamkeeper.ScaleAdvice
	agree, reasons := true, []string{}
	for _, w := range words {
		if w.Scale == nil {
			continue
		}
		if first == nil {
			first = w.Scale
		}
		agree = agree && w.Scale.Do == first.Do
		reasons = append(reasons, "if it is "+w.Cause+", "+w.Scale.Do+": "+w.Scale.Why)
	}
	if agree {
		return first
	}
	return &streamkeeper.ScaleAdvice{Do: "after", Why: "find out first which it is; " + strings.Join(reasons, "; ")}
}
