package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// identifier resolves a bare name by the scope's mode.
func (c *compiler) identifier(n *ast.IdentifierNode) (evalFn, typ) {
	name := n.Value
	switch c.scope.mode {
	case modeFilter:
		c.uses.attrs[name] = true
		return func(f *frame) value { return f.attribute(name) }, typAny
	case modeAtoms:
		c.uses.atoms[name] = true
		return func(f *frame) value { return f.fact(name) }, typBool
	case modeFree:
		c.uses.attrs[name] = true
		return func(f *frame) value { return f.named(name) }, typAny
	}
	switch name {
	case "unknown":
		return nothing, typAny
	case "window_seconds":
		return func(f *frame) value { return num(f.window.Seconds()) }, typNumber
	case "interval_seconds":
		return func(f *frame) value { return num(f.phase.scope.Interval.Seconds()) }, typNumber
	}
	if sig, ok := c.scope.signals[string(c.scope.entity)+"."+name]; ok {
		c.uses.signals[name] = sig
		return func(f *frame) value { return f.signal(sig, f.entity) }, typNumber
	}
	if c.scope.mode == modeSay {
		if _, isKind := entityLabels[streamkeeper.EntityKind(name)]; isKind || slices.Contains(sayNames, name) || c.scope.attrs[name] {
			return func(f *frame) value { return f.named(name) }, typAny
		}
	}
	if c.scope.mode == modeSay && c.scope.events && nearest(name, c.candidates()) == "" {
		return func(f *frame) value { return f.named(name) }, typAny
	}
	c.fail(n, "%s", c.unknownName(name))
	return nothing, typAny
}

// sayNames are names that text may use besides signals and attributes.
var sayNames = []string{"entity", "window", "locus"}

func (c *compiler) unknownName(name string) string {
	msg := fmt.Sprintf("no signal %s on a %s", name, c.scope.entity)
	for key := range c.scope.signals {
		if kind, rest, _ := strings.Cut(key, "."); rest == name {
			return fmt.Sprintf("%s (write %s.%s for the related %s)", msg, kind, name, kind)
		}
	}
	if near := nearest(name, c.candidates()); near != "" {
		msg += fmt.Sprintf(" (do you mean %s?)", near)
	}
	return msg
}

func (c *compiler) candidates() []string {
	var out []string
	for key := range c.scope.signals {
		if kind, rest, _ := strings.Cut(key, "."); kind == string(c.scope.entity) {
			out = append(out, rest)
		}
	}
	return out
}

// member reads a signal of related entities: the largest of them.
func (c *compiler) member(n *ast.MemberNode) (evalFn, typ) {
	if c.scope.mode == modeFree {
		return c.freeMember(n)
	}
	sig, kind, ok := c.related(n)
	if !ok {
		return nothing, typNumber
	}
	if kind == c.scope.entity {
		return func(f *frame) value { return f.signal(sig, f.entity) }, typNumber
	}
	return func(f *frame) value { return f.related(sig, kind, "max_of") }, typNumber
}

// freeMember is the name kind.signal in a text of a cause.
func (c *compiler) freeMember(n *ast.MemberNode) (evalFn, typ) {
	owner, isName := n.Node.(*ast.IdentifierNode)
	property, isText := n.Property.(*ast.StringNode)
	if !isName || !isText || n.Method {
		c.fail(n, "want kind.signal, as in topic.produce_rate")
		return nothing, typAny
	}
	name := owner.Value + "." + property.Value
	c.uses.attrs[name] = true
	return func(f *frame) value { return f.named(name) }, typAny
}

// related resolves kind.signal. Inside a filter, where bare names are event attributes, the rule's own
// kind is allowed too.
func (c *compiler) related(n ast.Node) (*Signal, streamkeeper.EntityKind, bool) {
	m, ok := n.(*ast.MemberNode)
	if !ok {
		c.fail(n, "want kind.signal, as in topic.produce_rate")
		return nil, "", false
	}
	owner, isName := m.Node.(*ast.IdentifierNode)
	property, isText := m.Property.(*ast.StringNode)
	if !isName || !isText || m.Method || c.scope.mode == modeFree || c.scope.mode == modeAtoms {
		c.fail(n, "want kind.signal, as in topic.produce_rate")
		return nil, "", false
	}
	kind, err := parseEntityKind(owner.Value)
	if err != nil {
		c.fail(owner, "%s", err)
		return nil, "", false
	}
	own := kind == c.scope.entity
	if own && c.scope.mode != modeFilter {
		c.fail(n, "this rule is about a %s: write %s alone", kind, property.Value)
		return nil, "", false
	}
	key := owner.Value + "." + property.Value
	sig, ok := c.scope.signals[key]
	if !ok {
		sub := &compiler{scope: scope{entity: kind, signals: c.scope.signals}}
		c.fail(m.Property, "%s", sub.unknownName(property.Value))
		return nil, "", false
	}
	if own {
		key = property.Value
	}
	c.uses.signals[key] = sig
	return sig, kind, true
}

// nearest is the candidate closest to name by edit distance, "" when none is close.
func nearest(name string, candidates []string) string {
	best, bestCost := "", min(len(name)/3+1, 4)
	for _, c := range candidates {
		if cost := editDistance(name, c); cost < bestCost || cost == bestCost && c < best {
			best, bestCost = c, cost
		}
	}
	return best
}

func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		prev := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := prev
			if a[i-1] != b[j-1] {
				cost = 1 + min(prev, row[j], row[j-1])
			}
			prev, row[j] = row[j], cost
		}
	}
	return row[len(b)]
}
