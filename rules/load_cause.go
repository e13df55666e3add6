package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

type causeYAML struct {
	ID            string              `yaml:"id"`
	Title         string              `yaml:"title"`
	Summary       string              `yaml:"summary"`
	Category      string              `yaml:"category"`
	Entity        string              `yaml:"entity"`
	Locus         string              `yaml:"locus"`
	Prior         string              `yaml:"prior"`
	Benign        bool                `yaml:"benign"`
	Severity      string              `yaml:"severity"`
	Loss          bool                `yaml:"loss"`
	Requires      string              `yaml:"requires"`
	Effects       map[string]edgeYAML `yaml:"effects"`
	Evidence      map[string]edgeYAML `yaml:"evidence"`
	ConsequenceOf map[string]string   `yaml:"consequence_of"`
	Scale         string              `yaml:"scale"`
	ScaleWhy      string              `yaml:"scale_why"`
	Contradicted  []string            `yaml:"contradicted_by"`
	LeadsChain    bool                `yaml:"leads_chain"`
	Until         *untilYAML          `yaml:"until"`
	AnswerSets    []answerSetYAML     `yaml:"answer_sets"`
	Advice        []adviceYAML        `yaml:"advice"`
	Trigger       []triggerYAML       `yaml:"trigger"`
	References    []string            `yaml:"references"`
}

// edgeYAML is {chance, after, applies_when}, or the bare word of the chance.
type edgeYAML struct {
	Chance      string `yaml:"chance"`
	After       string `yaml:"after"`
	AppliesWhen string `yaml:"applies_when"`
	node        ast.Node
}

// UnmarshalYAML keeps the node: it is decoded strictly later, where mistakes can be placed.
func (e *edgeYAML) UnmarshalYAML(n ast.Node) error {
	e.node = n
	return nil
}

type untilYAML struct {
	HoldsWhile []string `yaml:"holds_while"`
	EndsWhen   []string `yaml:"ends_when"`
}

type answerSetYAML struct {
	With []string `yaml:"with"`
	When string   `yaml:"when"`
	Part string   `yaml:"part"`
}

type triggerYAML struct {
	Kind string `yaml:"kind"`
	Node string `yaml:"node"`
	Say  string `yaml:"say"`
}

type adviceYAML struct {
	Do          string      `yaml:"do"`
	Needs       []string    `yaml:"needs"`
	Formula     string      `yaml:"formula"`
	Find        string      `yaml:"find"`
	Why         string      `yaml:"why"`
	Risk        string      `yaml:"risk"`
	Command     string      `yaml:"command"`
	AppliesWhen string      `yaml:"applies_when"`
	Verify      *verifyYAML `yaml:"verify"`
}

type verifyYAML struct {
	Clears string `yaml:"clears"`
	Within string `yaml:"within"`
}

var (
	scales       = []string{"", "forbid", "allow", "after"}
	triggerKinds = []string{"deploy", "traffic", "config", "dependency"}
)

func (l *loader) loadCauses() {
	sources := map[string]causeYAML{}
	for _, id := range sortedKeys(l.files["causes"]) {
		src := l.files["causes"][id]
		var y causeYAML
		if err := src.decode(src.root, &y); err != nil {
			l.fail(err)
			continue
		}
		sources[id] = y
		if k := l.loadCause(id, src, &y); k != nil {
			l.catalog.causes[id] = k
		}
	}
	for _, id := range sortedKeys(sources) {
		l.checkCauseReferences(l.files["causes"][id], sources[id])
	}
}

func (l *loader) loadCause(id string, src *source, y *causeYAML) *Cause {
	k := &Cause{
		ID: id, Title: y.Title, Summary: y.Summary, Category: y.Category, Locus: y.Locus, Benign: y.Benign, Loss: y.Loss, Requires: y.Requires,
		Scale: y.Scale, ScaleWhy: y.ScaleWhy, References: y.References, File: src.file, ConsequenceOf: map[string]float64{},
		src: src, reads: map[string]*Signal{}, names: map[string]bool{},
	}
	l.causeHeader(k, src, y)
	l.loadEdges(k, src, "effects", y.Effects)
	l.loadEdges(k, src, "evidence", y.Evidence)
	slices.SortFunc(k.Edges, func(a, b Edge) int { return strings.Compare(a.Node, b.Node) })
	if len(k.Edges) == 0 {
		l.fail(src.errorAt(src.at("id"), "%s has no effects and no evidence", id))
	}
	for _, root := range sortedKeys(y.ConsequenceOf) {
		p, err := parseChance(y.ConsequenceOf[root])
		if err != nil {
			l.fail(src.errorAt(src.at("consequence_of", root), "%s", err))
		}
		k.ConsequenceOf[root] = p
	}
	k.Contradicted, k.LeadsChain = y.Contradicted, y.LeadsChain
	if y.Until != nil {
		k.HoldsWhile, k.EndsWhen = y.Until.HoldsWhile, y.Until.EndsWhen
	}
	for i, a := range y.AnswerSets {
		l.atomExpression(src, a.When, "answer_sets", fmt.Sprint(i), "when")
		k.AnswerSets = append(k.AnswerSets, AnswerSet(a))
	}
	for i, t := range y.Trigger {
		if !slices.Contains(triggerKinds, t.Kind) {
			l.fail(src.errorAt(src.at("trigger", fmt.Sprint(i), "kind"), "trigger kind %q: want %s", t.Kind, strings.Join(triggerKinds, ", ")))
		}
		l.freeTemplate(k, src, t.Say, "trigger", fmt.Sprint(i), "say")
		k.Triggers = append(k.Triggers, TriggerRule(t))
	}
	k.Advice = l.loadAdvice(k, src, y.Advice)
	l.findReads(k)
	return k
}

