package kafka

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"time"
)

// What a round asks at most to learn when records were sent. A request takes thousands of lookups, but each is some work for
// the leader, which decodes a batch for it: most logs grow so evenly that what was seen of them tells as much.
const (
	maxUnknown      = 1_000 // records of which nothing is known
	maxSharpened    = 200   // and of which more is wanted, the least known and the least lately asked for first
	maxLookups      = 3_000
	maxSentSteps    = 24
	maxSentRequests = 60
	maxSentTime     = 3 * time.Second
)

// pending is a record that a group has yet to read, and of which it is not known well enough when it was sent.
type pending struct {
	where  partition
	part   *partTrack
	offset int64
	need   float64 // how many times further off it may be than it should
	check  bool    // whether it is still there: compaction may have taken it since it was found
	turn   bool    // which kind of question comes next
}

// readSent asks when the records were sent that groups have yet to read, where that is not known well enough from what was
// seen of the logs: by asking the logs what came first from a time on, again and again. It needs no more than Describe.
func (c *Collector) readSent(ctx context.Context, now time.Time) {
	left := maxSentTime
	if usual := c.track.every; usual > 0 {
		left = min(left, usual/2) // a round may take longer than that for once, but not for this
	}
	if deadline, ok := ctx.Deadline(); ok {
		left = min(left, time.Until(deadline)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	requests := c.readHeaders(ctx, now, c.sentRequests())
	todo := c.track.pending(now)
	s, lookups := c.track.leaders(todo), maxLookups
	for range maxSentSteps {
		ask, leaders := nextTimes(todo, now, requests, lookups)
		if len(ask) == 0 || ctx.Err() != nil {
			break
		}
		requests, lookups = requests-leaders, lookups-len(ask)
		parts := slices.SortedFunc(maps.Keys(ask), comparePartitions)
		answered := map[partition]bool{}
		c.listOffsets(ctx, s, question{parts, func(p partition) int64 { return ask[p] }, false}, func(_ *partState, where partition, l listed) {
			c.track.part(where).learn(ask[where], l)
			answered[where] = true
		})
		todo = slices.DeleteFunc(todo, func(p *pending) bool {
			if _, asked := ask[p.where]; !asked || answered[p.where] {
				return false
			}
			p.part.learnt().unanswered = momentOf(now) // in the next round, perhaps
			return true
		})
	}
	for _, p := range todo {
		p.judge(now)
	}
}

// nextTimes picks what to ask next: of each partition one time, in as many requests as there are leaders.
func nextTimes(todo []*pending, now time.Time, requests, lookups int) (ask map[partition]int64, leaders int) {
	ask = map[partition]int64{}
	asked := map[int32]bool{}
	for _, p := range todo {
		if _, once := ask[p.where]; once || len(ask) >= lookups || p.part.leader < 0 || !asked[p.part.leader] && len(asked) >= requests {
			continue
		}
		if at, ok := p.ask(now); ok {
			ask[p.where], asked[p.part.leader] = at, true
			p.part.learnt().asked = momentOf(now)
		}
	}
	return ask, len(asked)
}

// sentRequests is how many requests a round may spend on this: a quarter of what the cluster is asked at most.
func (c *Collector) sentRequests() int {
	every := max(c.track.every, 2*time.Second)
	return min(maxSentRequests, int(c.o.RequestsPerSecond*every.Seconds()/4))
}

// leaders is as much of a snapshot as asking for partitions needs.
func (t *tracker) leaders(of []*pending) *snapshot {
	s := &snapshot{topics: map[string]*topicState{}}
	for _, p := range of {
		topic := s.topics[p.where.topic]
		if topic == nil {
			topic = &topicState{id: t.topics[p.where.topic].id, parts: make([]partState, len(t.topics[p.where.topic].parts))}
			s.topics[p.where.topic] = topic
		}
		topic.parts[p.where.index].leader = p.part.leader
	}
	return s
}

// learn takes the answer to which record comes first from a time on.
func (p *partTrack) learn(asked int64, l listed) {
	switch {
	case l.offset >= 0 && l.timestamp >= asked:
		p.learnt().stamps.add(mark{l.offset, l.timestamp, asked})
	case l.offset < 0:
		p.learnt().stamps.add(mark{p.head, unset, asked}) // as it was when the round read it, and earlier records have earlier stamps
	}
}

// ask is the next time to ask for. In a compacted log every other question is what comes next after the record that is known
// to lie before: between two that are left there may be hours, which halving would go through to the millisecond.
func (p *pending) ask(now time.Time) (at int64, ok bool) {
	seen := p.part.heads.bracket(p.offset)
	w := p.part.window(p.offset, now.UnixMilli(), seen)
	at, ok = w.ask(now.UnixMilli(), seen)
	switch {
	case ok && w.holes && w.from != unset && p.turn:
		at = w.from + 1
	case !ok && p.check && w.to != unset:
		p.check, at, ok = false, w.to, true
	}
	p.turn = ok && !p.turn
	return at, ok
}

// judge notes what stamps cannot be believed, or say nothing.
func (p *pending) judge(now time.Time) {
	seen := p.part.heads.bracket(p.offset)
	if p.part.window(p.offset, now.UnixMilli(), seen).strange(now.UnixMilli(), seen) {
		p.part.learnt().distrusted = momentOf(now)
	}
}

// pending lists the records to be asked about, the most needed first, and forgets what nobody needs any more.
func (t *tracker) pending(now time.Time) []*pending {
	t.forgetRead(now)
	var unknown, vague []*pending
	for _, g := range t.groups {
		for where, p := range g.parts.all() {
			offset := p.next()
			if !p.fresh || offset >= p.head || p.part.caughtUp(offset, now) {
				continue
			}
			if p.part.known().distrusts(now) {
				continue
			}
			if len(p.part.known().stamps.marks) == 0 && p.part.newest.offset >= offset && p.part.newest.at <= now.UnixMilli() {
				p.part.learnt().stamps.add(p.part.newest)
			}
			sent, slack, known := p.part.sent(offset, now.UnixMilli())
			wanted := &pending{where: where, part: p.part, offset: offset}
			if !known {
				unknown = append(unknown, wanted)
				continue
			}
			wanted.need = float64(slack) / float64(near(now.UnixMilli()-sent))
			if wanted.check = wanted.need <= 1 && p.part.missing(now.UnixMilli(), p.part.heads.bracket(offset)); wanted.check || wanted.need > 1 {
				vague = append(vague, wanted)
			}
		}
	}
	order := func(a, b *pending) int {
		return cmp.Or(cmp.Compare(b.need, a.need), cmp.Compare(a.part.known().asked, b.part.known().asked), comparePartitions(a.where, b.where), cmp.Compare(a.offset, b.offset))
	}
	slices.SortFunc(unknown, order)
	slices.SortFunc(vague, order)
	return append(unknown[:min(len(unknown), maxUnknown)], vague[:min(len(vague), maxSharpened)]...)
}

// forgetRead drops what is known of records that all groups have read.
func (t *tracker) forgetRead(now time.Time) {
	all := func(do func(*partTrack)) {
		for _, topic := range t.topics {
			for _, p := range topic.parts {
				if p.unread != nil {
					do(p)
				}
			}
		}
	}
	all(func(p *partTrack) { p.unread.low = math.MaxInt64 })
	for _, g := range t.groups {
		for _, p := range g.parts.all() {
			if k := p.part.unread; k != nil && p.progress.committed < p.part.head {
				k.low = min(k.low, max(p.progress.committed, p.part.start))
			}
		}
	}
	all(func(p *partTrack) {
		switch k := p.unread; {
		case k.low < math.MaxInt64:
			k.stamps.forget(p.start, k.low)
			k.blanks = slices.DeleteFunc(k.blanks, func(b blank) bool { return b.to <= k.low })
		case k.distrusts(now):
			*k = unread{distrusted: k.distrusted}
		default:
			p.unread = nil
		}
	})
}

// distrusts reports whether stamps were found lately that cannot be believed.
func (k unread) distrusts(now time.Time) bool {
	return !k.distrusted.IsZero() && k.distrusted.before(now) < distrustFor
}
