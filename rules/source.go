package rules

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Error is a mistake in a rule file. Its text is file:line:column: what, then the line and a caret.
type Error struct {
	File    string
	Line    int // from 1
	Column  int // from 1, in characters
	Text    string
	Snippet string // the line and a caret below it; empty when the position is not known
}

// Error gives the whole text with the snippet.
func (e *Error) Error() string {
	s := fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Text)
	if e.Snippet != "" {
		s += "\n" + e.Snippet
	}
	return s
}

// position is a place in a source, from 1.
type position struct{ line, column int }

// source is one YAML file with its tree, to say where a mistake is.
type source struct {
	file  string
	lines []string
	root  ast.Node
}

// parseSource reads one document. A file of several documents or of none is refused.
func parseSource(file string, data []byte) (*source, error) {
	s := &source{file: file, lines: strings.Split(string(data), "\n")}
	tree, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, s.yamlError(err)
	}
	if len(tree.Docs) != 1 || tree.Docs[0].Body == nil {
		return nil, s.errorAt(position{1, 1}, "want exactly one YAML document, found %d", len(tree.Docs))
	}
	s.root = tree.Docs[0].Body
	return s, nil
}

// decode fills v strictly from a node of this source.
func (s *source) decode(n ast.Node, v any) (err error) {
	defer func() {
		if p := recover(); p != nil { // the library panics on a list that has a tag (!x) and no items
			err = s.errorAt(tokenPosition(n.GetToken()), "this cannot be read: is there a tag (!) or an anchor that is not meant as one? (%v)", p)
		}
	}()
	if err := yaml.NodeToValue(n, v, yaml.DisallowUnknownField()); err != nil {
		return s.yamlError(err)
	}
	return nil
}

// yamlError gives a goccy error our form.
func (s *source) yamlError(err error) error {
	y, ok := err.(yaml.Error)
	if !ok || y.GetToken() == nil {
		return s.errorAt(position{1, 1}, "%v", err)
	}
	var wrong *yaml.TypeError
	if errors.As(err, &wrong) {
		return s.errorAt(tokenPosition(y.GetToken()), "want %s, got %s", yamlType(wrong.DstType), yamlType(wrong.SrcType))
	}
	return s.errorAt(tokenPosition(y.GetToken()), "%s", y.GetMessage())
}

// yamlType names a type as a writer of YAML would.
func yamlType(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Float64, reflect.Int, reflect.Int64, reflect.Uint64:
		return "a number"
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "keys and values"
	}
	return t.String()
}

// errorAt makes an Error with the line and a caret.
func (s *source) errorAt(p position, format string, args ...any) error {
	e := &Error{File: s.file, Line: p.line, Column: p.column, Text: fmt.Sprintf(format, args...)}
	if p.line >= 1 && p.line <= len(s.lines) {
		line := strings.TrimSuffix(s.lines[p.line-1], "\r")
		pad := min(max(p.column-1, 0), utf8.RuneCountInString(line))
		e.Snippet = "  " + line + "\n  " + blank(line, pad) + "^"
	}
	return e
}

// blank is the first n characters of line as white space: tabs stay, so that the caret lines up.
func blank(line string, n int) string {
	var b strings.Builder
	for _, r := range line {
		if n == 0 {
			break
		}
		n--
		if r == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// find walks mapping keys and sequence indexes ("0") and returns the deepest node reached, its key if
// it has one, and whether the whole path was found.
func (s *source) find(path ...string) (value, key ast.Node, ok bool) {
	value = s.root
	for _, step := range path {
		next, k := child(value, step)
		if next == nil {
			return value, key, false
		}
		value, key = next, k
	}
	return value, key, true
}

func child(n ast.Node, step string) (value, key ast.Node) {
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, v := range n.Values {
			if v.Key.String() == step || v.Key.GetToken().Value == step {
				return v.Value, v.Key
			}
		}
	case *ast.MappingValueNode:
		if n.Key.String() == step || n.Key.GetToken().Value == step {
			return n.Value, n.Key
		}
	case *ast.SequenceNode:
		var i int
		if _, err := fmt.Sscanf(step, "%d", &i); err == nil && i >= 0 && i < len(n.Values) {
			return n.Values[i], nil
		}
	case *ast.AnchorNode:
		return child(n.Value, step)
	case *ast.TagNode:
		return child(n.Value, step)
	}
	return nil, nil
}

// keys lists the keys of a mapping in file order.
func (s *source) keys(path ...string) []string {
	n, _, ok := s.find(path...)
	if !ok {
		return nil
	}
	var out []string
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, v := range n.Values {
			out = append(out, v.Key.GetToken().Value)
		}
	case *ast.MappingValueNode:
		out = append(out, n.Key.GetToken().Value)
	}
	return out
}

// at is where a value begins; the nearest parent when the path is not there.
func (s *source) at(path ...string) position {
	n, _, _ := s.find(path...)
	return nodePosition(n)
}

// keyAt is where a key begins.
func (s *source) keyAt(path ...string) position {
	n, k, _ := s.find(path...)
	if k != nil {
		return nodePosition(k)
	}
	return nodePosition(n)
}

// inside is the position of a character offset in a scalar, as near as its quoting allows.
func (s *source) inside(offset int, path ...string) position {
	n, _, ok := s.find(path...)
	if !ok {
		return nodePosition(n)
	}
	switch n := n.(type) {
	case *ast.StringNode:
		p := tokenPosition(n.Token)
		if n.Token.Type == token.SingleQuoteType || n.Token.Type == token.DoubleQuoteType {
			p.column++
		}
		p.column += offset
		return s.clamp(p, nodePosition(n))
	case *ast.LiteralNode:
		return s.insideLiteral(n, offset)
	}
	return nodePosition(n)
}

// insideLiteral handles block scalars: the text begins on the line below the indicator.
func (s *source) insideLiteral(n *ast.LiteralNode, offset int) position {
	p := tokenPosition(n.Start)
	line := p.line + 1
	for line <= len(s.lines) {
		text := s.lines[line-1]
		trimmed := strings.TrimLeft(text, " ")
		indent := len(text) - len(trimmed)
		length := utf8.RuneCountInString(trimmed)
		if offset <= length {
			return position{line, indent + offset + 1}
		}
		offset -= length + 1
		line++
	}
	return p
}

// clamp falls back when a position lies beyond its line (a folded scalar).
func (s *source) clamp(p, fallback position) position {
	if p.line < 1 || p.line > len(s.lines) || p.column > utf8.RuneCountInString(s.lines[p.line-1])+1 {
		return fallback
	}
	return p
}

func nodePosition(n ast.Node) position {
	switch v := n.(type) {
	case nil:
		return position{1, 1}
	case *ast.MappingNode:
		if len(v.Values) > 0 && !v.IsFlowStyle {
			return nodePosition(v.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return nodePosition(v.Key)
	}
	return tokenPosition(n.GetToken())
}

func tokenPosition(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{1, 1}
	}
	return position{t.Position.Line, t.Position.Column}
}