// causeHeader checks the plain keys.
func (l *loader) causeHeader(k *Cause, src *source, y *causeYAML) {
	var err error
	if y.ID != k.ID {
		l.fail(src.errorAt(src.at("id"), "id %q: the file name promises %s", y.ID, k.ID))
	}
	if k.ID == streamkeeper.CauseOther {
		l.fail(src.errorAt(src.at("id"), "%q is the cause that no file describes", k.ID))
	}
	if k.Entity, err = parseEntityKind(y.Entity); err != nil {
		l.fail(src.errorAt(src.at("entity"), "%s", err))
	}
	if y.Title == "" || y.Category == "" || y.Summary == "" {
		l.fail(src.errorAt(src.at("id"), "%s needs a title, a summary and a category", k.ID))
	}
	if k.Prior, err = parsePrior(y.Prior); err != nil {
		l.fail(src.errorAt(src.at("prior"), "%s", err))
	}
	if k.Severity, err = parseSeverity(y.Severity); err != nil {
		l.fail(src.errorAt(src.at("severity"), "%s", err))
	}
	if !slices.Contains(scales, y.Scale) {
		l.fail(src.errorAt(src.at("scale"), "scale %q: want forbid, allow or after", y.Scale))
	}
	if y.Until != nil && !y.Benign {
		l.fail(src.errorAt(src.keyAt("until"), "until belongs to benign causes"))
	}
	l.atomExpression(src, y.Requires, "requires")
	l.freeTemplate(k, src, y.Summary, "summary")
	l.freeTemplate(k, src, y.ScaleWhy, "scale_why")
}

// loadEdges reads effects or evidence.
func (l *loader) loadEdges(k *Cause, src *source, folder string, edges map[string]edgeYAML) {
	for _, id := range src.keys(folder) {
		y := edges[id]
		if y.node == nil {
			l.fail(src.errorAt(src.keyAt(folder, id), "want a chance, as in %s: usually", id))
			continue
		}
		if s, ok := y.node.(*ast.StringNode); ok {
			y.Chance = s.Value
		} else {
			type plain edgeYAML
			if err := src.decode(y.node, (*plain)(&y)); err != nil {
				l.fail(err)
				continue
			}
		}
		if e, ok := l.loadEdge(src, folder, id, y); ok {
			if slices.ContainsFunc(k.Edges, func(o Edge) bool { return o.Node == id }) {
				l.fail(src.errorAt(src.keyAt(folder, id), "%s is named twice", id))
				continue
			}
			k.Edges = append(k.Edges, e)
		}
	}
}

func (l *loader) loadEdge(src *source, folder, id string, y edgeYAML) (Edge, bool) {
	n, ok := l.catalog.nodes[id]
	if !ok {
		if !l.fileExists(id) {
			l.fail(src.errorAt(src.keyAt(folder, id), "%s", l.unknownNode(id)))
		}
		return Edge{}, false
	}
	if n.Cost || n.Symptom != (folder == "effects") {
		l.fail(src.errorAt(src.keyAt(folder, id), "%s lives in %s: symptoms go under effects, evidence under evidence", id, n.File))
		return Edge{}, false
	}
	e := Edge{Node: id, Word: y.Chance, After: n.Delay, AppliesWhen: y.AppliesWhen, Symptom: n.Symptom}
	var err error
	if e.Chance, err = parseChance(y.Chance); err != nil {
		l.fail(src.errorAt(src.at(folder, id, "chance"), "%s", err))
	}
	if y.After != "" {
		if e.After, err = parseRange(y.After); err != nil {
			l.fail(src.errorAt(src.at(folder, id, "after"), "%s", err))
		}
	}
	l.atomExpression(src, y.AppliesWhen, folder, id, "applies_when")
	return e, true
}

