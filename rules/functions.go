package rules

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
)

// numeric functions of one number.
var unaryFunctions = map[string]func(float64) float64{
	"abs": math.Abs, "floor": math.Floor, "ceil": math.Ceil, "log": math.Log, "sqrt": math.Sqrt,
}

// text functions: they format a number for people.
var textFunctions = map[string]func(float64) string{
	"duration": formatDuration, "percent": formatPercent, "bytes": formatBytes,
}

// functionNames lists every function, to suggest one.
var functionNames = []string{
	"abs", "floor", "ceil", "log", "sqrt", "duration", "percent", "bytes", "round", "min", "max", "ramp", "dur", "known", "coalesce", "plural", "fact",
	"max_of", "min_of", "sum_of", "avg_of", "events", "distinct", "most", "latest", "age_of", "share", "span", "gap_ratio_share", "replaced",
}

// call compiles a function call.
func (c *compiler) call(n ast.Node, name string, args []ast.Node) (evalFn, typ) {
	if c.scope.mode == modeAtoms {
		c.fail(n, "atoms take and, or, not only")
		return nothing, typBool
	}
	if fn, ok := unaryFunctions[name]; ok && c.arity(n, name, args, 1, 1) {
		x := c.of(args[0], typNumber)
		return func(f *frame) value {
			v, ok := x(f).exact()
			if !ok {
				return value{}
			}
			return num(fn(v))
		}, typNumber
	}
	if fn, ok := textFunctions[name]; ok && c.arity(n, name, args, 1, 1) {
		return c.format(n, fn, args[0])
	}
	switch name {
	case "round":
		return c.round(n, args)
	case "min", "max":
		return c.extreme(n, name, args)
	case "ramp":
		return c.ramp(n, args)
	case "dur":
		return c.dur(n, args)
	case "known":
		if c.arity(n, name, args, 1, 1) {
			x, _ := c.node(args[0])
			return func(f *frame) value { return truth(f.quiet(x).known()) }, typBool
		}
	case "coalesce":
		return c.coalesce(n, args)
	case "plural":
		return c.plural(n, args)
	case "fact":
		if atom, ok := c.literal(n, name, args, 0); ok && c.arity(n, name, args, 1, 1) {
			c.uses.atoms[atom] = true
			return func(f *frame) value { return f.fact(atom) }, typBool
		}
	case "max_of", "min_of", "sum_of", "avg_of":
		if c.arity(n, name, args, 1, 1) {
			sig, kind, ok := c.related(args[0])
			if ok {
				return func(f *frame) value { return f.related(sig, kind, name) }, typNumber
			}
		}
	default:
		if compile, ok := eventFunctions[name]; ok {
			if c.scope.mode == modeFilter || c.scope.mode == modeFree {
				c.fail(n, "%s() cannot be used here", name)
				return nothing, typAny
			}
			return compile(c, n, name, args)
		}
		c.unknownFunction(n, name)
	}
	return nothing, typAny
}

func (c *compiler) unknownFunction(n ast.Node, name string) {
	if near := nearest(name, functionNames); near != "" {
		c.fail(n, "no function %s (do you mean %s?)", name, near)
		return
	}
	c.fail(n, "no function %s", name)
}

// arity checks the number of arguments.
func (c *compiler) arity(n ast.Node, name string, args []ast.Node, lo, hi int) bool {
	if len(args) >= lo && len(args) <= hi {
		return true
	}
	if lo == hi {
		c.fail(n, "%s() wants %d argument(s), got %d", name, lo, len(args))
	} else {
		c.fail(n, "%s() wants %d to %d arguments, got %d", name, lo, hi, len(args))
	}
	return false
}

// literal reads an argument that must be written as text.
func (c *compiler) literal(n ast.Node, name string, args []ast.Node, i int) (string, bool) {
	if i < len(args) {
		if s, ok := args[i].(*ast.StringNode); ok && s.Value != "" {
			return s.Value, true
		}
		n = args[i]
	}
	c.fail(n, "argument %d of %s() must be text in quotes", i+1, name)
	return "", false
}

func (c *compiler) round(n ast.Node, args []ast.Node) (evalFn, typ) {
	if !c.arity(n, "round", args, 1, 2) {
		return nothing, typNumber
	}
	x, digits := c.of(args[0], typNumber), constant(num(0))
	if len(args) == 2 {
		digits = c.of(args[1], typNumber)
	}
	return func(f *frame) value {
		v, ok := x(f).exact()
		d, ok2 := digits(f).exact()
		if !ok || !ok2 {
			return value{}
		}
		scale := math.Pow(10, math.Floor(d))
		return num(math.Round(v*scale) / scale)
	}, typNumber
}

// extreme is min or max of numbers that are all known.
func (c *compiler) extreme(n ast.Node, name string, args []ast.Node) (evalFn, typ) {
	if !c.arity(n, name, args, 1, 16) {
		return nothing, typNumber
	}
	var items []evalFn
	for _, a := range args {
		items = append(items, c.of(a, typNumber))
	}
	pick := math.Max
	if name == "min" {
		pick = math.Min
	}
	return func(f *frame) value {
		var out float64
		for i, item := range items {
			v, ok := item(f).exact()
			switch {
			case !ok:
				return value{}
			case i == 0:
				out = v
			default:
				out = pick(out, v)
			}
		}
		return num(out)
	}, typNumber
}

