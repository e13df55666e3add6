package incident

import (
	"math/bits"
	"slices"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// Track follows one finding over ticks.
type Track struct {
	Recent uint32               `json:"recent"` // one bit per tick, newest lowest: above On
	Below  int                  `json:"below"`  // ticks in a row below Off
	Told   bool                 `json:"told"`
	Leads  bool                 `json:"leads,omitempty"`
	Root   string               `json:"root,omitempty"` // the leading finding that it last followed from
	Last   streamkeeper.Finding `json:"last"`
}

// need is how many of how many ticks a finding must be above On.
type need struct{ ticks, of int }

// An answer without a name must be steady for longer: it is worth telling only when it stays.
const unknownFactor = 2

func (s *step) need(c *Candidate) need {
	n := need{s.opt.Need, s.opt.Of}
	if c.Finding.Verdict == streamkeeper.VerdictOther {
		n = need{n.ticks * unknownFactor, n.of * unknownFactor}
	}
	if c.Decisive && c.Finding.Confidence >= s.opt.Page {
		n.ticks = 1
	}
	return n
}

func (t Track) count(n need) int { return bits.OnesCount32(t.Recent & (1<<n.of - 1)) }

func (t Track) missing(n need) int { return max(1, n.ticks-t.count(n)) }

// follow advances every track. A finding that vanished counts as one with posterior 0.
func (s *step) follow(old map[string]Track) map[string]Track {
	out := map[string]Track{}
	for id, t := range old {
		if s.byID[id] == nil {
			out[id] = s.advance(t, nil)
		}
	}
	for id, c := range s.byID {
		t := old[id]
		t.Recent |= kindred(old, &c.Finding)
		out[id] = s.advance(t, c)
	}
	s.displace(out)
	s.remember(out)
	for id, t := range out {
		if !t.Told && t.Recent == 0 {
			delete(out, id)
		}
	}
	return out
}

// kindred is in which ticks an answer was given on the same entity that is part of an answer set, or shares most of its
// causes. What stood there is the same, and only its wording wavers: it is told no later.
func kindred(tracks map[string]Track, set *streamkeeper.Finding) (recent uint32) {
	if len(set.Causes) < 2 {
		return 0
	}
	for _, t := range tracks {
		if t.Last.Entity != set.Entity {
			continue
		}
		causes := t.Last.Causes
		if len(causes) == 0 {
			causes = []string{t.Last.Cause}
		}
		shared := 0
		for _, cause := range causes {
			if slices.Contains(set.Causes, cause) {
				shared++
			}
		}
		if shared == len(causes) || 2*shared > len(set.Causes) {
			recent |= t.Recent
		}
	}
	return recent
}

// remember keeps a chain together while its leader is told. Whoever dies of a record is back in seconds: what shows the
// record comes and goes with the deaths, and the story may not change its name each time.
func (s *step) remember(tracks map[string]Track) {
	for id, t := range tracks {
		if at := t.Last.Consequence; at != "" && tracks[at].Leads {
			t.Root = at
		}
		if t.Last.Consequence == "" && tracks[t.Root].Told {
			t.Last.Consequence = t.Root
			if c := s.byID[id]; c != nil {
				again := *c
				again.Finding.Consequence = t.Root
				s.byID[id] = &again
			}
		}
		tracks[id] = t
	}
}

func (s *step) advance(t Track, c *Candidate) Track {
	p := 0.0
	if c != nil {
		p = c.Finding.Confidence
		old, since := t.Last, t.Last.Since
		t.Last, t.Leads = c.Finding, c.Leads
		t.Last.Verdict = s.sticky(t, old.Verdict)
		if t.Told && !since.IsZero() && (t.Last.Since.IsZero() || since.Before(t.Last.Since)) {
			t.Last.Since = since // a story does not become younger while it is told
		}
	}
	if s.in.Blind {
		return t
	}
	t.Recent <<= 1
	on := s.opt.On
	if c != nil && c.Finding.Verdict == streamkeeper.VerdictOther {
		on = (s.opt.On + s.opt.Off) / 2 // "other" competes with every name at once
	}
	if c != nil && p >= on && !c.Premature {
		t.Recent |= 1
	}
	if p < s.opt.Off {
		t.Below++
	} else {
		t.Below = 0
	}
	if c != nil && t.count(s.need(c)) >= s.need(c).ticks {
		t.Told = true
	}
	if t.Below >= s.opt.Hold {
		t.Told = false
	}
	return t
}

// stickyFrom is the posterior from which a root cause stays one although a gate wavers: the wording must
// not flicker with a node at its threshold.
const stickyFrom = .8

func (s *step) sticky(t Track, before streamkeeper.Verdict) streamkeeper.Verdict {
	if t.Told && before == streamkeeper.VerdictRootCause && t.Last.Verdict == streamkeeper.VerdictProbable && t.Last.Confidence >= stickyFrom {
		return before
	}
	return t.Last.Verdict
}

// displace withdraws at once a told finding that has fallen below Off while another cause of the same
// entity is told: the answer changed, nothing flickers.
func (s *step) displace(tracks map[string]Track) {
	taken := map[streamkeeper.Entity]bool{}
	for _, t := range tracks {
		if t.Told && t.Below == 0 {
			taken[t.Last.Entity] = true
		}
	}
	for id, t := range tracks {
		if t.Told && t.Below > 0 && taken[t.Last.Entity] && !t.Leads {
			t.Told, t.Recent = false, 0
			tracks[id] = t
		}
	}
}
