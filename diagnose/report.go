package diagnose

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose/infer"
)

// What each open incident costs the health score, by severity, and what anything less costs.
var healthCost = map[streamkeeper.Severity]int{
	streamkeeper.SeverityCritical: 50, streamkeeper.SeverityWarning: 20, streamkeeper.SeverityInfo: 3,
}

const healthCostLess = 10

// report says what this tick found.
func (p *pass) report(d infer.Result) streamkeeper.Report {
	r := streamkeeper.Report{
		Cluster: p.World.Cluster(p.cluster), GeneratedAt: p.now, TickSeconds: p.Config.Interval.Seconds(),
		Findings: p.told.Told, Symptoms: p.symptoms(), Unexplained: []string{}, NotJudged: p.notJudged(),
		Sources: []streamkeeper.Source{}, Recommendations: p.next.Sizing.Recommendations, Changes: p.changed,
		Ignored: p.countIgnored(), FirstDay: p.firstDay(),
	}
	if r.Cluster.Name == "" {
		r.Cluster.Name = p.cluster
	}
	if r.Findings == nil {
		r.Findings = []streamkeeper.Finding{}
	}
	if r.Recommendations == nil {
		r.Recommendations = []streamkeeper.Recommendation{}
	}
	for _, u := range d.Unexplained {
		if !slices.Contains(r.Unexplained, u.ID) {
			r.Unexplained = append(r.Unexplained, u.ID)
		}
	}
	if p.Sources != nil {
		r.Sources = append(r.Sources, p.Sources(p.cluster)...)
	}
	for _, source := range r.Sources {
		r.NotJudged = append(r.NotJudged, source.Untold...)
	}
	r.Health = p.health()
	r.Headline = p.headline(r.Health)
	p.admitStale(&r)
	return r
}

// health is 100 less the cost of what is wrong; without any data it cannot be judged. It is degraded by
// an incident, by a finding that is told, and by a symptom that nothing harmless explains.
func (p *pass) health() streamkeeper.Health {
	if !p.sees() {
		return streamkeeper.Health{State: streamkeeper.HealthUnknown}
	}
	score, state := 100, streamkeeper.Healthy
	wrong := func(severity streamkeeper.Severity, cost int) {
		score -= cost
		switch {
		case severity == streamkeeper.SeverityCritical && cost == healthCost[severity]:
			state = streamkeeper.Critical
		case severity.Rank() >= streamkeeper.SeverityWarning.Rank() && state == streamkeeper.Healthy:
			state = streamkeeper.Degraded
		}
	}
	for _, r := range p.next.Stories.Open {
		wrong(r.Incident.Severity, healthCost[r.Incident.Severity])
	}
	harmless := map[string]bool{}
	for _, f := range p.told.Told {
		if f.Verdict == streamkeeper.VerdictBenign {
			for _, id := range f.Explains {
				harmless[id] = true
			}
		} else if f.Incident == "" {
			wrong(f.Severity, healthCostLess)
		}
	}
	if state == streamkeeper.Healthy {
		for _, y := range p.symptoms() {
			if !harmless[y.ID] && y.Severity.Rank() >= streamkeeper.SeverityWarning.Rank() {
				wrong(y.Severity, healthCostLess)
			}
		}
	}
	score = max(score, 0)
	return streamkeeper.Health{Score: &score, State: state}
}

// admitStale says which sources have not been read lately, since when. What is wrong may rest on what they told last; that
// nothing is wrong may not: where all sources of a kind are stale the health is not known.
func (p *pass) admitStale(r *streamkeeper.Report) {
	fresh, stale := map[string]bool{}, []streamkeeper.Source{}
	for _, s := range r.Sources {
		switch {
		case s.Listens:
		case s.Stale:
			stale = append(stale, s)
		default:
			fresh[s.Kind] = true
		}
	}
	blind := ""
	for _, s := range stale {
		since := p.lastWhole(s)
		r.NotJudged = append(r.NotJudged, streamkeeper.NotJudged{What: "what " + s.Name + " tells: " + since, Needs: cmp.Or(s.Error, "a whole look at it")})
		if blind == "" && !fresh[s.Kind] {
			blind = s.Name + " " + since
		}
	}
	if blind != "" && (r.Health.State == streamkeeper.Healthy || r.Health.State == streamkeeper.HealthUnknown) {
		r.Health = streamkeeper.Health{State: streamkeeper.HealthUnknown}
		r.Headline = "it is not known whether anything is wrong: " + blind
	}
}

// lastWhole says when a source was last read whole.
func (p *pass) lastWhole(s streamkeeper.Source) string {
	if s.FreshSeconds == nil {
		return "was never read whole"
	}
	age := time.Duration(*s.FreshSeconds * float64(time.Second))
	return fmt.Sprintf("was last read whole at %s, %s ago", p.now.Add(-age).UTC().Format("15:04:05Z"), age.Round(time.Second))
}

