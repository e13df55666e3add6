package loki

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Pushed is one line that came by another door than the push.
type Pushed struct {
	At       time.Time
	Text     []byte
	Metadata map[string]string
}

// Take reads lines of one stream as if they had been pushed, within the same limits. wanted names the cluster, "" when
// nobody does. rejected are those beyond a limit, and the error says which; the others are taken.
func (r *Receiver) Take(wanted string, labels map[string]string, lines []Pushed) (rejected int, err error) {
	key := []byte(formatLabels(labels))
	stream, t, err := r.find(key, wanted)
	if err != nil {
		r.refuses(err)
		return len(lines), err
	}
	now := r.now()
	for _, l := range lines {
		e := entry{at: l.At, line: l.Text, metadata: func() map[string]string { return l.Metadata }}
		if no := r.within(e, key, now); no != nil {
			r.refuses(no)
			keep(&err, no)
			rejected++
			continue
		}
		t.look(r, stream, e)
	}
	r.settle(stream, &t)
	return rejected, err
}

func (r *Receiver) refuses(err error) {
	var no *refused
	if errors.As(err, &no) {
		r.counts.refused[no.reason].Add(1)
	}
}

// formatLabels writes labels as they come on the wire. A stream without any is named by nothing.
func formatLabels(labels map[string]string) string {
	if len(labels) == 0 {
		labels = map[string]string{"stream": "unnamed"}
	}
	var b strings.Builder
	b.WriteByte('{')
	for i, name := range slices.Sorted(maps.Keys(labels)) {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(name + "=" + strconv.Quote(labels[name]))
	}
	b.WriteByte('}')
	return b.String()
}
