package rules

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// Remark is what Lint has to say about a rule that loads.
type Remark struct {
	Severity RemarkSeverity
	Check    string // which check speaks: leak, strength, examples, separability, ...
	File     string
	Line     int
	Text     string
}

// String is file:line: severity: text (check).
func (r Remark) String() string {
	return fmt.Sprintf("%s:%d: %s: %s (%s)", r.File, r.Line, r.Severity, r.Text, r.Check)
}

// RemarkSeverity tells a mistake from advice.
type RemarkSeverity string

// The severities of remarks: an error must be mended; a warning stands for what is guessed until soak
// and drills have measured it.
const (
	RemarkError   RemarkSeverity = "error"
	RemarkWarning RemarkSeverity = "warning"
)

// LintOptions say how to lint. CheckQuery proves that a PromQL expression parses; nil leaves that out.
// Profiles nil means DefaultProfiles.
type LintOptions struct {
	CheckQuery func(query string) error
	Profiles   []Profile
}

// Lint checks what loads but may still be wrong: probabilities, strengths, examples, unused parts,
// PromQL, and whether causes can be told apart with the telemetry of each profile. Remarks are sorted by
// file and line, errors before warnings.
func (c *Catalog) Lint(o LintOptions) []Remark {
	l := &linter{catalog: c, options: o}
	if l.options.Profiles == nil {
		l.options.Profiles = DefaultProfiles()
	}
	l.nodes()
	l.duplicates()
	l.causes()
	l.usage()
	l.queries()
	for _, p := range l.options.Profiles {
		l.separability(p)
	}
	slices.SortStableFunc(l.remarks, func(a, b Remark) int {
		return cmp.Or(strings.Compare(string(a.Severity), string(b.Severity)), strings.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line), strings.Compare(a.Text, b.Text))
	})
	return l.remarks
}

type linter struct {
	catalog *Catalog
	options LintOptions
	remarks []Remark
}

func (l *linter) say(severity RemarkSeverity, check string, src *source, p position, format string, args ...any) {
	l.remarks = append(l.remarks, Remark{severity, check, src.file, p.line, fmt.Sprintf(format, args...)})
}

func (l *linter) nodes() {
	for _, n := range l.catalog.order {
		l.examples(n)
		l.strength(n)
		if !n.Cost && n.Needs == "" && !n.Symptom {
			l.say(RemarkWarning, "needs", n.src, n.src.at("id"), "%s does not say what would supply it when it is unknown", n.ID)
		}
	}
}

// examples requires one that fires, one that stays quiet and one that is unknown.
func (l *linter) examples(n *Node) {
	seen := map[string]bool{}
	for _, x := range l.catalog.examples {
		if x.node == n {
			seen[x.outcome] = true
		}
	}
	for _, outcome := range []string{outcomeFires, outcomeQuiet, outcomeUnknown} {
		if !seen[outcome] {
			l.say(RemarkError, "examples", n.src, n.src.at("id"), "%s has no example that is %s", n.ID, outcome)
		}
	}
}

// causes checks edges, advice and reachability.
func (l *linter) causes() {
	for _, id := range sortedKeys(l.catalog.causes) {
		k := l.catalog.causes[id]
		reachable := false
		for _, e := range k.Edges {
			n := l.catalog.nodes[e.Node]
			reachable = reachable || n.Symptom || n.Trigger
			if e.Chance < n.Leak {
				folder := map[bool]string{true: "effects", false: "evidence"}[e.Symptom]
				l.say(RemarkError, "leak", k.src, k.src.keyAt(folder, e.Node),
					"%s is true in health with %v, so a chance of %s (%v) under %s says nothing", e.Node, n.Leak, e.Word, e.Chance, id)
			}
		}
		if !reachable {
			l.say(RemarkError, "reach", k.src, k.src.at("id"), "%s has neither a symptom nor a trigger node: nothing makes it a suspect", id)
		}
		l.advice(k)
	}
}

