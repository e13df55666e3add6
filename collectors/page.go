package collectors

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/streamkeeper-io/streamkeeper"
)

// Page is what a source measured in its last round, as lines of Prometheus' text format. It is written once a round, so that
// a scrape of /metrics only copies it. A page that is shown is not changed any more.
type Page struct {
	families map[string]*family
	sizes    map[string]int // what is expected of families, in bytes
	zipped   atomic.Bool    // it was asked for so
}

type family struct {
	help, kind string
	lines      []byte

	zip      sync.Once
	deflated []byte // lines, compressed; see deflate
}

// NewPage makes an empty page.
func NewPage() *Page { return &Page{families: map[string]*family{}, sizes: map[string]int{}} }

// NewPageAfter makes an empty page that is expected to be as large as the one before it, which may be nil.
func NewPageAfter(before *Page) *Page {
	p := NewPage()
	if before != nil {
		for name, f := range before.families {
			p.sizes[name] = len(f.lines) + len(f.lines)/16
		}
	}
	return p
}

// Expect says how many bytes of lines a family may come to, where no page before it told: lines that grow step by step are
// moved several times.
func (p *Page) Expect(name string, bytes int) {
	if p.sizes[name] == 0 {
		p.sizes[name] = bytes
	}
}

// Add writes a sample; help says what its name means. No two samples may have the same name and labels.
func (p *Page) Add(s streamkeeper.Sample, help string) {
	var few [8]string
	names := few[:0]
	for name := range s.Labels {
		names = append(names, name)
	}
	slices.Sort(names)
	f := p.family(s.Metric, help)
	b := append(f.lines, s.Metric...)
	for i, name := range names {
		b = AppendLabel(append(b, separator(i)), name, s.Labels[name])
	}
	f.lines = appendValue(b, len(names) > 0, s.Value)
}

// Line is Add for labels that are text already (AppendLabel, with commas between): a hundred thousand partitions need no maps.
func (p *Page) Line(name, help string, labels []byte, v float64) {
	f := p.family(name, help)
	b := append(f.lines, name...)
	b = append(append(b, '{'), labels...)
	f.lines = appendValue(b, true, v)
}

func (p *Page) family(name, help string) *family {
	f := p.families[name]
	if f == nil {
		f = &family{help: help, kind: "gauge", lines: make([]byte, 0, p.sizes[name])}
		if strings.HasSuffix(name, "_total") {
			f.kind = "counter"
		}
		p.families[name] = f
	}
	return f
}

// AppendLabel appends name="value" as the text format has it.
func AppendLabel(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, '=', '"')
	if strings.ContainsAny(value, "\\\"\n") || !utf8.ValidString(value) {
		value = escaper.Replace(strings.ToValidUTF8(value, "\uFFFD"))
	}
	b = append(b, value...)
	return append(b, '"')
}

var escaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func separator(i int) byte {
	if i == 0 {
		return '{'
	}
	return ','
}

func appendValue(b []byte, labels bool, v float64) []byte {
	if labels {
		b = append(b, '}')
	}
	b = append(b, ' ')
	if i := int64(v); float64(i) == v && i > -1e15 && i < 1e15 {
		b = strconv.AppendInt(b, i, 10)
	} else {
		b = strconv.AppendFloat(b, v, 'g', -1, 64)
	}
	return append(b, '\n')
}

// merge goes through the families of pages as if they were one: each name once, in order, with its head and the families that
// have it. Nil pages are empty.
func merge(pages []*Page, each func(head []byte, all []*family) error) error {
	byName := map[string][]*family{}
	for _, p := range pages {
		if p == nil {
			continue
		}
		for name, f := range p.families {
			byName[name] = append(byName[name], f)
		}
	}
	var head []byte
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		all := byName[name]
		head = fmt.Appendf(head[:0], "# HELP %s %s\n# TYPE %s %s\n", name, all[0].help, name, all[0].kind)
		if err := each(head, all); err != nil {
			return err
		}
	}
	return nil
}

// WritePages writes pages as one text.
func WritePages(w io.Writer, pages ...*Page) error {
	return merge(pages, func(head []byte, all []*family) error {
		_, err := w.Write(head)
		for _, f := range all {
			if err == nil {
				_, err = w.Write(f.lines)
			}
		}
		return err
	})
}