// ramp rises from 0 at lo to 1 at hi; lo may lie above hi for a measure where less is worse.
func (c *compiler) ramp(n ast.Node, args []ast.Node) (evalFn, typ) {
	if !c.arity(n, "ramp", args, 3, 3) {
		return nothing, typNumber
	}
	x, lo, hi := c.of(args[0], typNumber), c.of(args[1], typNumber), c.of(args[2], typNumber)
	return func(f *frame) value {
		v := x(f) // a bound serves: strength is clamped to the side that the condition decides
		a, ok1 := lo(f).exact()
		b, ok2 := hi(f).exact()
		if v.kind != number || !ok1 || !ok2 || a == b {
			return value{}
		}
		return num(min(max((v.n-a)/(b-a), 0), 1))
	}, typNumber
}

func (c *compiler) dur(n ast.Node, args []ast.Node) (evalFn, typ) {
	s, ok := c.literal(n, "dur", args, 0)
	if !ok || !c.arity(n, "dur", args, 1, 1) {
		return nothing, typNumber
	}
	d, err := parseDuration(s)
	if err != nil {
		c.fail(args[0], "%s", err)
	}
	return constant(num(d.Seconds())), typNumber
}

// coalesce is the first known argument. Conditions may not use it: an unknown must stay unknown.
func (c *compiler) coalesce(n ast.Node, args []ast.Node) (evalFn, typ) {
	if c.scope.mode == modeNode || c.scope.mode == modeFilter {
		c.fail(n, "a default would turn an unknown into a number: only say and advice may use one")
		return nothing, typAny
	}
	if !c.arity(n, "coalesce", args, 2, 2) {
		return nothing, typAny
	}
	x, t := c.node(args[0])
	y, u := c.node(args[1])
	if t != u {
		t = typAny
	}
	return func(f *frame) value {
		if v := f.quiet(x); v.known() {
			return v
		}
		return y(f)
	}, t
}

// plural is the word for so many: the second argument for one, the third for any other number and one that is not known.
// A bound counts as the number that is written: "at least 1 member".
func (c *compiler) plural(n ast.Node, args []ast.Node) (evalFn, typ) {
	if c.scope.mode != modeSay && c.scope.mode != modeFree {
		c.fail(n, "text functions belong into say and advice")
		return nothing, typText
	}
	if !c.arity(n, "plural", args, 3, 3) {
		return nothing, typText
	}
	x := c.of(args[0], typNumber)
	one, ok1 := c.literal(n, "plural", args, 1)
	many, ok2 := c.literal(n, "plural", args, 2)
	if !ok1 || !ok2 {
		return nothing, typText
	}
	return func(f *frame) value {
		if v := f.quiet(x); v.kind == number && v.n == 1 {
			return words(one)
		}
		return words(many)
	}, typText
}

// format compiles a function from a number to text.
func (c *compiler) format(n ast.Node, fn func(float64) string, arg ast.Node) (evalFn, typ) {
	if c.scope.mode != modeSay && c.scope.mode != modeFree {
		c.fail(n, "text functions belong into say and advice")
		return nothing, typText
	}
	x := c.of(arg, typNumber)
	return func(f *frame) value {
		v, ok := x(f).exact()
		if !ok {
			return value{}
		}
		return words(fn(v))
	}, typText
}

// formatDuration writes seconds as people do: 4 m 12 s, 3 h, 0.25 s.
func formatDuration(seconds float64) string {
	if seconds < 0 {
		return "-" + formatDuration(-seconds)
	}
	switch {
	case seconds > 0 && seconds < 1e-4:
		return "less than 0.1 ms"
	case seconds > 0 && seconds < 0.1:
		return formatNumber(seconds*1000) + " ms"
	case seconds < 10 && seconds != math.Trunc(seconds):
		return formatNumber(seconds) + " s"
	}
	total := int64(math.Round(math.Min(seconds, 1e12)))
	units := []struct {
		size int64
		name string
	}{{86400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}}
	for i, u := range units {
		if total < u.size {
			continue
		}
		out := fmt.Sprintf("%d %s", total/u.size, u.name)
		if i+1 < len(units) {
			if rest := total % u.size / units[i+1].size; rest > 0 {
				out += fmt.Sprintf(" %d %s", rest, units[i+1].name)
			}
		}
		return out
	}
	return "0 s"
}

// formatPercent writes a ratio as a percentage.
func formatPercent(ratio float64) string { return formatNumber(ratio*100) + " %" }

// formatBytes writes bytes in binary units.
func formatBytes(n float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for math.Abs(n) >= 1024 && i < len(units)-1 {
		n, i = n/1024, i+1
	}
	return formatNumber(n) + " " + units[i]
}

// formatNumber writes whole numbers whole and others with three significant digits.
func formatNumber(n float64) string {
	if n == math.Trunc(n) && math.Abs(n) < 1e15 {
		return strconv.FormatFloat(n, 'f', 0, 64)
	}
	if math.Abs(n) >= 100 {
		return strconv.FormatFloat(n, 'f', 0, 64)
	}
	s := strconv.FormatFloat(n, 'g', 3, 64)
	if !strings.Contains(s, "e") {
		return s
	}
	return strconv.FormatFloat(n, 'g', 3, 64)
}

// formatWindow writes a window without a space: 5m, 90s.
func formatWindow(d time.Duration) string {
	return strings.ReplaceAll(formatDuration(d.Seconds()), " ", "")
}
