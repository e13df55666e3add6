package load

import (
	"math/bits"
	"time"
)

const (
	steps   = 64 // buckets per doubling: quantiles are within 1.6 %
	doubles = 38 // up to 64 ns × 2^37: two hours
)

// Quantiles is a distribution of durations in bounded memory. The zero value is empty. Not safe for concurrent use.
type Quantiles struct {
	counts [doubles * steps]uint64
	total  uint64
	most   time.Duration
}

// Add counts one duration.
func (q *Quantiles) Add(d time.Duration) {
	q.counts[slot(d)]++
	q.total++
	q.most = max(q.most, d)
}

// slot is linear in steps up to 64 ns, and in steps per doubling above.
func slot(d time.Duration) int {
	n := uint64(max(d, 0))
	if n < steps {
		return int(n)
	}
	k := bits.Len64(n) - bits.Len64(steps) + 1 // doublings above the linear part
	if k >= doubles {
		return doubles*steps - 1
	}
	return k*steps + int(n>>(k-1)) - steps
}

// upper is the largest duration of a slot.
func upper(slot int) time.Duration {
	k, i := slot/steps, slot%steps
	if k == 0 {
		return time.Duration(i)
	}
	return time.Duration(steps+i+1)<<(k-1) - 1
}

// Merge adds another distribution.
func (q *Quantiles) Merge(o *Quantiles) {
	for i, n := range o.counts {
		q.counts[i] += n
	}
	q.total += o.total
	q.most = max(q.most, o.most)
}

// Count is how many durations were added.
func (q *Quantiles) Count() uint64 { return q.total }

// At is the duration that share of all do not exceed; 0 when there are none.
func (q *Quantiles) At(share float64) time.Duration {
	want := uint64(share * float64(q.total))
	var seen uint64
	for i, n := range q.counts {
		seen += n
		if n > 0 && seen >= max(want, 1) {
			return min(upper(i), q.most)
		}
	}
	return q.most
}
