package rules

import (
	"regexp"
	"strings"
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

func skipTo(s string, i int, end byte) int {
	for i < len(s) && s[i] != end {
		if s[i] == '\\' && end == '"' {
			i++
		}
		i++
	}
	return i + 1
}
