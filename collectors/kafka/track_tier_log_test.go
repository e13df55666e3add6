package kafka

import (
	"fmt"
	"testing"
)

// copyScene is a scene with tiered storage whose broker 1 writes down what the test says, which the next look reads.
func copyScene(t *testing.T) (s *scene, write func(seconds float64, segment byte, state copyState, change ...func(*copied))) {
	s, _ = tieredScene(t)
	var written []copied
	tiered := s.with
	s.with = func(snap *snapshot) {
		tiered(snap)
		snap.copied, snap.copiedAll = written, true
		written = nil
	}
	return s, func(seconds float64, segment byte, state copyState, change ...func(*copied)) {
		l := copied{where: partition{"t", 0}, segment: [16]byte{segment}, state: state, broker: 1, at: at(seconds), base: int64(segment), size: 1000}
		for _, f := range change {
			f(&l)
		}
		written = append(written, l)
	}
}

func from(base int64) func(*copied)  { return func(l *copied) { l.base = base } }
func sized(size int64) func(*copied) { return func(l *copied) { l.size = size } }
func by(broker int32) func(*copied)  { return func(l *copied) { l.broker = broker } }

func (s *scene) wantCopies(when string, started, finished, failed float64) {
	s.t.Helper()
	got := [3]float64{s.series["tier_copies_started_total"], s.series["tier_copies_ended_total/finished"], s.series["tier_copies_ended_total/failed"]}
	if want := [3]float64{started, finished, failed}; got != want {
		s.t.Errorf("%s: started, finished and failed are %v, want %v", when, got, want)
	}
}

func TestCopies(t *testing.T) {
	s, write := copyScene(t)
	s.round(0)
	s.wantCopies("nothing yet, which is known", 0, 0, 0)
	write(6, 1, copyStarted)
	write(7, 1, copyFinished)
	write(8, 2, copyStarted)
	s.round(0)
	s.wantCopies("one finished, one runs", 2, 1, 0)
	s.want("so far", map[string]float64{"tier_copy_oldest_seconds": 2, "tier_copy_busy_seconds_total": 3})
	write(11, 2, deleteStarted)
	write(11, 1, deleteStarted) // by retention
	write(12, 2, deleteFinished)
	s.round(0)
	s.wantCopies("a copy that is deleted before it finished has failed; retention deletes what did finish", 2, 1, 1)
	s.want("none runs", map[string]float64{"tier_copy_oldest_seconds": 0, "tier_copy_busy_seconds_total": 4})

	write(16, 3, copyStarted, from(40))
	write(17, 4, copyStarted, from(40))
	s.round(0)
	s.wantCopies("before Kafka 4.0 it is just tried again", 4, 1, 2)
	write(21, 5, copyStarted, from(40), by(2))
	s.round(0)
	s.wantCopies("another leader took over: nothing is wrong with the store", 5, 1, 2)
	s.rounds(13, 0)
	s.want("by who does not lead the partition", map[string]float64{"tier_copy_oldest_seconds": 0})

	busy := s.series["tier_copy_busy_seconds_total"]
	write(s.now+3, 9, copyFinished)
	write(s.now+4, 10, copyStarted)
	write(s.now+900, 10, copyFinished)
	s.round(0)
	s.wantCopies("the first is from before we came", 6, 3, 2)
	s.want("by a clock that is ahead", map[string]float64{"tier_copy_busy_seconds_total": busy + 1})
}

// TestCopies_Slow: copies are compared with those of half their size at least.
func TestCopies_Slow(t *testing.T) {
	s, write := copyScene(t)
	for i := range 5 {
		began := float64(-300 + 20*i)
		write(began, byte(2*i), copyStarted, sized(1000))
		write(began+1, byte(2*i), copyFinished)
		write(began+5, byte(2*i+1), copyStarted, sized(100_000))
		write(began+11, byte(2*i+1), copyFinished)
	}
	write(-30, 19, copyStarted, sized(90_000))
	write(-10, 19, copyFinished)
	write(-9, 20, copyStarted, sized(90_000))
	write(-1, 20, copyFinished)
	s.round(0)
	s.want("large ones", map[string]float64{"tier_copy_seconds": 8, "tier_copy_usual_seconds": 6, "tier_copy_busy_usual": 35. / 214}) // from -299 to -85
	s.wantCopies("what was before we came is not counted", 0, 0, 0)

	s.rounds(13, 0)
	if v, ok := s.series["tier_copy_seconds"]; ok {
		t.Errorf("no copy finished within a minute, and %v s are told", v)
	}
	for range 2 {
		if v, ok := s.series["tier_copy_seconds"]; ok {
			t.Errorf("one copy may be late for itself, and %v s are told", v)
		}
		write(s.now, byte(s.now), copyStarted, sized(1_000_000))
		write(s.now+4, byte(s.now), copyFinished)
		s.round(0)
	}
	s.want("two", map[string]float64{"tier_copy_seconds": 4})
	if v, ok := s.series["tier_copy_usual_seconds"]; ok {
		t.Errorf("nothing as large was copied before, and %v s are told to be usual", v)
	}
}

// TestCopies_Unread: what is not read to its end tells nothing, and how much is remembered is bounded.
func TestCopies_Unread(t *testing.T) {
	s, write := copyScene(t)
	for i := range 2 * maxOpenCopies {
		for _, state := range []copyState{copyStarted, copyFinished, copyStarted} {
			write(1, byte(state), state, func(l *copied) { l.where.topic = fmt.Sprint("t", i) })
		}
	}
	s.track.topics = map[string]*topicTrack{}
	read := s.with
	s.with = func(snap *snapshot) {
		read(snap)
		snap.topicsRead, snap.copiedAll = false, false
	}
	s.round(0)
	if v, ok := s.series["tier_copy_oldest_seconds"]; ok {
		t.Errorf("the log was not read to its end, and %v s are told", v)
	}
	if c := s.track.copies; len(c.open) != maxOpenCopies || len(c.ended) > maxEndedCopies {
		t.Errorf("%d copies are open and %d ended, want at most %d and %d", len(c.open), len(c.ended), maxOpenCopies, maxEndedCopies)
	}
}
