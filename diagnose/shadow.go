package diagnose

import (
	"slices"
	"strings"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose/infer"
	"github.com/streamkeeper-io/streamkeeper/rules"
)

// Shadow is what the first day on a cluster needs to know: what stood already when watching began is listed and nobody is
// woken over it. It is plain data but for what is only needed in the first minutes.
type Shadow struct {
	Since    time.Time                  `json:"since"`              // when the cluster was first seen; zero: not yet
	Standing map[string]time.Time       `json:"standing,omitempty"` // by node and entity: stood when watching began; when it was last seen
	calm     map[string]map[string]bool // seen to be absent, by node, then entity: of a fleet they are many
}

// Ages of symptoms count from the first look, and windows fill from it: what stood shows within some minutes only.
const (
	settlesFor       = 10 * time.Minute
	settlesIntervals = 40
	// A condition that was away for so long is over; when it comes back it has begun.
	standsWithout          = 5 * time.Minute
	standsWithoutIntervals = 8
	// How long, at least, a symptom must have been watched until its absence says that nothing stands.
	showsWithin          = time.Minute
	showsWithinIntervals = 4
)

// shadowed says whether the cluster's first day is not over.
func (p *pass) shadowed() bool {
	since := p.next.Shadow.Since
	return p.Config.Shadow > 0 && !since.IsZero() && p.now.Sub(since) < p.Config.Shadow
}

// settling says whether what stood when watching began may still be about to show.
func (p *pass) settling() bool {
	return p.shadowed() && p.now.Sub(p.next.Shadow.Since) < max(settlesFor, settlesIntervals*p.Config.Interval)
}

// slack is by how much the first looks of several sources may lie apart.
func (p *pass) slack() time.Duration { return 2*p.Config.Interval + 5*time.Second }

// shadow takes in which of the symptoms of this tick stand since before watching began.
func (p *pass) shadow() {
	old := p.mem.Shadow
	p.next.Shadow = Shadow{Since: old.Since}
	if p.Config.Shadow > 0 && old.Since.IsZero() && p.sees() {
		p.next.Shadow.Since = p.now
	}
	if !p.shadowed() {
		return
	}
	standing, settling := map[string]time.Time{}, p.settling()
	troubled := map[string]bool{}
	for key := range old.Standing {
		_, entity, _ := strings.Cut(key, "|")
		troubled[entity] = true
	}
	if settling {
		if p.next.Shadow.calm = old.calm; old.calm == nil {
			p.next.Shadow.calm = map[string]map[string]bool{}
		}
	}
	for i := range p.observed {
		p.stand(&p.observed[i], standing, troubled, settling)
	}
	p.standQuiet(standing, settling)
	for key, seen := range old.Standing {
		if _, still := standing[key]; !still && p.now.Sub(seen) < max(standsWithout, standsWithoutIntervals*p.Config.Interval) {
			standing[key] = seen
		}
	}
	p.next.Shadow.Standing = standing
}

// stand notes one symptom when it stands, and that it is absent while that is to be known. What shows in the first minutes on
// an entity that stands in trouble is more of the same, coming to light.
func (p *pass) stand(o *streamkeeper.Observation, standing map[string]time.Time, troubled map[string]bool, settling bool) {
	if o.State != streamkeeper.Present && !settling && len(p.mem.Shadow.Standing) == 0 {
		return // of a fleet they are many
	}
	n, ok := p.Catalog.Node(o.Node)
	if !ok || !n.Symptom || n.Cost {
		return
	}
	_, stands := p.mem.Shadow.Standing[onsetKey(o)]
	switch {
	case stands && o.State == streamkeeper.Unknown, // a gap in the data does not end it
		o.State == streamkeeper.Present && (stands || settling && (troubled[o.Entity.Key()] || !p.began(&n, o))):
		standing[onsetKey(o)] = p.now
	case settling && o.State == streamkeeper.Absent && p.shows(&n):
		p.next.Shadow.calmed(o)
	}
}

