package tier

import "time"

// Uploads read the log's disk, and often share a processor with it: too many at
// once make the log's own commits wait, which producers feel. Sooner than
// noticed nobody does, and slower by strainFactor they do.
const (
	strainFactor  = 2
	strainNoticed = 5 * time.Millisecond
	strainEvery   = time.Second // how often the commits are looked at
)

// strain tells when the log's commits are slower than they are beside the few
// uploads that keep up. Not safe for concurrent use.
type strain struct {
	calm    time.Duration // of a commit beside few uploads; 0 = not known
	commits int64         // up to the last look, as took
	took    time.Duration
	at      time.Time
	few     bool // no more uploads than keep up were under way at the last look
}

// look takes in how many commits there were until now and how long they took
// together. few says that no more uploads are under way than keep up, which
// teaches what is calm: what is quicker at once, what is slower over a minute, as
// the disk may still be busy with what many uploads left it. The first look
// teaches too: a process that starts with a backlog has just begun with few.
func (s *strain) look(commits int64, took time.Duration, few bool, now time.Time) (strained bool) {
	if now.Sub(s.at) < strainEvery {
		return false
	}
	n, d, settled := commits-s.commits, took-s.took, few && s.few
	s.commits, s.took, s.at, s.few = commits, took, now, few
	if n <= 0 {
		return false
	}
	mean := d / time.Duration(n)
	switch {
	case s.calm == 0, settled && mean < s.calm:
		s.calm = mean
	case settled:
		s.calm += (mean - s.calm) / 60
	}
	return !few && mean > strainFactor*s.calm+strainNoticed
}
