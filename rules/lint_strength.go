package rules

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// strengthTries is how many settings of the other signals are tried per ramp.
const strengthTries = 60

// strength checks numerically that a ramp passes one half exactly where the condition flips: with all
// other signals fixed, each signal of the strength is walked over the numbers of both expressions, and
// every flip of the condition is narrowed down. A flip where the ramp is at 0 or 1 is another part of
// the condition at work: there the strength is crisp.
func (l *linter) strength(n *Node) {
	p := n.program
	if p.strength == nil {
		return
	}
	names, values := sortedKeys(p.uses.signals), candidateValues(p.when.tree, p.strength.tree)
	if len(values) == 0 {
		return
	}
	pick := newPicker()
	for range strengthTries {
		r := gridReadings{}
		for _, name := range names {
			r[p.uses.signals[name]] = values[pick(len(values))]
		}
		for _, name := range sortedKeys(p.strength.uses.signals) {
			sig := p.strength.uses.signals[name]
			if text := l.walkRamp(n, r, sig, values); text != "" {
				l.say(RemarkError, "strength", n.src, n.src.at("strength"), "%s (%s): it must be 0.5 exactly where when flips", text, r.text(names, p))
				return
			}
		}
	}
}

// walkRamp moves one signal over the values and judges every flip; "" when all is well. It leaves the
// signal at the place of the mistake.
func (l *linter) walkRamp(n *Node, r gridReadings, sig *Signal, values []float64) string {
	const interior, margin = 0.01, 0.01
	start := r[sig]
	at := func(v float64) (streamkeeper.State, float64) {
		r[sig] = v
		f := l.gridFrame(n, r)
		return n.program.when.eval(f).state(), n.program.strength.eval(f).n
	}
	low, lowStrength := at(values[0])
	for i := 1; i < len(values); i++ {
		high, highStrength := at(values[i])
		if low != high && low != streamkeeper.Unknown && high != streamkeeper.Unknown {
			a, b := values[i-1], values[i]
			for range 50 {
				middle := (a + b) / 2
				if state, _ := at(middle); state == low {
					a = middle
				} else {
					b = middle
				}
			}
			_, s := at(b)
			inside := s > interior && s < 1-interior
			present, absent := highStrength, lowStrength
			if low == streamkeeper.Present {
				present, absent = absent, present
			}
			switch {
			case inside && (s < 0.5-margin || s > 0.5+margin):
				return fmt.Sprintf("strength is %.2f where when flips", s)
			case inside && present < absent-1e-9:
				return "strength falls where when begins to hold"
			}
		}
		low, lowStrength = high, highStrength
	}
	r[sig] = start
	return ""
}

// gridReadings gives chosen values to signals.
type gridReadings map[*Signal]float64

func (r gridReadings) reading(sig *Signal, _ time.Duration, _ streamkeeper.Entity) streamkeeper.Value {
	if v, ok := r[sig]; ok {
		return streamkeeper.Known(v)
	}
	return streamkeeper.NotKnown(streamkeeper.WhyMissing)
}

func (r gridReadings) text(names []string, p *program) string {
	var parts []string
	for _, name := range names {
		parts = append(parts, fmt.Sprintf("%s = %.4g", name, r[p.uses.signals[name]]))
	}
	return strings.Join(parts, ", ")
}

// gridFrame evaluates without events: conditions on events are checked by examples.
func (l *linter) gridFrame(n *Node, r readings) *frame {
	s := Scope{Cluster: exampleCluster, Now: exampleStart, Interval: defaultStep}
	return &frame{
		entity: exampleEntity(n.Entity), asked: n.Window, window: effective(n.Window, s.Interval),
		phase: &phase{
			scope: s, readings: r, world: exampleWorld{&example{node: n}}, events: newEventIndex(nil, s),
			relation: map[relationKey][]streamkeeper.Entity{},
		},
	}
}

// newPicker is a small fixed generator: lint must say the same every time.
func newPicker() func(n int) int {
	state := uint64(88172645463325252)
	return func(n int) int {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		return int(state % uint64(n))
	}
}

// candidateValues are zero and points on and around every number of the expressions, and between pairs
// of them, where ramps have their middle.
func candidateValues(trees ...ast.Node) []float64 {
	var literals []float64
	for _, t := range trees {
		literals = append(literals, numbersIn(t)...)
	}
	slices.Sort(literals)
	literals = slices.Compact(literals)
	if len(literals) > 12 {
		literals = literals[:12]
	}
	out := []float64{0}
	around := func(v float64) {
		for _, f := range []float64{.5, .9, .999, 1, 1.001, 1.1, 2} {
			out = append(out, v*f)
		}
	}
	for i, a := range literals {
		around(a)
		for _, b := range literals[i+1:] {
			around((a + b) / 2)
			around(a * b)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// numbersIn collects the numbers and durations written in an expression.
func numbersIn(n ast.Node) []float64 {
	var out []float64
	walk(n, func(n ast.Node) {
		switch n := n.(type) {
		case *ast.IntegerNode:
			out = append(out, float64(n.Value))
		case *ast.FloatNode:
			out = append(out, n.Value)
		case *ast.CallNode:
			if d, ok := windowArg(n); ok {
				out = append(out, d.Seconds())
			}
		}
	})
	return out
}

// walk visits every node of a tree.
func walk(n ast.Node, visit func(ast.Node)) {
	v := visitor(visit)
	ast.Walk(&n, &v)
}

type visitor func(ast.Node)

// Visit implements ast.Visitor.
func (v *visitor) Visit(n *ast.Node) { (*v)(*n) }

// canonical writes a tree so that equivalent conditions look the same: and, or, == and != sort their
// sides, > is written as <.
func canonical(n ast.Node) string {
	switch n := n.(type) {
	case *ast.UnaryNode:
		op := n.Operator
		if op == "!" {
			op = "not"
		}
		return op + "(" + canonical(n.Node) + ")"
	case *ast.BinaryNode:
		return canonicalBinary(n)
	case *ast.ConditionalNode:
		return "(" + canonical(n.Cond) + " ? " + canonical(n.Exp1) + " : " + canonical(n.Exp2) + ")"
	case *ast.CallNode:
		var args []string
		for _, a := range n.Arguments {
			args = append(args, canonical(a))
		}
		return n.Callee.String() + "(" + strings.Join(args, ", ") + ")"
	}
	return n.String()
}

func canonicalBinary(n *ast.BinaryNode) string {
	op := map[string]string{"&&": "and", "||": "or"}[n.Operator]
	if op == "" {
		op = n.Operator
	}
	a, b := canonical(n.Left), canonical(n.Right)
	switch op {
	case "and", "or", "==", "!=", "+", "*":
		if a > b {
			a, b = b, a
		}
	case ">", ">=":
		a, b, op = b, a, mirrored[op]
	}
	return "(" + a + " " + op + " " + b + ")"
}
