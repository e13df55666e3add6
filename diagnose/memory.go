package diagnose

import (
	"strings"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose/incident"
	"github.com/streamkeeper-io/streamkeeper/rules"
)

// Memory is what a tick hands to the next one of the same cluster. It is plain data; the zero Memory is
// that of a cluster never looked at.
type Memory struct {
	LastTick   time.Time        `json:"last_tick"`
	BlindUntil time.Time        `json:"blind_until"`      // after a gap nothing is counted until then
	Onsets     map[string]Onset `json:"onsets,omitempty"` // of what is present, by node and entity
	Stories    incident.Memory  `json:"stories"`
	Trials     map[string]Trial `json:"trials,omitempty"` // taken advice, by ledger entry id
	Sizing     SizingMemory     `json:"sizing"`
	Shadow     Shadow           `json:"shadow"`
}

// Onset dates a present observation.
type Onset struct {
	At time.Time `json:"at"`
	// Seen says that it was absent before: otherwise At is only the first look, and the onset unknown.
	Seen bool `json:"seen"`
}

// blindTicks is how many ticks after a gap are not counted.
const blindTicks = 2

// forward starts the memory of the next tick. A gap of more than two intervals makes it blind.
func (m Memory) forward(now time.Time, interval time.Duration) Memory {
	next := m
	next.LastTick = now
	next.Onsets = map[string]Onset{}
	if !m.LastTick.IsZero() && now.Sub(m.LastTick) > 2*interval {
		next.BlindUntil = now.Add(blindTicks * interval)
	}
	return next
}

func (m Memory) blind(now time.Time) bool { return now.Before(m.BlindUntil) }

// date sets when a present observation began, and remembers it.
func (m *Memory) date(o *streamkeeper.Observation, before Memory, now time.Time) {
	if o.State != streamkeeper.Present && o.State != streamkeeper.Unknown {
		return // of a fleet most are absent: no key is made for them
	}
	key := onsetKey(o)
	old, known := before.Onsets[key]
	switch {
	case o.State == streamkeeper.Unknown && known:
		m.Onsets[key] = old // a gap in the data does not end it
	case o.State != streamkeeper.Present:
	case !o.Since.IsZero():
		if known && old.At.Before(o.Since) {
			o.Since = old.At // the window has moved on, what it saw first is older
		}
		m.Onsets[key] = Onset{At: o.Since, Seen: true}
	case known:
		o.Since = old.At
		m.Onsets[key] = old
	default:
		m.Onsets[key] = Onset{At: now, Seen: !before.LastTick.IsZero() && !before.blind(now)}
		o.Since = now
	}
}

// keep holds on to what was present and is not known now on entities that are quiet: a gap in the data does not end it.
func (m *Memory) keep(before Memory, quiet *rules.Quiet) {
	for key, old := range before.Onsets {
		if o, ok := quietAt(quiet, key); ok && o.State == streamkeeper.Unknown {
			m.Onsets[key] = old
		}
	}
}

// quietAt is what is quiet of an onsetKey.
func quietAt(quiet *rules.Quiet, key string) (o streamkeeper.Observation, ok bool) {
	node, name, _ := strings.Cut(key, "|")
	entity, err := streamkeeper.ParseEntity(name)
	if err != nil {
		return o, false
	}
	return quiet.At(rules.NodeOn{Node: node, Entity: entity})
}

// onsetKey names an observation in what is remembered from tick to tick.
func onsetKey(o *streamkeeper.Observation) string { return o.Node + "|" + o.Entity.Key() }

// dated says whether the onset of an observation was seen.
func (m *Memory) dated(o *streamkeeper.Observation) bool {
	return m.Onsets[onsetKey(o)].Seen
}
