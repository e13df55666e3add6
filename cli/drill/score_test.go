package drill

import (
	"math"
	"testing"
)

func TestWilson(t *testing.T) {
	for _, c := range []struct {
		right, runs int
		want        float64
	}{
		{294, 300, .957}, // the published table of a claim of .95: these two pass
		{441, 450, .962},
		{0, 10, 0},
		{0, 0, 0},
		{10, 10, .722},
	} {
		if got := wilson(c.right, c.runs); math.Abs(got-c.want) > .003 {
			t.Errorf("wilson(%d, %d) = %.4f, want %.3f", c.right, c.runs, got, c.want)
		}
	}
}

func TestScore(t *testing.T) {
	sec := func(s float64) *float64 { return &s }
	e := "group/orders@drill"
	hurt := &Impact{Seconds: 10}
	run := func(change func(*Result)) Result {
		r := Result{ID: "a", Target: "embedded", Injected: Injected{Cause: "a", Entity: e}, Impact: hurt, Ticks: 20, FloorSeconds: 5}
		change(&r)
		return r
	}
	results := []Result{
		run(func(r *Result) { r.Right, r.SecondsToCause = true, sec(30) }),
		run(func(r *Result) {
			r.Top, r.Wrong = []Named{{Cause: "b", Entity: e}, {Cause: "a", Entity: e}}, []Named{{Cause: "b"}}
		}),
		run(func(r *Result) { r.InSet = true }),
		run(func(r *Result) { r.Error = "the lab broke" }),
		run(func(r *Result) { r.Right, r.Impact = true, nil }),
		run(func(r *Result) { r.Right, r.Ticks = true, 0 }),
		run(func(r *Result) { r.CPUShare = sec(.9) }),
		run(func(r *Result) { r.LateTicks = 1 }),
		run(func(r *Result) { r.ID, r.Benign, r.Right, r.Impact = "quiet", true, true, nil }),
		run(func(r *Result) { r.ID, r.Benign, r.Impact = "quiet", true, nil }),
	}
	got := Score(results, false)
	a := got["a"]["embedded"]
	if a.Runs != 3 || a.Top1 != 1 || a.InSet != 1 || a.Top3 != 3 || a.ConfidentWrong != 1 || a.Failed != 5 {
		t.Errorf("a: %+v", a)
	}
	if *a.SecondsToCause.P50 != 20 || !a.InTime {
		t.Errorf("time to cause counts from the impact: got %v, want 20, in time", *a.SecondsToCause.P50)
	}
	if b := got["benign"]["embedded"]; b.Runs != 2 || b.FalseAlarms != 1 {
		t.Errorf("benign: %+v", b)
	}
	if got["all"]["embedded"].Runs != 3 {
		t.Errorf("benign episodes are not part of the accuracy: %+v", got["all"])
	}
	if busy := Score(results, true)["a"]["embedded"]; busy.Runs != 5 || busy.Failed != 3 {
		t.Errorf("a busy machine is forgiven, a run that hurt nobody is not: %+v", busy)
	}
}

func TestAll_EveryDrillIsWhole(t *testing.T) {
	seen := map[string]bool{}
	faults := 0
	for _, d := range All() {
		if seen[d.ID] || d.ID == "" || d.Title == "" || d.Layout == nil || d.Inject == nil || d.Hold == 0 || d.Baseline == 0 {
			t.Errorf("drill %q is not whole or stands twice", d.ID)
		}
		seen[d.ID] = true
		if !d.Benign {
			faults++
			if d.Floor == 0 || d.Cause == "" {
				t.Errorf("drill %q needs a cause and a floor", d.ID)
			}
		}
	}
	if faults < 10 {
		t.Errorf("%d faults, want at least 10", faults)
	}
}
