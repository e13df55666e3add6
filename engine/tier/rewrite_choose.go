package tier

import (
	"cmp"
	"math/bits"
	"slices"
	"time"
)

const (
	// maxDead is the share of dead bytes one object may hold, maxDeadAll what all
	// may: with it the bucket stays below 1.3 times the live bytes.
	maxDead    = 0.5
	maxDeadAll = 0.18
	// leastDead is what a rewrite must at least free when only the sum is too large.
	leastDead = 0.1
	// fanIn is the default of Options.RewriteFan: each byte is rewritten once per
	// factor of fanIn in run length.
	fanIn = 8
	// mostSources and sourceMemory bound the blocks a rewrite holds.
	mostSources  = 16
	sourceMemory = 32 << 20
	// mostAnchors bounds the search for objects that hold the same streams.
	mostAnchors = 64
)

// choose returns the objects to rewrite next, none when all is well.
func (w *rewriter) choose() []ObjectID {
	list, dead := w.t.state.candidates()
	now := w.t.o.Clock.Now()
	list = slices.DeleteFunc(list, func(c candidate) bool { return w.skip[c.id].After(now) })
	for id, until := range w.skip {
		if !until.After(now) {
			delete(w.skip, id)
		}
	}
	most := max(2, min(mostSources, sourceMemory/w.t.o.SliceBytes))
	if ids := chooseDead(list, dead, now, w.t.o.RewriteBytes, most); len(ids) > 0 {
		return ids
	}
	return chooseSmall(list, w.t.o.RunBytes, min(w.t.o.RewriteFan, most), most)
}

// chooseDead returns objects whose dead bytes must go, the deadest first.
func chooseDead(list []candidate, dead float64, now time.Time, size int64, most int) (ids []ObjectID) {
	var due []candidate
	for _, c := range list {
		overdue := !c.deadline.IsZero() && !c.deadline.After(now)
		if overdue || c.dead() > maxDead || dead > maxDeadAll && c.dead() >= leastDead {
			due = append(due, c)
		}
	}
	slices.SortStableFunc(due, func(a, b candidate) int { return cmp.Compare(b.dead(), a.dead()) })
	total := int64(0)
	for _, c := range due {
		if total += c.live; len(ids) > 0 && total > size || len(ids) == most {
			break
		}
		ids = append(ids, c.id)
	}
	return ids
}

// chooseSmall returns objects with short runs of about the same length and with
// streams in common, the oldest first.
func chooseSmall(list []candidate, run int64, need, most int) []ObjectID {
	levels := map[int][]candidate{}
	for _, c := range list {
		if mean := c.live / int64(c.runs); mean < run {
			level := bits.Len64(uint64(mean)) / (bits.Len(fanIn) - 1)
			levels[level] = append(levels[level], c)
		}
	}
	for _, level := range levels {
		for i := 0; i < min(len(level)-need+1, mostAnchors); i++ {
			var ids []ObjectID
			for _, c := range level[i:] {
				if c.first <= level[i].last && c.last >= level[i].first && len(ids) < most {
					ids = append(ids, c.id)
				}
			}
			if len(ids) >= need {
				return ids
			}
		}
	}
	return nil
}
