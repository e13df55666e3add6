package rules

import (
	"slices"
	"strings"
	"time"
)

type nodeYAML struct {
	ID          string        `yaml:"id"`
	Entity      string        `yaml:"entity"`
	Title       string        `yaml:"title"`
	Why         string        `yaml:"why"`
	Needs       string        `yaml:"needs"`
	Leak        *float64      `yaml:"leak"`
	Group       string        `yaml:"group"`
	Window      string        `yaml:"window"`
	Delay       string        `yaml:"delay"`
	AppliesWhen string        `yaml:"applies_when"`
	Trigger     bool          `yaml:"trigger"`
	Decisive    bool          `yaml:"decisive"`
	Since       string        `yaml:"since"`
	Lasts       string        `yaml:"lasts"`
	When        string        `yaml:"when"`
	Strength    string        `yaml:"strength"`
	Severity    string        `yaml:"severity"`
	MaskedBy    []string      `yaml:"masked_by"`
	Impact      *impactYAML   `yaml:"impact"`
	Say         string        `yaml:"say"`
	SayNot      string        `yaml:"say_not"`
	Loci        *lociYAML     `yaml:"loci"`
	Advice      []adviceYAML  `yaml:"advice"`
	Examples    []exampleYAML `yaml:"examples"`
}

type impactYAML struct {
	Kind string `yaml:"kind"`
	Text string `yaml:"text"`
}

type lociYAML struct {
	Kind   string `yaml:"kind"`
	From   string `yaml:"from"`
	Attr   string `yaml:"attr"`
	Filter string `yaml:"filter"`
	Within string `yaml:"within"`
}

// attrs splits "topic,partition".
func (y *lociYAML) attrs() []string {
	list := strings.Split(y.Attr, ",")
	for i, a := range list {
		list[i] = strings.TrimSpace(a)
	}
	return list
}

// defaultWindow is the window of a node that does not say.
const defaultWindow = 5 * time.Minute

// program is the compiled part of a node.
type program struct {
	when, strength *expression
	applies        *expression
	say, sayNot    *template
	impact         *template
	carry          []*expression // parts of impact that an observation must carry the value of
	loci           *loci
	uses           uses     // of when, strength, say, impact and loci
	attrs          []string // event attributes to carry along
}

// loci names what a present node points at.
type loci struct {
	kind  string
	call  eventCall
	attrs []string // more than one: joined by -, as in orders-3
}

// nodeLoader keeps one file's context while it is checked.
type nodeLoader struct {
	*loader
	src  *source
	node *Node
	uses uses
}

func (l *loader) loadNode(folder, id string, src *source) *Node {
	var y nodeYAML
	if err := src.decode(src.root, &y); err != nil {
		l.fail(err)
		return nil
	}
	n := &Node{
		ID: id, Title: y.Title, Why: y.Why, Needs: y.Needs, Trigger: y.Trigger, Decisive: y.Decisive, Group: y.Group,
		AppliesWhen: y.AppliesWhen, When: y.When, Strength: y.Strength, Say: y.Say, SayNot: y.SayNot, MaskedBy: y.MaskedBy,
		Symptom: folder == "symptoms", Cost: folder == "cost", Window: defaultWindow, File: src.file, program: &program{}, src: src,
	}
	c := &nodeLoader{loader: l, src: src, node: n, uses: newUses()}
	c.header(folder, &y)
	if n.Entity == "" {
		return n
	}
	c.conditions()
	c.texts(&y)
	c.loci(y.Loci)
	if n.Cost {
		texts := &Cause{Entity: n.Entity, reads: map[string]*Signal{}, names: map[string]bool{}}
		n.Advice = l.loadAdvice(texts, src, y.Advice)
		l.findReads(texts)
		for name, sig := range texts.reads {
			c.uses.signals[name] = sig
		}
	} else if y.Advice != nil {
		l.fail(src.errorAt(src.keyAt("advice"), "advice belongs to causes and cost findings"))
	}
	c.finish()
	if n.Lasts = y.Lasts; n.Lasts != "" && !slices.Contains(n.Signals, n.Lasts) {
		l.fail(src.errorAt(src.at("lasts"), "lasts %q: want a signal of the %s that this file reads", n.Lasts, n.Entity))
	}
	l.loadExamples(src, n, y.Examples)
	return n
}

// header checks everything that is not an expression.
func (c *nodeLoader) header(folder string, y *nodeYAML) {
	n, src := c.node, c.src
	var err error
	if y.ID != n.ID {
		c.fail(src.errorAt(src.at("id"), "id %q: the file name promises %s", y.ID, n.ID))
	}
	if !namePattern.MatchString(n.ID) {
		c.fail(src.errorAt(src.at("id"), "id %q: want lower case letters, digits and _", n.ID))
	}
	if n.Entity, err = parseEntityKind(y.Entity); err != nil {
		c.fail(src.errorAt(src.at("entity"), "%s", err))
	}
	for key, v := range map[string]string{"title": y.Title, "when": y.When, "say": y.Say} {
		if v == "" {
			c.fail(src.errorAt(src.at("id"), "%s needs a %s", n.ID, key))
		}
	}
	switch {
	case y.Leak != nil && (*y.Leak <= 0 || *y.Leak >= 1):
		c.fail(src.errorAt(src.at("leak"), "leak %v: want a probability between 0 and 1", *y.Leak))
	case y.Leak != nil:
		n.Leak = *y.Leak
	case folder != "cost":
		c.fail(src.errorAt(src.at("id"), "%s needs a leak: how often it is true in health", n.ID))
	}
	if n.Severity, err = parseSeverity(y.Severity); err != nil {
		c.fail(src.errorAt(src.at("severity"), "%s", err))
	}
	if y.Window != "" {
		if n.Window, err = parseDuration(y.Window); err != nil || n.Window == 0 {
			c.fail(src.errorAt(src.at("window"), "window %q: want for example 30s, 5m, 24h", y.Window))
			n.Window = defaultWindow
		}
	}
	if y.Delay != "" {
		if n.Delay, err = parseRange(y.Delay); err != nil {
			c.fail(src.errorAt(src.at("delay"), "%s", err))
		}
	}
	switch y.Since {
	case "":
	case "condition":
		n.Undated = true
	default:
		c.fail(src.errorAt(src.at("since"), "since %q: want condition, or leave it out", y.Since))
	}
	c.misplaced(folder, y)
}

