package rules

import (
	"errors"
	"fmt"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// mode says what the identifiers of an expression are.
type mode uint8

const (
	modeNode   mode = iota // when, strength: signals of the entity; no defaults allowed
	modeSay                // text of a node: signals, names and event attributes
	modeFilter             // inside an event function: attributes of one event
	modeFree               // advice and cause text: names given at render time
	modeAtoms              // applies_when, requires: context facts
)

// typ is what an expression gives when it is known.
type typ uint8

const (
	typAny typ = iota // an event attribute: decided at run time
	typNumber
	typText
	typBool
)

func (t typ) String() string {
	return [...]string{"anything", "a number", "text", "a condition"}[t]
}

// evalFn evaluates one compiled expression.
type evalFn func(*frame) value

// expression is a compiled expression with what it uses.
type expression struct {
	source string
	tree   ast.Node
	eval   evalFn
	typ    typ
	main   evalFn // left side of the first comparison: the number to show; nil when there is none
	uses   uses
}

// uses collects what an expression reads.
type uses struct {
	signals map[string]*Signal // by name as written: own, or kind.name
	kinds   map[string]bool    // event kinds
	attrs   map[string]bool    // event attributes
	atoms   map[string]bool
}

func newUses() uses {
	return uses{map[string]*Signal{}, map[string]bool{}, map[string]bool{}, map[string]bool{}}
}

func (u uses) add(o uses) {
	for k, v := range o.signals {
		u.signals[k] = v
	}
	for _, p := range [][2]map[string]bool{{u.kinds, o.kinds}, {u.attrs, o.attrs}, {u.atoms, o.atoms}} {
		for k := range p[1] {
			p[0][k] = true
		}
	}
}

// scope is what an expression may name.
type scope struct {
	mode    mode
	entity  streamkeeper.EntityKind
	signals map[string]*Signal // the catalog's, by kind.name
	attrs   map[string]bool    // modeSay: event attributes that the node reads
	events  bool               // modeSay: the node reads events, whose other attributes may be named too
}

// compileError is a mistake in an expression, at a character offset.
type compileError struct {
	offset int
	text   string
}

func (e *compileError) Error() string { return e.text }

// maxNodes bounds one expression; the longest rule needs some fifty.
const maxExpression = 4000

type compiler struct {
	scope scope
	base  int // offset of a nested expression in its parent
	uses  uses
	err   *compileError
	depth int
}

// compile parses an expr expression and turns its tree into three-valued closures. want is the type
// that is required; typAny accepts all.
func compile(source string, sc scope, want typ) (*expression, *compileError) {
	c := &compiler{scope: sc, uses: newUses()}
	tree, err := parse(source)
	if err != nil {
		return nil, err
	}
	fn, t := c.node(tree)
	if c.err == nil && want != typAny && t != want && t != typAny {
		c.fail(tree, "this is %s, want %s", t, want)
	}
	if c.err != nil {
		return nil, c.err
	}
	e := &expression{source: source, tree: tree, eval: fn, typ: t, uses: c.uses}
	e.main = c.mainNumber(tree)
	return e, nil
}

func parse(source string) (ast.Node, *compileError) {
	if len(source) > maxExpression {
		return nil, &compileError{0, fmt.Sprintf("expression of %d bytes: at most %d", len(source), maxExpression)}
	}
	if strings.TrimSpace(source) == "" {
		return nil, &compileError{0, "empty expression"}
	}
	tree, err := parser.Parse(source)
	if err != nil {
		var fe *file.Error
		if errors.As(err, &fe) {
			return nil, &compileError{fe.From, fe.Message}
		}
		return nil, &compileError{0, err.Error()}
	}
	return tree.Node, nil
}

func (c *compiler) fail(n ast.Node, format string, args ...any) {
	if c.err == nil {
		at := c.base
		if n != nil {
			at += n.Location().From
		}
		c.err = &compileError{at, fmt.Sprintf(format, args...)}
	}
}

func nothing(*frame) value { return value{} }

// node compiles one node of the tree.
func (c *compiler) node(n ast.Node) (evalFn, typ) {
	if c.err != nil {
		return nothing, typAny
	}
	if c.depth++; c.depth > 200 {
		c.fail(n, "expression is nested too deeply")
		return nothing, typAny
	}
	defer func() { c.depth-- }()
	switch n := n.(type) {
	case *ast.IntegerNode:
		return constant(num(float64(n.Value))), typNumber
	case *ast.FloatNode:
		return constant(num(n.Value)), typNumber
	case *ast.StringNode:
		return constant(words(n.Value)), typText
	case *ast.BoolNode:
		return constant(truth(n.Value)), typBool
	case *ast.IdentifierNode:
		return c.identifier(n)
	case *ast.MemberNode:
		return c.member(n)
	case *ast.ChainNode:
		return c.node(n.Node)
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ConditionalNode:
		return c.conditional(n)
	case *ast.CallNode:
		callee, ok := n.Callee.(*ast.IdentifierNode)
		if !ok {
			c.fail(n, "only named functions can be called")
			return nothing, typAny
		}
		return c.call(n, callee.Value, n.Arguments)
	case *ast.BuiltinNode:
		return c.call(n, n.Name, n.Arguments)
	}
	c.fail(n, "this form is not part of the condition language")
	return nothing, typAny
}

func constant(v value) evalFn { return func(*frame) value { return v } }

// of compiles n and requires its type.
func (c *compiler) of(n ast.Node, want typ) evalFn {
	fn, t := c.node(n)
	if c.err == nil && t != want && t != typAny {
		c.fail(n, "this is %s, want %s", t, want)
	}
	return fn
}

func (c *compiler) unary(n *ast.UnaryNode) (evalFn, typ) {
	switch n.Operator {
	case "not", "!":
		fn := c.of(n.Node, typBool)
		return func(f *frame) value { return not(fn(f)) }, typBool
	case "-":
		fn := c.of(n.Node, typNumber)
		return func(f *frame) value {
			v := fn(f)
			v.n, v.bound = -v.n, -v.bound
			return v
		}, typNumber
	case "+":
		return c.of(n.Node, typNumber), typNumber
	}
	c.fail(n, "operator %s is not part of the condition language", n.Operator)
	return nothing, typAny
}

var textOperators = map[string]func(a, b string) bool{
	"contains": strings.Contains, "startsWith": strings.HasPrefix, "endsWith": strings.HasSuffix,
}

func (c *compiler) binary(n *ast.BinaryNode) (evalFn, typ) {
	op := n.Operator
	switch op {
	case "and", "&&":
		a, b := c.of(n.Left, typBool), c.of(n.Right, typBool)
		// no short cut around unknown: only a decided left side skips the right one
		return func(f *frame) value {
			v := a(f)
			if v.kind == boolean && !v.b {
				return v
			}
			return and(v, b(f))
		}, typBool
	case "or", "||":
		a, b := c.of(n.Left, typBool), c.of(n.Right, typBool)
		return func(f *frame) value {
			v := a(f)
			if v.kind == boolean && v.b {
				return v
			}
			return or(v, b(f))
		}, typBool
	case "<", "<=", ">", ">=", "==", "!=":
		return c.comparison(n)
	case "+", "-", "*", "/", "%", "**", "^":
		if c.scope.mode == modeAtoms {
			c.fail(n, "atoms take and, or, not only")
		}
		a, b := c.of(n.Left, typNumber), c.of(n.Right, typNumber)
		return func(f *frame) value {
			x, y := a(f), b(f)
			v := arithmetic(op, x, y)
			if v.kind == unknown && x.kind == number && y.kind == number {
				f.note(streamkeeper.WhyNaN, op)
			}
			return v
		}, typNumber
	case "in":
		return c.in(n)
	case "??":
		return c.coalesce(n, []ast.Node{n.Left, n.Right})
	}
	if match, ok := textOperators[op]; ok {
		a, b := c.of(n.Left, typText), c.of(n.Right, typText)
		return func(f *frame) value {
			x, y := a(f), b(f)
			if x.kind != text || y.kind != text {
				return value{}
			}
			return truth(match(x.s, y.s))
		}, typBool
	}
	c.fail(n, "operator %s is not part of the condition language", op)
	return nothing, typAny
}

func (c *compiler) comparison(n *ast.BinaryNode) (evalFn, typ) {
	a, ta := c.node(n.Left)
	b, tb := c.node(n.Right)
	if c.err == nil && c.scope.mode == modeAtoms {
		c.fail(n, "atoms take and, or, not only")
	}
	if c.err == nil && ta != tb && ta != typAny && tb != typAny {
		c.fail(n, "cannot compare %s with %s", ta, tb)
	}
	op := n.Operator
	if c.err == nil && (ta == typText || ta == typBool || tb == typText || tb == typBool) && op != "==" && op != "!=" {
		c.fail(n, "only numbers have an order")
	}
	return func(f *frame) value { return compare(op, a(f), b(f)) }, typBool
}

// in tests membership in a list, or in a closed range of numbers.
func (c *compiler) in(n *ast.BinaryNode) (evalFn, typ) {
	left, t := c.node(n.Left)
	if r, ok := n.Right.(*ast.BinaryNode); ok && r.Operator == ".." {
		lo, hi := c.of(r.Left, typNumber), c.of(r.Right, typNumber)
		return func(f *frame) value {
			v := left(f)
			return and(compare(">=", v, lo(f)), compare("<=", v, hi(f)))
		}, typBool
	}
	list, ok := n.Right.(*ast.ArrayNode)
	if !ok || len(list.Nodes) == 0 {
		c.fail(n.Right, "in wants a list as in ['a', 'b'], or a range as in 1..5")
		return nothing, typBool
	}
	var items []evalFn
	for _, item := range list.Nodes {
		fn, it := c.node(item)
		if c.err == nil && t != it && t != typAny && it != typAny {
			c.fail(item, "cannot compare %s with %s", t, it)
		}
		items = append(items, fn)
	}
	return func(f *frame) value {
		v, out := left(f), truth(false)
		for _, item := range items {
			out = or(out, compare("==", v, item(f)))
		}
		return out
	}, typBool
}

// conditional with an unknown condition is known only when both branches agree.
func (c *compiler) conditional(n *ast.ConditionalNode) (evalFn, typ) {
	cond := c.of(n.Cond, typBool)
	a, ta := c.node(n.Exp1)
	b, tb := c.node(n.Exp2)
	if ta != tb && ta != typAny && tb != typAny {
		c.fail(n, "the branches differ: %s and %s", ta, tb)
	}
	if ta == typAny {
		ta = tb
	}
	return func(f *frame) value {
		switch v := cond(f); {
		case v.kind != boolean:
			if x, y := a(f), b(f); x == y {
				return x
			}
			return value{}
		case v.b:
			return a(f)
		default:
			return b(f)
		}
	}, ta
}

// mainNumber compiles the side of the first comparison that is not a constant.
func (c *compiler) mainNumber(n ast.Node) evalFn {
	switch n := n.(type) {
	case *ast.UnaryNode:
		return c.mainNumber(n.Node)
	case *ast.BinaryNode:
		switch n.Operator {
		case "and", "&&", "or", "||":
			if fn := c.mainNumber(n.Left); fn != nil {
				return fn
			}
			return c.mainNumber(n.Right)
		case "<", "<=", ">", ">=", "==", "!=", "in":
			for _, side := range []ast.Node{n.Left, n.Right} {
				if isConstant(side) {
					continue
				}
				sub := &compiler{scope: c.scope, uses: newUses()}
				if fn, t := sub.node(side); sub.err == nil && t == typNumber {
					return fn
				}
				return nil
			}
		}
	}
	return nil
}

func isConstant(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.StringNode, *ast.BoolNode:
		return true
	case *ast.UnaryNode:
		return isConstant(n.Node)
	case *ast.CallNode:
		callee, ok := n.Callee.(*ast.IdentifierNode)
		return ok && callee.Value == "dur"
	}
	return false
}
