package kafka

import (
	"cmp"
	"math"
	"slices"
)

// maxMarks bounds what is kept of one partition: 1.5 kB, and nothing where no group is behind.
const maxMarks = 64

// mark is what an answer of ListOffsets by time shows, in milliseconds: the record at offset is stamped at, and every record
// before it is stamped earlier than before. at is unset where no record had so late a stamp; offset is the end of the log then.
type mark struct{ offset, at, before int64 }

// stamps is what is known of the records' timestamps in one partition, by offset. It takes them to be in order, which is
// what the answers mean: the first record with a stamp as late as that.
type stamps struct{ marks []mark }

// add takes a mark. Records that cannot be there any more, or the first one that late would be one of them, were taken by
// compaction; what it contradicts otherwise is of a log that was cut off, and is dropped.
func (s *stamps) add(m mark) {
	i, same := slices.BinarySearchFunc(s.marks, m.offset, func(a mark, offset int64) int { return cmp.Compare(a.offset, offset) })
	gone := i
	for gone > 0 && s.marks[gone-1].at >= m.before {
		gone--
		m.before = min(m.before, s.marks[gone].before)
	}
	if same {
		old := s.marks[i]
		if m.at == unset {
			m.at = old.at
		}
		m.before = min(m.before, old.before)
		if old.at != unset && old.at != m.at {
			s.marks = append(s.marks[:0], m)
			return
		}
		i++
	}
	s.marks = slices.Replace(s.marks, gone, i, m)
	if gone+1 < len(s.marks) && m.at >= s.marks[gone+1].before {
		s.marks = append(s.marks[:0], m)
	}
	if len(s.marks) > maxMarks {
		s.thin()
	}
}

// thin drops every other mark of the older half: readers that are far behind move little from one look to the next.
func (s *stamps) thin() {
	half, keep := len(s.marks)/2, s.marks[:0]
	for i, m := range s.marks {
		if i >= half || i%2 == 0 {
			keep = append(keep, m)
		}
	}
	s.marks = keep
}

// forget drops what says nothing of records from offset on, nor of the first one of the log.
func (s *stamps) forget(start, offset int64) {
	s.marks = slices.Delete(s.marks, 0, s.last(start))
	if i := s.last(offset); i > 1 {
		s.marks = slices.Delete(s.marks, 1, i)
	}
}

// last is the index of the last stamped record up to an offset; 0 when there is none.
func (s *stamps) last(offset int64) int {
	last := 0
	for i, m := range s.marks {
		if m.offset > offset {
			break
		}
		if m.at != unset {
			last = i
		}
	}
	return last
}

// window is when a record was stamped, as far as it is known, in milliseconds.
type window struct {
	from, to int64 // not before, and not after; unset where that is not known
	asked    int64 // the earliest time at which the answer was a later record; unset when there was none
	best     int64 // by even spacing between two records; with both ends only
	holes    bool  // offsets may be missing
}

// window tells of the first record at or after offset. In a log with holes that may be any up to the next mark.
func (s *stamps) window(offset int64, holes bool) window {
	i, _ := slices.BinarySearchFunc(s.marks, offset+1, func(a mark, offset int64) int { return cmp.Compare(a.offset, offset) })
	w := window{from: unset, to: unset, asked: unset, holes: holes}
	var below int64
	for j := i - 1; j >= 0 && w.from == unset; j-- {
		if m := s.marks[j]; m.at != unset && m.offset == offset {
			return window{from: m.at, to: m.at, asked: m.at + 1, best: m.at}
		}
		w.from, below = s.marks[j].at, s.marks[j].offset
	}
	if i == len(s.marks) {
		return w
	}
	above := s.marks[i]
	w.asked, w.to = above.before, above.before-1
	if holes && above.at != unset {
		w.to = above.at
		if above.before-max(w.from, 0) <= 1 {
			w.from = above.at // nothing is stamped in between: it is the next record that there is
		}
	}
	if w.from == w.to {
		w.best = w.to
	} else if w.from != unset {
		share := float64(offset-below) / float64(above.offset-below)
		w.best = w.from + int64(share*float64(w.to-w.from))
	}
	return w
}

// near is how far off the time of a record may be for its age, in milliseconds: less than half of what the lag in seconds
// may be off by, one second or a twentieth.
func near(age int64) int64 { return max(400, age/25) }

// limit is how far off a lag in seconds may be for its age, in milliseconds.
func limit(age int64) int64 { return max(1000, age/20) }

// ask is the next time to ask for; not ok when enough is known, or when no more can be learnt. seen is what the ends of the
// log tell, where they reach back so far: steps double from there until the record lies between two answers.
func (w window) ask(now int64, seen window) (at int64, ok bool) {
	switch {
	case w.from > now:
		return 0, false // its stamp lies ahead of us, or that of one before it: there is nothing to be asked for
	case w.from != unset && w.asked == unset && now-w.from <= near(0):
		return 0, false // it is younger than what is told apart
	case w.asked != unset && w.asked-max(w.from, 0) <= 1:
		return 0, false // nothing lies between the two, or no record has a stamp
	case w.from != unset && w.to != unset && w.to-w.from <= near(now-w.to):
		return 0, false
	}
	if at, ok = w.askSeen(now, seen); ok && !w.holes {
		return at, true
	}
	switch {
	case w.asked == unset && w.from == unset:
		at = now - 1000
		if seen.to != unset {
			at = min(at, seen.to)
		}
	case w.asked == unset:
		at = now - (now-w.from)/4
	case w.from == unset && w.holes:
		return 1, true // it may be the first that is left
	case w.from == unset:
		return max(now-4*max(now-w.asked, 250), 1), true
	default:
		at = w.from + (w.asked-w.from)/2
		if newest, oldest := max(250, now-w.asked), now-w.from; oldest > 4*newest { // ages of different size: halve the ratio
			at = now - int64(math.Sqrt(float64(newest)*float64(oldest)))
		}
	}
	return w.within(at), true
}

// within moves a time to where an answer tells something new.
func (w window) within(at int64) int64 {
	if w.asked != unset {
		at = min(at, w.asked-1)
	}
	return max(at, w.from+1, 1)
}

// seenLimit is how far is stepped from what was seen: records that are stamped still earlier are looked for by their age.
const seenLimit = 60_000

// askSeen asks for the time at which the record was seen to be written, then for ones around it.
func (w window) askSeen(now int64, seen window) (at int64, ok bool) {
	if seen.from == unset {
		return 0, false
	}
	step := near(now - seen.best)
	later := w.asked == unset || w.asked > seen.best+step
	switch {
	case later && w.from < seen.best-step:
		at = seen.best
	case later:
		at = min(w.from+max(step, w.from-seen.best), now)
	case seen.best-w.asked > seenLimit:
		return 0, false
	default:
		at = w.asked - max(step, seen.best-w.asked)
	}
	if at <= w.from || at < 1 || w.asked != unset && at >= w.asked {
		return 0, false
	}
	return at, true
}
