package diagnose

import (
	"maps"
	"slices"
	"strings"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose/advise"
	"github.com/streamkeeper-io/streamkeeper/diagnose/infer"
	"github.com/streamkeeper-io/streamkeeper/rules"
)

// values are what texts of a finding are filled with.
type values struct {
	numbers map[string]float64
	strings map[string]string
}

func merged[V any](a, b map[string]V) map[string]V {
	out := maps.Clone(a)
	if out == nil {
		out = map[string]V{}
	}
	maps.Copy(out, b)
	return out
}

// values gathers the numbers and names that the finding's observations know. What supports it comes
// first, then what else was seen on its entity, then the rest of its story; the first one wins.
func (m *model) values(f *infer.Finding, j *judged) values {
	v := values{map[string]float64{}, map[string]string{
		"cluster": m.p.cluster, "entity": f.Entity.String(), string(f.Entity.Kind): f.Entity.Name,
	}}
	if len(j.Locus) > 0 {
		v.strings["locus"] = j.Locus[0].Name
	}
	take := func(o *streamkeeper.Observation) {
		for name, n := range o.Numbers {
			if _, taken := v.numbers[name]; !taken {
				v.numbers[name] = n
			}
		}
		for name, s := range o.Strings {
			if _, taken := v.strings[name]; !taken && name != "window" {
				v.strings[name] = s
			}
		}
	}
	for _, c := range f.For {
		if o := m.seen[c.Ref]; o != nil && o.State == streamkeeper.Present {
			take(o)
		}
	}
	for _, own := range j.own {
		for i := range m.p.observed {
			if o := &m.p.observed[i]; o.Entity == own && o.State != streamkeeper.NotApplicable {
				take(o)
			}
		}
	}
	return v
}

// advise renders the advice of everything that is told, and hangs it on findings and incidents.
func (p *pass) advise() {
	for i := range p.told.Told {
		p.counsel(&p.told.Told[i])
	}
	for i := range p.next.Stories.Open {
		p.counselIncident(&p.next.Stories.Open[i].Incident)
	}
	for i := range p.told.Changed {
		p.counselIncident(&p.told.Changed[i])
	}
	for id, t := range p.next.Stories.Tracks {
		p.counsel(&t.Last)
		p.next.Stories.Tracks[id] = t
	}
}

func (p *pass) counselIncident(i *streamkeeper.Incident) {
	p.counsel(&i.Root)
	p.owned(i)
	i.Consequences = slices.Clone(i.Consequences)
	for k := range i.Consequences {
		p.counsel(&i.Consequences[k])
	}
	i.Advice = i.Root.Advice
	if p.Config.URL != "" {
		i.URL = strings.TrimSuffix(p.Config.URL, "/") + "/#/incidents/" + i.ID
	}
}

// counsel fills a finding's advice in as this tick computes it; a finding that this tick did not judge
// keeps what it had.
func (p *pass) counsel(f *streamkeeper.Finding) {
	f.Owner = p.scopeOf(f.Entity).Owner
	j := p.judged[f.ID]
	if j == nil || f.Cause == streamkeeper.CauseOther {
		return
	}
	v := advise.Values{Numbers: j.values.numbers, Strings: j.values.strings}
	if len(f.Causes) > 1 {
		f.Advice, f.Scale = p.counselSet(f, v)
		return
	}
	f.Advice = advise.Render(p.templates(j.rule.Advice, f.Entity), v, p.Catalog.Render)
	f.Scale = advise.Scale(j.rule.Scale, j.rule.ScaleWhy, v, p.Catalog.Render)
}

// counselSet is the first advice of each member, under its condition, and what they say of scaling together.
func (p *pass) counselSet(f *streamkeeper.Finding, v advise.Values) ([]streamkeeper.Advice, *streamkeeper.ScaleAdvice) {
	out := []streamkeeper.Advice{}
	var words []advise.Word
	for _, id := range f.Causes {
		rule, ok := p.Catalog.Cause(id)
		if !ok {
			continue
		}
		if list := advise.Render(p.templates(rule.Advice, f.Entity), v, p.Catalog.Render); len(list) > 0 {
			a := list[0]
			a.Do = "if it is " + id + ": " + a.Do
			out = append(out, a)
		}
		words = append(words, advise.Word{Cause: id, Scale: advise.Scale(rule.Scale, rule.ScaleWhy, v, p.Catalog.Render)})
	}
	return out, advise.ScaleAmong(words)
}

func (p *pass) templates(in []rules.AdviceTemplate, e streamkeeper.Entity) []advise.Template {
	var out []advise.Template
	for _, t := range in {
		if p.Catalog.Applies(t.AppliesWhen, e, p.World) == streamkeeper.Absent {
			continue
		}
		x := advise.Template{Do: t.Do, Needs: t.Needs, Formula: t.Formula, Find: t.Find, Why: t.Why, Risk: t.Risk, Command: t.Command}
		if t.Verify != nil {
			x.Clears, x.Within = t.Verify.Clears, t.Verify.Within
			if n, ok := p.Catalog.Node(x.Clears); ok {
				x.Title = n.Title
			}
		}
		out = append(out, x)
	}
	return out
}

// costs turns the cost findings that are present into recommendations.
func (p *pass) costs() []streamkeeper.Recommendation {
	var out []streamkeeper.Recommendation
	for i := range p.observed {
		o := &p.observed[i]
		n, ok := p.Catalog.Node(o.Node)
		if !ok || !n.Cost || o.State != streamkeeper.Present {
			continue
		}
		r := streamkeeper.Recommendation{Kind: streamkeeper.Cost, Entity: o.Entity, From: o.Value, Why: o.Text}
		v := advise.Values{Numbers: o.Numbers, Strings: o.Strings}
		var do []string
		for _, a := range advise.Render(p.templates(n.Advice, o.Entity), v, p.Catalog.Render) {
			do = append(do, a.Do)
		}
		if len(do) > 0 {
			r.Why = strings.TrimSuffix(r.Why, ".") + ": " + strings.Join(do, "; or ")
		}
		out = append(out, r)
	}
	return out
}
