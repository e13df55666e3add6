package diagnose

import (
	"cmp"
	"slices"
	"strings"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose/infer"
)

// byTelling orders supporting contributions as people want to read them: direct facts, then evidence,
// then the symptoms that everybody knows already; by weight within each.
func (m *model) byTelling(list []infer.Contribution) []infer.Contribution {
	rank := func(c infer.Contribution) int {
		switch n, _ := m.p.Catalog.Node(c.ID); {
		case c.State != streamkeeper.Present:
			return 3
		case n.Decisive:
			return 0
		case !n.Symptom:
			return 1
		}
		return 2
	}
	out := slices.Clone(list)
	slices.SortStableFunc(out, func(a, b infer.Contribution) int { return cmp.Compare(rank(a), rank(b)) })
	return out
}

// evidence words what speaks for and against a finding and what is missing.
func (m *model) evidence(f *infer.Finding) []streamkeeper.Evidence {
	out := []streamkeeper.Evidence{}
	seen := map[string]bool{} // groups of exclusive facts of which one is there: that the others are not is no news
	for _, c := range f.For {
		if c.State == streamkeeper.Present && c.Group != "" {
			seen[c.Group] = true
		}
	}
	add := func(list []infer.Contribution, bearing streamkeeper.Bearing, most int) {
		for _, c := range list {
			if most == 0 {
				return
			}
			if bearing == streamkeeper.Refutes && c.State == streamkeeper.Absent && seen[c.Group] {
				continue
			}
			if weight := c.Weight; weight > tellFrom || weight < -tellFrom {
				out = append(out, m.reason(c, bearing))
				most--
			}
		}
	}
	add(m.byTelling(f.For), streamkeeper.Supports, tellFor)
	add(f.Against, streamkeeper.Refutes, tellAgainst)
	add(f.Misfits, streamkeeper.Refutes, tellAgainst)
	add(f.Missing, streamkeeper.Missing, tellMissing)
	return append(out, m.unsourced(f)...)
}

// unsourced words the evidence of the cause that nobody could give, because its source is not there at all: it weighs
// nothing, and adding the source would tell.
func (m *model) unsourced(f *infer.Finding) []streamkeeper.Evidence {
	rule, known := m.p.Catalog.Cause(f.Cause)
	if !known {
		return nil
	}
	var out []streamkeeper.Evidence
	for _, edge := range rule.Edges {
		n, _ := m.p.Catalog.Node(edge.Node)
		sourced := strings.HasPrefix(n.AppliesWhen, "source_") && !strings.Contains(n.AppliesWhen, " ")
		if n.Symptom || n.Needs == "" || !sourced || m.p.World.Fact(f.Entity, n.AppliesWhen) != streamkeeper.Absent {
			continue
		}
		if out = append(out, streamkeeper.Evidence{ID: n.ID, Bearing: streamkeeper.Missing, Text: n.Title, Needs: n.Needs}); len(out) == tellUnsourced {
			break
		}
	}
	return out
}

func (m *model) reason(c infer.Contribution, bearing streamkeeper.Bearing) streamkeeper.Evidence {
	e := streamkeeper.Evidence{ID: c.ID, Bearing: bearing, Weight: round(c.Weight, 2), Group: c.Group}
	n, _ := m.p.Catalog.Node(c.ID)
	o := m.seen[c.Ref]
	if bearing == streamkeeper.Missing {
		e.Text, e.Needs = n.Title, n.Needs
		if o != nil && o.Needs != "" {
			e.Needs = o.Needs
		}
		return e
	}
	e.Text = m.say(c)
	if o != nil {
		e.Value = o.Value
	}
	return e
}

// say is an observation's own text, or its rule's title when it has none or one with holes.
func (m *model) say(c infer.Contribution) string {
	if o := m.seen[c.Ref]; o != nil && o.Text != "" && !strings.Contains(o.Text, holes) {
		return o.Text
	}
	n, _ := m.p.Catalog.Node(c.ID)
	title := n.Title
	if title == "" {
		title = strings.ReplaceAll(c.ID, "_", " ")
	}
	if c.State == streamkeeper.Absent {
		return "not seen: " + lowerFirst(title)
	}
	return title
}

// holes is what the rules write where a value is not known.
const holes = "unknown"

// whyNotReasons is how many reasons against a rival are told.
const whyNotReasons = 2

// alternatives words the rivals and why they were set aside.
func (m *model) alternatives(f *infer.Finding) []streamkeeper.Alternative {
	out := []streamkeeper.Alternative{}
	told := map[string]int{}
	for _, r := range f.Rivals {
		if contains(f.Set, r.ID) {
			continue
		}
		out = append(out, streamkeeper.Alternative{Cause: r.ID, Confidence: round(r.P, 4), WhyNot: m.whyNot(r, told)})
	}
	return out
}

// whyNot gives the weightiest reasons against a rival; what another rival was refused for counts half,
// so that each rival is told what is special to it.
func (m *model) whyNot(r infer.Rival, told map[string]int) string {
	reasons := slices.Clone(r.Against)
	slices.SortStableFunc(reasons, func(a, b infer.Contribution) int {
		return cmp.Compare(a.Weight/float64(1+told[a.ID]), b.Weight/float64(1+told[b.ID]))
	})
	var absent, unexplained []string
	for _, c := range reasons[:min(len(reasons), whyNotReasons)] {
		told[c.ID]++
		if c.State == streamkeeper.Present {
			unexplained = append(unexplained, m.say(c))
		} else {
			absent = append(absent, m.say(c))
		}
	}
	if len(unexplained) > 0 {
		absent = append(absent, "it would leave unexplained: "+strings.Join(unexplained, "; "))
	}
	if len(absent) == 0 {
		return "less likely to begin with"
	}
	return strings.Join(absent, "; ")
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

func lowerFirst(s string) string {
	if len(s) > 1 && s[0] >= 'A' && s[0] <= 'Z' && (s[1] == ' ' || s[1] >= 'a' && s[1] <= 'z') {
		return strings.ToLower(s[:1]) + s[1:]
	}
	return s
}