// sees says whether anything at all could be judged.
func (p *pass) sees() bool {
	for o := range p.all() {
		if o.State == streamkeeper.Present || o.State == streamkeeper.Absent {
			return true
		}
	}
	return false
}

func (p *pass) headline(h streamkeeper.Health) string {
	if h.State == streamkeeper.HealthUnknown {
		return "nothing can be judged yet: no data"
	}
	open := slices.Clone(p.next.Stories.Open)
	if len(open) > 0 {
		worst := open[0].Incident
		for _, r := range open[1:] {
			if louder(r.Incident, worst) {
				worst = r.Incident
			}
		}
		if len(open) > 1 {
			return fmt.Sprintf("%s (and %d more)", worst.Headline, len(open)-1)
		}
		return worst.Headline
	}
	if len(p.told.Told) > 0 {
		f := p.told.Told[0]
		if f.Verdict == streamkeeper.VerdictBenign {
			return f.Entity.String() + ": explained by " + lowerFirst(f.Title)
		}
		return f.Entity.String() + ": " + lowerFirst(f.Title)
	}
	if symptoms := p.symptoms(); len(symptoms) > 0 {
		return symptoms[0].Text
	}
	return "nothing is wrong"
}

// louder orders incidents for the headline: those that hurt first, then by severity, then by age.
func louder(a, b streamkeeper.Incident) bool {
	if (a.Impact != nil) != (b.Impact != nil) {
		return a.Impact != nil
	}
	if a.Severity != b.Severity {
		return a.Severity.Rank() > b.Severity.Rank()
	}
	return a.OpenedAt.Before(b.OpenedAt)
}

// notJudged lists what could not be decided, and what would let it: blindness, findings that wait for
// more ticks, and symptoms that are unknown wherever they could be.
func (p *pass) notJudged() []streamkeeper.NotJudged {
	out := []streamkeeper.NotJudged{}
	if p.blind {
		out = append(out, streamkeeper.NotJudged{What: "this tick, after a gap in observation", Needs: "a few ticks without a gap"})
	}
	for _, w := range p.told.Waiting {
		out = append(out, streamkeeper.NotJudged{
			What:  fmt.Sprintf("%s on %s (%.0f %% so far)", w.Finding.Cause, w.Finding.Entity, w.Finding.Confidence*100),
			Needs: fmt.Sprintf("%d more %s", w.Ticks, plural(w.Ticks, "tick")), Entity: &w.Finding.Entity,
		})
	}
	out = append(out, p.prematurelyHarmless()...)
	type tally struct {
		unknown, known int
		needs          string
	}
	seen := map[string]*tally{}
	for o := range p.all() {
		n, ok := p.Catalog.Node(o.Node)
		if !ok || !n.Symptom || n.Cost || o.State == streamkeeper.NotApplicable {
			continue
		}
		t := seen[o.Node]
		if t == nil {
			t = &tally{}
			seen[o.Node] = t
		}
		if o.State != streamkeeper.Unknown {
			t.known++
			continue
		}
		t.unknown++
		if t.needs == "" {
			t.needs = strings.TrimSpace(strings.Join(distinct(o.Why, n.Needs), "; "))
		}
	}
	for _, id := range sortedKeys(seen) {
		if t := seen[id]; t.known == 0 && t.unknown > 0 {
			n, _ := p.Catalog.Node(id)
			out = append(out, streamkeeper.NotJudged{What: id + ": " + lowerFirst(n.Title), Needs: t.needs})
		}
	}
	return out
}

// prematurelyHarmless lists the benign causes that fit best but whose own condition does not hold, one entry a cause:
// nothing is told of their entities, and that must not look like calm.
func (p *pass) prematurelyHarmless() []streamkeeper.NotJudged {
	on := map[string][]*judged{}
	for _, id := range sortedKeys(p.judged) {
		if j := p.judged[id]; j.premature {
			on[j.Cause] = append(on[j.Cause], j)
		}
	}
	var out []streamkeeper.NotJudged
	for _, cause := range sortedKeys(on) {
		all := on[cause]
		what := "whether " + all[0].Entity.String()
		if more := len(all) - 1; more > 0 {
			what += fmt.Sprintf(" (and %d more)", more)
		}
		var wants []string
		for _, node := range all[0].rule.HoldsWhile {
			if n, ok := p.Catalog.Node(node); ok {
				wants = append(wants, lowerFirst(n.Title))
			}
		}
		entry := streamkeeper.NotJudged{
			What:  what + " is harmless: " + lowerFirst(all[0].Title),
			Needs: "some minutes to see whether " + strings.Join(wants, ", or ") + ", which does not hold now",
		}
		if len(all) == 1 {
			entry.Entity = &all[0].Entity
		}
		out = append(out, entry)
	}
	return out
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

func distinct(parts ...string) []string {
	var out []string
	for _, s := range parts {
		if s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