// standQuiet does the same for what is quiet, where nothing is present.
func (p *pass) standQuiet(standing map[string]time.Time, settling bool) {
	for key := range p.mem.Shadow.Standing {
		if o, ok := quietAt(p.quiet, key); ok && o.State == streamkeeper.Unknown {
			standing[key] = p.now
		}
	}
	if !settling {
		return
	}
	node, counts := "", false
	for o := range p.quiet.All() {
		if o.Node != node { // they come by node
			n, ok := p.Catalog.Node(o.Node)
			node, counts = o.Node, ok && n.Symptom && !n.Cost && p.shows(&n)
		}
		if counts && o.State == streamkeeper.Absent {
			p.next.Shadow.calmed(&o)
		}
	}
}

// calmed notes that a symptom was absent.
func (s *Shadow) calmed(o *streamkeeper.Observation) {
	if s.calm[o.Node] == nil {
		s.calm[o.Node] = map[string]bool{}
	}
	s.calm[o.Node][o.Entity.Name] = true
}

// shows says whether a symptom that stands would be seen by now.
func (p *pass) shows(n *rules.Node) bool {
	return p.now.Sub(p.next.Shadow.Since) >= max(showsWithin, showsWithinIntervals*p.Config.Interval, n.Window)
}

// began says whether a present symptom is known to have begun after watching began: its entity came later, its own age says
// so, or it was seen to be absent.
func (p *pass) began(n *rules.Node, o *streamkeeper.Observation) bool {
	cluster := streamkeeper.Entity{Kind: streamkeeper.KindCluster, Name: p.cluster, Cluster: p.cluster}
	if mine, known := p.watched[o.Entity]; known && p.watched[cluster]-mine > p.slack() {
		return true
	}
	if age, known := o.Numbers[n.Lasts]; known && n.Lasts != "" {
		return p.scope.Now.Add(-time.Duration(age * float64(time.Second))).After(p.next.Shadow.Since.Add(p.slack()))
	}
	return p.next.Shadow.calm[o.Node][o.Entity.Name]
}

func (p *pass) stands(o *streamkeeper.Observation) bool {
	if len(p.next.Shadow.Standing) == 0 {
		return false // no key is made
	}
	_, stands := p.next.Shadow.Standing[onsetKey(o)]
	return stands
}

// standing says whether a finding stood when watching began: all that it explains did, but for what is only a note (one member
// of a group that stands in trouble is lost); or, when it explains nothing, what shows it is as old as that.
func (m *model) standing(f *infer.Finding) bool {
	if !m.p.shadowed() {
		return false
	}
	stands, notes := false, false
	for _, r := range f.Explains {
		o := m.seen[r]
		if o == nil || o.State != streamkeeper.Present {
			continue
		}
		n, _ := m.p.Catalog.Node(o.Node)
		switch {
		case m.p.stands(o):
			stands = true
		case m.p.loudness(n, o).Rank() >= streamkeeper.SeverityWarning.Rank():
			return false
		default:
			notes = true
		}
	}
	return stands || !notes && !m.since(f).After(m.p.next.Shadow.Since.Add(m.p.slack()))
}

// firstDay is what the report says of the shadow, nil when there is none.
func (p *pass) firstDay() *streamkeeper.FirstDay {
	if !p.shadowed() {
		return nil
	}
	d := &streamkeeper.FirstDay{Since: p.next.Shadow.Since, Until: p.next.Shadow.Since.Add(p.Config.Shadow)}
	for _, y := range p.symptoms() {
		if y.Standing {
			d.Standing++
		}
	}
	return d
}

// newlyTold lists the incidents that stood when watching began and need not stand any more: the first day is over.
func (w *watched) newlyTold() []streamkeeper.Incident {
	var out []streamkeeper.Incident
	for _, r := range w.memory.Stories.Open {
		if !r.Incident.Standing && w.untold[r.Incident.ID] == streamkeeper.UntoldStanding {
			out = append(out, r.Incident)
		}
	}
	slices.SortFunc(out, func(a, b streamkeeper.Incident) int { return a.OpenedAt.Compare(b.OpenedAt) })
	return out
}
