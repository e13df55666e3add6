package series

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/streamkeeper-io/streamkeeper/collectors"
)

const (
	maxLine    = 4 << 20
	maxImport  = 50_000_000 // samples of one recording
	importStep = 5_000      // samples per commit
)

// Imported tells what a recording held.
type Imported struct {
	Series, Samples int
	From, To        time.Time     // of the samples
	Step            time.Duration // 0 for raw times
}

// Import reads what Export wrote into the store, line by line. It stops at the first line it cannot read
// and names it; what came before is stored. Use a Memory store: a live one refuses old samples.
func (s *Store) Import(ctx context.Context, r io.Reader) (Imported, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	in := importer{store: s, ctx: ctx}
	for n := 1; lines.Scan(); n++ {
		if err := in.line(strings.TrimSpace(lines.Text())); err != nil {
			return in.done, errors.Join(fmt.Errorf("importing series: line %d: %w", n, err), in.rollback())
		}
	}
	if err := lines.Err(); err != nil {
		return in.done, errors.Join(fmt.Errorf("importing series: %w", err), in.rollback())
	}
	if !in.header {
		return in.done, fmt.Errorf("importing series: the first line is not # %s", formatName)
	}
	if err := in.commit(); err != nil {
		return in.done, fmt.Errorf("importing series: %w", err)
	}
	return in.done, nil
}

type importer struct {
	store  *Store
	ctx    context.Context
	header bool
	start  int64
	step   int64
	app    storage.Appender
	open   int // samples in app
	done   Imported
}

func (in *importer) line(text string) error {
	switch {
	case !in.header:
		return in.readHeader(text)
	case text == "" || text[0] == '#':
		return nil
	}
	name, values, err := splitSeries(text)
	if err != nil {
		return err
	}
	l, err := in.store.parser.ParseMetric(name)
	if err != nil {
		return err
	}
	in.done.Series++
	add := func(t int64, v float64) error { return in.add(l, t, v) }
	if in.step > 0 {
		return readGrid(values, in.start, in.step, add)
	}
	return readRaw(values, add)
}

func (in *importer) readHeader(text string) error {
	rest, ok := strings.CutPrefix(text, "# "+formatName)
	if !ok || rest != "" && rest[0] != ' ' {
		return fmt.Errorf("want # %s", formatName)
	}
	in.header = true
	for _, field := range strings.Fields(rest) {
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "start":
			t, err := time.Parse(time.RFC3339Nano, value)
			if err != nil {
				return fmt.Errorf("start: %w", err)
			}
			in.start = t.UnixMilli()
		case "step":
			d, err := time.ParseDuration(value)
			if err != nil || d < time.Millisecond {
				return fmt.Errorf("step %q: want a positive duration", value)
			}
			in.step, in.done.Step = d.Milliseconds(), d
		default:
			return fmt.Errorf("unknown key %q", key)
		}
	}
	return nil
}

func (in *importer) add(l labels.Labels, t int64, v float64) error {
	if in.done.Samples >= maxImport {
		return fmt.Errorf("more than %d samples", maxImport)
	}
	if in.app == nil {
		in.app = in.store.db.Appender(in.ctx)
	}
	if _, err := in.app.Append(0, l, t, v); err != nil && !errors.Is(err, storage.ErrDuplicateSampleForTimestamp) {
		return err
	}
	at := time.UnixMilli(t).UTC()
	if in.done.Samples == 0 || at.Before(in.done.From) {
		in.done.From = at
	}
	if at.After(in.done.To) {
		in.done.To = at
	}
	in.done.Samples++
	if in.open++; in.open >= importStep {
		return in.commit()
	}
	return in.ctx.Err()
}

func (in *importer) commit() error {
	if in.app == nil {
		return nil
	}
	err := in.app.Commit()
	in.app, in.open = nil, 0
	return err
}

func (in *importer) rollback() error {
	if in.app == nil {
		return nil
	}
	return in.app.Rollback()
}

// splitSeries parts metric{labels} from its values; labels may hold quoted spaces and braces.
func splitSeries(text string) (name, values string, err error) {
	quoted, depth := false, 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			depth++
		case c == '}':
			depth--
		case c == ' ' && depth == 0:
			return text[:i], text[i+1:], nil
		}
	}
	return "", "", fmt.Errorf("%.80q: want metric{labels} and values", text)
}

func readRaw(values string, add func(int64, float64) error) error {
	var t int64
	for token := range strings.FieldsSeq(values) {
		at, text, ok := strings.Cut(token, "=")
		if !ok || at == "" {
			return fmt.Errorf("%.40q: want @milliseconds=value or +milliseconds=value", token)
		}
		n, err := strconv.ParseInt(at[1:], 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/4 {
			return fmt.Errorf("%.40q: want @milliseconds=value or +milliseconds=value", token)
		}
		switch at[0] {
		case '@':
			t = n
		case '+':
			t += n
		default:
			return fmt.Errorf("%.40q: want @ or +", token)
		}
		v, err := parseValue(text)
		if err != nil {
			return err
		}
		if err := add(t, v); err != nil {
			return err
		}
	}
	return nil
}

// readGrid reads promtool's notation: 1, 1x3 (1 1 1 1), 1+2x3 (1 3 5 7), _, _x3 (_ _ _), stale.
func readGrid(values string, t, step int64, add func(int64, float64) error) error {
	for token := range strings.FieldsSeq(values) {
		text, times, err := cutTimes(token)
		if err != nil {
			return err
		}
		if text == "_" {
			t += step * max(1, times)
			continue
		}
		v, by, err := parseRun(text)
		if err != nil {
			return err
		}
		for range times + 1 {
			if err := add(t, v); err != nil {
				return err
			}
			v += by
			t += step
		}
	}
	return nil
}

func cutTimes(token string) (text string, times int64, err error) {
	text, n, ok := strings.Cut(token, "x")
	if !ok {
		return text, 0, nil
	}
	times, err = strconv.ParseInt(n, 10, 64)
	if err != nil || times < 0 || times > maxImport {
		return "", 0, fmt.Errorf("%.40q: bad number of repeats", token)
	}
	return text, times, nil
}

// parseRun reads a value and, after it, what is added to it each time: 1e-3+2.
func parseRun(text string) (v, by float64, err error) {
	if v, err = parseValue(text); err == nil {
		return v, 0, nil
	}
	for i := len(text) - 1; i > 0; i-- {
		if (text[i] == '+' || text[i] == '-') && text[i-1] != 'e' && text[i-1] != 'E' {
			if v, err = parseValue(text[:i]); err != nil {
				return 0, 0, err
			}
			by, err = parseValue(text[i:])
			return v, by, err
		}
	}
	return 0, 0, err
}

func parseValue(text string) (float64, error) {
	if text == "stale" {
		return collectors.Stale(), nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("%.40q is no value", text)
	}
	return v, nil
}
