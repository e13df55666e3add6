package rules

import (
	"math"
	"reflect"
	"slices"
	"testing"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// On a large cluster the same is known of every symptom as on a small one, with fewer words where nothing is present, and the
// suspects and their controls are the same.
func TestQuiet(t *testing.T) {
	c := loadFixture(t)
	in := testInputs(c.SymptomQueries(testScope), fixedLog{})
	all, none := c.symptoms(testScope, in, math.MaxInt)
	if _, ok := none.At(NodeOn{all[0].Node, all[0].Entity}); ok || len(slices.Collect(none.All())) > 0 {
		t.Error("something is quiet on a small cluster")
	}
	loud, quiet := c.symptoms(testScope, in, 0)
	for _, want := range all {
		on := NodeOn{want.Node, want.Entity}
		at := slices.IndexFunc(loud, func(o streamkeeper.Observation) bool { return o.Node == on.Node && o.Entity == on.Entity })
		got, ok := quiet.At(on)
		switch {
		case at >= 0 && ok:
			t.Errorf("%v is observed and quiet", on)
		case at >= 0:
			if !reflect.DeepEqual(loud[at], want) {
				t.Errorf("observed %+v, want %+v", loud[at], want)
			}
		case !ok || want.State == streamkeeper.Present:
			t.Errorf("%v is neither: %+v", on, want)
		case got.State != want.State || got.Why != want.Why || got.Needs != want.Needs || math.Abs(got.Strength-want.Strength) > 1e-6:
			t.Errorf("quiet %+v, want %+v", got, want)
		}
	}
	n := len(slices.Collect(quiet.All()))
	if n == 0 || n+len(loud) != len(all) {
		t.Errorf("%d are quiet and %d observed of %d", n, len(loud), len(all))
	}
	if got, want := c.Suspects(testScope, loud, quiet, testWorld()), c.Suspects(testScope, all, nil, testWorld()); !reflect.DeepEqual(got, want) {
		t.Errorf("suspects %+v, want %+v", got, want)
	}
	quiet.Drop(func(streamkeeper.Entity) bool { return true })
	if left := slices.Collect(quiet.All()); len(left) > 0 {
		t.Errorf("%d are left of none", len(left))
	}
}
