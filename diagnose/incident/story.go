package incident

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// changesBefore is how long before the opening of an incident changes are shown with it.
const changesBefore = 30 * time.Minute

// changesKept bounds the strip of changes of one incident.
const changesKept = 20

// stories matches the findings that are worth an incident with the open ones, and ends what is over.
func (s *step) stories(old []Record) []Record {
	s.in2inc = map[string]string{}
	records := make([]*Record, len(old))
	for i := range old {
		r := old[i]
		r.Entities = slices.Clone(r.Entities)
		records[i] = &r
	}
	taken := map[*Record]*Candidate{}
	roots := s.roots(records)
	for _, match := range []func(*Record, *Candidate) bool{sameFinding, sameEntity, touches} {
		for _, c := range roots {
			if s.in2inc[c.Finding.ID] != "" {
				continue
			}
			for _, r := range records {
				if taken[r] == nil && match(r, c) && (sameFinding(r, c) || !s.alive(r)) {
					taken[r] = c
					s.in2inc[c.Finding.ID] = r.Incident.ID
					break
				}
			}
		}
	}
	for _, c := range roots {
		if s.in2inc[c.Finding.ID] == "" {
			r := s.open(c)
			records = append(records, r)
			taken[r] = c
			s.in2inc[c.Finding.ID] = r.Incident.ID
		}
	}
	return s.advanceAll(records, taken)
}

func sameFinding(r *Record, c *Candidate) bool { return r.Incident.Root.ID == c.Finding.ID }

func sameEntity(r *Record, c *Candidate) bool { return r.Incident.Root.Entity == c.Finding.Entity }

func touches(r *Record, c *Candidate) bool {
	return slices.ContainsFunc(c.Affects, func(e streamkeeper.Entity) bool { return slices.Contains(r.Entities, e) })
}

// alive says whether the incident's own root is still told: then no other finding may take it over.
func (s *step) alive(r *Record) bool {
	t, ok := s.tracks[r.Incident.Root.ID]
	return ok && t.Told && t.Below == 0 && !s.consequence(t.Last)
}

// consequence says whether a finding follows from another one that is told.
func (s *step) consequence(f streamkeeper.Finding) bool {
	return f.Consequence != "" && s.tracks[f.Consequence].Told
}

// roots are the told findings that are worth an incident, loudest first.
func (s *step) roots(open []*Record) []*Candidate {
	var out []*Candidate
	for _, id := range sortedKeys(s.byID) {
		c := s.byID[id]
		t := s.tracks[id]
		if !t.Told || t.Below > 0 || s.consequence(c.Finding) {
			continue
		}
		followed := slices.ContainsFunc(open, func(r *Record) bool { return sameFinding(r, c) })
		if followed || s.worthTelling(c) {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b *Candidate) int {
		return cmp.Or(cmp.Compare(b.Finding.Severity.Rank(), a.Finding.Severity.Rank()),
			cmp.Compare(b.Finding.Confidence, a.Finding.Confidence))
	})
	return out
}

// worthTelling is the impact gate, and the benign silence.
func (s *step) worthTelling(c *Candidate) bool {
	impact := s.impact(s.reach(c))
	if c.Finding.Verdict == streamkeeper.VerdictBenign {
		return len(impact) > 0 && (!c.Holds || s.othersHurt(c, impact))
	}
	if len(impact) > 0 {
		return s.settled(c)
	}
	sure := c.Finding.Verdict == streamkeeper.VerdictRootCause && c.Finding.Confidence >= s.opt.PreImpact
	return sure && (c.Shared || c.Finding.Severity == streamkeeper.SeverityCritical)
}

// How steady a finding must be to open an incident when it is not above Page, and when it is an answer set
// that a benign cause leads: harm that passes by itself is over by then.
var (
	steady  = need{6, 8}
	patient = need{24, 28}
)

// settled says whether a finding may open an incident now.
func (s *step) settled(c *Candidate) bool {
	t := s.tracks[c.Finding.ID]
	switch {
	case c.LedByBenign:
		return t.count(patient) >= patient.ticks
	case c.Finding.Confidence >= s.opt.Page || c.Finding.Verdict == streamkeeper.VerdictOther:
		return true
	}
	return t.count(steady) >= steady.ticks
}

// reach is the finding's entity and those of what it explains, its consequences included.
func (s *step) reach(c *Candidate) []streamkeeper.Entity {
	out := append([]streamkeeper.Entity{c.Finding.Entity}, c.Affects...)
	for _, id := range sortedKeys(s.byID) {
		if o := s.byID[id]; o.Finding.Consequence == c.Finding.ID {
			out = append(append(out, o.Finding.Entity), o.Affects...)
		}
	}
	slices.SortFunc(out, streamkeeper.CompareEntities)
	return slices.Compact(out)
}

