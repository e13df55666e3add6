package rules

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// template is text with {{expressions}} in the condition language.
type template struct {
	parts []part
	uses  uses
}

// part is literal text, or an expression with its source.
type part struct {
	literal string
	expr    *expression
}

// missingText stands where a value is not known: never a default.
const missingText = "unknown"

// compileTemplate splits text at {{ }} and compiles each expression.
func compileTemplate(text string, sc scope) (*template, *compileError) {
	t := &template{uses: newUses()}
	offset := 0
	for {
		before, rest, found := strings.Cut(text, "{{")
		if before != "" {
			t.parts = append(t.parts, part{literal: before})
		}
		if !found {
			return t, nil
		}
		offset += utf8.RuneCountInString(before) + 2
		source, after, closed := strings.Cut(rest, "}}")
		if !closed {
			return nil, &compileError{offset - 2, "{{ without }}"}
		}
		e, err := compile(source, sc, typAny)
		if err != nil {
			return nil, &compileError{offset + err.offset, err.text}
		}
		t.parts = append(t.parts, part{expr: e})
		t.uses.add(e.uses)
		offset += utf8.RuneCountInString(source) + 2
		text = after
	}
}

// render fills the template in. missing lists what was not known, by name where a name was asked for.
func (t *template) render(f *frame) (out string, missing []string) {
	if t == nil {
		return "", nil
	}
	var b strings.Builder
	for _, p := range t.parts {
		if p.expr == nil {
			b.WriteString(p.literal)
			continue
		}
		f.absent = nil
		v := p.expr.eval(f)
		switch v.kind {
		case text:
			b.WriteString(v.s)
		case number:
			if v.bound > 0 {
				b.WriteString("at least ")
			} else if v.bound < 0 {
				b.WriteString("at most ")
			}
			b.WriteString(formatNumber(v.n))
		case boolean:
			b.WriteString(map[bool]string{true: "yes", false: "no"}[v.b])
		default:
			b.WriteString(missingText)
			names := f.absent
			if len(names) == 0 {
				names = []string{strings.TrimSpace(p.expr.source)}
			}
			missing = append(missing, names...)
		}
	}
	slices.Sort(missing)
	return b.String(), slices.Compact(missing)
}

// beyondNames lists the expressions that names and numbers alone cannot give: those over events. Whoever
// renders the text later finds their value under their source.
func (t *template) beyondNames() []*expression {
	if t == nil {
		return nil
	}
	var out []*expression
	for _, p := range t.parts {
		if p.expr == nil {
			continue
		}
		if _, err := compile(p.expr.source, scope{mode: modeFree}, typAny); err != nil {
			out = append(out, p.expr)
		}
	}
	return out
}

// carried puts the text of expressions that an observation carries in place.
func carried(text string, values map[string]string) string {
	for _, source := range sortedKeys(values) {
		value := values[source]
		if !strings.Contains(source, "(") {
			continue // a plain name is the template's own business
		}
		if key := "{{" + source + "}}"; strings.Contains(text, key) {
			text = strings.ReplaceAll(text, key, value)
		}
	}
	return text
}

// Render fills a text of advice or of a cause in: its names are those of the maps. Where a value is
// missing the text says "unknown" and missing names it; the caller then tells the formula instead. A
// template that does not compile is returned as it is: Load has refused it already.
func (c *Catalog) Render(template string, numbers map[string]float64, strings map[string]string) (text string, missing []string) {
	template = carried(template, strings)
	t, err := compileTemplate(template, scope{mode: modeFree})
	if err != nil {
		return template, nil
	}
	return t.render(&frame{numbers: numbers, strings: strings})
}
