package loki

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// errNoLabels is Loki's own word for it.
var errNoLabels = errors.New("error at least one label pair is required per stream")

// parseLabels reads a stream's labels as they come on the wire: {app="x", pod="y"}. It stops at the limits, before it has
// built what is beyond them.
func parseLabels(s string, l Limits) (map[string]string, error) {
	text := strings.TrimSpace(s)
	if len(text) < 2 || text[0] != '{' || text[len(text)-1] != '}' {
		return nil, fmt.Errorf("error parsing labels %s: want {name=\"value\", …}", short(s))
	}
	text = text[1 : len(text)-1]
	out := map[string]string{}
	for {
		text = strings.TrimLeft(text, " \t\n,")
		if text == "" {
			break
		}
		name, rest, ok := strings.Cut(text, "=")
		name = strings.TrimSpace(name)
		if !ok || !isLabelName(name) {
			return nil, fmt.Errorf("error parsing labels %s: bad label name near %q", short(s), short(text))
		}
		rest = strings.TrimLeft(rest, " \t\n")
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return nil, fmt.Errorf("error parsing labels %s: label %s: want a quoted value", short(s), short(name))
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, fmt.Errorf("error parsing labels %s: label %s: %w", short(s), short(name), err)
		}
		if err := addLabel(out, name, value, l); err != nil {
			return nil, err
		}
		text = rest[len(quoted):]
	}
	if len(out) == 0 {
		return nil, errNoLabels
	}
	return out, nil
}

// addLabel adds one within the limits; the words are Loki's.
func addLabel(to map[string]string, name, value string, l Limits) error {
	switch {
	case len(to) >= l.LabelNames:
		return fmt.Errorf("entry for stream has more than %d label names; limit %d", l.LabelNames, l.LabelNames)
	case len(name) > l.LabelNameBytes:
		return fmt.Errorf("stream has label name too long: %q", short(name))
	case len(value) > l.LabelValueBytes:
		return fmt.Errorf("stream has label value too long: %q", short(value))
	}
	to[name] = value
	return nil
}

func isLabelName(s string) bool {
	for i, c := range s {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// short bounds what of a sender's text is repeated to it.
func short(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "") + "…"
	}
	return s
}
