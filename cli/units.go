package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// Bytes is a size in a config file: a plain number, or one with a unit (64MiB, 1GiB, 500MB).
type Bytes int64

var units = []struct {
	name string
	size float64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"TiB", 1 << 40},
	{"kB", 1e3},
	{"KB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"TB", 1e12},
	{"B", 1},
}

// UnmarshalYAML reads a size; the error points at it.
func (b *Bytes) UnmarshalYAML(node ast.Node) error {
	n, err := parseBytes(scalar(node))
	if err != nil {
		return &yaml.SyntaxError{Message: err.Error(), Token: node.GetToken()}
	}
	*b = n
	return nil
}

func parseBytes(text string) (Bytes, error) {
	s := strings.TrimSpace(text)
	unit := 1.0
	for _, u := range units {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			s, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n < 0 || n*unit > math.MaxInt64/2 || n != n {
		return 0, fmt.Errorf("size %q: want a number of bytes, or one with a unit as 64MiB", text)
	}
	return Bytes(n * unit), nil
}

// String writes a size with the largest binary unit that keeps it exact.
func (b Bytes) String() string {
	for _, u := range []struct {
		name string
		size Bytes
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if b >= u.size && b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// Duration is a time span in a config file: 5s, 10m, 24h.
type Duration struct{ time.Duration }

// UnmarshalYAML reads a time span; the error points at it.
func (d *Duration) UnmarshalYAML(node ast.Node) error {
	n, err := time.ParseDuration(scalar(node))
	if err != nil {
		return &yaml.SyntaxError{Message: fmt.Sprintf("duration %q: want a number with a unit, as 500ms, 5s, 10m, 24h", scalar(node)), Token: node.GetToken()}
	}
	d.Duration = n
	return nil
}

func scalar(node ast.Node) string {
	if s, ok := node.(*ast.StringNode); ok {
		return s.Value
	}
	return strings.TrimSpace(node.String())
}
