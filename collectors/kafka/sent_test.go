package kafka

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// stamped is a record of a log that is played: sent at a second, stamped so much later.
type stamped struct {
	offset int64
	sent   float64
	ahead  float64
}

func (r stamped) stamp() int64 {
	if math.IsInf(r.ahead, -1) {
		return unset // an old format
	}
	return at(r.sent + r.ahead).UnixMilli()
}

// played is a log and what was seen of it.
type played struct {
	records []stamped
	part    *partTrack
	lookups int
}

// playLog has a log watched every so often from a second on, up to another.
func playLog(records []stamped, from, every, to float64) *played {
	l := &played{records: records, part: newPartTrack()}
	for second := from; ; second = min(second+every, to) {
		head := int64(0)
		for _, r := range records {
			if r.sent <= second {
				head = r.offset + 1
			}
		}
		l.part.head = head
		l.part.heads.add(at(second), head)
		if second >= to {
			return l
		}
	}
}

// first answers as ListOffsets by time does.
func (l *played) first(stamp int64) listed {
	l.lookups++
	for _, r := range l.records {
		if r.stamp() >= stamp {
			return listed{r.offset, r.stamp()}
		}
	}
	return listed{-1, -1}
}

// lag asks as a round does and tells the age of what a group goes on with.
func (l *played) lag(committed int64, now float64) (float64, bool) {
	p := &pending{part: l.part, offset: committed, check: l.part.compacted && len(l.part.known().stamps.marks) > 0}
	for range maxSentSteps {
		ms, ok := p.ask(at(now))
		if !ok {
			break
		}
		l.part.learn(ms, l.first(ms))
	}
	p.judge(at(now))
	g := &groupPart{part: l.part, progress: progress{committed: committed, head: l.part.head, fresh: true}}
	return g.lagSeconds(at(now))
}

// truth is the age of the first record from an offset on.
func (l *played) truth(committed int64, now float64) float64 {
	for _, r := range l.records {
		if r.offset >= committed {
			return max(0, now-r.sent)
		}
	}
	return 0
}

func (l *played) check(t *testing.T, name string, committed int64, now float64) {
	t.Helper()
	want := l.truth(committed, now)
	got, ok := l.lag(committed, now)
	if off := math.Abs(got - want); !ok || off > max(1, .05*want) || got < 0 {
		t.Errorf("%s: %d is %v s late (known: %v), want %v", name, committed, got, ok, want)
	}
}

// Whatever the shape of the traffic, and whether we watched it or came later, lag is off by a second or a twentieth at most.
func TestLagSecondsAreTrue(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	gap := map[string]func() float64{
		"steady": func() float64 { return .05 },
		"sparse": func() float64 { return 30 * random.Float64() },
		"bursts": func() float64 {
			if random.IntN(100) == 0 {
				return 20 * random.Float64()
			}
			return .0001
		},
		"ages apart": func() float64 {
			if random.IntN(200) == 0 {
				return 3600 * random.Float64()
			}
			return .02
		},
	}
	for name, next := range gap {
		for _, every := range []float64{2, 5, 15} {
			for _, watched := range []float64{0, .5, .99} {
				t.Run(fmt.Sprintf("%s every %v s from %v on", name, every, watched), func(t *testing.T) {
					records, second := []stamped{}, 0.
					for offset := range int64(2000) {
						records = append(records, stamped{offset: offset, sent: second})
						second += next()
					}
					now := second + 3
					l := playLog(records, min(watched*now, now-2*every), max(every, now/5000), now)
					lookups := 0
					for range 50 {
						l.part.unread, l.lookups = nil, 0
						l.check(t, name, random.Int64N(2000), now)
						lookups += l.lookups
					}
					if per := lookups / 50; per > 12 {
						t.Errorf("%d lookups for one offset", per)
					}
				})
			}
		}
	}
}

// Of a compacted log what counts is the record that is still there.
func TestLagSecondsOverHoles(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	records := []stamped{}
	for offset := range int64(20_000) {
		if offset > 18_000 || random.IntN(40) == 0 && offset > 2_000 && (offset < 9_000 || offset > 12_000) {
			records = append(records, stamped{offset: offset, sent: float64(offset) / 20})
		}
	}
	const now = 1001
	l := playLog(records, 900, 15, now)
	l.part.compacted = true
	for range 100 {
		l.part.unread = nil
		committed := random.Int64N(20_000)
		l.check(t, "compacted", committed, now)
	}
	l.check(t, "within the large hole", 10_000, now)
	l.check(t, "before all that is left", 5, now)
	if !l.part.known().distrusted.IsZero() {
		t.Error("its stamps are not believed any more")
	}
}

