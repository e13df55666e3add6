package rules

import (
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// eventCall is a compiled call of an event function: which events of the entity it looks at.
type eventCall struct {
	kinds  []string
	filter evalFn        // nil: all
	within time.Duration // 0: the node's window
	attrs  []string      // attributes that the filter reads
}

// found is what an event call sees: matching events in time order, how many could not be decided, how
// many there are in all, and whether the sources have told everything of the window.
type found struct {
	match     []*streamkeeper.Event
	undecided int
	all       int
	covered   bool
}

// count is the number of matches: exact when all was covered and decided, a lower bound when not, and
// unknown when nothing matched and something may be missing.
func (r found) bounded(n int) value {
	v := num(float64(n))
	if r.covered && (r.undecided == 0 || n > 0) {
		return v
	}
	if n == 0 {
		return value{}
	}
	v.bound = 1
	return v
}

type eventCompiler func(c *compiler, n ast.Node, name string, args []ast.Node) (evalFn, typ)

var eventFunctions map[string]eventCompiler

func init() {
	eventFunctions = map[string]eventCompiler{
		"events":          compileEvents,
		"distinct":        compileByAttr(distinctValues),
		"most":            compileByAttr(mostOfOne),
		"latest":          compileLatest,
		"age_of":          compileTime(ageOf),
		"span":            compileTime(spanOf),
		"share":           compileTime(shareOf),
		"gap_ratio_share": compileGapRatio,
		"replaced":        compileReplaced,
	}
}

// eventArgs compiles the kinds and the optional tail: a filter, a window, or both.
func (c *compiler) eventArgs(n ast.Node, name string, args []ast.Node, tail int) eventCall {
	call := eventCall{kinds: c.kindsArg(n, name, args, 0)}
	rest := args[min(tail, len(args)):]
	if len(rest) > 2 {
		c.fail(rest[2], "%s() has too many arguments: after the fixed ones come a filter and a window", name)
	}
	for i, arg := range rest {
		if d, ok := windowArg(arg); ok {
			call.within = d
			if i != len(rest)-1 {
				c.fail(arg, "the window comes last")
			}
			continue
		}
		if i > 0 {
			c.fail(arg, "want a window, as in dur(\"2m\")")
		}
		call.filter, call.attrs = c.filterArg(arg)
	}
	return call
}

func (c *compiler) kindsArg(n ast.Node, name string, args []ast.Node, i int) []string {
	s, ok := c.literal(n, name, args, i)
	if !ok {
		return nil
	}
	kinds := strings.Split(s, "|")
	for j, k := range kinds {
		kinds[j] = strings.TrimSpace(k)
		if kinds[j] == "" {
			c.fail(args[i], "event kinds %q: want names joined by |", s)
		}
		c.uses.kinds[kinds[j]] = true
	}
	return kinds
}

// attrArg reads an attribute's name, in quotes or bare.
func (c *compiler) attrArg(n ast.Node, name string, args []ast.Node, i int) string {
	if i < len(args) {
		if id, ok := args[i].(*ast.IdentifierNode); ok {
			c.uses.attrs[id.Value] = true
			return id.Value
		}
	}
	s, _ := c.literal(n, name, args, i)
	c.uses.attrs[s] = true
	return s
}

// windowArg recognises dur("2m"), "2m" and a number of seconds.
func windowArg(n ast.Node) (time.Duration, bool) {
	switch v := n.(type) {
	case *ast.IntegerNode:
		return time.Duration(v.Value) * time.Second, v.Value > 0 && v.Value < 1e8
	case *ast.FloatNode:
		return time.Duration(v.Value * float64(time.Second)), v.Value > 0 && v.Value < 1e8
	}
	s, ok := n.(*ast.StringNode)
	if call, isCall := n.(*ast.CallNode); isCall && len(call.Arguments) == 1 {
		if callee, isName := call.Callee.(*ast.IdentifierNode); isName && callee.Value == "dur" {
			s, ok = call.Arguments[0].(*ast.StringNode)
		}
	}
	if !ok {
		return 0, false
	}
	d, err := parseDuration(s.Value)
	return d, err == nil && d > 0
}

// filterArg compiles a filter, written inline or as text.
func (c *compiler) filterArg(n ast.Node) (evalFn, []string) {
	sub := &compiler{scope: c.scope, uses: newUses(), base: c.base, depth: c.depth}
	sub.scope.mode = modeFilter
	tree := n
	if s, ok := n.(*ast.StringNode); ok {
		if strings.TrimSpace(s.Value) == "" {
			return nil, nil
		}
		var err *compileError
		if tree, err = parse(s.Value); err != nil {
			c.fail(nil, "%s", err.text)
			c.err.offset += n.Location().From + 1 + err.offset
			return nil, nil
		}
		sub.base += n.Location().From + 1
	}
	fn := sub.of(tree, typBool)
	if sub.err != nil && c.err == nil {
		c.err = sub.err
	}
	c.uses.add(sub.uses)
	return fn, sortedKeys(sub.uses.attrs)
}

func compileEvents(c *compiler, n ast.Node, name string, args []ast.Node) (evalFn, typ) {
	call := c.eventArgs(n, name, args, 1)
	return func(f *frame) value {
		r := f.find(&call)
		return r.bounded(len(r.match))
	}, typNumber
}

// compileByAttr compiles functions over the values of one attribute: kinds, attr, filter, window.
func compileByAttr(count func(map[string]int) int) eventCompiler {
	return func(c *compiler, n ast.Node, name string, args []ast.Node) (evalFn, typ) {
		attr := c.attrArg(n, name, args, 1)
		call := c.eventArgs(n, name, args, 2)
		return func(f *frame) value {
			r := f.find(&call)
			byValue := map[string]int{}
			for _, e := range r.match {
				if s, ok := attrText(e, attr); ok {
					byValue[s]++
				}
			}
			return r.bounded(count(byValue))
		}, typNumber
	}
}

func distinctValues(m map[string]int) int { return len(m) }

func mostOfOne(m map[string]int) int {
	best := 0
	for _, n := range m {
		best = max(best, n)
	}
	return best
}

// compileLatest gives an attribute of the newest match; unknown when there is none.
func compileLatest(c *compiler, n ast.Node, name string, args []ast.Node) (evalFn, typ) {
	attr := c.attrArg(n, name, args, 1)
	call := c.eventArgs(n, name, args, 2)
	t := typNumber
	if c.scope.mode == modeSay {
		t = typAny
	}
	return func(f *frame) value {
		r := f.find(&call)
		if len(r.match) == 0 {
			f.note(streamkeeper.WhyMissing, "event "+strings.Join(call.kinds, "|"))
			return value{}
		}
		return attribute(r.match[len(r.match)-1], attr)
	}, t
}

// compileTime compiles functions of kinds, filter, window.
func compileTime(measure func(f *frame, r found) value) eventCompiler {
	return func(c *compiler, n ast.Node, name string, args []ast.Node) (evalFn, typ) {
		call := c.eventArgs(n, name, args, 1)
		return func(f *frame) value { return measure(f, f.find(&call)) }, typNumber
	}
}

func ageOf(f *frame, r found) value {
	if len(r.match) == 0 {
		return value{}
	}
	return num(f.phase.scope.Now.Sub(r.match[len(r.match)-1].At).Seconds())
}

func spanOf(_ *frame, r found) value {
	if len(r.match) == 0 {
		return r.bounded(0)
	}
	v := num(r.match[len(r.match)-1].At.Sub(r.match[0].At).Seconds())
	if !r.covered {
		v.bound = 1
	}
	return v
}

// shareOf is matching over all; unknown when there is none, or when nothing matched and some could not
// be decided.
func shareOf(_ *frame, r found) value {
	if r.all == 0 || len(r.match) == 0 && r.undecided > 0 {
		return value{}
	}
	return num(float64(len(r.match)) / float64(r.all))
}

// compileGapRatio: of the successive gaps between events of one attribute value, which share of the
// ratios (later over earlier) lies in lo..hi. A doubling restart back-off has ratios near 2.
func compileGapRatio(c *compiler, n ast.Node, name string, args []ast.Node) (evalFn, typ) {
	if !c.arity(n, name, args, 4, 6) {
		return nothing, typNumber
	}
	attr := c.attrArg(n, name, args, 1)
	lo, hi := c.of(args[2], typNumber), c.of(args[3], typNumber)
	call := c.eventArgs(n, name, args, 4)
	return func(f *frame) value {
		a, ok1 := lo(f).exact()
		b, ok2 := hi(f).exact()
		if !ok1 || !ok2 {
			return value{}
		}
		return gapRatioShare(f.find(&call).match, attr, a, b)
	}, typNumber
}

func gapRatioShare(events []*streamkeeper.Event, attr string, lo, hi float64) value {
	last, lastGap := map[string]time.Time{}, map[string]float64{}
	gaps, ratios, within := 0, 0, 0
	for _, e := range events {
		who, ok := attrText(e, attr)
		if !ok {
			continue
		}
		if before, ok := last[who]; ok {
			gap := e.At.Sub(before).Seconds()
			gaps++
			if previous := lastGap[who]; previous > 0 {
				ratios++
				if r := gap / previous; r >= lo && r <= hi {
					within++
				}
			}
			lastGap[who] = gap
		}
		last[who] = e.At
	}
	if gaps < 3 || ratios == 0 {
		return value{}
	}
	return num(float64(within) / float64(ratios))
}

func compileReplaced(c *compiler, n ast.Node, name string, args []ast.Node) (evalFn, typ) {
	if !c.arity(n, name, args, 3, 4) {
		return nothing, typNumber
	}
	losses := eventCall{kinds: c.kindsArg(n, name, args, 0)}
	joins := eventCall{kinds: c.kindsArg(n, name, args, 1)}
	attr := c.attrArg(n, name, args, 2)
	if len(args) == 4 {
		d, ok := windowArg(args[3])
		if !ok {
			c.fail(args[3], "want a window, as in dur(\"2m\")")
		}
		losses.within, joins.within = d, d
	}
	return func(f *frame) value {
		l, j := f.find(&losses), f.find(&joins)
		return replacedShare(l.match, j.match, attr)
	}, typNumber
}

// replacedShare is the share of lost members that were replaced exactly once: by themselves after the
// loss, or by one new member (a pod with a new host) that no other loss has claimed.
func replacedShare(losses, joins []*streamkeeper.Event, attr string) value {
	lost, lastLoss := map[string]int{}, map[string]time.Time{}
	var order []string
	for _, e := range losses {
		who, ok := attrText(e, attr)
		if !ok {
			continue
		}
		if lost[who] == 0 {
			order = append(order, who)
		}
		lost[who]++
		lastLoss[who] = e.At
	}
	if len(order) == 0 {
		return value{}
	}
	again, fresh := map[string]int{}, map[string]bool{}
	for _, e := range joins {
		who, ok := attrText(e, attr)
		switch {
		case !ok:
		case lost[who] == 0:
			fresh[who] = true
		case !e.At.Before(lastLoss[who]) || lost[who] > 1:
			again[who]++
		}
	}
	spare, replaced := len(fresh), 0
	for _, who := range order {
		switch {
		case lost[who] != 1 || again[who] > 1:
		case again[who] == 1:
			replaced++
		case spare > 0:
			spare--
			replaced++
		}
	}
	return num(float64(replaced) / float64(len(order)))
}

// attribute is an event's attribute as a value; unknown when the event lacks it. kind, source and
// age_seconds are attributes of every event that does not carry its own.
func attribute(e *streamkeeper.Event, name string) value {
	switch v := e.Attrs[name].(type) {
	case float64:
		return num(v)
	case string:
		return words(v)
	case bool:
		return truth(v)
	case int:
		return num(float64(v))
	case int64:
		return num(float64(v))
	}
	if _, ok := e.Attrs[name]; ok {
		return value{}
	}
	switch name {
	case "kind":
		return words(e.Kind)
	case "source":
		return words(e.Source)
	case "text":
		return words(e.Text)
	}
	return value{}
}

// attrText is an attribute as text, for counting by value.
func attrText(e *streamkeeper.Event, name string) (string, bool) {
	switch v := attribute(e, name); v.kind {
	case text:
		return v.s, v.s != ""
	case number:
		return strconv.FormatFloat(v.n, 'g', -1, 64), true
	case boolean:
		return strconv.FormatBool(v.b), true
	}
	return "", false
}
