package series

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/streamkeeper-io/streamkeeper/collectors"
)

// formatName opens every recording of series.
const formatName = "streamkeeper.series/v1"

const valuesPerLine = 2000

// ExportOptions say what to export.
type ExportOptions struct {
	From, To time.Time
	// Step puts the samples on a grid that ends at To, in promtool's notation: readable, and what tests
	// are made of. A grid point holds the newest sample of the step before it. 0 keeps the raw times.
	Step time.Duration
	// Match selects series (PromQL selectors, any of them); none selects all.
	Match []string
	// MaxSamples bounds what is read; 0 means 50 million.
	MaxSamples int
}

// Export writes the samples of (From, To] as text, one line per series, in label order, without
// holding more than one series in memory:
//
//	# streamkeeper.series/v1 start=2026-01-02T03:04:05Z step=5s
//	streamkeeper_group_members{cluster="c",group="orders"} 3x10 2 _ stale
//
// and with raw times, in milliseconds, the first absolute and the others since the one before:
//
//	# streamkeeper.series/v1
//	streamkeeper_group_members{cluster="c",group="orders"} @1767323045000=3 +5000=3 +5001=2
func (s *Store) Export(ctx context.Context, w io.Writer, o ExportOptions) error {
	if !o.From.Before(o.To) {
		return errors.New("exporting series: From is not before To")
	}
	orDefault(&o.MaxSamples, 50_000_000)
	sets, err := s.parser.ParseMetricSelectors(o.Match)
	if err != nil {
		return fmt.Errorf("exporting series: %w", err)
	}
	if len(sets) == 0 {
		sets = [][]*labels.Matcher{{labels.MustNewMatcher(labels.MatchRegexp, model.MetricNameLabel, ".+")}}
	}
	mint, maxt := o.From.UnixMilli()+1, o.To.UnixMilli()
	e := exporter{w: bufio.NewWriterSize(w, 64<<10), o: o}
	e.header()
	querier, err := s.db.Querier(mint, maxt)
	if err != nil {
		return fmt.Errorf("exporting series: %w", err)
	}
	defer querier.Close()
	seen := map[uint64]bool{}
	for _, m := range sets {
		set := querier.Select(ctx, true, &storage.SelectHints{Start: mint, End: maxt}, m...)
		for set.Next() {
			l := set.At().Labels()
			if len(sets) > 1 {
				if seen[l.Hash()] {
					continue
				}
				seen[l.Hash()] = true
			}
			if err := e.series(l, set.At().Iterator(nil), mint, maxt); err != nil {
				return fmt.Errorf("exporting %s: %w", l, err)
			}
		}
		if err := set.Err(); err != nil {
			return fmt.Errorf("exporting series: %w", err)
		}
	}
	if err := e.w.Flush(); err != nil {
		return fmt.Errorf("exporting series: %w", err)
	}
	return ctx.Err()
}

type exporter struct {
	w     *bufio.Writer
	o     ExportOptions
	total int
}

// start is the grid's first point: the grid ends exactly at To.
func (e *exporter) start() int64 {
	step := e.o.Step.Milliseconds()
	steps := (e.o.To.UnixMilli() - e.o.From.UnixMilli() - 1) / step
	return e.o.To.UnixMilli() - steps*step
}

func (e *exporter) header() {
	if e.o.Step > 0 {
		at := time.UnixMilli(e.start()).UTC().Format(time.RFC3339Nano)
		fmt.Fprintf(e.w, "# %s start=%s step=%s\n", formatName, at, e.o.Step)
		return
	}
	fmt.Fprintf(e.w, "# %s\n", formatName)
}

func (e *exporter) series(l labels.Labels, it chunkenc.Iterator, mint, maxt int64) error {
	line := lineWriter{w: e.w, name: seriesName(l), step: e.o.Step.Milliseconds()}
	if line.step > 0 {
		line.next = e.start()
	}
	for kind := it.Seek(mint); kind != chunkenc.ValNone; kind = it.Next() {
		if kind != chunkenc.ValFloat {
			continue
		}
		t, v := it.At()
		if t > maxt {
			break
		}
		if e.total++; e.total > e.o.MaxSamples {
			return fmt.Errorf("more than %d samples: narrow the time or the selectors", e.o.MaxSamples)
		}
		line.add(t, v)
	}
	line.end()
	return it.Err()
}

// seriesName writes metric{a="b"} so that the parser reads it back.
func seriesName(l labels.Labels) string {
	name := l.Get(model.MetricNameLabel)
	rest := l.DropReserved(func(name string) bool { return name == model.MetricNameLabel })
	if rest.IsEmpty() {
		return name
	}
	return name + rest.String()
}

// lineWriter writes one series: raw, or on the grid with runs of equal values folded. The format's width
// is bounded: a long series goes on in another line.
type lineWriter struct {
	w    *bufio.Writer
	name string
	step int64

	written int   // tokens in the line so far
	last    int64 // raw: the time before
	next    int64 // grid: the grid point that the pending token run starts at
	pending bool  // grid: there is a value for the current grid point
	value   float64
	token   string // grid: the run that is not written yet
	run     int
}

func (l *lineWriter) add(t int64, v float64) {
	if l.step == 0 {
		l.raw(t, v)
		return
	}
	for t > l.next {
		l.closeStep()
	}
	l.pending, l.value = true, v
}

func (l *lineWriter) raw(t int64, v float64) {
	if l.written == valuesPerLine {
		l.w.WriteByte('\n')
		l.written = 0
	}
	if l.written == 0 {
		l.w.WriteString(l.name + " @" + strconv.FormatInt(t, 10) + "=" + formatValue(v))
	} else {
		l.w.WriteString(" +" + strconv.FormatInt(t-l.last, 10) + "=" + formatValue(v))
	}
	l.last = t
	l.written++
}

// closeStep ends the current grid point, empty or not, and moves to the next.
func (l *lineWriter) closeStep() {
	token := "_"
	if l.pending {
		token = formatValue(l.value)
	}
	if token != l.token && l.run > 0 {
		l.flush()
	}
	l.token, l.pending = token, false
	l.run++
	l.next += l.step
}

func (l *lineWriter) flush() {
	if l.written == 0 {
		l.w.WriteString(l.name)
	}
	l.w.WriteByte(' ')
	l.w.WriteString(l.token)
	switch {
	case l.run > 1 && l.token == "_":
		l.w.WriteString("x" + strconv.Itoa(l.run)) // promtool: _xN is N missing values
	case l.run > 1 && l.token == "stale":
		for range l.run - 1 {
			l.w.WriteString(" stale")
		}
	case l.run > 1:
		l.w.WriteString("x" + strconv.Itoa(l.run-1)) // promtool: axN is N+1 values
	}
	l.run = 0
	l.written++
}

func (l *lineWriter) end() {
	if l.pending {
		l.closeStep()
	}
	if l.run > 0 && l.token != "_" {
		l.flush()
	}
	if l.written > 0 {
		l.w.WriteByte('\n')
	}
}

func formatValue(v float64) string {
	if collectors.IsStale(v) {
		return "stale"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
