package rules

import (
	"fmt"
	"slices"
	"strings"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

type exampleYAML struct {
	Name   string            `yaml:"name"`
	Step   string            `yaml:"step"`
	For    string            `yaml:"for"`
	Given  map[string]string `yaml:"given"`
	Events *[]string         `yaml:"events"`
	Facts  *[]string         `yaml:"facts"`
	Then   string            `yaml:"then"`
}

// ExampleResult is the outcome of one example of a rule file.
type ExampleResult struct {
	Node   string
	Name   string
	File   string
	Line   int
	Passed bool
	Text   string // what happened instead; empty when it passed
}

const (
	// defaultStep is the embedded scrape interval.
	defaultStep = 5 * time.Second
	// maxSteps bounds one example.
	maxSteps = 20_000
)

// outcomes that an example may expect.
const (
	outcomeFires         = "fires"
	outcomeQuiet         = "quiet"
	outcomeUnknown       = "unknown"
	outcomeNotApplicable = "not applicable"
)

// example is one compiled example.
type example struct {
	node    *Node
	name    string
	file    string
	line    int
	step    time.Duration
	steps   int
	given   map[string][]sample
	events  []streamkeeper.Event
	told    bool                          // an event source is there at all
	kafka   bool                          // only the protocol collector tells events
	facts   map[string]streamkeeper.State // nil: every atom that the node needs holds
	outcome string
	at      time.Duration // outcomeFires
}

// exampleStart is when examples begin; any moment serves.
var exampleStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const exampleCluster = "example"

// exampleEntity is the entity of a kind in examples. Its name is the kind's, so that text reads well.
func exampleEntity(k streamkeeper.EntityKind) streamkeeper.Entity {
	if k == streamkeeper.KindCluster {
		return clusterEntity(exampleCluster)
	}
	return streamkeeper.Entity{Kind: k, Name: string(k) + "-1", Cluster: exampleCluster}
}

func (l *loader) loadExamples(src *source, n *Node, list []exampleYAML) {
	for i, y := range list {
		x := &example{node: n, name: y.Name, file: src.file, line: src.at("examples", fmt.Sprint(i)).line, step: defaultStep, given: map[string][]sample{}}
		c := &exampleLoader{loader: l, src: src, x: x, path: []string{"examples", fmt.Sprint(i)}}
		c.load(y)
		l.catalog.examples = append(l.catalog.examples, x)
	}
}

// exampleLoader keeps where in the file an example is.
type exampleLoader struct {
	*loader
	src  *source
	x    *example
	path []string
}

func (c *exampleLoader) at(keys ...string) position {
	return c.src.at(append(slices.Clone(c.path), keys...)...)
}

func (c *exampleLoader) failAt(p position, format string, args ...any) {
	c.fail(c.src.errorAt(p, format, args...))
}

func (c *exampleLoader) load(y exampleYAML) {
	x := c.x
	if y.Name == "" {
		c.failAt(c.at(), "an example needs a name that says why")
	}
	if y.Step != "" {
		d, err := parseDuration(y.Step)
		if err != nil || d <= 0 {
			c.failAt(c.at("step"), "step %q: want for example 15s", y.Step)
		} else {
			x.step = d
		}
	}
	end := c.loadGiven(y.Given)
	end = max(end, c.loadEvents(y.Events))
	c.loadFacts(y.Facts)
	end = max(end, c.loadThen(y.Then))
	if y.For != "" {
		d, err := parseDuration(y.For)
		if err != nil {
			c.failAt(c.at("for"), "%s", err)
		}
		end = d
	}
	x.steps = int(end/x.step) + 1
	if end%x.step != 0 {
		x.steps++
	}
	if x.steps > maxSteps {
		c.failAt(c.at(), "the example has %d steps: at most %d", x.steps, maxSteps)
		x.steps = 1
	}
}

func (c *exampleLoader) loadGiven(given map[string]string) (end time.Duration) {
	for _, name := range c.src.keys(append(slices.Clone(c.path), "given")...) {
		at := c.at("given", name)
		key := name
		if !strings.Contains(name, ".") {
			key = string(c.x.node.Entity) + "." + name
		}
		if _, ok := c.catalog.signals[key]; !ok {
			c.failAt(c.src.keyAt(append(slices.Clone(c.path), "given", name)...), "%s",
				(&compiler{scope: scope{entity: c.x.node.Entity, signals: c.catalog.signals}}).unknownName(name))
			continue
		}
		series, err := parseSeries(given[name])
		if err != nil {
			c.failAt(at, "%s", err)
			continue
		}
		c.x.given[key] = series
		end = max(end, time.Duration(len(series)-1)*c.x.step)
	}
	return end
}

func (c *exampleLoader) loadEvents(lines *[]string) (end time.Duration) {
	if lines == nil {
		return 0
	}
	x := c.x
	x.told, x.kafka = true, len(*lines) > 0
	for i, line := range *lines {
		e, after, err := parseEventLine(line)
		if err != nil {
			c.failAt(c.at("events", fmt.Sprint(i)), "%s", err)
			continue
		}
		e.Entity = exampleEntity(x.node.Entity)
		e.Seq = uint64(i + 1)
		x.kafka = x.kafka && isKafkaEvent(e.Kind)
		x.events = append(x.events, e)
		end = max(end, after)
	}
	return end
}

func (c *exampleLoader) loadFacts(facts *[]string) {
	if facts == nil {
		return
	}
	c.x.facts = map[string]streamkeeper.State{}
	for i, f := range *facts {
		state, name := streamkeeper.Present, strings.TrimSpace(f)
		if rest, ok := strings.CutPrefix(name, "not "); ok {
			state, name = streamkeeper.Absent, rest
		} else if rest, ok := strings.CutSuffix(name, "?"); ok {
			state, name = streamkeeper.Unknown, rest
		}
		if !namePattern.MatchString(name) {
			c.failAt(c.at("facts", fmt.Sprint(i)), "fact %q: want classic, not classic, or classic? when it is not known", f)
		}
		c.x.facts[name] = state
	}
}

func (c *exampleLoader) loadThen(then string) time.Duration {
	switch then {
	case outcomeQuiet, outcomeUnknown, outcomeNotApplicable:
		c.x.outcome = then
		return 0
	}
	if rest, ok := strings.CutPrefix(then, "fires at "); ok {
		if d, err := parseDuration(rest); err == nil {
			c.x.outcome, c.x.at = outcomeFires, d
			return d
		}
	}
	c.failAt(c.at("then"), "then %q: want fires at 2m, quiet, unknown or not applicable", then)
	return 0
}

// Test runs every example and says how each went, in file order.
func (c *Catalog) Test() []ExampleResult {
	out := make([]ExampleResult, 0, len(c.examples))
	for _, x := range c.examples {
		r := ExampleResult{Node: x.node.ID, Name: x.name, File: x.file, Line: x.line}
		r.Text = c.run(x)
		r.Passed = r.Text == ""
		out = append(out, r)
	}
	return out
}

// run evaluates the node at every step and compares with what is expected.
func (c *Catalog) run(x *example) string {
	if x.node.program.when == nil {
		return "the rule did not compile"
	}
	var last streamkeeper.Observation
	for i := range x.steps {
		t := time.Duration(i) * x.step
		last = c.judgeExample(x, i)
		switch {
		case x.outcome == outcomeFires && t >= x.at:
			if last.State != streamkeeper.Present {
				return fmt.Sprintf("want fires at %s, got %s", formatWindow(x.at), told(last))
			}
			return ""
		case x.outcome != outcomeFires && last.State == streamkeeper.Present:
			return fmt.Sprintf("want %s, fires at %s: %s", x.outcome, formatWindow(t), last.Text)
		}
	}
	want := map[string]streamkeeper.State{
		outcomeQuiet: streamkeeper.Absent, outcomeUnknown: streamkeeper.Unknown, outcomeNotApplicable: streamkeeper.NotApplicable,
	}[x.outcome]
	if last.State != want {
		return fmt.Sprintf("want %s, at the end it is %s", x.outcome, told(last))
	}
	return ""
}

// told words a state with its reason.
func told(o streamkeeper.Observation) string {
	s := o.State.String()
	if o.Why != "" {
		s += " (" + o.Why + ")"
	}
	if o.Value != nil {
		s += fmt.Sprintf(" (value %s)", formatNumber(*o.Value))
	}
	return s
}

// judgeExample evaluates one step. Masks do not exist in examples: they test one rule alone.
func (c *Catalog) judgeExample(x *example, i int) streamkeeper.Observation {
	s := Scope{Cluster: exampleCluster, Now: exampleStart.Add(time.Duration(i) * x.step), Interval: x.step}
	e := &evaluation{catalog: c, raw: map[NodeOn]streamkeeper.State{}, phase: &phase{
		scope: s, readings: exampleReadings{x, i}, world: exampleWorld{x}, events: newEventIndex(exampleLog{x}, s),
		relation: map[relationKey][]streamkeeper.Entity{},
	}}
	n := *x.node
	n.MaskedBy = nil
	return e.observe(&n, exampleEntity(n.Entity))
}

// exampleReadings gives the example's series at one step.
type exampleReadings struct {
	x *example
	i int
}

func (r exampleReadings) reading(sig *Signal, window time.Duration, _ streamkeeper.Entity) streamkeeper.Value {
	series, ok := r.x.given[string(sig.Entity)+"."+sig.Name]
	if !ok {
		return streamkeeper.NotKnown(streamkeeper.WhyMissing)
	}
	upTo := series[:min(r.i+1, len(series))]
	newest := len(upTo) - 1
	for newest >= 0 && upTo[newest].missing {
		if upTo[newest].stale {
			return streamkeeper.NotKnown(streamkeeper.WhyStale)
		}
		newest--
	}
	if newest < 0 {
		return streamkeeper.NotKnown(streamkeeper.WhyMissing)
	}
	if float64(r.i-newest) > staleAfter {
		return streamkeeper.NotKnown(streamkeeper.WhyStale)
	}
	if sig.Kind == streamkeeper.QueryCount {
		span := int((effective(window, r.x.step) + r.x.step - 1) / r.x.step)
		return streamkeeper.Known(increase(upTo, max(0, r.i-span)))
	}
	v := num(upTo[newest].value)
	if !v.known() {
		return streamkeeper.NotKnown(streamkeeper.WhyNaN)
	}
	return streamkeeper.Known(v.n)
}

// increase is the reset-aware difference of a counter from a step on. As in series.Store, what is missing
// at the first step and appears later was born at zero.
func increase(series []sample, from int) float64 {
	sum, last, alive := 0.0, 0.0, false
	for i, s := range series {
		if s.missing {
			alive = alive && !s.stale
			continue
		}
		switch {
		case i <= from: // what was before the window is where it starts
		case alive && s.value >= last:
			sum += s.value - last
		default: // born, or born again after a reset
			sum += s.value
		}
		last, alive = s.value, true
	}
	return sum
}

// exampleWorld has one entity of each kind.
type exampleWorld struct{ x *example }

func (w exampleWorld) Entities(_ string, k streamkeeper.EntityKind) []streamkeeper.Entity {
	return []streamkeeper.Entity{exampleEntity(k)}
}

func (w exampleWorld) Related(_ streamkeeper.Entity, k streamkeeper.EntityKind) []streamkeeper.Entity {
	return []streamkeeper.Entity{exampleEntity(k)}
}

func (w exampleWorld) Fact(e streamkeeper.Entity, atom string) streamkeeper.State {
	if w.x.facts != nil {
		if s, ok := w.x.facts[atom]; ok {
			return s
		}
		return streamkeeper.Absent
	}
	// without facts: applies_when is taken to hold, with its plain atoms true
	if w.x.node.program.applies != nil && negated(w.x.node.program.applies.tree, atom) {
		return streamkeeper.Absent
	}
	return streamkeeper.Present
}

// exampleLog gives the example's events up to the step that is judged.
type exampleLog struct{ x *example }

func (l exampleLog) Events(_ string, kinds []string, from, to time.Time) []streamkeeper.Event {
	var out []streamkeeper.Event
	for _, e := range l.x.events {
		if slices.Contains(kinds, e.Kind) && !e.At.Before(from) && !e.At.After(to) {
			out = append(out, e)
		}
	}
	return out
}

func (l exampleLog) Covered(_ string, kinds []string, _, _ time.Time) bool {
	return l.x.told && (!l.x.kafka || !slices.ContainsFunc(kinds, func(k string) bool { return !isKafkaEvent(k) }))
}
