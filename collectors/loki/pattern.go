package loki

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

//go:embed patterns/*.yaml
var files embed.FS

// Pattern is what one kind of line tells. It is data with its proof: Lines were written by real software.
//
// Contains is a literal that every such line has; lines without any pattern's literal are dropped after one scan. Match is
// a regular expression whose named groups become attributes: numbers where numbers says so, x_ms becomes x_s, tp becomes
// topic and partition. Of names one of them for Cases to look at: the first case that matches adds its groups, values and
// facts.
type Pattern struct {
	ID       string          `yaml:"id"`
	Kind     string          `yaml:"kind"`
	Teller   string          `yaml:"teller"` // broker or client
	Library  string          `yaml:"library"`
	Entity   string          `yaml:"entity"` // group, unless it says broker, partition, store or cluster
	Why      string          `yaml:"why"`
	Contains string          `yaml:"contains"`
	Match    string          `yaml:"match"`
	MemberAs string          `yaml:"member_as"` // the attribute that names the member; member by default
	Set      map[string]any  `yaml:"set"`
	Facts    map[string]bool `yaml:"facts"` // what the line proves of its group
	Of       string          `yaml:"of"`
	Cases    []Case          `yaml:"cases"`
	Lines    []Line          `yaml:"lines"`
	match    *regexp.Regexp  // compiled Match
	names    []string        // of the groups of match
}

// Case is one form that an attribute of a pattern takes.
type Case struct {
	Match string          `yaml:"match"`
	Set   map[string]any  `yaml:"set"`
	Facts map[string]bool `yaml:"facts"`
	match *regexp.Regexp
}

// Line is a golden example: a line, the labels of its stream, and the attributes it gives.
type Line struct {
	Line   string            `yaml:"line"`
	Labels map[string]string `yaml:"labels"`
	Gives  map[string]any    `yaml:"gives"`
}

// numbers are the attributes that are numbers; all others are text.
var numbers = []string{"generation", "members", "partition", "offset", "records", "limit"}

// BuiltIn loads the patterns that come with the program.
func BuiltIn() ([]Pattern, error) { return Load(files) }

// Load reads and checks patterns/*.yaml. All that is wrong is told at once.
func Load(fsys fs.FS) ([]Pattern, error) {
	names, err := fs.Glob(fsys, "patterns/*.yaml")
	if err != nil {
		return nil, err
	}
	var out []Pattern
	var errs []error
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		var some []Pattern
		if err := yaml.UnmarshalWithOptions(text, &some, yaml.Strict()); err != nil {
			errs = append(errs, fmt.Errorf("%s:\n%s", name, yaml.FormatError(err, false, true)))
			continue
		}
		for i := range some {
			if err := some[i].compile(); err != nil {
				errs = append(errs, fmt.Errorf("%s: pattern %s: %w", name, some[i].ID, err))
			}
			if slices.ContainsFunc(slices.Concat(out, some[:i]), func(p Pattern) bool { return p.ID == some[i].ID }) {
				errs = append(errs, fmt.Errorf("%s: pattern %s: the id is taken", name, some[i].ID))
			}
		}
		out = append(out, some...)
	}
	if len(out) == 0 {
		errs = append(errs, errors.New("no patterns"))
	}
	return out, errors.Join(errs...)
}