// fileExists tells a node that failed to load from one that is not there.
func (l *loader) fileExists(id string) bool {
	return l.broken[id] || l.files["symptoms"][id] != nil || l.files["evidence"][id] != nil || l.files["cost"][id] != nil
}

func (l *loader) loadAdvice(k *Cause, src *source, list []adviceYAML) []AdviceTemplate {
	var out []AdviceTemplate
	for i, y := range list {
		at := func(key ...string) []string { return append([]string{"advice", fmt.Sprint(i)}, key...) }
		if y.Do == "" || y.Why == "" || y.Risk == "" {
			l.fail(src.errorAt(src.at(at()...), "advice needs do, why and risk"))
		}
		for key, text := range map[string]string{"do": y.Do, "why": y.Why, "risk": y.Risk, "command": y.Command} {
			l.freeTemplate(k, src, text, at(key)...)
		}
		l.atomExpression(src, y.AppliesWhen, at("applies_when")...)
		for _, name := range y.Needs {
			k.names[name] = true
		}
		if len(y.Needs) > 0 && y.Formula == "" {
			l.fail(src.errorAt(src.at(at("needs")...), "advice with needs wants a formula, to print when an input is missing"))
		}
		a := AdviceTemplate{
			Do: y.Do, Needs: y.Needs, Formula: y.Formula, Find: y.Find, Why: y.Why, Risk: y.Risk, Command: y.Command, AppliesWhen: y.AppliesWhen,
		}
		if y.Verify != nil {
			d, err := parseDuration(y.Verify.Within)
			if err != nil {
				l.fail(src.errorAt(src.at(at("verify", "within")...), "%s", err))
			}
			a.Verify = &VerifyTemplate{Clears: y.Verify.Clears, Within: d}
			l.checkNode(src, y.Verify.Clears, at("verify", "clears")...)
		}
		out = append(out, a)
	}
	return out
}

// freeTemplate compiles a text whose names are given at render time, to find mistakes early and to know
// its names.
func (l *loader) freeTemplate(k *Cause, src *source, text string, path ...string) {
	if text == "" {
		return
	}
	t, err := compileTemplate(text, scope{mode: modeFree})
	if err != nil {
		l.fail(src.errorAt(src.inside(err.offset, path...), "%s", err.text))
		return
	}
	for name := range t.uses.attrs {
		k.names[name] = true
	}
}

// findReads finds the signals that the cause's texts name: its suspects are asked for them.
func (l *loader) findReads(k *Cause) {
	for name := range k.names {
		key := name
		if !strings.Contains(name, ".") {
			key = string(k.Entity) + "." + name
		}
		if sig, ok := l.catalog.signals[key]; ok {
			k.reads[name] = sig
		}
	}
}

func (l *loader) checkNode(src *source, id string, path ...string) {
	if _, ok := l.catalog.nodes[id]; !ok && !l.fileExists(id) {
		l.fail(src.errorAt(src.at(path...), "%s", l.unknownNode(id)))
	}
}

// checkCauseReferences checks names of other causes and nodes once all causes are known.
func (l *loader) checkCauseReferences(src *source, y causeYAML) {
	known := sortedKeys(l.files["causes"])
	cause := func(id string, p position) {
		if _, ok := l.files["causes"][id]; ok || l.broken[id] {
			return
		}
		msg := "no cause " + id
		if near := nearest(id, known); near != "" {
			msg += fmt.Sprintf(" (do you mean %s?)", near)
		}
		l.fail(src.errorAt(p, "%s", msg))
	}
	for _, id := range sortedKeys(y.ConsequenceOf) {
		cause(id, src.keyAt("consequence_of", id))
	}
	for i, set := range y.AnswerSets {
		for j, id := range set.With {
			cause(id, src.at("answer_sets", fmt.Sprint(i), "with", fmt.Sprint(j)))
		}
	}
	for i, t := range y.Trigger {
		l.checkNode(src, t.Node, "trigger", fmt.Sprint(i), "node")
	}
	for i, id := range y.Contradicted {
		l.checkNode(src, id, "contradicted_by", fmt.Sprint(i))
	}
	if y.Until != nil {
		for i, id := range y.Until.HoldsWhile {
			l.checkNode(src, id, "until", "holds_while", fmt.Sprint(i))
		}
		for i, id := range y.Until.EndsWhen {
			l.checkNode(src, id, "until", "ends_when", fmt.Sprint(i))
		}
	}
}