// Compaction goes on while a group stands: what it found is asked for again.
func TestLagSecondsWhileCompactionGoesOn(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	records := []stamped{}
	for offset := range int64(4_000) {
		records = append(records, stamped{offset: offset, sent: float64(offset) / 20})
	}
	l := playLog(records, 150, 15, 200)
	l.part.compacted = true
	for l.records[0].offset < 3_900 {
		for _, committed := range []int64{0, 700, 2_000, 3_500} {
			l.lookups = 0
			l.check(t, fmt.Sprintf("%d records left", len(l.records)), committed, 201)
			if l.lookups > 2*maxSentSteps/3 {
				t.Errorf("%d lookups for %d of %d records", l.lookups, committed, len(l.records))
			}
		}
		keep := l.records[:0]
		for i, r := range l.records {
			if i > 5 && random.IntN(10) > 0 || r.offset > 3_900 {
				keep = append(keep, r)
			}
		}
		l.records = keep
	}
	if !l.part.known().distrusted.IsZero() {
		t.Error("its stamps are not believed any more")
	}
}

func TestStampsThatCannotBeBelieved(t *testing.T) {
	steady := func(ahead float64) []stamped {
		var records []stamped
		for offset := range int64(1200) {
			records = append(records, stamped{offset: offset, sent: float64(offset) / 10, ahead: ahead})
		}
		return records
	}
	for _, test := range []struct {
		name  string
		ahead float64
		known bool // of records that were there before we came
	}{
		{"no stamps at all", math.Inf(-1), false},
		{"a clock that is an hour ahead", 3600, false},
		{"the time of something else, days ago", -300_000, true},
	} {
		l := playLog(steady(test.ahead), 60, 5, 120)
		if got, ok := l.lag(900, 120); !ok || math.Abs(got-30) > 1 {
			t.Errorf("%s: %v s (known: %v), want 30: the log was seen to grow then", test.name, got, ok)
		}
		l = playLog(steady(test.ahead), 60, 5, 120)
		if got, ok := l.lag(300, 120); ok != test.known || got < 0 {
			t.Errorf("%s: %v s (known: %v) of a record that was there when we came", test.name, got, ok)
		}
	}
	l := playLog(steady(3), 60, 5, 120)
	for _, committed := range []int64{1190, 1195, 1199} {
		l.check(t, "a clock that is 3 s ahead", committed, 120)
	}
	l = playLog(steady(-30), 60, 5, 120)
	if got, ok := l.lag(900, 120); !ok || math.Abs(got-60) > 1 {
		t.Errorf("waited for half a minute to be written: %v s (known: %v), want 60", got, ok)
	}
}

// One record from the future hides those behind it from questions by time; those that came while we watched are known.
func TestARecordFromTheFuture(t *testing.T) {
	var records []stamped
	for offset := range int64(1200) {
		r := stamped{offset: offset, sent: float64(offset) / 10}
		if offset == 700 {
			r.ahead = 1e6
		}
		records = append(records, r)
	}
	l := playLog(records, 60, 5, 120)
	for _, committed := range []int64{650, 700, 900, 1199} {
		l.part.learnt().distrusted = 0
		l.check(t, "around it", committed, 120)
	}
}

// A leader that does not answer is one that is restarted: between two looks anything may have happened.
func TestLagSecondsWhileNobodyAnswers(t *testing.T) {
	l := playLog([]stamped{{offset: 0, sent: 2}, {offset: 1, sent: 39}}, 0, 15, 45)
	g := &groupPart{part: l.part, progress: progress{committed: 1, head: 2, fresh: true}}
	if _, ok := g.lagSeconds(at(45)); !ok {
		t.Error("what was not asked for is interpolated")
	}
	l.part.learnt().unanswered = momentOf(at(45))
	if got, ok := g.lagSeconds(at(45)); ok {
		t.Errorf("%v s, of a record that came some time within 15 s", got)
	}
}