// impact lists the breaches of service levels on some entities, worst first.
func (s *step) impact(on []streamkeeper.Entity) []Symptom {
	var out []Symptom
	for _, y := range s.in.Symptoms {
		if y.Impact != "" && slices.Contains(on, y.Entity) {
			out = append(out, y)
		}
	}
	slices.SortStableFunc(out, compareSymptoms)
	return out
}

// LossFirst puts a countdown to the loss of records before what else is as severe, the nearest first: what is deleted does
// not come back.
func LossFirst(a, b streamkeeper.Symptom) int {
	left := func(y streamkeeper.Symptom) float64 {
		if y.Breach != streamkeeper.BreachLoss || y.Value == nil {
			return math.Inf(1)
		}
		return *y.Value
	}
	return cmp.Compare(left(a), left(b))
}

// compareSymptoms puts the worst first, a loss before anything else, then the largest number, then the oldest.
func compareSymptoms(a, b Symptom) int {
	value := func(y Symptom) float64 {
		if y.Value == nil {
			return 0
		}
		return *y.Value
	}
	return cmp.Or(cmp.Compare(b.Severity.Rank(), a.Severity.Rank()), LossFirst(a.Symptom, b.Symptom), cmp.Compare(value(b), value(a)),
		a.Since.Compare(b.Since), strings.Compare(a.ID, b.ID), streamkeeper.CompareEntities(a.Entity, b.Entity))
}

func (s *step) othersHurt(c *Candidate, impact []Symptom) bool {
	return slices.ContainsFunc(impact, func(y Symptom) bool {
		return y.Entity != c.Finding.Entity && !slices.Contains(c.Own, y.Entity)
	})
}

// open starts an incident.
func (s *step) open(c *Candidate) *Record {
	return &Record{Incident: streamkeeper.Incident{
		Schema: streamkeeper.IncidentSchema, ID: mint(s.in.Now, c.Finding.Cause, c.Finding.Entity),
		State: streamkeeper.IncidentOpen, OpenedAt: s.in.Now, UpdatedAt: s.in.Now, Cluster: s.in.Cluster,
	}}
}

// advanceAll refreshes every incident and reports the ones that changed materially.
func (s *step) advanceAll(records []*Record, taken map[*Record]*Candidate) []Record {
	var open []Record
	for _, r := range records {
		if c := taken[r]; c != nil {
			s.refresh(r, c)
			r.Quiet = 0
		} else {
			s.idle(r, s.foldedInto(r, taken))
		}
		if r.Quiet >= s.opt.Hold {
			s.resolve(r)
			continue
		}
		s.symptoms(r)
		stood := r.Incident.Standing
		s.stand(r)
		worse := stood && !r.Incident.Standing && s.in.Shadowed
		if print := r.fingerprint(); print != r.Told || worse {
			if r.Told != "" {
				r.Incident.State = streamkeeper.IncidentUpdated
			}
			r.Told = print
			r.Incident.UpdatedAt = s.in.Now
			s.out.Changed = append(s.out.Changed, r.Incident)
		}
		open = append(open, *r)
	}
	return open
}

// refresh makes c the root of the incident.
func (s *step) refresh(r *Record, c *Candidate) {
	i := &r.Incident
	i.Root = s.tracks[c.Finding.ID].Last
	i.Root.Incident = i.ID
	i.Consequences = nil
	for _, id := range sortedKeys(s.tracks) {
		if t := s.tracks[id]; t.Told && t.Last.Consequence == c.Finding.ID {
			f := t.Last
			f.Incident = i.ID
			s.in2inc[id] = i.ID
			i.Consequences = append(i.Consequences, f)
		}
	}
	i.Severity = c.Finding.Severity
	for _, e := range s.reach(c) {
		if !slices.Contains(r.Entities, e) {
			r.Entities = append(r.Entities, e)
		}
	}
}

// foldedInto says whether the harm of r is now part of another incident with a shared cause.
func (s *step) foldedInto(r *Record, taken map[*Record]*Candidate) bool {
	for other, c := range taken {
		if other != r && c.Shared && slices.Contains(s.reach(c), r.Incident.Root.Entity) {
			return !s.alive(r)
		}
	}
	return false
}

