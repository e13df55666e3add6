package kafka

import (
	"fmt"
	"strconv"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

const (
	// heldSlack is how far below the stable offset a commit may be that has nothing left to read: the markers of
	// transactions before it, and what was aborted, are stepped over without being committed.
	heldSlack    = 10
	maxHeldEvery = 20 // events a group and round
)

// absorbHeld keeps who holds the stable offsets that stand still.
func (t *tracker) absorbHeld(s *snapshot) {
	for _, topic := range t.topics {
		for _, p := range topic.parts {
			if p.lsoFrozen.IsZero() {
				p.holder = nil
			}
		}
	}
	for where, x := range s.held {
		if p := t.part(where); p != nil && !p.lsoFrozen.IsZero() && x.start == p.lso {
			p.holder = &x
		}
	}
}

// heldFor is how long an open transaction holds the group up here: its commit stands still right at a stable offset that
// stands still. 0 when nothing does; a group that reads uncommitted records passes the stable offset.
func (p *groupPart) heldFor(at time.Time) time.Duration {
	q, c := p.part, p.progress.committed
	if !p.fresh || p.assumed || q.lso == unset || q.lsoFrozen.IsZero() || c > q.lso || q.lso-c > heldSlack {
		return 0
	}
	return min(p.frozenFor(at), q.lsoFrozen.before(at))
}

// openFor is how long the transaction at the stable offset is open, as far as it is known.
func (p *partTrack) openFor(at time.Time) time.Duration {
	since := p.lsoFrozen.time()
	if x := p.holder; x != nil {
		if known := x.began; !known.IsZero() && known.Before(since) {
			since = known
		}
		if !x.written.IsZero() && x.written.Before(since) {
			since = x.written
		}
	}
	return max(0, at.Sub(since))
}

// holds sums up what open transactions do to a group.
type holds struct {
	partitions         int
	messages           int64
	longest, open      time.Duration
	silent             time.Duration // of the transaction whose producer has written nothing for longest
	silentKnown        bool
	unlisted, judgable bool // a holder that no coordinator knows; whether all were looked up
}

func (m meter) holds() (h holds, ok bool) {
	written := map[int64]time.Time{} // by producer: one transaction may hold many partitions
	h.judgable = true
	for _, p := range m.g.parts.all() {
		if p.fresh && p.part.lso == unset {
			return h, false // without stable offsets nothing is known
		}
		held := p.heldFor(m.at)
		if held == 0 {
			continue
		}
		h.partitions++
		h.messages += p.part.head - p.part.lso
		h.longest, h.open = max(h.longest, held), max(h.open, p.part.openFor(m.at))
		x := p.part.holder
		if x == nil || !x.listed {
			h.judgable = false
		} else if x.id == "" {
			h.unlisted = true
		}
		if x != nil && !x.written.IsZero() {
			written[x.producer] = later(written[x.producer], x.written)
		}
	}
	for _, at := range written {
		h.silent, h.silentKnown = max(h.silent, m.at.Sub(at)), true
	}
	return h, true
}

// transactions adds what open transactions do to the group.
func (m meter) transactions() {
	h, ok := m.holds()
	if !ok {
		return
	}
	m.add("held_partitions", float64(h.partitions))
	m.add("held_messages", float64(h.messages))
	m.add("held_seconds", h.longest.Seconds())
	if h.partitions == 0 {
		return
	}
	m.add("transaction_open_seconds", h.open.Seconds())
	if h.silentKnown {
		m.add("transaction_silent_seconds", h.silent.Seconds())
	}
	if h.judgable || h.unlisted {
		m.add("transaction_unlisted", truth(h.unlisted))
	}
}

// followHolds tells once of each transaction that holds a group up, and again when more is known of it.
func (t *tracker) followHolds(g *groupTrack, r *round) {
	told := 0
	for where, gp := range g.parts.all() {
		if gp.part.lsoFrozen.IsZero() {
			gp.heldTold = nil
		}
		if gp.heldFor(r.at) < heldAfter || told == maxHeldEvery {
			continue
		}
		text, attrs := gp.holdAttrs(g, where)
		if gp.heldTold != nil && text == *gp.heldTold {
			continue
		}
		gp.heldTold = &text
		told++
		t.tell(r, r.at, "transaction_holds", t.entity(streamkeeper.KindGroup, g.name), text, attrs)
	}
}

// holdAttrs describes a hold; ids are texts, so that they are never rounded.
func (p *groupPart) holdAttrs(g *groupTrack, where partition) (string, map[string]any) {
	attrs := map[string]any{
		"group": g.name, "topic": where.topic, "partition": float64(where.index), "start_offset": strconv.FormatInt(p.part.lso, 10),
	}
	text := fmt.Sprintf("an open transaction holds %s up on %s-%d at %d", g.name, where.topic, where.index, p.part.lso)
	x := p.part.holder
	if x == nil {
		return text, attrs
	}
	attrs["producer_id"] = strconv.FormatInt(x.producer, 10)
	attrs["producer_epoch"], attrs["coordinator_epoch"] = itoa(x.epoch), itoa(x.coordinatorEpoch)
	text += fmt.Sprintf(": producer %d, epoch %d", x.producer, x.epoch)
	switch {
	case x.id != "":
		attrs["transactional_id"], attrs["state"] = x.id, x.state
		if x.timeout > 0 {
			attrs["timeout_seconds"] = x.timeout.Seconds()
		}
		text += fmt.Sprintf(", transactional id %s, %s at its coordinator", x.id, x.state)
	case x.listed:
		text += ", known to no coordinator"
	}
	return text, attrs
}
