// Package incident turns the findings of single ticks into stories: it decides when a finding is told,
// when an incident opens, what belongs to it, and when it is over.
//
// Step is the whole of it: memory and one tick's findings and symptoms in, new memory and what changed
// out. A decisive direct fact is told at once when it leaves no doubt, anything else after three of four ticks above On; it is
// withdrawn after Hold ticks below Off. An incident opens only when somebody is hurt (an impact symptom)
// and the finding is above Page or steady, or before that when something that everybody shares is surely
// broken. Its id is minted from time, cause
// and entity, so that the same input gives the same id, and it survives a change of cause.
//
// The package is pure: time is a parameter, and Memory is plain data that survives a restart as JSON.
// It refuses to judge: posteriors and verdicts come from infer.
//
// Start with Step, then track.go (when a finding is told) and story.go (what an incident holds).
package incident

import (
	"cmp"
	"slices"
	"strings"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// Options are the thresholds of telling. The zero value means DefaultOptions.
type Options struct {
	On        float64 // posterior from which a finding counts towards being told
	Page      float64 // posterior from which a told finding opens an incident; below it must be steady for longer
	Off       float64 // posterior below which it counts towards being withdrawn
	Need      int     // ticks above On ...
	Of        int     // ... among the last so many
	Hold      int     // ticks below Off, and calm, before it is over
	PreImpact float64 // posterior from which a shared outage opens an incident that hurts nobody yet
}

// DefaultOptions are the decided thresholds.
func DefaultOptions() Options {
	return Options{On: .6, Page: .8, Off: .4, Need: 3, Of: 4, Hold: 8, PreImpact: .95}
}

// Candidate is a finding as one tick judged it.
type Candidate struct {
	Finding  streamkeeper.Finding
	Decisive bool // a direct fact supports it: told at once
	Shared   bool // its entity serves many others: a store, a broker, the cluster
	Holds    bool // benign: its end condition still holds, so that it may silence
	// Premature marks a benign finding of which something that must hold is known not to: lag that does not drain (yet)
	// is no absorbed burst. It is not told before that has changed.
	Premature bool
	Leads     bool // told before what follows from it, however sure that is
	// LedByBenign marks an answer set whose most probable member is benign.
	LedByBenign bool
	Own         []streamkeeper.Entity // the entities that are its own story; harm elsewhere ends a benign silence
	Affects     []streamkeeper.Entity // entities of the symptoms that it explains
}

// Symptom is a present symptom. Impact is its text as a breach of a service level, "" when it is none.
type Symptom struct {
	streamkeeper.Symptom
	Impact string
}

// Change is something that changed, on an entity or (zero Entity) on the whole cluster.
type Change struct {
	streamkeeper.Change
	Entity streamkeeper.Entity
}

// Input is one tick.
type Input struct {
	Now        time.Time
	Cluster    string
	Candidates []Candidate
	Symptoms   []Symptom
	Changes    []Change
	// Shadowed is the first day on a cluster, Settling its first minutes, in which what stood before only comes to light.
	Shadowed, Settling bool
	// Blind marks a tick after a gap: nothing is counted on it, neither for telling nor for ending.
	Blind bool
}

// Waiting is a finding that is likely but not told yet.
type Waiting struct {
	Finding streamkeeper.Finding
	Ticks   int // how many more ticks it needs at least
}

// Output is what a tick leads to.
type Output struct {
	Told    []streamkeeper.Finding  // by posterior, benign last, each with the id of its incident
	Waiting []Waiting               //
	Changed []streamkeeper.Incident // opened, materially updated and resolved in this tick
}

// Memory is what must be remembered between ticks.
type Memory struct {
	Tracks map[string]Track `json:"tracks,omitempty"` // by finding id
	Open   []Record         `json:"open,omitempty"`   // by opening time
}

// Holds says whether an incident is open.
func (m Memory) Holds(id string) bool {
	return slices.ContainsFunc(m.Open, func(r Record) bool { return r.Incident.ID == id })
}

// Record is an open incident with what Step needs to follow it.
type Record struct {
	Incident streamkeeper.Incident `json:"incident"`
	Entities []streamkeeper.Entity `json:"entities"` // everything that was part of the story
	Quiet    int                   `json:"quiet"`    // ticks in a row without cause and without harm
	Told     string                `json:"told"`     // fingerprint of what was last told
	Sure     string                `json:"sure"`     // the finding that was once told as the root cause
	// Stood is how loud an incident was that stood when watching began: louder is worse.
	Stood streamkeeper.Severity `json:"stood,omitempty"`
}

// Step advances the stories by one tick. It does not change mem.
func Step(mem Memory, in Input, opt Options) (Memory, Output) {
	if opt == (Options{}) {
		opt = DefaultOptions()
	}
	s := &step{in: in, opt: opt, byID: map[string]*Candidate{}}
	for i := range in.Candidates {
		s.byID[in.Candidates[i].Finding.ID] = &in.Candidates[i]
	}
	next := Memory{Tracks: s.follow(mem.Tracks)}
	s.tracks = next.Tracks
	next.Open = s.stories(mem.Open)
	s.findings()
	return next, s.out
}

// step is one tick while it is made.
type step struct {
	in     Input
	opt    Options
	byID   map[string]*Candidate
	tracks map[string]Track
	in2inc map[string]string // finding id to incident id
	out    Output
}

// findings lists what is told and what is waiting.
func (s *step) findings() {
	for _, id := range sortedKeys(s.tracks) {
		t := s.tracks[id]
		f := t.Last
		f.Incident = s.in2inc[id]
		if t.Told {
			s.out.Told = append(s.out.Told, f)
		} else if c := s.byID[id]; c != nil && f.Confidence >= s.opt.On {
			s.out.Waiting = append(s.out.Waiting, Waiting{Finding: f, Ticks: t.missing(s.need(c))})
		}
	}
	slices.SortStableFunc(s.out.Told, compareFindings)
	s.chains()
}

// chains puts findings that lead before what follows from them.
func (s *step) chains() {
	told := s.out.Told
	for i := range told {
		root := slices.IndexFunc(told, func(f streamkeeper.Finding) bool { return f.ID == told[i].Consequence })
		if root > i && s.tracks[told[root].ID].Leads {
			f := told[root]
			told = slices.Insert(slices.Delete(told, root, root+1), i, f)
		}
	}
}

// compareFindings orders by posterior, benign findings last.
func compareFindings(a, b streamkeeper.Finding) int {
	rank := func(f streamkeeper.Finding) int {
		if f.Verdict == streamkeeper.VerdictBenign {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.Confidence, a.Confidence), strings.Compare(a.ID, b.ID))
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
