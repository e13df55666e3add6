package jmx

import (
	"slices"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

const (
	forgetAfter = 15 * time.Minute // brokers whose exporters are gone
	maxGaps     = 20               // between two successes of copying that are remembered
	leastGaps   = 3                // before what is usual is known
	maxHistory  = 4096
)

// tier remembers what rounds saw of tiered storage.
type tier struct {
	last  map[fact]map[string]float64 // counters by broker
	total map[fact]float64            // what they advanced since the first round, summed

	most  int       // brokers that told of it at once
	fewer time.Time // since when not all of them do

	at         time.Time // of the round before
	copied     float64   // bytes, when copying last succeeded
	failed     float64   // failures by then
	progressed time.Time
	gaps       []time.Duration
	closed     []closed

	lastReads          map[string]readTotals // by broker
	readSeconds, reads float64               // of rounds in which no read failed
	busy, copies       float64               // the same of copying: seconds times the share of the pool
}

// readTotals are the reads of a broker since its start.
type readTotals struct{ count, seconds float64 }

// closed is how many bytes had been closed by a moment, counted from the first round.
type closed struct {
	at    time.Time
	bytes float64
}

func newTier() tier {
	return tier{last: map[fact]map[string]float64{}, total: map[fact]float64{}, lastReads: map[string]readTotals{}}
}

// measure derives this round's numbers; none while no broker tells of remote storage.
func (t *tier) measure(r *round) {
	brokers := r.byBroker(copies)
	if len(brokers) == 0 {
		t.at = time.Time{}
		return
	}
	advanced := map[fact]map[string]float64{}
	for _, f := range []fact{copies, copyErrors, copiedBytes, fetches, fetchErrors} {
		advanced[f] = t.advance(f, r.byBroker(f))
	}
	t.count(r, copies, "streamkeeper_tier_calls_total", "op", "copy")
	t.count(r, fetches, "streamkeeper_tier_calls_total", "op", "fetch")
	t.count(r, copyErrors, "streamkeeper_tier_failures_total", "op", "copy")
	t.count(r, fetchErrors, "streamkeeper_tier_failures_total", "op", "fetch")
	t.count(r, copiedBytes, "streamkeeper_tier_copied_bytes_total")
	t.readTimes(r, advanced)
	whole := t.whole(r.at, len(brokers))
	t.copying(r, advanced, whole)
	if whole {
		t.backlog(r)
	} else {
		t.closed = nil
	}
	t.at = r.at
}

// advance adds what a counter gained since the round before to its total, and returns it by broker. Where a broker is
// new, nothing is known to have happened; where its counter fell it was restarted, and all that it shows is new.
func (t *tier) advance(f fact, now map[string]float64) map[string]float64 {
	last := t.last[f]
	if last == nil {
		last = map[string]float64{}
		t.last[f] = last
	}
	gained := map[string]float64{}
	for broker, v := range now {
		was, known := last[broker]
		switch {
		case known && v >= was:
			gained[broker] = v - was
		case known:
			gained[broker] = v
		}
		last[broker] = v
		t.total[f] += gained[broker]
	}
	return gained
}

// count tells a total, once anybody has told of it.
func (t *tier) count(r *round, f fact, metric string, labels ...string) {
	if len(t.last[f]) > 0 {
		r.add(metric, t.total[f], append(labels, "store", streamkeeper.TieredStorage)...)
	}
}

// whole reports whether all brokers tell that did so lately.
func (t *tier) whole(at time.Time, n int) bool {
	switch {
	case n >= t.most:
		t.most, t.fewer = n, time.Time{}
	case t.fewer.IsZero():
		t.fewer = at
	case at.Sub(t.fewer) >= forgetAfter:
		t.most, t.fewer = n, time.Time{}
	}
	return t.fewer.IsZero()
}

// readTimes tells how long reads took. A failed read has a time, too, so rounds in which one failed on a broker say
// nothing of it; and a mean of all times gives that of the last ones.
func (t *tier) readTimes(r *round, advanced map[fact]map[string]float64) {
	count, mean := r.byBroker(reads), r.byBroker(readMean)
	if len(count) == 0 || len(mean) == 0 {
		return
	}
	for broker, ms := range mean {
		now := readTotals{count[broker], ms * count[broker] / 1000}
		was, known := t.lastReads[broker]
		t.lastReads[broker] = now
		if now.count < was.count {
			was = readTotals{} // restarted
		}
		if known && now.count > was.count && advanced[fetchErrors][broker] == 0 {
			t.reads += now.count - was.count
			t.readSeconds += max(0, now.seconds-was.seconds) // the two are not read at the very same moment
		}
	}
	r.add("streamkeeper_tier_read_seconds_total", t.readSeconds, "store", streamkeeper.TieredStorage)
	r.add("streamkeeper_tier_reads_total", t.reads, "store", streamkeeper.TieredStorage)
	slowest := 0.0
	for _, ms := range r.byBroker(readTimes) {
		slowest = max(slowest, ms/1000)
	}
	if len(r.told[readTimes]) > 0 {
		r.add("streamkeeper_tier_read_p95_seconds", slowest, "store", streamkeeper.TieredStorage)
	}
}

// copying tells which share of the threads that copy is busy: a mean over brokers, and its integral over the rounds in
// which no copy failed, beside the copies begun in them.
func (t *tier) copying(r *round, advanced map[fact]map[string]float64, whole bool) {
	idle := r.byBroker(copierIdle)
	if len(idle) == 0 || !whole {
		return
	}
	busy, began, failed := 0.0, 0.0, 0.0
	for broker, share := range idle {
		busy += min(1, max(0, 1-share)) / float64(len(idle))
		began += advanced[copies][broker]
		failed += advanced[copyErrors][broker]
	}
	if !t.at.IsZero() && failed == 0 {
		t.busy += busy * r.at.Sub(t.at).Seconds()
		t.copies += began
	}
	r.add("streamkeeper_tier_copier_busy_ratio", busy, "store", streamkeeper.TieredStorage)
	r.add("streamkeeper_tier_copier_busy_seconds_total", t.busy, "store", streamkeeper.TieredStorage)
	r.add("streamkeeper_tier_copies_total", t.copies, "store", streamkeeper.TieredStorage)
}

// backlog tells what waits to be copied, and since when.
func (t *tier) backlog(r *round) {
	told := r.byBroker(waiting)
	if len(told) == 0 || len(t.last[copiedBytes]) == 0 {
		return
	}
	bytes := 0.0
	for _, v := range told {
		bytes += v
	}
	r.add("streamkeeper_tier_waiting_bytes", bytes, "store", streamkeeper.TieredStorage)
	r.add("streamkeeper_tier_oldest_seconds", t.oldest(r.at, bytes), "store", streamkeeper.TieredStorage)
	if frozen, known := t.frozen(r.at, bytes); known {
		r.add("streamkeeper_tier_frozen_seconds", frozen.Seconds(), "store", streamkeeper.TieredStorage)
	}
}

// oldest is for how long the oldest byte that waits has been closed: since so much was closed that it was among it. It is
// a lower bound for what was there before the first round.
func (t *tier) oldest(at time.Time, waiting float64) float64 {
	copied := t.total[copiedBytes]
	if total := copied + waiting; len(t.closed) == 0 || total > t.closed[len(t.closed)-1].bytes {
		if len(t.closed) == maxHistory {
			t.closed = append(t.closed[:0], t.closed[1:]...)
		}
		t.closed = append(t.closed, closed{at, total})
	}
	for len(t.closed) > 0 && t.closed[0].bytes <= copied {
		t.closed = t.closed[1:]
	}
	if waiting <= 0 || len(t.closed) == 0 {
		return 0
	}
	return at.Sub(t.closed[0].at).Seconds()
}

// frozen is how long nothing was copied although something waits or fails. Copies take their time and tasks run now and
// then: without a failure only what goes beyond the longest pause of late counts, and is unknown before there were some.
// Before 4.2 brokers tell nothing of what waits while copies fail, so a failure stands for it.
func (t *tier) frozen(at time.Time, waiting float64) (time.Duration, bool) {
	copied, failed := t.total[copiedBytes], t.total[copyErrors]
	fails := failed > t.failed
	switch {
	case t.progressed.IsZero():
		t.progressed, t.copied, t.failed = at, copied, failed
	case copied > t.copied:
		if !fails { // a pause for failures is not usual
			t.gaps = append(t.gaps[max(0, len(t.gaps)+1-maxGaps):], at.Sub(t.progressed))
		}
		t.progressed, t.copied, t.failed = at, copied, failed
	case waiting <= 0 && !fails:
		t.progressed = at
	}
	still := at.Sub(t.progressed)
	switch {
	case still == 0, fails:
		return still, true
	case len(t.gaps) < leastGaps:
		return 0, false
	}
	return max(0, still-slices.Max(t.gaps)), true
}
