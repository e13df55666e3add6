package incident

import (
	"slices"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// stand decides whether an incident is one that stood when watching began and is no worse since. Once it does not, it never
// does again; after the first day nothing does.
func (s *step) stand(r *Record) {
	i := &r.Incident
	if r.Told == "" { // it opens now
		i.Standing = i.Root.Standing
	}
	if i.Severity == streamkeeper.SeverityCritical && i.Loses() {
		i.Standing = false // whoever knows of it already will not mind; whoever does not must
	}
	if !i.Standing {
		return
	}
	if r.Stood == "" || s.in.Settling {
		r.Stood = Louder(r.Stood, i.Severity)
	}
	i.Standing = s.in.Shadowed && !s.began(r) && i.Severity.Rank() <= r.Stood.Rank()
}

// began says whether something in the story began after watching did: its root, or a symptom that is more than a note.
func (s *step) began(r *Record) bool {
	if c := s.byID[r.Incident.Root.ID]; c != nil && !c.Finding.Standing {
		return true
	}
	return slices.ContainsFunc(s.in.Symptoms, func(y Symptom) bool {
		return !y.Standing && y.Severity.Rank() >= streamkeeper.SeverityWarning.Rank() && slices.Contains(r.Entities, y.Entity)
	})
}