// Of a partition that is not known well enough it is known between what it lies.
func TestLateBetween(t *testing.T) {
	l := playLog([]stamped{{offset: 0, sent: 2}, {offset: 1, sent: 39}}, 0, 15, 45)
	g := &groupPart{part: l.part, progress: progress{committed: 1, head: 2, fresh: true}}
	l.part.learnt().unanswered = momentOf(at(45))
	if least, most := g.late(at(45)); least != 0 || most != 15 {
		t.Errorf("between %v and %v s, of a record that came after the look at 30 s", least, most)
	}
	l.part.learnt().stamps.add(mark{0, at(2).UnixMilli(), at(1).UnixMilli()})
	l.part.heads = history{}
	l.part.heads.add(at(40), 2)
	if least, most := g.late(at(45)); least != 5 || most != 43 {
		t.Errorf("between %v and %v s, of a record that was there at 40 s and came after that of 2 s", least, most)
	}
	l.part.learnt().stamps = stamps{}
	if least, most := g.late(at(45)); least != 5 || !math.IsInf(most, 1) {
		t.Errorf("between %v and %v s, of a record that was there at 40 s", least, most)
	}
	l.part.learnt().unanswered = 0
	l.part.learnt().stamps.add(mark{1, at(39).UnixMilli(), at(39).UnixMilli()})
	if least, most := g.late(at(45)); least != 6 || most != 6 {
		t.Errorf("between %v and %v s where it is known", least, most)
	}
}

// How late a group is need not be known of all its partitions.
func TestLatest(t *testing.T) {
	for _, c := range []struct {
		name        string
		least, most float64
		want        float64
		known       bool
	}{
		{"all are known", 40, 40, 40, true},
		{"one is as late as the latest, or a little later", 40, 44, 42, true},
		{"one may be much later", 40, 45, 0, false},
		{"nothing bounds one", 40, math.Inf(1), 0, false},
		{"nobody is late", 0, 1.5, .75, true},
		{"somebody may be", 0, 5, 0, false},
	} {
		if got, ok := latest(c.least, c.most); ok != c.known || ok && got != c.want {
			t.Errorf("%s: %v %v, want %v %v", c.name, got, ok, c.want, c.known)
		}
	}
}

func TestRecordsOfOneMoment(t *testing.T) {
	var records []stamped
	for offset := range int64(3000) {
		records = append(records, stamped{offset: offset, sent: float64(offset/1000) * 50})
	}
	l := playLog(records, 0, 15, 130)
	for _, committed := range []int64{0, 1, 999, 1000, 1500, 1999, 2000, 2999} {
		l.check(t, "bursts", committed, 130)
	}
}

func TestStamps(t *testing.T) {
	t.Run("a log that was made anew", func(t *testing.T) {
		var s stamps
		s.add(mark{100, 5000, 4000})
		s.add(mark{200, 9000, 8000})
		s.add(mark{150, 20_000, 19_000}) // the record at 200 came before that one
		if len(s.marks) != 1 || s.marks[0].offset != 150 {
			t.Errorf("%v: what contradicts the newest answer was kept", s.marks)
		}
	})
	t.Run("bounded", func(t *testing.T) {
		var s stamps
		for i := range int64(10_000) {
			s.add(mark{i, 10 * i, 10*i - 5})
			if len(s.marks) > maxMarks {
				t.Fatalf("%d marks", len(s.marks))
			}
		}
	})
	t.Run("forgets what is read", func(t *testing.T) {
		var s stamps
		for i := range int64(10) {
			s.add(mark{10 * i, 100 * i, 100*i - 5})
		}
		s.forget(0, 55)
		if w := s.window(57, false); len(s.marks) != 6 || w.from != 500 || w.to != 594 {
			t.Errorf("%v, %+v", s.marks, w)
		}
	})
}

func TestCaughtUp(t *testing.T) {
	p := newPartTrack()
	p.heads.add(at(0), 50)
	look := func(second float64, lso, head int64) {
		p.absorb(at(second), partState{leader: 1, lso: lso, head: head, newest: listed{unset, unset}})
	}
	g := &groupPart{part: p, progress: progress{committed: 100, head: 110, fresh: true}}
	look(5, 100, 110)
	if got, ok := g.lagSeconds(at(5)); !ok || got != 0 {
		t.Errorf("an open transaction is not late yet: %v %v", got, ok)
	}
	look(20, 100, 110)
	if got, ok := g.lagSeconds(at(20)); !ok || got < 15 {
		t.Errorf("one that stays open makes its readers late: %v %v", got, ok)
	}
	g.progress.committed = 105
	if got, ok := g.lagSeconds(at(20)); !ok || got == 0 {
		t.Errorf("who reads beyond it reads all records: %v %v", got, ok)
	}
}
