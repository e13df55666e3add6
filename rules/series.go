package rules

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// sample is one step of an example's series.
type sample struct {
	value   float64
	missing bool
	stale   bool // the series ended here
}

// parseSeries reads promtool's notation: 1 2 3, 0+10x5, 7x3, _, _x4, stale, NaN.
func parseSeries(s string) ([]sample, error) {
	var out []sample
	for _, field := range strings.Fields(s) {
		part, err := parseSeriesField(field)
		if err != nil {
			return nil, fmt.Errorf("series %q: %w", s, err)
		}
		if out = append(out, part...); len(out) > maxSteps {
			return nil, fmt.Errorf("series %q: more than %d steps", s, maxSteps)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("series is empty: want for example 0 1 2, 0+10x5, _ or stale")
	}
	return out, nil
}

func parseSeriesField(field string) ([]sample, error) {
	bad := fmt.Errorf("%q: want a number, a+bxn, axn, _, _xn or stale", field)
	if field == "stale" {
		return []sample{{missing: true, stale: true}}, nil
	}
	body, times, repeated := strings.Cut(field, "x")
	n := 0
	if repeated {
		var err error
		if n, err = strconv.Atoi(times); err != nil || n < 0 || n > maxSteps {
			return nil, bad
		}
	}
	if body == "_" {
		return slices.Repeat([]sample{{missing: true}}, max(n, 1)), nil
	}
	start, step, err := splitStep(body)
	if err != nil || !repeated && step != 0 {
		return nil, bad
	}
	out := make([]sample, n+1)
	for i := range out {
		out[i].value = start + float64(i)*step
	}
	return out, nil
}

// splitStep reads a, a+b or a-b.
func splitStep(body string) (start, step float64, err error) {
	if v, err := strconv.ParseFloat(body, 64); err == nil {
		return v, 0, nil
	}
	for i := 1; i < len(body); i++ {
		if body[i] != '+' && body[i] != '-' || body[i-1] == 'e' || body[i-1] == 'E' {
			continue
		}
		a, err1 := strconv.ParseFloat(body[:i], 64)
		b, err2 := strconv.ParseFloat(body[i:], 64)
		if err1 == nil && err2 == nil && !math.IsNaN(b) {
			return a, b, nil
		}
	}
	return 0, 0, strconv.ErrSyntax
}

// parseEventLine reads "10s member_left reason='the consumer is being closed' heartbeat_age_s=1.2".
func parseEventLine(line string) (streamkeeper.Event, time.Duration, error) {
	var e streamkeeper.Event
	bad := func(what string) (streamkeeper.Event, time.Duration, error) {
		return e, 0, fmt.Errorf("event %q: %s; want for example 10s member_left reason='closed' age_s=1.2 admin=false", line, what)
	}
	when, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	after, err := parseDuration(when)
	if err != nil {
		return bad("it begins with its time")
	}
	kind, rest, _ := strings.Cut(strings.TrimSpace(rest), " ")
	if !namePattern.MatchString(kind) {
		return bad("no kind")
	}
	e = streamkeeper.Event{At: exampleStart.Add(after), Kind: kind, Source: "example", Attrs: map[string]any{}}
	for rest = strings.TrimSpace(rest); rest != ""; rest = strings.TrimSpace(rest) {
		name, tail, ok := strings.Cut(rest, "=")
		if !ok || !namePattern.MatchString(name) {
			return bad("attributes are name=value")
		}
		var v any
		if v, rest, ok = attributeValue(tail); !ok {
			return bad("a quote is not closed")
		}
		e.Attrs[name] = v
	}
	return e, after, nil
}

// attributeValue reads a quoted text, a number, true, false or a bare word, and gives the rest.
func attributeValue(s string) (v any, rest string, ok bool) {
	if s != "" && (s[0] == '\'' || s[0] == '"') {
		value, rest, closed := strings.Cut(s[1:], s[:1])
		return value, rest, closed
	}
	word, rest, _ := strings.Cut(s, " ")
	switch word {
	case "true", "false":
		return word == "true", rest, true
	}
	if n, err := strconv.ParseFloat(word, 64); err == nil && !math.IsNaN(n) && !math.IsInf(n, 0) {
		return n, rest, true
	}
	return word, rest, true
}

// kafkaEvents are the kinds that the protocol collector tells on any cluster; all others come from the
// embedded broker.
var kafkaEvents = []string{
	"offset_rewound", "offset_jumped", "transaction_holds", "stall_began", "stall_cleared", "stall_followed_partition", "stall_cleared_by_new_owner",
	"member_seen", "member_gone", "member_replaced", "group_became_empty", "topic_created", "topic_deleted", "partitions_added", "config_changed",
	"broker_unreachable", "broker_back", "partition_offline", "partition_online", "retention_cut", "min_insync_replicas_lowered",
	"read_topic_deleted", "partitions_added_under_keys", "group_created", "group_deleted", "group_protocol_changed",
	"group_assignor_changed", "group_topics_changed", "log_dir_offline", "log_dir_back", "quorum_leader_changed", "quorum_voters_changed",
}

func isKafkaEvent(kind string) bool { return slices.Contains(kafkaEvents, kind) }

// negated tells whether an atom stands under a not.
func negated(n ast.Node, atom string) bool {
	switch n := n.(type) {
	case *ast.UnaryNode:
		if id, ok := n.Node.(*ast.IdentifierNode); ok {
			return (n.Operator == "not" || n.Operator == "!") && id.Value == atom
		}
		return negated(n.Node, atom)
	case *ast.BinaryNode:
		return negated(n.Left, atom) || negated(n.Right, atom)
	}
	return false
}
