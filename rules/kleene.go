package rules

import (
	"math"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// kind is the kind of a value at run time.
type kind uint8

const (
	unknown kind = iota // the zero value: nothing known
	number
	text
	boolean
)

// value is the result of an expression. A number may be a bound: +1 says "at least n" (some parts are
// not known), -1 "at most n"; a comparison decides with it only when it can, arithmetic gives it up.
type value struct {
	kind  kind
	bound int8
	b     bool
	n     float64
	s     string
}

// num makes a number; what is not a finite number is unknown.
func num(n float64) value {
	if math.IsNaN(n) || math.IsInf(n, 0) {
		return value{}
	}
	return value{kind: number, n: n}
}

func truth(b bool) value    { return value{kind: boolean, b: b} }
func words(s string) value  { return value{kind: text, s: s} }
func (v value) known() bool { return v.kind != unknown }

// state is the Kleene truth value of v; anything but a boolean is unknown.
func (v value) state() streamkeeper.State {
	switch {
	case v.kind != boolean:
		return streamkeeper.Unknown
	case v.b:
		return streamkeeper.Present
	default:
		return streamkeeper.Absent
	}
}

// exact is v when it is a number without a bound.
func (v value) exact() (float64, bool) {
	return v.n, v.kind == number && v.bound == 0
}

// and is Kleene's: one false decides, otherwise one unknown leaves it open.
func and(a, b value) value {
	switch {
	case a.kind == boolean && !a.b, b.kind == boolean && !b.b:
		return truth(false)
	case a.kind == boolean && b.kind == boolean:
		return truth(true)
	}
	return value{}
}

// or is Kleene's: one true decides, otherwise one unknown leaves it open.
func or(a, b value) value {
	switch {
	case a.kind == boolean && a.b, b.kind == boolean && b.b:
		return truth(true)
	case a.kind == boolean && b.kind == boolean:
		return truth(false)
	}
	return value{}
}

// not keeps unknown unknown.
func not(a value) value {
	if a.kind != boolean {
		return value{}
	}
	return truth(!a.b)
}

// compare is a three-valued comparison. Bounds decide only where no value within them could differ.
func compare(op string, a, b value) value {
	if a.kind == unknown || b.kind == unknown || a.kind != b.kind {
		return value{}
	}
	switch a.kind {
	case text:
		return equality(op, a.s == b.s)
	case boolean:
		return equality(op, a.b == b.b)
	}
	switch {
	case a.bound == 0 && b.bound == 0:
		return compareExact(op, a.n, b.n)
	case b.bound == 0:
		return compareBound(op, a.n, a.bound, b.n)
	case a.bound == 0:
		return compareBound(mirrored[op], b.n, b.bound, a.n)
	}
	return value{}
}

var mirrored = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}

func equality(op string, same bool) value {
	switch op {
	case "==":
		return truth(same)
	case "!=":
		return truth(!same)
	}
	return value{}
}

func compareExact(op string, a, b float64) value {
	switch op {
	case "<":
		return truth(a < b)
	case "<=":
		return truth(a <= b)
	case ">":
		return truth(a > b)
	case ">=":
		return truth(a >= b)
	}
	return equality(op, a == b)
}

// compareBound compares "at least n" (bound 1) or "at most n" (bound -1) with an exact limit.
func compareBound(op string, n float64, bound int8, limit float64) value {
	if bound < 0 {
		// at most n: mirror the number line
		v := compareBound(mirrored[op], -n, 1, -limit)
		return v
	}
	switch op {
	case ">":
		if n > limit {
			return truth(true)
		}
	case ">=":
		if n >= limit {
			return truth(true)
		}
	case "<":
		if n >= limit {
			return truth(false)
		}
	case "<=":
		if n > limit {
			return truth(false)
		}
	case "==", "!=":
		if n > limit {
			return truth(op == "!=")
		}
	}
	return value{}
}

// arithmetic keeps unknown unknown; division by zero, NaN and infinities are unknown.
func arithmetic(op string, a, b value) value {
	if a.kind != number || b.kind != number {
		return value{}
	}
	if a.bound != 0 || b.bound != 0 {
		return boundArithmetic(op, a, b)
	}
	switch op {
	case "+":
		return num(a.n + b.n)
	case "-":
		return num(a.n - b.n)
	case "*":
		return num(a.n * b.n)
	case "/":
		if b.n == 0 {
			return value{}
		}
		return num(a.n / b.n)
	case "%":
		if b.n == 0 {
			return value{}
		}
		return num(math.Mod(a.n, b.n))
	case "**", "^":
		return num(math.Pow(a.n, b.n))
	}
	return value{}
}

// boundArithmetic keeps a bound where it stays one: plus or minus an exact number, times or over a
// positive one. Everything else is unknown.
func boundArithmetic(op string, a, b value) value {
	if b.bound != 0 && a.bound == 0 && (op == "+" || op == "*") {
		a, b = b, a
	}
	if b.bound != 0 {
		return value{}
	}
	keep := func(n float64) value {
		v := num(n)
		if v.known() {
			v.bound = a.bound
		}
		return v
	}
	switch {
	case op == "+":
		return keep(a.n + b.n)
	case op == "-":
		return keep(a.n - b.n)
	case op == "*" && b.n > 0:
		return keep(a.n * b.n)
	case op == "/" && b.n > 0:
		return keep(a.n / b.n)
	}
	return value{}
}
