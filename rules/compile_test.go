package rules

import (
	"fmt"
	"strings"
	"testing"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// fixedReadings gives signals by name; what is not there is missing.
type fixedReadings map[string]float64

func (r fixedReadings) reading(sig *Signal, _ time.Duration, e streamkeeper.Entity) streamkeeper.Value {
	for _, key := range []string{sig.Name + "@" + e.Name, sig.Name} {
		if v, ok := r[key]; ok {
			return streamkeeper.Known(v)
		}
	}
	return streamkeeper.NotKnown(streamkeeper.WhyMissing)
}

// fixedWorld relates every entity to the ones listed by kind.
type fixedWorld struct {
	related map[streamkeeper.EntityKind][]string
	facts   map[string]streamkeeper.State // by entity/atom
}

func (w fixedWorld) Entities(cluster string, k streamkeeper.EntityKind) []streamkeeper.Entity {
	var out []streamkeeper.Entity
	for _, name := range w.related[k] {
		out = append(out, streamkeeper.Entity{Kind: k, Name: name, Cluster: cluster})
	}
	return out
}

func (w fixedWorld) Related(e streamkeeper.Entity, k streamkeeper.EntityKind) []streamkeeper.Entity {
	return w.Entities(e.Cluster, k)
}

func (w fixedWorld) Fact(e streamkeeper.Entity, atom string) streamkeeper.State {
	return w.facts[string(e.Kind)+"/"+atom]
}

// fixedLog holds events; kinds listed in blind are not covered.
type fixedLog struct {
	events []streamkeeper.Event
	blind  string
}

func (l fixedLog) Events(_ string, kinds []string, from, to time.Time) []streamkeeper.Event {
	var out []streamkeeper.Event
	for _, e := range l.events {
		for _, k := range kinds {
			if e.Kind == k && !e.At.Before(from) && !e.At.After(to) {
				out = append(out, e)
			}
		}
	}
	return out
}

func (l fixedLog) Covered(_ string, kinds []string, _, _ time.Time) bool {
	return !strings.Contains("|"+strings.Join(kinds, "|")+"|", "|"+l.blind+"|")
}

var testSignals = func() map[string]*Signal {
	out := map[string]*Signal{}
	for _, key := range []string{"group.a", "group.b", "group.c", "group.gone", "topic.rate"} {
		kind, name, _ := strings.Cut(key, ".")
		out[key] = &Signal{Name: name, Entity: streamkeeper.EntityKind(kind), Kind: streamkeeper.QueryInstant}
	}
	return out
}()

var groupG = streamkeeper.Entity{Kind: streamkeeper.KindGroup, Name: "g", Cluster: "c"}

func testFrame(r fixedReadings, w fixedWorld, l fixedLog) *frame {
	s := Scope{Cluster: "c", Now: exampleStart.Add(10 * time.Minute), Interval: 5 * time.Second}
	return &frame{
		entity: groupG, asked: 5 * time.Minute, window: 5 * time.Minute,
		phase: &phase{scope: s, readings: r, world: w, events: newEventIndex(l, s), relation: map[relationKey][]streamkeeper.Entity{}},
	}
}

// event makes an event n seconds before now.
func event(ago float64, line string) streamkeeper.Event {
	e, _, err := parseEventLine("0s " + line)
	if err != nil {
		panic(err)
	}
	e.At = exampleStart.Add(10*time.Minute - time.Duration(ago*float64(time.Second)))
	e.Entity = groupG
	return e
}

func TestConditions(t *testing.T) {
	r := fixedReadings{"a": 2, "b": 0, "c": -3, "rate@t1": 5, "rate@t2": 9}
	w := fixedWorld{
		related: map[streamkeeper.EntityKind][]string{streamkeeper.KindTopic: {"t1", "t2"}},
		facts:   map[string]streamkeeper.State{"group/classic": streamkeeper.Present, "cluster/tiering": streamkeeper.Absent},
	}
	l := fixedLog{blind: "unseen", events: []streamkeeper.Event{
		event(100, "lost member=x reason=closed age=1"),
		event(80, "lost member=x reason=expired age=9"),
		event(60, "lost member=y age=9"),
		event(50, "joined member=x"),
		event(10, "unseen member=x"),
	}}
	for _, c := range []struct {
		when   string
		want   value
		reason string
	}{
		{"a > 1", yes, "a known number"},
		{"gone > 1", dunno, "a missing number decides nothing"},
		{"not (gone > 1)", dunno, "nor does its negation"},
		{"gone > 1 and a > 5", no, "one false decides"},
		{"gone > 1 or a > 1", yes, "one true decides"},
		{"a > 1 and gone > 1", dunno, "true and unknown"},
		{"a / b > 1", dunno, "division by zero"},
		{"gone - gone == 0", dunno, "unknown does not cancel out"},
		{"gone > 1 ? a > 1 : a > 0", yes, "both branches agree"},
		{"gone > 1 ? a > 1 : a > 9", dunno, "they do not"},
		{"a > 1 ? a > 0 : unknown", yes, "the literal unknown is not taken"},
		{"a > 9 ? a > 0 : unknown", dunno, "the literal unknown is taken"},
		{"known(gone)", no, "known is never unknown"},
		{"known(a)", yes, ""},
		{"a in [1, 2]", yes, ""},
		{"a in [1, gone]", dunno, "it could be the unknown one"},
		{"a in [2, gone]", yes, "one hit decides"},
		{"a in 1..3", yes, ""},
		{"a not in 1..3", no, ""},
		{"abs(c) == 3", yes, ""},
		{"max(a, gone) > 1", dunno, "max wants all"},
		{"log(c) > 0 or log(c) <= 0", dunno, "no logarithm of a negative number"},
		{"ramp(a, 1, 3) == 0.5", yes, ""},
		{"ramp(a, 3, 1) == 0.5", yes, "falling ramp"},
		{"a < dur(\"1m\")", yes, ""},
		{"window_seconds == 300 and interval_seconds == 5", yes, ""},
		{"topic.rate == 9", yes, "the largest of related"},
		{"sum_of(topic.rate) == 14 and min_of(topic.rate) == 5 and avg_of(topic.rate) == 7", yes, ""},
		{"fact(\"classic\")", yes, "a fact of the entity"},
		{"fact(\"tiering\")", no, "a fact of its cluster"},
		{"fact(\"nobody_knows\")", dunno, ""},
		{"events(\"lost\") == 3", yes, "covered: exact"},
		{"events(\"lost|joined\") == 4", yes, ""},
		{"events(\"lost\", age > 5) == 2", yes, "inline filter"},
		{"events(\"lost\", \"age > 5 and member == 'x'\") == 1", yes, "filter in quotes"},
		{"events(\"lost\", \"\", 70) == 1", yes, "window in seconds"},
		{"events(\"lost\", age > 5, dur(\"70s\")) == 1", yes, "filter and window"},
		{"events(\"lost\", \"70s\") == 1", yes, "window alone"},
		{"events(\"lost\", reason == 'closed') >= 1", yes, "a match decides although one event lacks the attribute"},
		{"events(\"lost\", reason == 'nothing') == 0", dunno, "one event lacks the attribute: it might match"},
		{"events(\"lost\", age > a) == 2", dunno, "names in a filter are attributes, never signals"},
		{"events(\"lost\", age > group.a) == 2", yes, "signals are written with their kind there"},
		{"events(\"joined\", member == 'z') == 0", yes, "decided and covered"},
		{"events(\"unseen\") >= 1", yes, "seen once is at least once"},
		{"events(\"unseen\") == 1", dunno, "but perhaps more often"},
		{"events(\"unseen\", member == 'z') == 0", dunno, "not covered: absence is not known"},
		{"known(events(\"unseen\", member == 'z'))", no, ""},
		{"distinct(\"lost\", member) == 2", yes, ""},
		{"most(\"lost\", member) == 2", yes, ""},
		{"most(\"lost\", \"member\", age > 5) == 1", yes, ""},
		{"latest(\"lost\", age) == 9", yes, ""},
		{"latest(\"never\", age) == 9", dunno, "no event, no attribute"},
		{"age_of(\"lost\") == 60", yes, ""},
		{"age_of(\"never\") > 0", dunno, ""},
		{"span(\"lost\") == 40", yes, ""},
		{"share(\"lost\", age > 5) > 0.66", yes, ""},
		{"share(\"never\", age > 5) > 0.66", dunno, "nothing to share"},
		{"replaced(\"lost\", \"joined\", member) == 0", yes, "x was lost twice, y never came back"},
	} {
		sc := scope{mode: modeNode, entity: streamkeeper.KindGroup, signals: testSignals}
		e, err := compile(c.when, sc, typBool)
		if err != nil {
			t.Errorf("%s: %v", c.when, err)
			continue
		}
		if got := e.eval(testFrame(r, w, l)).state(); got != c.want.state() {
			t.Errorf("%s is %v, want %v (%s)", c.when, got, c.want.state(), c.reason)
		}
	}
}

// The word goes with the number that is written, also where that is a bound.
func TestPlural(t *testing.T) {
	l := fixedLog{blind: "unseen", events: []streamkeeper.Event{event(10, "unseen member=x"), event(20, "lost member=x"), event(30, "lost member=y")}}
	for source, want := range map[string]string{
		`{{events("unseen")}} {{plural(events("unseen"), "member", "members")}}`: "at least 1 member",
		`{{events("lost")}} {{plural(events("lost"), "member", "members")}}`:     "2 members",
		`{{plural(b, "member", "members")}}`:                                     "members",
		`{{plural(gone, "member", "members")}}`:                                  "members",
	} {
		m, err := compileTemplate(source, scope{mode: modeSay, entity: streamkeeper.KindGroup, signals: testSignals, events: true})
		if err != nil {
			t.Fatalf("%s: %v", source, err.text)
		}
		if text, missing := m.render(testFrame(fixedReadings{"b": 0}, fixedWorld{}, l)); text != want || len(missing) > 0 {
			t.Errorf("%s gives %q %v, want %q", source, text, missing, want)
		}
	}
}

func TestRelated_PartlyKnownIsABound(t *testing.T) {
	w := fixedWorld{related: map[streamkeeper.EntityKind][]string{streamkeeper.KindTopic: {"t1", "t2"}}}
	for when, want := range map[string]streamkeeper.State{
		"topic.rate > 4":         streamkeeper.Present, // at least 5
		"topic.rate > 6":         streamkeeper.Unknown, // t2 may be faster
		"topic.rate < 4":         streamkeeper.Absent,
		"min_of(topic.rate) < 6": streamkeeper.Present,
		"min_of(topic.rate) < 4": streamkeeper.Unknown,
		"sum_of(topic.rate) > 1": streamkeeper.Unknown, // half of the parts
	} {
		e, err := compile(when, scope{entity: streamkeeper.KindGroup, signals: testSignals}, typBool)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.eval(testFrame(fixedReadings{"rate@t1": 5}, w, fixedLog{})).state(); got != want {
			t.Errorf("%s is %v, want %v", when, got, want)
		}
	}
}

func TestCompile_Mistakes(t *testing.T) {
	for _, c := range []struct {
		source string
		offset int
		text   string
	}{
		{"a > ", 3, "unexpected token EOF"},
		{"a + 1", 2, "this is a number, want a condition"},
		{"a > 1 and lagg > 2", 10, "no signal lagg on a group"},
		{"a > 1 and gonee > 2", 10, "no signal gonee on a group (do you mean gone?)"},
		{"rate > 1", 0, "no signal rate on a group (write topic.rate for the related topic)"},
		{"group.a > 1", 6, "this rule is about a group: write a alone"},
		{"topic.nope > 1", 6, "no signal nope on a topic"},
		{"planet.a > 1", 0, `entity "planet": want cluster, broker, topic, partition, group, client, store or disk`},
		{"a > 'x'", 2, "cannot compare a number with text"},
		{"'x' > 'y'", 4, "only numbers have an order"},
		{"coalesce(a, 0) > 1", 0, "a default would turn an unknown into a number: only say and advice may use one"},
		{"(a ?? 0) > 1", 3, "a default would turn an unknown into a number: only say and advice may use one"},
		{"evnts('lost') > 1", 0, "no function evnts (do you mean events?)"},
		{"events(lost) > 1", 7, "argument 1 of events() must be text in quotes"},
		{"events('lost', 'age > ') > 1", 21, "unexpected token EOF"},
		{"events('lost', age + 1) > 1", 19, "this is a number, want a condition"},
		{"ramp(a, 1) > 1", 0, "ramp() wants 3 argument(s), got 2"},
		{"dur('soon') > 1", 4, `duration "soon": want for example 30s, 5m, 24h`},
		{"duration(a) == '1 s'", 0, "text functions belong into say and advice"},
		{"plural(a, 'x', 'y') == 'x'", 0, "text functions belong into say and advice"},
		{"[1, 2] == a", 0, "this form is not part of the condition language"},
		{"let x = 1; x > 0", 4, "this form is not part of the condition language"},
		{"a in 5", 5, "in wants a list as in ['a', 'b'], or a range as in 1..5"},
		{"", 0, "empty expression"},
	} {
		_, err := compile(c.source, scope{mode: modeNode, entity: streamkeeper.KindGroup, signals: testSignals}, typBool)
		if err == nil {
			t.Errorf("%q compiles", c.source)
			continue
		}
		if err.offset != c.offset || err.text != c.text {
			t.Errorf("%q: at %d %q, want at %d %q", c.source, err.offset, err.text, c.offset, c.text)
		}
	}
}

func TestGapRatio(t *testing.T) {
	at := func(seconds ...float64) []*streamkeeper.Event {
		var out []*streamkeeper.Event
		for _, s := range seconds {
			e := event(-s, "joined member=x")
			out = append(out, &e)
		}
		return out
	}
	for _, c := range []struct {
		reason string
		events []*streamkeeper.Event
		want   value
	}{
		{"a doubling ladder", at(0, 10, 30, 70, 150), num(1)},
		{"even gaps", at(0, 10, 20, 30, 40), num(0)},
		{"two gaps tell nothing", at(0, 10, 30), dunno},
	} {
		if got := gapRatioShare(c.events, "member", 1.6, 2.4); got != c.want {
			t.Errorf("%s: %v, want %v", c.reason, got, c.want)
		}
	}
}

func TestReplaced(t *testing.T) {
	list := func(spec string) (losses, joins []*streamkeeper.Event) {
		for i, word := range strings.Fields(spec) {
			e := event(-float64(i), fmt.Sprintf("x member=%s", word[1:]))
			if word[0] == '-' {
				losses = append(losses, &e)
			} else {
				joins = append(joins, &e)
			}
		}
		return losses, joins
	}
	for _, c := range []struct {
		reason, spec string
		want         value
	}{
		{"each comes back under its name", "-a +a -b +b", num(1)},
		{"each is replaced by a new pod", "-a +c -b +d", num(1)},
		{"a surge starts the new one first", "+c -a +d -b", num(1)},
		{"one never comes back", "-a +a -b", num(.5)},
		{"one comes and goes", "-a +a -a +a", num(0)},
		{"nobody was lost", "+a", dunno},
	} {
		losses, joins := list(c.spec)
		if got := replacedShare(losses, joins, "member"); got != c.want {
			t.Errorf("%s: %v, want %v", c.reason, got, c.want)
		}
	}
}

// FuzzCompile looks for expressions that panic, or that decide although every signal is unknown and
// nothing else is named.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{
		"a > 1 and not (b / c >= 2)", "events(\"lost\", age > 5 and member in ['x']) >= 1", "topic.rate > 3 ? a > 1 : unknown",
		"ramp(a, 1, 3)", "most(\"lost\", member, \"age > 5\", 30) > 2", "a ?? 1", "{{", "a[0].b", "(((((a)))))", "-a ** 3 % 2", "'x' matches 'y'",
		"gap_ratio_share('j', m, 1, 2)", "replaced('a','b',c)", "known(events('x'))", "a in 1..3", "fact('x') or a > 1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		for _, m := range []mode{modeNode, modeSay, modeFilter, modeFree, modeAtoms} {
			sc := scope{mode: m, entity: streamkeeper.KindGroup, signals: testSignals}
			e, err := compile(source, sc, typAny)
			if err != nil {
				if err.offset < 0 {
					t.Fatalf("%q: mistake at %d", source, err.offset)
				}
				continue
			}
			l := fixedLog{events: []streamkeeper.Event{event(5, "lost member=x age=9")}}
			first := e.eval(testFrame(fixedReadings{"a": 1, "b": 0}, fixedWorld{}, l))
			second := e.eval(testFrame(fixedReadings{"a": 1, "b": 0}, fixedWorld{}, l))
			if first != second {
				t.Fatalf("%q gives %v, then %v", source, first, second)
			}
			if first.kind == number && num(first.n) == dunno {
				t.Fatalf("%q gives %v", source, first.n)
			}
		}
		if tpl, err := compileTemplate(source, scope{mode: modeFree}); err == nil {
			tpl.render(&frame{})
		}
	})
}
