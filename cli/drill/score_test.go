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
	got := Score([]Result{
		{ID: "a", Injected: Injected{Cause: "a", Entity: e}, Right: true, SecondsToCause: sec(30), Impact: &Impact{Seconds: 10}, FloorSeconds: 5},
		{ID: "a", Injected: Injected{Cause: "a", Entity: e}, Top: []Named{{Cause: "b", Entity: e}, {Cause: "a", Entity: e}}, Wrong: []Named{{Cause: "b"}}},
		{ID: "a", Error: "the lab broke"},
		{ID: "quiet", Benign: true, Right: true},
		{ID: "quiet", Benign: true},
	})
	a := got["a"]
	if a.Runs != 2 || a.Top1 != 1 || a.Top3 != 2 || a.ConfidentWrong != 1 || a.Failed != 1 {
		t.Errorf("a: %+v", a)
	}
	if *a.SecondsToCause.P50 != 20 {
		t.Errorf("time to cause counts from the impact: got %v, want 20", *a.SecondsToCause.P50)
	}
	if b := got["benign"]; b.Runs != 2 || b.FalseAlarms != 1 {
		t.Errorf("benign: %+v", b)
	}
	if got["all"].Runs != 2 {
		t.Errorf("benign episodes are not part of the accuracy: %+v", got["all"])
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