// compile checks one pattern and prepares its expressions.
func (p *Pattern) compile() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if p.ID == "" || p.Kind == "" || p.Why == "" {
		bad("id, kind and why are needed")
	}
	if p.Teller != tellerBroker && p.Teller != tellerClient {
		bad("teller: %q: want broker or client", p.Teller)
	}
	if p.Teller == tellerClient && p.Library == "" {
		bad("library: a client's line names its library")
	}
	if !slices.Contains([]string{"", "group", "broker", "partition", "store", "cluster"}, p.Entity) {
		bad("entity: %q: want group, broker, partition, store or cluster", p.Entity)
	}
	if len(p.Contains) < 10 {
		bad("contains: %q: want a literal of 10 bytes or more, or every line is looked at twice", p.Contains)
	}
	if len(p.Lines) == 0 {
		bad("lines: want at least one real line")
	}
	if (p.Of == "") != (len(p.Cases) == 0) {
		bad("of and cases go together")
	}
	var err error
	if p.match, err = regexp.Compile("(?s)" + p.Match); err != nil || p.Match == "" {
		bad("match: %v", err)
		return errors.Join(errs...)
	}
	p.names = p.match.SubexpNames()
	if p.Of != "" && !slices.Contains(p.names, p.Of) {
		bad("of: match has no group %q", p.Of)
	}
	for i := range p.Cases {
		if p.Cases[i].match, err = regexp.Compile("(?s)" + p.Cases[i].Match); err != nil {
			bad("cases[%d]: %w", i, err)
		}
	}
	for _, set := range append([]map[string]any{p.Set}, setsOf(p.Cases)...) {
		for k, v := range set {
			if value(v) == nil {
				bad("set: %s: want text, a number or a boolean", k)
			}
		}
	}
	return errors.Join(errs...)
}

func setsOf(cases []Case) []map[string]any {
	out := make([]map[string]any, len(cases))
	for i := range cases {
		out[i] = cases[i].Set
	}
	return out
}

// read applies the pattern to a line; nil when the line only has its literal.
func (p *Pattern) read(line string) (attrs map[string]any, facts map[string]bool) {
	m := p.match.FindStringSubmatch(line)
	if m == nil {
		return nil, nil
	}
	attrs = map[string]any{}
	take(attrs, p.names, m)
	if p.Library != "" {
		attrs["library"] = p.Library
	}
	overlay(attrs, p.Set)
	facts = p.Facts
	if p.Of == "" {
		return attrs, facts
	}
	about := m[slices.Index(p.names, p.Of)]
	for i := range p.Cases {
		c := &p.Cases[i]
		if m := c.match.FindStringSubmatch(about); m != nil {
			take(attrs, c.match.SubexpNames(), m)
			overlay(attrs, c.Set)
			if c.Facts != nil {
				facts = c.Facts
			}
			break
		}
	}
	return attrs, facts
}

// take puts the groups of a match among the attributes.
func take(attrs map[string]any, names, groups []string) {
	for i, name := range names {
		text := strings.Clone(trimmed(groups[i]))
		if name == "" || text == "" {
			continue
		}
		switch {
		case name == "tp":
			at := strings.LastIndexByte(text, '-')
			if at <= 0 {
				continue
			}
			if n, err := strconv.ParseUint(text[at+1:], 10, 31); err == nil {
				attrs["topic"], attrs["partition"] = text[:at], float64(n)
			}
		case name == "host":
			attrs[name] = strings.TrimPrefix(text, "/")
		case strings.HasSuffix(name, "_ms"):
			if n, err := strconv.ParseFloat(text, 64); err == nil {
				attrs[strings.TrimSuffix(name, "_ms")+"_s"] = n / 1000
			}
		case slices.Contains(numbers, name):
			if n, err := strconv.ParseFloat(text, 64); err == nil {
				attrs[name] = n
			}
		default:
			attrs[name] = text
		}
	}
}

// trimmed drops what languages write for a missing value and around a present one.
func trimmed(s string) string {
	switch s {
	case "None", "null", "Optional.empty":
		return ""
	}
	if inner, ok := strings.CutPrefix(s, "Some("); ok {
		return strings.TrimSuffix(inner, ")")
	}
	return s
}

func overlay(attrs, set map[string]any) {
	for k, v := range set {
		attrs[k] = value(v)
	}
}

// value is a YAML scalar as an event's attribute: text, float64 or bool.
func value(v any) any {
	switch v := v.(type) {
	case string, float64, bool:
		return v
	case uint64:
		return float64(v)
	case int64:
		return float64(v)
	case int:
		return float64(v)
	}
	return nil
}