// idle follows an incident whose cause is no longer told: it stays open while somebody is hurt, unless
// that harm is told by another incident now.
func (s *step) idle(r *Record, folded bool) {
	if folded {
		r.Quiet = s.opt.Hold
		return
	}
	if id := r.Incident.Root.ID; s.tracks[id].Told {
		s.in2inc[id] = r.Incident.ID
	}
	if s.in.Blind {
		return
	}
	if len(s.impact(r.Entities)) > 0 {
		r.Quiet = 0
		return
	}
	r.Quiet++
}

func (s *step) resolve(r *Record) {
	now := s.in.Now
	r.Incident.State = streamkeeper.IncidentResolved
	r.Incident.ResolvedAt = &now
	r.Incident.UpdatedAt = now
	s.out.Changed = append(s.out.Changed, r.Incident)
}

// symptoms fills what is seen now: symptoms, impact, headline and changes. When everything is calm the
// last symptoms stay, so that a resolved incident still says what it was.
func (s *step) symptoms(r *Record) {
	var now []Symptom
	for _, y := range s.in.Symptoms {
		if slices.Contains(r.Entities, y.Entity) {
			now = append(now, y)
		}
	}
	slices.SortStableFunc(now, compareSymptoms)
	i := &r.Incident
	if len(now) > 0 {
		i.Symptoms = nil
		for _, y := range now {
			i.Symptoms = append(i.Symptoms, y.Symptom)
		}
	}
	impact := s.impact(r.Entities)
	if len(impact) > 0 {
		since := impact[0].Since
		if i.Impact != nil && (since.IsZero() || i.Impact.Since.Before(since)) {
			since = i.Impact.Since
		}
		i.Impact = &streamkeeper.Impact{Text: impact[0].Impact, Since: since}
		i.Severity = Louder(i.Severity, impact[0].Severity)
	}
	i.Headline = headline(i, impact, now)
	i.Changes = s.changes(r)
}

// Louder is the louder of two severities.
func Louder(a, b streamkeeper.Severity) streamkeeper.Severity {
	if b.Rank() > a.Rank() {
		return b
	}
	return a
}

// changes are those from shortly before the opening on, about the incident's entities or the cluster.
func (s *step) changes(r *Record) []streamkeeper.Change {
	out := slices.Clone(r.Incident.Changes)
	from := r.Incident.OpenedAt.Add(-changesBefore)
	for _, c := range s.in.Changes {
		about := c.Entity == (streamkeeper.Entity{}) || c.Entity.Kind == streamkeeper.KindCluster || slices.Contains(r.Entities, c.Entity)
		if about && !c.At.Before(from) && !slices.Contains(out, c.Change) {
			out = append(out, c.Change)
		}
	}
	slices.SortStableFunc(out, func(a, b streamkeeper.Change) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(a.Kind, b.Kind), strings.Compare(a.Text, b.Text))
	})
	return out[max(0, len(out)-changesKept):]
}

// headline says in one line who is hurt how, and what else is seen there.
func headline(i *streamkeeper.Incident, impact, all []Symptom) string {
	if len(impact) == 0 {
		if i.Headline != "" && i.Impact != nil {
			return i.Headline // it was said while it hurt
		}
		return i.Root.Entity.String() + ": " + lowerFirst(i.Root.Title)
	}
	first := impact[0]
	name := first.Entity.Name + " "
	for _, y := range all {
		if y.ID == first.ID || y.Impact != "" || y.Entity != first.Entity {
			continue
		}
		if rest, ok := strings.CutPrefix(y.Text, name); ok {
			return first.Impact + " and " + rest
		}
	}
	return first.Impact
}

func lowerFirst(s string) string {
	if len(s) > 1 && s[0] >= 'A' && s[0] <= 'Z' && (s[1] == ' ' || s[1] >= 'a' && s[1] <= 'z') {
		return strings.ToLower(s[:1]) + s[1:]
	}
	return s
}

// fingerprint is what makes an update worth telling: the cause, how sure it is, how bad it is, and what
// follows from it. Numbers that move every tick are no news, nor is a root cause that is less sure for a while.
func (r *Record) fingerprint() string {
	i := &r.Incident
	verdict := i.Root.Verdict
	switch {
	case verdict == streamkeeper.VerdictRootCause:
		r.Sure = i.Root.ID
	case verdict == streamkeeper.VerdictProbable && r.Sure == i.Root.ID:
		verdict = streamkeeper.VerdictRootCause
	}
	parts := []string{i.Root.ID, string(verdict), string(i.Severity)}
	if i.Impact != nil {
		parts = append(parts, "impact")
	}
	for _, f := range i.Consequences {
		parts = append(parts, f.ID)
	}
	return strings.Join(parts, " ")
}
