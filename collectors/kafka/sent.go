package kafka

import (
	"math"
	"slices"
	"time"
)

const (
	// Stamps are believed as far as they agree with when the log was seen to grow. A record may be stamped so long before it
	// is written (Java producers try for two minutes by default); earlier ones are the times of something else: of what a
	// record tells of, or of the log that it was copied from.
	stampedBefore = 2 * time.Minute
	// A clock may be ahead by so much where the log was seen to grow, and by so much where it was not: that means now.
	clockAhead   = time.Second
	aheadAtStart = 5 * time.Second

	distrustFor = 5 * time.Minute // partitions whose stamps cannot be believed are not asked for them
	maxBlanks   = 64
)

// blank is a range of offsets without anything to read: markers of transactions, and records of aborted ones.
type blank struct{ from, to int64 }

// pass is the first offset from the given one on that may be a record to read.
func (p *partTrack) pass(offset int64) int64 {
	for _, b := range p.known().blanks {
		if b.from <= offset && offset < b.to {
			offset = b.to
		}
	}
	return offset
}

// addBlank keeps a range in order; the first goes where there are too many.
func (p *partTrack) addBlank(b blank) {
	k, i := p.learnt(), 0
	for i < len(k.blanks) && k.blanks[i].from <= b.from {
		i++
	}
	if k.blanks = slices.Insert(k.blanks, i, b); len(k.blanks) > maxBlanks {
		k.blanks = slices.Delete(k.blanks, 0, 1)
	}
}

// missing reports whether the record at an offset that was seen to be written then may be gone, so that a later one counts:
// what compaction works on is closed.
func (p *partTrack) missing(now int64, seen window) bool {
	return p.compacted && (seen.from == unset || now-seen.from >= p.closes.Milliseconds())
}

// window is what stamps tell of the first record at or after offset.
func (p *partTrack) window(offset, now int64, seen window) window {
	known := p.known()
	return known.stamps.window(offset, p.missing(now, seen))
}

// told is when the record at offset was sent by stamps; ok is false while they do not tell it well enough, and where they
// cannot be right.
func (p *partTrack) told(offset, now int64, seen window) (w window, ok bool) {
	w = p.window(offset, now, seen)
	if w.from != unset && w.to == unset && now-w.from <= near(0) {
		w.to, w.best = max(now, w.from), w.from
	}
	if w.from == unset || w.to == unset || w.strange(now, seen) {
		return w, false
	}
	most := limit(now - w.to)
	w.best = max(min(w.best, w.from+most), w.to-most)
	latest := now + aheadAtStart.Milliseconds()
	switch {
	case w.holes: // what is there now may have been written later than what was seen
	case seen.from != unset:
		latest = seen.to + clockAhead.Milliseconds()
	case seen.to != unset:
		latest = seen.to + aheadAtStart.Milliseconds()
	}
	return w, w.best <= latest && w.to-w.from <= 2*most
}

// strange reports whether stamps are other times than those of sending, or lie ahead of us, or whether there are none.
func (w window) strange(now int64, seen window) bool {
	switch {
	case w.from == unset:
		return w.asked != unset && w.asked <= 1
	case w.from > now+aheadAtStart.Milliseconds():
		return true
	}
	return w.to != unset && seen.from != unset && w.to < seen.from-stampedBefore.Milliseconds()
}

// sent estimates when the first record at or after offset was sent, in milliseconds, and how far apart the ends are between
// which that was. ok is false when neither stamps nor the history of the log's end tell it.
func (p *partTrack) sent(offset, now int64) (at, slack int64, ok bool) {
	seen := p.heads.bracket(offset)
	w, stamped := p.told(offset, now, seen)
	unanswered := int64(p.known().unanswered) == now
	switch watched := seen.from != unset; {
	case w.holes && (!stamped || unanswered): // compaction goes on: what was there may be gone
		return 0, 0, false
	case stamped:
		return w.best, w.to - w.from, true
	case watched && (!unanswered || seen.to-seen.from <= 2*limit(now-seen.to)):
		return seen.best, seen.to - seen.from, true
	}
	return 0, 0, false // also while its leader is away: what happened between two looks is most unusual then
}

// roughly is sent, or between records far apart by even spacing.
func (p *partTrack) roughly(offset int64, now time.Time) (time.Time, bool) {
	at, _, ok := p.sent(offset, now.UnixMilli())
	if !ok {
		seen := p.heads.bracket(offset)
		w := p.window(offset, now.UnixMilli(), seen)
		at, ok = w.best, w.from != unset && w.to != unset && !w.strange(now.UnixMilli(), seen)
	}
	return time.UnixMilli(at), ok
}

// caughtUp reports whether what is left from offset on cannot be read yet: it belongs to a transaction that is open, and was
// not open for long. One that stays open makes its readers late.
func (p *partTrack) caughtUp(offset int64, at time.Time) bool {
	return p.stable && offset == p.lso && p.lso < p.head && p.open.before(at) < heldAfter
}

// next is the first offset that the group has yet to read.
func (p *groupPart) next() int64 { return p.part.pass(max(p.progress.committed, p.part.start)) }

// lagSeconds is how long ago the first record was sent that the group has not committed; 0 when there is none, not ok when
// that is not known. It is never negative.
func (p *groupPart) lagSeconds(at time.Time) (float64, bool) {
	if !p.fresh {
		return 0, false
	}
	offset := p.next()
	if offset >= p.head || p.part.caughtUp(offset, at) {
		return 0, true
	}
	sent, _, ok := p.part.sent(offset, at.UnixMilli())
	if !ok {
		return 0, false
	}
	return max(0, at.Sub(time.UnixMilli(sent)).Seconds()), true
}

// late tells between what the lag in seconds lies: twice the same where it is known. Where it is not known well enough, the
// records before and after tell what it is at the least and at the most; +Inf where nothing does.
func (p *groupPart) late(at time.Time) (least, most float64) {
	if seconds, ok := p.lagSeconds(at); ok {
		return seconds, seconds
	}
	offset, now := p.next(), at.UnixMilli()
	seen := p.part.heads.bracket(offset)
	w := p.part.window(offset, now, seen)
	switch {
	case w.strange(now, seen):
		w = seen
	case w.from == unset:
		w.from = seen.from
	}
	if w.to == unset {
		w.to = seen.to
	}
	most = math.Inf(1)
	if w.from != unset {
		most = max(0, float64(now-w.from)/1000)
	}
	if w.to != unset {
		least = min(most, max(0, float64(now-w.to)/1000))
	}
	return least, most
}

// latest is how late a group is whose latest partition is late by something between the two; not known where they are too
// far apart.
func latest(least, most float64) (seconds float64, known bool) {
	middle := least + (most-least)/2
	return middle, 1000*(most-middle) <= float64(limit(int64(1000*least)))
}