// advice checks that verification waits long enough, and that inputs have a source.
func (l *linter) advice(k *Cause) {
	supplied := l.supplied(k)
	for i, a := range k.Advice {
		at := func(key string) position { return k.src.at("advice", fmt.Sprint(i), key) }
		if v := a.Verify; v != nil {
			n := l.catalog.nodes[v.Clears]
			if wait := n.Window + n.Delay[1]; v.Within <= wait {
				l.say(RemarkError, "verify", k.src, at("verify"),
					"%s looks back %s and may come %s late: verify within more than %s", n.ID, formatWindow(n.Window), formatWindow(n.Delay[1]), formatWindow(wait))
			}
		}
		for _, name := range a.Needs {
			if !supplied[name] && k.reads[name] == nil {
				l.say(RemarkWarning, "inputs", k.src, at("needs"), "%s is no signal of a %s and no attribute of an event that its nodes read", name, k.Entity)
			}
		}
	}
}

// supplied are the names that observations of the cause's nodes carry.
func (l *linter) supplied(k *Cause) map[string]bool {
	out := map[string]bool{string(k.Entity): true, "cluster": true, "entity": true, "locus": true}
	for _, e := range k.Edges {
		n := l.catalog.nodes[e.Node]
		for _, names := range [][]string{n.Signals, n.program.attrs} {
			for _, name := range names {
				out[name] = true
			}
		}
	}
	return out
}

// usage finds nodes that no cause names and signals that nothing reads.
func (l *linter) usage() {
	used, read := map[string]bool{}, map[*Signal]bool{}
	for _, k := range l.catalog.causes {
		for _, e := range k.Edges {
			used[e.Node] = true
		}
		for _, t := range k.Triggers {
			used[t.Node] = true
		}
		for _, list := range [][]string{k.HoldsWhile, k.EndsWhen, k.Contradicted} {
			for _, id := range list {
				used[id] = true
			}
		}
		for _, sig := range k.reads {
			read[sig] = true
		}
	}
	for _, n := range l.catalog.order {
		for _, id := range n.MaskedBy {
			used[id] = true
		}
		for _, sig := range n.program.uses.signals {
			read[sig] = true
		}
	}
	for _, n := range l.catalog.order {
		if !used[n.ID] && !n.Cost && len(l.catalog.causes) > 0 {
			l.say(RemarkWarning, "usage", n.src, n.src.at("id"), "no cause names %s", n.ID)
		}
	}
	for _, key := range sortedKeys(l.catalog.signals) {
		sig := l.catalog.signals[key]
		if !read[sig] {
			l.say(RemarkWarning, "usage", sig.src, sig.src.keyAt("signals", sig.Name), "nothing reads signal %s", sig.Name)
		}
	}
}

// queries proves each dialect's PromQL with the placeholders filled in.
func (l *linter) queries() {
	if l.options.CheckQuery == nil {
		return
	}
	for _, key := range sortedKeys(l.catalog.signals) {
		sig := l.catalog.signals[key]
		for _, limit := range []restriction{nil, {sig.Entity: {"a", "b.c"}}} {
			p := newPlanner(Scope{Cluster: "c", Interval: defaultStep}, limit)
			p.add(need{sig, windowOf(sig, defaultWindow)})
			for _, q := range p.queries {
				err := l.options.CheckQuery(q.Expr)
				if err != nil {
					l.say(RemarkError, "promql", sig.src, sig.src.keyAt("signals", sig.Name), "signal %s: %s: %v", sig.Name, q.Expr, err)
				}
			}
		}
	}
}

// duplicates refuses two nodes that ask the same: they would be counted twice.
func (l *linter) duplicates() {
	first := map[string]*Node{}
	for _, n := range l.catalog.order {
		if n.Cost {
			continue
		}
		key := fmt.Sprintf("%s %s %s %s", n.Entity, n.Window, n.AppliesWhen, canonical(n.program.when.tree))
		if other, ok := first[key]; ok {
			l.say(RemarkError, "duplicate", n.src, n.src.at("when"), "%s asks what %s asks already: %s", n.ID, other.ID, other.When)
			continue
		}
		first[key] = n
	}
}

// holds judges atoms in a profile's context.
func (p Profile) holds(c *Catalog, atoms string) streamkeeper.State {
	return c.Applies(atoms, streamkeeper.Entity{Kind: streamkeeper.KindCluster}, profileWorld{p})
}