// misplaced refuses keys of other kinds of nodes.
func (c *nodeLoader) misplaced(folder string, y *nodeYAML) {
	for key, wrong := range map[string]bool{
		"trigger": y.Trigger && folder != "evidence", "impact": y.Impact != nil && folder != "symptoms",
	} {
		if wrong {
			c.fail(c.src.errorAt(c.src.keyAt(key), "%s does not belong into %s/", key, folder))
		}
	}
}

// expression compiles the text under a key and reports its mistake there.
func (l *loader) expression(src *source, text string, sc scope, want typ, path ...string) *expression {
	e, err := compile(text, sc, want)
	if err != nil {
		l.fail(src.errorAt(src.inside(err.offset, path...), "%s", err.text))
		return nil
	}
	return e
}

// atomExpression compiles an applies_when or requires.
func (l *loader) atomExpression(src *source, text string, path ...string) *expression {
	if text == "" {
		return nil
	}
	e := l.expression(src, text, scope{mode: modeAtoms}, typBool, path...)
	if e != nil {
		l.catalog.atoms[text] = e
	}
	return e
}

func (c *nodeLoader) conditions() {
	p, sc := c.node.program, scope{mode: modeNode, entity: c.node.Entity, signals: c.catalog.signals}
	if c.node.When != "" {
		p.when = c.expression(c.src, c.node.When, sc, typBool, "when")
		c.use(p.when)
	}
	if c.node.Strength != "" {
		p.strength = c.expression(c.src, c.node.Strength, sc, typNumber, "strength")
		c.use(p.strength)
	}
	p.applies = c.atomExpression(c.src, c.node.AppliesWhen, "applies_when")
}

func (c *nodeLoader) use(e *expression) {
	if e != nil {
		c.uses.add(e.uses)
	}
}

// texts compiles say, say_not and impact, which may name signals, attributes and the entity.
func (c *nodeLoader) texts(y *nodeYAML) {
	sc := scope{mode: modeSay, entity: c.node.Entity, signals: c.catalog.signals, attrs: map[string]bool{}, events: len(c.uses.kinds) > 0}
	for a := range c.uses.attrs {
		sc.attrs[a] = true
	}
	if y.Loci != nil {
		for _, a := range y.Loci.attrs() {
			sc.attrs[a] = true
		}
	}
	p := c.node.program
	p.say = c.template(y.Say, sc, "say")
	p.sayNot = c.template(y.SayNot, sc, "say_not")
	if y.Impact != nil {
		if y.Impact.Kind == "" || y.Impact.Text == "" {
			c.fail(c.src.errorAt(c.src.keyAt("impact"), "impact needs a kind and a text"))
		}
		c.node.Impact = &Impact{Kind: y.Impact.Kind, Text: y.Impact.Text}
		p.impact = c.template(y.Impact.Text, sc, "impact", "text")
		p.carry = p.impact.beyondNames()
	}
}

func (c *nodeLoader) template(text string, sc scope, path ...string) *template {
	if text == "" {
		return nil
	}
	t, err := compileTemplate(text, sc)
	if err != nil {
		c.fail(c.src.errorAt(c.src.inside(err.offset, path...), "%s", err.text))
		return nil
	}
	c.uses.add(t.uses)
	return t
}

func (c *nodeLoader) loci(y *lociYAML) {
	if y == nil {
		return
	}
	if y.Kind == "" || y.From == "" || y.Attr == "" {
		c.fail(c.src.errorAt(c.src.keyAt("loci"), "loci needs kind, from (event kinds) and attr"))
		return
	}
	lo := &loci{kind: y.Kind, attrs: y.attrs()}
	for _, k := range strings.Split(y.From, "|") {
		lo.call.kinds = append(lo.call.kinds, strings.TrimSpace(k))
		c.uses.kinds[strings.TrimSpace(k)] = true
	}
	if y.Filter != "" {
		sc := scope{mode: modeFilter, entity: c.node.Entity, signals: c.catalog.signals}
		if e := c.expression(c.src, y.Filter, sc, typBool, "loci", "filter"); e != nil {
			lo.call.filter = e.eval
			c.uses.add(e.uses)
		}
	}
	if y.Within != "" {
		d, err := parseDuration(y.Within)
		if err != nil {
			c.fail(c.src.errorAt(c.src.at("loci", "within"), "%s", err))
		}
		lo.call.within = d
	}
	c.node.program.loci = lo
}

// finish records what the node uses.
func (c *nodeLoader) finish() {
	p := c.node.program
	p.uses = c.uses
	p.attrs = sortedKeys(c.uses.attrs)
	c.node.Signals = sortedKeys(c.uses.signals)
	c.node.EventKinds = sortedKeys(c.uses.kinds)
	slices.Sort(c.node.MaskedBy)
}
