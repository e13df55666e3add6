package diagnose

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose/infer"
	"github.com/streamkeeper-io/streamkeeper/rules"
)

// How much of the evidence is told: the weightiest of each bearing.
const (
	tellFor       = 8
	tellAgainst   = 4
	tellMissing   = 4
	tellUnsourced = 2
	tellFrom      = .1 // nats
	tellLoci      = 5
	decisiveFrom  = 1.5 // nats a decisive fact must still weigh beside what else explains it
	surest        = .99 // the catalog itself may be wrong: nothing is told as certain
)

// judged is a finding with what only this tick knows of it.
type judged struct {
	streamkeeper.Finding
	block     string
	shared    bool
	decisive  bool
	holds     bool // benign: may still silence
	premature bool
	own       []streamkeeper.Entity
	affects   []streamkeeper.Entity
	rule      rules.Cause
	values    values
}

// findings turns the decision into words.
func (p *pass) findings(m *model, d infer.Result) {
	for i := range d.Findings {
		j := m.judge(&d.Findings[i])
		if _, taken := p.judged[j.ID]; !taken { // `other` in two blocks of one entity
			p.judged[j.ID] = j
		}
	}
}

// FindingID names a finding by its cause, or its answer set, and its entity.
func FindingID(causes []string, e streamkeeper.Entity) string {
	sorted := slices.Sorted(slices.Values(causes))
	return strings.Join(sorted, "|") + "@" + e.Key()
}

func (m *model) judge(f *infer.Finding) *judged {
	causes := f.Set
	if len(causes) == 0 {
		causes = []string{f.Cause}
	}
	j := &judged{block: f.Block, shared: f.Block == "", own: []streamkeeper.Entity{f.Entity}}
	j.own = append(j.own, m.blocks[f.Block]...)
	j.rule, _ = m.p.Catalog.Cause(f.Cause)
	scope := m.p.scopeOf(f.Entity)
	j.Finding = streamkeeper.Finding{
		Owner: scope.Owner, Loss: slices.ContainsFunc(causes, m.loses), Standing: m.standing(f),
		ID: FindingID(causes, f.Entity), Cause: f.Cause, Causes: f.Set, Entity: f.Entity,
		Verdict: f.Verdict, Confidence: round(min(f.P, surest), 4), Assessed: round(f.Assessed, 3), Assessable: round(f.Assessable, 3),
		Severity: m.severity(&j.rule, f, scope.Criticality), Since: m.since(f),
		Explains: []string{}, Evidence: m.evidence(f), Alternatives: m.alternatives(f),
		Locus: []streamkeeper.Locus{}, Advice: []streamkeeper.Advice{},
	}
	if f.ParentID != "" {
		j.Consequence = FindingID([]string{f.ParentID}, f.ParentOn)
	}
	for _, r := range f.Explains {
		if !slices.Contains(j.Explains, r.ID) {
			j.Explains = append(j.Explains, r.ID)
		}
		if !slices.Contains(j.affects, r.Entity) {
			j.affects = append(j.affects, r.Entity)
		}
	}
	j.Locus = m.locus(f, j.rule.Locus)
	j.values = m.values(f, j)
	m.words(f, j)
	j.decisive = m.decisive(f)
	j.premature = j.rule.Benign && m.sees(f, j.rule.HoldsWhile, streamkeeper.Absent)
	j.holds = !m.sees(f, j.rule.HoldsWhile, streamkeeper.Absent) && !m.sees(f, j.rule.EndsWhen, streamkeeper.Present)
	j.Trigger = m.trigger(f, j)
	return j
}

func round(x float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(x*scale) / scale
}

// severity is the cause's own, moved by the criticality of its entity, but no louder than info where somebody would be woken
// over nothing: what is benign, and what has no name or may be benign while no service level is breached. Lost records are
// lost to everybody: they are spoken of no more quietly where little is critical.
func (m *model) severity(rule *rules.Cause, f *infer.Finding, c Criticality) streamkeeper.Severity {
	doubtful := f.Cause == streamkeeper.CauseOther || slices.ContainsFunc(f.Set, m.benign)
	switch {
	case f.Verdict == streamkeeper.VerdictBenign, doubtful && !slices.ContainsFunc(f.Explains, m.breaches):
		return streamkeeper.SeverityInfo
	case rule.Loss && c == CriticalityLow:
		return cmp.Or(rule.Severity, streamkeeper.SeverityWarning)
	}
	return c.Move(cmp.Or(rule.Severity, streamkeeper.SeverityWarning))
}

func (m *model) loses(cause string) bool {
	rule, ok := m.p.Catalog.Cause(cause)
	return ok && rule.Loss
}

func (m *model) benign(cause string) bool {
	rule, ok := m.p.Catalog.Cause(cause)
	return ok && rule.Benign
}

