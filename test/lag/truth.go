package main

import (
	"math"
	"sync"
	"time"
)

// sent is a record as its producer knows it. Times are in milliseconds.
type sent struct {
	offset    int64
	at, acked int64
	aborted   bool
}

// ledger is what was sent to one partition, in the order of offsets. Safe for concurrent use.
type ledger struct {
	mu      sync.Mutex
	records []sent
	surveys []survey // of a compacted partition
}

// survey is which records were there at a time.
type survey struct {
	at    int64
	there map[int64]bool
}

// add keeps a record. Answers come in order but for those of different transactions, which the caller adds at their end.
func (b *ledger) add(records ...sent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records = append(b.records, records...)
}

func (b *ledger) survey(s survey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.surveys = append(b.surveys, s)
}

// sentBefore is the offset of the first record that is younger than an age: a group that has read all older ones commits it.
// ok is false when there are no older ones.
func (b *ledger) sentBefore(now time.Time, age time.Duration) (offset int64, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	limit := now.Add(-age).UnixMilli()
	for i := len(b.records) - 1; i >= 0; i-- {
		if r := b.records[i]; r.at < limit && !r.aborted {
			return r.offset + 1, true
		}
	}
	return 0, false
}

// nth is the offset of the record that lies at a share of those sent so far.
func (b *ledger) nth(share float64) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.records) == 0 {
		return 0
	}
	return b.records[min(int(share*float64(len(b.records))), len(b.records)-1)].offset
}

// What was acknowledged, and what compaction has left, is compared for this long around a sample: a round takes some time, and
// what happens within it may or may not be seen.
const blur = 3000

// off is how far a lag in seconds is from the truth, and what that is; where the truth changed within the round the nearest
// one counts.
func (b *ledger) off(committed, at int64, lag float64) (off, truth float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	off = math.Inf(1)
	try := func(acked int64, s *survey) {
		if t := b.truth(committed, at, acked, s); math.Abs(lag-t)/bound(t) < off {
			off, truth = math.Abs(lag-t)/bound(t), t
		}
	}
	if b.surveys == nil {
		try(at, nil)
		try(at+blur, nil)
	}
	for i, s := range b.surveys {
		next := int64(math.MaxInt64)
		if i+1 < len(b.surveys) {
			next = b.surveys[i+1].at
		}
		if s.at <= at+blur && next >= at-blur {
			try(at, &b.surveys[i])
			try(at+blur, &b.surveys[i])
		}
	}
	return off * bound(truth), truth
}

// bound is how far off a lag may be, in seconds.
func bound(truth float64) float64 { return max(relativeError*truth, absoluteError.Seconds()) }

// truth is how long ago the first record was sent from an offset on that can be read; 0 when there is none.
func (b *ledger) truth(committed, at, acked int64, s *survey) float64 {
	for _, r := range b.records {
		left := s == nil || s.there[r.offset] || r.acked > s.at
		if left && r.offset >= committed && !r.aborted && r.acked <= acked {
			return max(0, float64(at-r.at)/1000)
		}
	}
	return 0
}
