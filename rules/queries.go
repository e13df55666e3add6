package rules

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// bareSelector is a metric name with optional matchers and nothing else.
var bareSelector = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*\s*(\{[^{}]*\})?$`)

// span is a selector in an expression: [from, to) is the name, braces tells whether matchers follow.
type span struct {
	from, to int
	braces   bool
}

// promWords are names in PromQL that are no metrics. Those in listWords are followed by a label list.
var promWords = map[string]bool{
	"and": true, "or": true, "unless": true, "bool": true, "offset": true, "inf": true, "nan": true, "start": true, "end": true, "atan2": true,
}

var listWords = map[string]bool{"by": true, "without": true, "on": true, "ignoring": true, "group_left": true, "group_right": true}

// selectors finds the metric names in a PromQL expression. It knows just enough grammar to put matchers
// in; CheckQuery in Lint is what proves that an expression is valid.
func selectors(expr string) []span {
	var out []span
	skipList := false
	for i := 0; i < len(expr); {
		switch ch := expr[i]; {
		case ch == '"' || ch == '\'' || ch == '`':
			i = skipTo(expr, i+1, ch)
		case ch == '{':
			i = skipTo(expr, i+1, '}')
		case ch == '[':
			i = skipTo(expr, i+1, ']')
		case ch == '(' && skipList:
			skipList = false
			i = skipTo(expr, i+1, ')')
		case isNameStart(ch):
			j := i + 1
			for j < len(expr) && (isNameStart(expr[j]) || expr[j] >= '0' && expr[j] <= '9') {
				j++
			}
			name, rest := strings.ToLower(expr[i:j]), strings.TrimLeft(expr[j:], " \t\n")
			switch {
			case listWords[name]:
				skipList = strings.HasPrefix(rest, "(")
			case promWords[name] || strings.HasPrefix(rest, "("):
			case followedByList(rest):
			default:
				out = append(out, span{i, j, strings.HasPrefix(rest, "{")})
			}
			i = j
		case ch >= '0' && ch <= '9':
			for i < len(expr) && (isNameStart(expr[i]) || expr[i] >= '0' && expr[i] <= '9' || expr[i] == '.') {
				i++
			}
		default:
			i++
		}
	}
	return out
}

// followedByList recognises an aggregation written as sum by (x) (…).
func followedByList(rest string) bool {
	return strings.HasPrefix(rest, "by ") || strings.HasPrefix(rest, "by(") || strings.HasPrefix(rest, "without")
}

func isNameStart(ch byte) bool {
	return ch == '_' || ch == ':' || ch >= 'a' && ch <= 'z' || ch >= 'A' && ch <= 'Z'
}

// skipTo gives the place behind the next end byte; text in quotes does not count.
func skipTo(s string, i int, end byte) int {
	for i < len(s) && s[i] != end {
		switch {
		case s[i] == '\\' && end == '"':
			i++
		case s[i] == '"' && end == '}':
			i = skipTo(s, i+1, '"') - 1
		}
		i++
	}
	return i + 1
}

// scoped puts a placeholder for matchers into every selector that does not name one.
func scoped(expr, placeholder string) string {
	spans := selectors(expr)
	for i := len(spans) - 1; i >= 0; i-- {
		s := spans[i]
		if !s.braces {
			expr = expr[:s.to] + "{" + placeholder + "}" + expr[s.to:]
			continue
		}
		open := s.to + strings.IndexByte(expr[s.to:], '{')
		closed := skipTo(expr, open+1, '}') - 1
		inner := strings.TrimSpace(expr[open+1 : min(closed, len(expr))])
		switch {
		case strings.Contains(inner, "$by"), strings.Contains(inner, "$cluster"):
		case inner == "":
			expr = expr[:open+1] + placeholder + expr[open+1:]
		default:
			expr = expr[:open+1] + placeholder + "," + expr[open+1:]
		}
	}
	return expr
}

// firstSelector is the first selector of an expression with its matchers.
func firstSelector(expr string) string {
	spans := selectors(expr)
	if len(spans) == 0 {
		return ""
	}
	s := spans[0]
	if !s.braces {
		return expr[s.from:s.to]
	}
	open := s.to + strings.IndexByte(expr[s.to:], '{')
	return expr[s.from:min(skipTo(expr, open+1, '}'), len(expr))]
}

// need is a signal over a window as asked for.
type need struct {
	signal *Signal
	window time.Duration
}

// restriction limits the queries for a kind to some entities; a kind that is not in it is not limited.
type restriction map[streamkeeper.EntityKind][]string

