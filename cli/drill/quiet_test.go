package drill

import (
	"math/rand/v2"
	"testing"

	"github.com/streamkeeper-io/streamkeeper"
)

func TestQuiet_PlanHasEveryKind(t *testing.T) {
	plan := func(seed uint64) (names []string) {
		q := &quiet{o: QuietOptions{Episodes: 2*len(episodeKinds()) + 3}, random: rand.New(rand.NewPCG(seed, 1))}
		for _, k := range q.plan() {
			names = append(names, k.name)
		}
		return names
	}
	times := map[string]int{}
	one, again, other := plan(1), plan(1), plan(2)
	same := true
	for i, name := range one {
		times[name]++
		if again[i] != name {
			t.Fatalf("the same seed plans the same: %v, then %v", one, again)
		}
		same = same && other[i] == name
	}
	if same {
		t.Error("another seed plans otherwise")
	}
	for _, k := range episodeKinds() {
		if times[k.name] < 2 {
			t.Errorf("%s comes %d times, want at least 2", k.name, times[k.name])
		}
	}
}

func TestQuiet_TakesAFreeGroupThatFits(t *testing.T) {
	one, two := &Stage{Layout: Layout{Members: 1}}, &Stage{Layout: Layout{Members: 2, Static: true}}
	free := &Stage{Layout: Layout{Members: 3}}
	q := &quiet{stages: []*Stage{one, two, free}, busy: map[*Stage]bool{}, random: rand.New(rand.NewPCG(1, 1))}
	for _, c := range []struct {
		kind episodeKind
		want *Stage
		ok   bool
	}{
		{episodeKind{name: "of the cluster", cluster: true}, nil, true},
		{episodeKind{name: "for dynamic members", members: 2, dynamic: true}, free, true},
		{episodeKind{name: "the other is busy now", members: 2}, two, true},
		{episodeKind{name: "both are busy", members: 2}, nil, false},
		{episodeKind{name: "one will do"}, one, true},
	} {
		if got, ok := q.take(c.kind); got != c.want || ok != c.ok {
			t.Errorf("%s: took %+v (%v)", c.kind.name, got, ok)
		}
	}
}

func TestQuiet_OneWarningPerStreak(t *testing.T) {
	q := &quiet{o: QuietOptions{Say: func(string, ...any) {}}, open: map[string]*Warning{}}
	q.out.Run = Result{Benign: true, Injected: Injected{At: injectedAt}}
	a := func(confidence float64) streamkeeper.Finding {
		f := finding("a", "team-01", streamkeeper.VerdictProbable, confidence)
		f.Evidence = []streamkeeper.Evidence{{ID: "e", Bearing: streamkeeper.Supports, Text: "it is so"}}
		return f
	}
	for _, r := range []streamkeeper.Report{
		report(5, finding("b", "team-01", streamkeeper.VerdictBenign, .99)),
		report(10, a(.5)),
		report(10, a(.9)), // read twice
		report(15, a(.8)),
		report(20),
		report(25, a(.4)),
	} {
		q.judge(r)
	}
	if len(q.out.Warnings) != 1 || len(q.open) != 1 {
		t.Fatalf("%d ended and %d open warnings, want one each: %+v", len(q.out.Warnings), len(q.open), q.out.Warnings)
	}
	w := q.out.Warnings[0]
	if !w.At.Equal(report(10).GeneratedAt) || !w.Until.Equal(report(15).GeneratedAt) || w.Confidence != .8 || len(w.Evidence) != 1 {
		t.Errorf("%+v", w)
	}
	if q.out.Run.Right {
		t.Error("a soak with a warning is not right")
	}
}
