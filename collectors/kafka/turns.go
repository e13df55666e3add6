package kafka

import (
	"cmp"
	"slices"
	"time"
)

// turns walks through a list that is too long to be asked for at once: some of it each time, in order, and from the start
// again. The zero value is ready.
type turns[K cmp.Ordered] struct {
	at time.Time // when some were last taken
	to K         // the last of them
}

// due reports whether it is time for the next ones.
func (t *turns[K]) due(now time.Time, every time.Duration) bool {
	return t.at.IsZero() || now.Sub(t.at) >= every
}

// next takes the next ones of a sorted list: all, or the most that follow those taken last.
func (t *turns[K]) next(now time.Time, sorted []K, most int) []K {
	t.at = now
	if len(sorted) <= most {
		return sorted
	}
	from, found := slices.BinarySearch(sorted, t.to)
	if found {
		from++
	}
	if from >= len(sorted) {
		from = 0
	}
	taken := sorted[from:min(len(sorted), from+most)]
	t.to = taken[len(taken)-1]
	return taken
}

// rest puts the next turn off until later, where asking was refused: brokers write each refusal into their logs.
func (t *turns[K]) rest(now time.Time, every time.Duration) { t.at = now.Add(refusedEvery - every) }

// refusedEvery is how often we ask again for what was refused.
const refusedEvery = 10 * time.Minute