// maxRestricted is the number of names up to which a query is limited: a longer pattern costs more than
// it saves.
const maxRestricted = 100

// plan is how one dialect answers a need: the IDs of its queries, "" where there is none.
type plan struct {
	dialect                                       *Dialect
	value, fresh, zero, zeroFresh, expect, counts string
}

// planner builds the queries of a pass. What is asked twice is asked once: a query's text is its ID.
type planner struct {
	scope   Scope
	limit   restriction
	seen    map[string]bool
	queries []streamkeeper.Query
	plans   map[need][]plan
}

func newPlanner(s Scope, limit restriction) *planner {
	return &planner{scope: s, limit: limit, seen: map[string]bool{}, plans: map[need][]plan{}}
}

// add plans a need.
func (p *planner) add(n need) {
	if _, ok := p.plans[n]; ok {
		return
	}
	fill := p.replacer(n)
	by := strings.Join(append([]string{"cluster"}, entityLabels[n.signal.Entity]...), ", ")
	plans := make([]plan, 0, len(n.signal.Dialects))
	for i := range n.signal.Dialects {
		d := &n.signal.Dialects[i]
		pl := plan{dialect: d}
		fresh := fill(d.Fresh)
		switch {
		case n.signal.Kind == streamkeeper.QueryCount:
			pl.value = p.ask(streamkeeper.Query{
				Kind: streamkeeper.QueryCount, Expr: fill(d.Metric), Window: effective(n.window, p.scope.Interval), By: d.By,
			})
			fresh = "" // a count tells the age of its samples itself
		case d.Metric != "":
			pl.value = p.instant(d.Aggregate + " by (" + strings.Join(d.By, ", ") + ") (" + fill(d.Metric) + ")")
		default:
			pl.value = p.instant(fill(d.Query))
		}
		if fresh != "" {
			pl.fresh = p.instant("max by (" + by + ") (timestamp(" + fresh + "))")
		}
		if d.ZeroWhen != "" {
			pl.zero = p.instant(fill(d.ZeroWhen))
			pl.zeroFresh = p.instant("max(timestamp(" + fill(firstSelector(d.ZeroWhen)) + "))")
		}
		if d.Expect != "" && d.Fresh != "" {
			pl.expect = p.instant(fill(d.Expect))
			pl.counts = p.instant("count by (" + by + ") (" + fill(d.Fresh) + ")")
		}
		plans = append(plans, pl)
	}
	p.plans[n] = plans
}

func (p *planner) instant(expr string) string {
	return p.ask(streamkeeper.Query{Kind: streamkeeper.QueryInstant, Expr: expr})
}

func (p *planner) ask(q streamkeeper.Query) string {
	q.ID = q.Expr
	if q.Kind == streamkeeper.QueryCount {
		q.ID = "count by (" + strings.Join(q.By, ", ") + ") " + q.Expr + "[" + promDuration(q.Window) + "]"
	}
	if !p.seen[q.ID] {
		p.seen[q.ID] = true
		p.queries = append(p.queries, q)
	}
	return q.ID
}

// replacer fills the placeholders in for a need.
func (p *planner) replacer(n need) func(string) string {
	cluster := "cluster=" + strconv.Quote(p.scope.Cluster)
	by := cluster
	if names, ok := p.limit[n.signal.Entity]; ok && len(names) > 0 && len(names) <= maxRestricted {
		if labels := entityLabels[n.signal.Entity]; len(labels) > 0 {
			by += "," + matcher(labels[0], names)
		}
	}
	r := strings.NewReplacer(
		"$by", by, "$cluster", cluster,
		"$window", promDuration(effective(n.window, p.scope.Interval)), "$interval", promDuration(p.scope.Interval),
	)
	return func(s string) string {
		if s == "" {
			return ""
		}
		return r.Replace(s)
	}
}

// matcher selects names by a label, with everything special escaped.
func matcher(label string, names []string) string {
	if len(names) == 1 {
		return label + "=" + strconv.Quote(names[0])
	}
	escaped := make([]string, len(names))
	for i, n := range names {
		escaped[i] = regexp.QuoteMeta(n)
	}
	return label + "=~" + strconv.Quote(strings.Join(escaped, "|"))
}

// effective is the window that is really used: four samples are the least that a judgement needs.
func effective(asked, interval time.Duration) time.Duration {
	return max(asked, 4*interval)
}

func promDuration(d time.Duration) string {
	if d%time.Second == 0 {
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
}
