package probe

import (
	"slices"
	"time"
)

// The stages of a record's way.
const (
	stageAck    = iota // the broker acknowledged it
	stageReturn        // it was read back
	stageCommit        // the broker, as a coordinator, took a commit
	stageAnswer        // the user's group committed past it
	stages
)

var stageNames = [stages]string{"ack", "round_trip", "commit", "answer"}

// The fates of records that are counted.
const (
	fateSent = iota
	fateAcknowledged
	fateFailed // refused or not acknowledged in time
	fateReturned
	fateLost       // acknowledged and not there
	fateLate       // came back after it was given up
	fateDuplicated // came back again
	fateUnanswered // the group did not commit past it in time
	fates
)

var fateNames = [fates]string{"sent", "acknowledged", "failed", "returned", "lost", "late", "duplicated", "unanswered"}

const (
	maxPending = 64   // records of a lane under way; older ones are given up
	seenWindow = 1024 // records back in which a duplicate is noticed
)

// sent is a record that is under way.
type sent struct {
	seq       uint64
	at        time.Time
	partition int32
	offset    int64 // -1: not acknowledged
	returned  bool
	answered  bool
}

// stage is what is known of one stage of a lane.
type stage struct {
	known    bool // it was judged at all
	ok       bool
	judged   time.Time // the round that judged it last
	good     time.Time // the last round in which it worked; or the first, if it never did
	took     float64   // seconds, when it worked
	why      string    // it did not
	observed []float64 // seconds since the last handing over
}

// lane is a case on one broker: what is under way and what is concluded from what comes back. It asks nobody and knows
// no clock.
type lane struct {
	within time.Duration
	group  bool // a group must answer

	seq     uint64
	pending []sent
	seen    [seenWindow]uint64 // by seq modulo its length: seq + 1
	next    map[int32]int64    // where reading goes on, by partition
	turn    int                // of the broker's partitions
	gone    time.Time          // since when its broker is in nobody's list; zero: it is
	stages  [stages]stage
	fates   [fates]uint64
	told    [stages]bool // that a stage fails
	strayed bool         // another broker looks after the group that was committed for
}

func newLane(within time.Duration, group bool) *lane {
	return &lane{within: within, group: group, next: map[int32]int64{}}
}

// judge records how a stage went in the round of now.
func (l *lane) judge(i int, now time.Time, took float64, why string) {
	s := &l.stages[i]
	if !s.known {
		s.good = now
	}
	s.known, s.judged, s.ok, s.why = true, now, why == "", why
	if s.ok {
		s.good, s.took = now, took
		s.observed = append(s.observed, took)
	}
}

// send begins a record's way at a partition and gives its number.
func (l *lane) send(partition int32, at time.Time) uint64 {
	l.seq++
	l.fates[fateSent]++
	if len(l.pending) == maxPending {
		l.pending = append(l.pending[:0], l.pending[1:]...)
	}
	l.pending = append(l.pending, sent{seq: l.seq, at: at, partition: partition, offset: -1})
	return l.seq
}

func (l *lane) find(seq uint64) *sent {
	for i := range l.pending {
		if l.pending[i].seq == seq {
			return &l.pending[i]
		}
	}
	return nil
}

// waiting is the oldest record that is acknowledged and has not come back; nil when there is none.
func (l *lane) waiting() *sent {
	for i := range l.pending {
		if s := &l.pending[i]; s.offset >= 0 && !s.returned {
			return s
		}
	}
	return nil
}

// keep forgets records of partitions that are no longer the lane's: what became of them is not known.
func (l *lane) keep(parts []int32) {
	l.pending = slices.DeleteFunc(l.pending, func(s sent) bool { return !slices.Contains(parts, s.partition) })
}

// acknowledged notes where a record lies.
func (l *lane) acknowledged(seq uint64, offset int64) {
	l.fates[fateAcknowledged]++
	if s := l.find(seq); s != nil {
		s.offset = offset
		if at, ok := l.next[s.partition]; !ok || at > offset {
			l.next[s.partition] = offset // for the first time, or after the topic was made anew
		}
	}
}

// failed notes that a record was not acknowledged. It may have been stored all the same, so it is no lost one.
func (l *lane) failed() { l.fates[fateFailed]++ }

// came takes one of our records in that was read, and says how long it took if it is the first time.
func (l *lane) came(seq uint64, at time.Time) (took float64, first bool) {
	slot := &l.seen[seq%seenWindow]
	if *slot == seq+1 {
		l.fates[fateDuplicated]++
		return 0, false
	}
	*slot = seq + 1
	s := l.find(seq)
	if s == nil || s.offset < 0 {
		l.fates[fateLate]++
	} else {
		l.fates[fateReturned]++
	}
	if s == nil {
		return 0, false
	}
	s.returned = true
	return max(0, at.Sub(s.at).Seconds()), true
}

// read says that a partition was read up to an offset: what we were told lies before it and did not come is lost.
func (l *lane) read(partition int32, upTo int64) {
	if upTo > l.next[partition] {
		l.next[partition] = upTo
	}
	for i := range l.pending {
		s := &l.pending[i]
		if s.partition == partition && s.offset >= 0 && s.offset < upTo && !s.returned {
			l.fates[fateLost]++
			s.returned = true // it is no longer waited for
		}
	}
}

// answered says up to where a group has committed.
func (l *lane) answered(partition int32, committed int64, at time.Time) (took float64, any bool) {
	for i := range l.pending {
		s := &l.pending[i]
		if s.partition == partition && s.offset >= 0 && s.offset < committed && !s.answered {
			s.answered, any = true, true
			took = max(0, at.Sub(s.at).Seconds()) // the newest counts
		}
	}
	return took, any
}

// awaited lists the partitions whose records wait for the group's answer.
func (l *lane) awaited() []int32 {
	var out []int32
	for _, s := range l.pending {
		if l.group && s.offset >= 0 && !s.answered {
			out = append(out, s.partition)
		}
	}
	return out
}

// settle gives up what has taken longer than is allowed, and drops what is done.
func (l *lane) settle(now time.Time) (lost, unanswered int) {
	keep := l.pending[:0]
	for _, s := range l.pending {
		overdue := now.Sub(s.at) >= l.within
		waits := s.offset >= 0 && !s.returned || l.group && s.offset >= 0 && !s.answered
		switch {
		case overdue && waits:
			if !s.returned {
				l.fates[fateLost]++
				lost++
			}
			if l.group && !s.answered {
				l.fates[fateUnanswered]++
				unanswered++
			}
		case overdue, s.returned && (!l.group || s.answered):
		default:
			keep = append(keep, s)
		}
	}
	l.pending = keep
	return lost, unanswered
}
