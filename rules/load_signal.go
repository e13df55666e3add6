package rules

import (
	"regexp"
	"strings"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

type signalsYAML struct {
	Entity  string                `yaml:"entity"`
	Signals map[string]signalYAML `yaml:"signals"`
}

type signalYAML struct {
	Unit    string                 `yaml:"unit"`
	Help    string                 `yaml:"help"`
	Kind    string                 `yaml:"kind"`
	Window  string                 `yaml:"window"`
	Queries map[string]dialectYAML `yaml:"queries"`
}

type dialectYAML struct {
	Metric    string   `yaml:"metric"`
	Query     string   `yaml:"query"`
	By        []string `yaml:"by"`
	Aggregate string   `yaml:"aggregate"`
	Fresh     string   `yaml:"fresh"`
	ZeroWhen  string   `yaml:"zero_when"`
	Expect    string   `yaml:"expect"`
}

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// loadSignals takes the signals of one file; those of a later root replace earlier ones by name.
func (l *loader) loadSignals(src *source) {
	var y signalsYAML
	if err := src.decode(src.root, &y); err != nil {
		l.fail(err)
		return
	}
	entity, err := parseEntityKind(y.Entity)
	if err != nil {
		l.fail(src.errorAt(src.at("entity"), "%s", err))
		return
	}
	if id := fileID(src.file); id != y.Entity {
		l.fail(src.errorAt(src.at("entity"), "a signals file is named after its entity: want %s.yaml, got %s.yaml", y.Entity, id))
	}
	for _, name := range src.keys("signals") {
		s, ok := y.Signals[name]
		if !ok {
			continue
		}
		if sig := l.loadSignal(src, entity, name, s); sig != nil {
			l.catalog.signals[string(entity)+"."+name] = sig
		}
	}
}

func (l *loader) loadSignal(src *source, entity streamkeeper.EntityKind, name string, y signalYAML) *Signal {
	sig := &Signal{Name: name, Entity: entity, Unit: y.Unit, Help: y.Help, Kind: streamkeeper.QueryInstant, File: src.file, src: src}
	failed := len(l.errs)
	if !namePattern.MatchString(name) {
		l.fail(src.errorAt(src.keyAt("signals", name), "signal name %q: want lower case letters, digits and _", name))
	}
	if y.Help == "" || y.Unit == "" {
		l.fail(src.errorAt(src.keyAt("signals", name), "signal %s needs a unit and a help", name))
	}
	switch y.Kind {
	case "", "instant":
	case "count":
		sig.Kind = streamkeeper.QueryCount
	default:
		l.fail(src.errorAt(src.at("signals", name, "kind"), "kind %q: want count or instant", y.Kind))
	}
	if y.Window != "" {
		d, err := parseDuration(y.Window)
		if err != nil {
			l.fail(src.errorAt(src.at("signals", name, "window"), "%s", err))
		}
		sig.Window = d
	}
	for _, dialect := range src.keys("signals", name, "queries") {
		if d := l.loadDialect(src, sig, dialect, y.Queries[dialect]); d != nil {
			sig.Dialects = append(sig.Dialects, *d)
		}
	}
	if len(l.errs) > failed {
		// keep the name known, so that rules using it are not blamed as well
		sig.Dialects = nil
	}
	return sig
}

func (l *loader) loadDialect(src *source, sig *Signal, name string, y dialectYAML) *Dialect {
	at := func(key string) position { return src.at("signals", sig.Name, "queries", name, key) }
	d := &Dialect{
		Name: name, Metric: y.Metric, Query: y.Query, By: y.By, Aggregate: y.Aggregate,
		Fresh: y.Fresh, ZeroWhen: y.ZeroWhen, Expect: y.Expect,
	}
	if (y.Metric == "") == (y.Query == "") {
		l.fail(src.errorAt(src.keyAt("signals", sig.Name, "queries", name), "want either metric (a bare selector) or query (a PromQL expression)"))
		return nil
	}
	if sig.Kind == streamkeeper.QueryCount && y.Metric == "" {
		// a count reads raw samples, so its query must be a bare selector
		if !bareSelector.MatchString(strings.TrimSpace(y.Query)) {
			l.fail(src.errorAt(at("query"), "a count wants a bare selector, as in requests_total{$by,code=\"5\"}"))
			return nil
		}
		d.Metric, d.Query = y.Query, ""
	}
	if d.Metric != "" && !bareSelector.MatchString(strings.TrimSpace(d.Metric)) {
		l.fail(src.errorAt(at("metric"), "metric wants a name with optional {labels}; use query for an expression"))
		return nil
	}
	switch y.Aggregate {
	case "":
		d.Aggregate = "max"
	case "max", "min", "sum", "avg":
	default:
		l.fail(src.errorAt(at("aggregate"), "aggregate %q: want max, min, sum or avg", y.Aggregate))
	}
	if len(d.By) == 0 {
		d.By = append([]string{"cluster"}, entityLabels[sig.Entity]...)
	}
	l.checkFreshness(src, d, at)
	d.Metric, d.Fresh, d.Expect = scoped(d.Metric, "$by"), scoped(d.Fresh, "$by"), scoped(d.Expect, "$by")
	d.ZeroWhen = scoped(d.ZeroWhen, "$cluster")
	return d
}

// checkFreshness requires that staleness can be told, and that liveness names a series.
func (l *loader) checkFreshness(src *source, d *Dialect, at func(string) position) {
	if d.Query != "" {
		if !strings.Contains(d.Query, "$by") && !strings.Contains(d.Query, "$cluster") {
			l.fail(src.errorAt(at("query"), "the query needs {$by} (or {$cluster}) in its selectors: it would read all clusters"))
		}
		if d.Fresh == "" {
			l.fail(src.errorAt(at("query"), "the query needs fresh: a bare selector whose sample times tell staleness, or none"))
		}
	}
	switch {
	case d.Fresh == "none":
		d.Fresh = ""
	case d.Fresh == "":
		d.Fresh = d.Metric
	case !bareSelector.MatchString(strings.TrimSpace(d.Fresh)):
		l.fail(src.errorAt(at("fresh"), "fresh wants a bare selector or none"))
	}
	if d.ZeroWhen != "" && len(selectors(d.ZeroWhen)) == 0 {
		l.fail(src.errorAt(at("zero_when"), "zero_when names no series"))
	}
}
