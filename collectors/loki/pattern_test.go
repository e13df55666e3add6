package loki

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// patternsOnce compiles them once: the race detector makes that slow.
var patternsOnce = sync.OnceValues(BuiltIn)

func builtIn(t testing.TB) []Pattern {
	t.Helper()
	p, err := patternsOnce()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPatterns_EachLineGivesWhatItSays runs every golden line through all patterns, as the receiver does.
func TestPatterns_EachLineGivesWhatItSays(t *testing.T) {
	patterns := builtIn(t)
	s, err := newScanner(patterns)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range patterns {
		for i, l := range p.Lines {
			t.Run(fmt.Sprintf("%s/%d", p.ID, i), func(t *testing.T) {
				found, attrs, facts := s.read([]byte(l.Line))
				if found == nil || found.ID != p.ID {
					t.Fatalf("read as %v", found)
				}
				h := hit{at: time.Unix(1, 0), p: found, attrs: attrs, facts: facts, labels: l.Labels, broker: brokerOf(l.Labels), line: message([]byte(l.Line))}
				if id := brokerIn(h.line); id != "" && p.Teller == tellerBroker {
					h.broker = id
				}
				e, _, _ := h.event("c", "loki", newIndex())
				want := map[string]any{"told_by": p.Teller}
				for k, v := range l.Gives {
					want[k] = value(v)
				}
				if d := cmp.Diff(want, e.Attrs); d != "" {
					t.Errorf("attributes (-want +got):\n%s", d)
				}
				if e.Kind != p.Kind {
					t.Errorf("kind %s", e.Kind)
				}
				if e.Entity == (streamkeeper.Entity{}) {
					t.Error("about nothing")
				}
			})
		}
	}
}

// TestPatterns_AsManyAsPromised keeps the catalog from shrinking unnoticed.
func TestPatterns_AsManyAsPromised(t *testing.T) {
	if n := len(builtIn(t)); n < 40 {
		t.Errorf("%d patterns, want 40 or more", n)
	}
}

func TestLoad_TellsWhatIsWrong(t *testing.T) {
	const good = `
- id: a
  kind: k
  teller: broker
  why: w
  contains: ten bytes and more
  match: 'ten (?P<group>\w+)'
  lines: [{line: ten bytes and more}]
`
	for _, c := range []struct{ name, from, to, want string }{
		{"an unknown key", "kind: k", "kynd: k", "kynd"},
		{"a short literal", "ten bytes and more\n", "ten\n", "10 bytes"},
		{"no example", "lines: [{line: ten bytes and more}]", "lines: []", "real line"},
		{"a bad expression", `(?P<group>\w+)`, `(?P<group>`, "match"},
		{"a teller that is none", "broker", "nobody", "teller"},
		{"a client without library", "broker", "client", "library"},
		{"a case of nothing", "why: w", "why: w\n  of: nope\n  cases: [{match: x}]", `no group "nope"`},
	} {
		_, err := Load(fstest.MapFS{"patterns/x.yaml": {Data: []byte(strings.Replace(good, c.from, c.to, 1))}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := Load(fstest.MapFS{"patterns/x.yaml": {Data: []byte(good)}}); err != nil {
		t.Errorf("a good one: %v", err)
	}
	if _, err := Load(fstest.MapFS{"patterns/x.yaml": {Data: []byte(good + good)}}); err == nil {
		t.Error("two of one id")
	}
}