// breaches says whether a symptom is the breach of a service level.
func (m *model) breaches(r infer.Ref) bool {
	n, ok := m.p.Catalog.Node(r.ID)
	return ok && m.p.breaches(&n, r.Entity)
}

// since is the earliest onset among what supports the finding.
func (m *model) since(f *infer.Finding) time.Time {
	var at time.Time
	for _, c := range f.For {
		o := m.seen[c.Ref]
		if o == nil || o.State != streamkeeper.Present || o.Since.IsZero() {
			continue
		}
		if at.IsZero() || o.Since.Before(at) {
			at = o.Since
		}
	}
	if at.IsZero() {
		return m.p.scope.Now
	}
	return at
}

// words fills title and summary.
func (m *model) words(f *infer.Finding, j *judged) {
	switch {
	case f.Cause == streamkeeper.CauseOther:
		j.Title = "A cause that the catalog does not know"
		j.Summary = "Something is wrong with " + f.Entity.String() + ", but no known cause fits what is seen."
	case len(f.Set) > 1:
		j.Title, j.Summary = m.oneOf(f.Set)
	default:
		j.Title = j.rule.Title
		if text, missing := m.p.Catalog.Render(j.rule.Summary, j.values.numbers, j.values.strings); len(missing) == 0 {
			j.Summary = text
		} else {
			j.Summary = j.rule.Title // a summary with holes says less than the title
		}
	}
	if f.Part != "" && len(f.Set) > 1 {
		j.AskNext = &streamkeeper.AskNext{Text: f.Part}
	} else if f.Ask != nil {
		j.AskNext = &streamkeeper.AskNext{Evidence: f.Ask.ID, Gain: round(f.Ask.Gain, 3), Text: m.ask(f.Ask)}
	}
}

// oneOf words an answer set as a set: the summary of one member would claim what is not known.
func (m *model) oneOf(set []string) (title, summary string) {
	titles := make([]string, len(set))
	for i, id := range set {
		titles[i] = id
		if rule, ok := m.p.Catalog.Cause(id); ok {
			titles[i] = lowerFirst(rule.Title)
		}
	}
	title = "One of: " + strings.Join(titles, "; or ")
	return title, "What is measured here does not tell these apart: " + strings.Join(titles, "; or ") + "."
}

func (m *model) ask(a *infer.Ask) string {
	n, _ := m.p.Catalog.Node(a.ID)
	text := n.Title
	if o := m.seen[a.Ref]; o != nil && o.Needs != "" {
		text += ": " + o.Needs
	} else if n.Needs != "" {
		text += ": " + n.Needs
	}
	return text
}

// locus gathers what the supporting observations point at, the weightiest first.
func (m *model) locus(f *infer.Finding, kind string) []streamkeeper.Locus {
	out := []streamkeeper.Locus{}
	for _, c := range f.For {
		o := m.seen[c.Ref]
		if o == nil || o.State != streamkeeper.Present {
			continue
		}
		for _, l := range o.Loci {
			if (kind == "" || l.Kind == kind) && !slices.Contains(out, l) && len(out) < tellLoci {
				out = append(out, l)
			}
		}
	}
	return out
}

// decisive says whether a present direct fact carries the finding.
func (m *model) decisive(f *infer.Finding) bool {
	for _, c := range f.For {
		if n, ok := m.p.Catalog.Node(c.ID); ok && n.Decisive && c.State == streamkeeper.Present && c.Weight >= decisiveFrom {
			return true
		}
	}
	return false
}

// sees says whether one of the nodes is in a state on the finding's entity.
func (m *model) sees(f *infer.Finding, nodes []string, state streamkeeper.State) bool {
	return slices.ContainsFunc(nodes, func(id string) bool {
		n, ok := m.p.Catalog.Node(id)
		return ok && m.merge(&n, bound(m.p.World, f.Entity, n.Entity)).State == state
	})
}

// trigger names what set the cause off: the first of its trigger nodes that is present.
func (m *model) trigger(f *infer.Finding, j *judged) *streamkeeper.Trigger {
	for _, t := range j.rule.Triggers {
		n, ok := m.p.Catalog.Node(t.Node)
		if !ok {
			continue
		}
		o := m.merge(&n, bound(m.p.World, f.Entity, n.Entity))
		if o.State != streamkeeper.Present {
			continue
		}
		text := o.Text
		if said, missing := m.p.Catalog.Render(t.Say, merged(j.values.numbers, o.Numbers), merged(j.values.strings, o.Strings)); t.Say != "" && len(missing) == 0 {
			text = said
		}
		return &streamkeeper.Trigger{Kind: t.Kind, Text: text, At: o.Since}
	}
	return nil
}
