package rules

import (
	"math"
	"testing"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

var (
	yes   = truth(true)
	no    = truth(false)
	dunno = value{}
	three = []value{yes, no, dunno}
)

// TestKleene_TruthTables checks every combination against the definition: a three-valued result is the
// one that all completions of the unknowns agree on, and unknown when they differ.
func TestKleene_TruthTables(t *testing.T) {
	completions := func(v value) []bool {
		if v.kind == boolean {
			return []bool{v.b}
		}
		return []bool{true, false}
	}
	for _, op := range []struct {
		name   string
		got    func(a, b value) value
		truth2 func(a, b bool) bool
	}{
		{"and", and, func(a, b bool) bool { return a && b }},
		{"or", or, func(a, b bool) bool { return a || b }},
	} {
		for _, a := range three {
			for _, b := range three {
				seen := map[bool]bool{}
				for _, x := range completions(a) {
					for _, y := range completions(b) {
						seen[op.truth2(x, y)] = true
					}
				}
				want := dunno
				if len(seen) == 1 {
					want = truth(seen[true])
				}
				if got := op.got(a, b); got != want {
					t.Errorf("%v %s %v = %v, want %v", a.state(), op.name, b.state(), got.state(), want.state())
				}
			}
		}
	}
	for _, c := range []struct{ in, want value }{{yes, no}, {no, yes}, {dunno, dunno}} {
		if got := not(c.in); got != c.want {
			t.Errorf("not %v = %v, want %v", c.in.state(), got.state(), c.want.state())
		}
	}
}

// TestCompare_Bounds checks bounds the same way: decided only if every number within them agrees.
func TestCompare_Bounds(t *testing.T) {
	atLeast := func(n float64) value { return value{kind: number, n: n, bound: 1} }
	atMost := func(n float64) value { return value{kind: number, n: n, bound: -1} }
	possible := func(v value) []float64 {
		switch v.bound {
		case 1:
			return []float64{v.n, v.n + .5, v.n + 1, v.n + 2, 1e9}
		case -1:
			return []float64{v.n, v.n - .5, v.n - 1, v.n - 2, -1e9}
		}
		return []float64{v.n}
	}
	values := []value{num(1), num(2), num(3), atLeast(1), atLeast(2), atLeast(3), atMost(1), atMost(2), atMost(3)}
	for _, op := range []string{"<", "<=", ">", ">=", "==", "!="} {
		for _, a := range values {
			for _, b := range values {
				if a.bound != 0 && b.bound != 0 {
					if compare(op, a, b).known() {
						t.Errorf("%v %s %v is decided: two bounds are left open", a, op, b)
					}
					continue
				}
				seen := map[bool]bool{}
				for _, x := range possible(a) {
					for _, y := range possible(b) {
						seen[compareExact(op, x, y).b] = true
					}
				}
				want := dunno
				if len(seen) == 1 {
					want = truth(seen[true])
				}
				if got := compare(op, a, b); got != want {
					t.Errorf("%v %s %v = %v, want %v", a, op, b, got.state(), want.state())
				}
			}
			if compare(op, a, dunno).known() || compare(op, dunno, a).known() {
				t.Errorf("a comparison with unknown is known")
			}
		}
	}
}

func TestArithmetic(t *testing.T) {
	for _, c := range []struct {
		reason string
		op     string
		a, b   value
		want   value
	}{
		{"plain", "+", num(1), num(2), num(3)},
		{"a division by zero is unknown, never +Inf", "/", num(1), num(0), dunno},
		{"zero over zero too", "/", num(0), num(0), dunno},
		{"a remainder by zero is unknown", "%", num(1), num(0), dunno},
		{"an overflow is unknown", "*", num(1e308), num(1e308), dunno},
		{"unknown spreads", "+", dunno, num(2), dunno},
		{"unknown times zero stays unknown", "*", num(0), dunno, dunno},
		{"text is no number", "+", words("a"), num(2), dunno},
		{"a bound plus a number stays a bound", "+", value{kind: number, n: 2, bound: 1}, num(3), value{kind: number, n: 5, bound: 1}},
		{"a number plus a bound too", "+", num(3), value{kind: number, n: 2, bound: 1}, value{kind: number, n: 5, bound: 1}},
		{"over a positive number too", "/", value{kind: number, n: 2, bound: 1}, num(4), value{kind: number, n: .5, bound: 1}},
		{"times a negative one is given up", "*", value{kind: number, n: 2, bound: 1}, num(-1), dunno},
		{"a number minus a bound is given up", "-", num(5), value{kind: number, n: 2, bound: 1}, dunno},
	} {
		if got := arithmetic(c.op, c.a, c.b); got != c.want {
			t.Errorf("%s: %v %s %v = %v, want %v", c.reason, c.a, c.op, c.b, got, c.want)
		}
	}
	if num(math.NaN()).known() || num(math.Inf(1)).known() {
		t.Error("NaN or infinity is known")
	}
	if (value{}).state() != streamkeeper.Unknown {
		t.Error("the zero value is not unknown")
	}
}
