package rules

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

var (
	testNow   = exampleStart.Add(10 * time.Minute)
	testScope = Scope{Cluster: "c", Now: testNow, Interval: 5 * time.Second}
)

func groupOf(name string) streamkeeper.Entity {
	return streamkeeper.Entity{Kind: streamkeeper.KindGroup, Name: name, Cluster: "c"}
}

func point(value float64, labels ...string) streamkeeper.Point {
	p := streamkeeper.Point{Labels: map[string]string{"cluster": "c"}, Value: value}
	for i := 0; i+1 < len(labels); i += 2 {
		p.Labels[labels[i]] = labels[i+1]
	}
	return p
}

// ago is the timestamp of a sample that is so old.
func ago(seconds float64) float64 { return float64(testNow.UnixMilli())/1000 - seconds }

// TestQueries_Text pins the queries of a tick: their text is what a Prometheus will be asked.
func TestQueries_Text(t *testing.T) {
	c := loadFixture(t)
	var b strings.Builder
	write := func(title string, qs []streamkeeper.Query) {
		fmt.Fprintf(&b, "# %s\n", title)
		for _, q := range qs {
			fmt.Fprintf(&b, "%s %s", q.Kind, q.Expr)
			if q.Kind == streamkeeper.QueryCount {
				fmt.Fprintf(&b, " over %s by %s", q.Window, strings.Join(q.By, ", "))
			}
			b.WriteByte('\n')
		}
	}
	write("symptoms, whole cluster", c.SymptomQueries(testScope))
	slow := testScope
	slow.Interval = time.Minute
	write("symptoms at a scrape interval of a minute", c.SymptomQueries(slow))
	g := []Suspect{
		{Entity: groupOf("a.b"), Causes: []string{"poll_overrun"}, Nodes: []NodeOn{{"slow_records", groupOf("a.b")}}},
		{Entity: groupOf(`c"d`), Control: true, Nodes: []NodeOn{{"slow_records", groupOf(`c"d`)}, {"left_on_timeout", groupOf("a.b")}}},
	}
	write("evidence on two groups with odd names", c.EvidenceQueries(testScope, g))
	golden(t, "testdata/queries.txt", b.String())
}

func TestQueries_AreAskedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, q := range loadFixture(t).SymptomQueries(testScope) {
		if seen[q.ID] {
			t.Errorf("%s is asked twice", q.ID)
		}
		seen[q.ID] = true
	}
}

func TestScoped(t *testing.T) {
	for in, want := range map[string]string{
		"up == 1":                             "up{$by} == 1",
		"up{}":                                "up{$by}",
		`up{job="x"} == 1`:                    `up{$by,job="x"} == 1`,
		"up{$cluster} == 1":                   "up{$cluster} == 1",
		"sum by (a, b) (x) > 0 and y":         "sum by (a, b) (x{$by}) > 0 and y{$by}",
		"count(x) without (a) > 5m":           "count(x{$by}) without (a) > 5m",
		`x * on (a) group_left (b) y{c!="}"}`: `x{$by} * on (a) group_left (b) y{$by,c!="}"}`,
		"rate(x[5m]) / 1e3":                   "rate(x{$by}[5m]) / 1e3",
	} {
		if got := scoped(in, "$by"); got != want {
			t.Errorf("scoped(%s) = %s, want %s", in, got, want)
		}
	}
}

// TestReadings is the table of decisions 13 to 15 and 19: when a value is known, zero or unknown.
func TestReadings(t *testing.T) {
	c := loadFixture(t)
	const (
		rebalances = `count by (cluster, group) broker_rebalances_total{cluster="c"}[300s]`
		alive      = `broker_up{cluster="c"} == 1`
		aliveTime  = `max(timestamp(broker_up{cluster="c"}))`
		lag        = `max by (cluster, group) (group_lag_seconds{cluster="c"})`
		lagTime    = `max by (cluster, group) (timestamp(group_lag_seconds{cluster="c"}))`
		backlog    = `max by (cluster, group) (broker_backlog_seconds{cluster="c"})`
		backTime   = `max by (cluster, group) (timestamp(broker_backlog_seconds{cluster="c"}))`
		parts      = `sum by (cluster, group) (part_lag{cluster="c"})`
		partTime   = `max by (cluster, group) (timestamp(part_lag{cluster="c"}))`
		partWant   = `group_partitions{cluster="c"}`
		partCount  = `count by (cluster, group) (part_lag{cluster="c"})`
	)
	g := func(v float64) []streamkeeper.Point { return []streamkeeper.Point{point(v, "group", "g")} }
	none := []streamkeeper.Point{}
	old := func(v float64, age time.Duration) []streamkeeper.Point {
		p := point(v, "group", "g")
		p.Age = age
		return []streamkeeper.Point{p}
	}
	other := point(7, "group", "g")
	other.Labels["cluster"] = "another"
	for _, x := range []struct {
		reason  string
		signal  string
		answers map[string][]streamkeeper.Point
		want    streamkeeper.Value
		dialect string
	}{
		{"a fresh count", "rebalances", map[string][]streamkeeper.Point{rebalances: g(3)}, streamkeeper.Known(3), "streamkeeper"},
		{"a count that is too old", "rebalances", map[string][]streamkeeper.Point{rebalances: old(3, 13*time.Second)}, streamkeeper.NotKnown(streamkeeper.WhyStale), ""},
		{"no series while the broker lives is zero", "rebalances", map[string][]streamkeeper.Point{rebalances: none, alive: {point(1)}, aliveTime: {point(ago(4))}}, streamkeeper.Known(0), "streamkeeper"},
		{"no series and a broker last seen a minute ago is unknown", "rebalances", map[string][]streamkeeper.Point{rebalances: none, alive: {point(1)}, aliveTime: {point(ago(60))}}, streamkeeper.NotKnown(streamkeeper.WhyMissing), ""},
		{"no series and no broker is unknown", "rebalances", map[string][]streamkeeper.Point{rebalances: none, alive: none}, streamkeeper.NotKnown(streamkeeper.WhyMissing), ""},
		{"nothing asked yet is pending", "rebalances", nil, streamkeeper.NotKnown(streamkeeper.WhyPending), ""},
		{"the first dialect that is fresh wins", "lag_seconds", map[string][]streamkeeper.Point{lag: g(5), lagTime: g(ago(3)), backlog: g(9), backTime: g(ago(3))}, streamkeeper.Known(5), "kafka"},
		{"a stale first dialect yields to a fresh second", "lag_seconds", map[string][]streamkeeper.Point{lag: g(5), lagTime: g(ago(30)), backlog: g(9), backTime: g(ago(3))}, streamkeeper.Known(9), "streamkeeper"},
		{"both stale", "lag_seconds", map[string][]streamkeeper.Point{lag: g(5), lagTime: g(ago(30)), backlog: none}, streamkeeper.NotKnown(streamkeeper.WhyStale), ""},
		{"a value without a sample time is not trusted", "lag_seconds", map[string][]streamkeeper.Point{lag: g(5), lagTime: none, backlog: none}, streamkeeper.NotKnown(streamkeeper.WhyStale), ""},
		{"NaN is unknown", "lag_seconds", map[string][]streamkeeper.Point{lag: g(math.NaN()), lagTime: g(ago(3)), backlog: g(9), backTime: g(ago(3))}, streamkeeper.NotKnown(streamkeeper.WhyNaN), ""},
		{"another cluster's series are not ours", "lag_seconds", map[string][]streamkeeper.Point{lag: {other}, lagTime: g(ago(3)), backlog: none}, streamkeeper.NotKnown(streamkeeper.WhyMissing), ""},
		{"a whole sum", "parts", map[string][]streamkeeper.Point{parts: g(50), partTime: g(ago(1)), partWant: g(10), partCount: g(9)}, streamkeeper.Known(50), "kafka"},
		{"a sum that lacks a fifth", "parts", map[string][]streamkeeper.Point{parts: g(50), partTime: g(ago(1)), partWant: g(10), partCount: g(8)}, streamkeeper.NotKnown(streamkeeper.WhyPartial), ""},
		{"a sum of which nobody knows the parts", "parts", map[string][]streamkeeper.Point{parts: g(50), partTime: g(ago(1)), partWant: none, partCount: g(8)}, streamkeeper.NotKnown(streamkeeper.WhyPartial), ""},
	} {
		p := newPlanner(testScope, nil)
		n := need{c.signals["group."+x.signal], 5 * time.Minute}
		p.add(n)
		answers := streamkeeper.Answers{}
		for id, points := range x.answers {
			answers[id] = streamkeeper.Answer{Points: points}
		}
		for id := range answers {
			if !p.seen[id] {
				t.Fatalf("%s: the test answers %s, which is not asked", x.reason, id)
			}
		}
		r := newResolver(p, answers)
		if got := r.reading(n.signal, n.window, groupOf("g")); got != x.want {
			t.Errorf("%s: %+v, want %+v", x.reason, got, x.want)
		}
		if got := r.resolve(n).dialect; x.dialect != "" && got != x.dialect {
			t.Errorf("%s: dialect %s, want %s", x.reason, got, x.dialect)
		}
	}
}

// world is two groups that read one topic, and facts.
func testWorld() fixedWorld {
	return fixedWorld{
		related: map[streamkeeper.EntityKind][]string{
			streamkeeper.KindGroup: {"calm1", "calm2", "calm3", "calm4", "late"}, streamkeeper.KindTopic: {"orders"},
		},
		facts: map[string]streamkeeper.State{"group/leave_reasons": streamkeeper.Present},
	}
}

// testInputs answers: group late is 20 s late and rebalanced four times, the others are fine.
func testInputs(qs []streamkeeper.Query, l fixedLog) Inputs {
	groups := []string{"calm1", "calm2", "calm3", "calm4", "late"}
	answers := streamkeeper.Answers{}
	for _, q := range qs {
		var points []streamkeeper.Point
		switch {
		case strings.Contains(q.Expr, "topic_end_offset"):
			v := 5.0
			if strings.Contains(q.Expr, "timestamp") {
				v = ago(2)
			}
			points = append(points, point(v, "topic", "orders"))
		case strings.Contains(q.Expr, "timestamp"):
			for _, g := range groups {
				points = append(points, point(ago(2), "group", g))
			}
		default:
			for _, g := range groups {
				v := map[bool]float64{true: 20, false: 1}[g == "late"]
				if q.Kind == streamkeeper.QueryCount {
					v = map[bool]float64{true: 4, false: 0}[g == "late"]
				}
				points = append(points, point(v, "group", g))
			}
		}
		answers[q.ID] = streamkeeper.Answer{Points: points}
	}
	return Inputs{Answers: answers, Events: l, World: testWorld()}
}

func find(t *testing.T, list []streamkeeper.Observation, node, entity string) streamkeeper.Observation {
	t.Helper()
	for _, o := range list {
		if o.Node == node && o.Entity.Name == entity {
			return o
		}
	}
	t.Fatalf("no observation of %s on %s", node, entity)
	return streamkeeper.Observation{}
}

func TestTick_SymptomsSuspectsEvidence(t *testing.T) {
	c := loadFixture(t)
	late := groupOf("late")
	timeout := event(30, "member_left member=m1 reason='poll timeout' session_s=45")
	second := event(20, "member_left member=m1 reason='poll timeout' session_s=45")
	closed := event(10, "member_left member=m2 reason=closed session_s=45")
	timeout.Entity, second.Entity, closed.Entity = late, late, late
	log := fixedLog{events: []streamkeeper.Event{second, timeout, closed}}

	symptoms, _ := c.Symptoms(testScope, testInputs(c.SymptomQueries(testScope), log))
	lag := find(t, symptoms, "lag_high", "late")
	if lag.State != streamkeeper.Present || lag.Text != "late is 20 s late" || lag.Strength != .98 || lag.Value == nil || *lag.Value != 20 {
		t.Errorf("lag_high on late is %+v", lag)
	}
	if calm := find(t, symptoms, "lag_high", "calm1"); calm.State != streamkeeper.Absent || calm.Strength != .02 {
		t.Errorf("lag_high on calm1 is %+v", calm)
	}
	if r := find(t, symptoms, "rebalancing", "late"); r.State != streamkeeper.Present || r.Text != "4 in 5m" {
		t.Errorf("rebalancing on late is %+v", r)
	}
	storm := find(t, symptoms, "rebalancing", "late")
	n, _ := c.Node("rebalancing")
	if text, missing := c.Render(n.Impact.Text, storm.Numbers, storm.Strings); text != "late lost 3 and rebalanced 4 times" || missing != nil {
		t.Errorf("its impact is %q, missing %v", text, missing)
	}

	sus := c.Suspects(testScope, symptoms, nil, testWorld())
	if len(sus) != 4 || sus[0].Entity != late || sus[0].Control {
		t.Fatalf("suspects are %+v, want late and three controls", sus)
	}
	if d := cmp.Diff([]string{"nothing_to_read", "poll_overrun", "processing_slow"}, sus[0].Causes); d != "" {
		t.Error(d)
	}
	for i, s := range sus[1:] {
		if !s.Control || s.Entity != groupOf(fmt.Sprintf("calm%d", i+1)) || len(s.Causes) != 0 || len(s.Nodes) != 2 {
			t.Errorf("control %d is %+v", i, s)
		}
	}

	qs := c.EvidenceQueries(testScope, sus)
	for _, q := range qs {
		if strings.Contains(q.Expr, "broker_record_seconds") && !strings.Contains(q.Expr, `group=~"calm1|calm2|calm3|late"`) {
			t.Errorf("%s is not limited to the suspects", q.Expr)
		}
	}
	evidence := c.Evidence(testScope, sus, testInputs(qs, log))
	left := find(t, evidence, "left_on_timeout", "late")
	want := streamkeeper.Observation{
		Node: "left_on_timeout", Entity: late, State: streamkeeper.Present, Strength: .98, Since: timeout.At,
		Text: "m1 left on its poll timeout, its session is 45 s", Value: new(float64), Loci: []streamkeeper.Locus{{Kind: "member", Name: "m1"}},
		Numbers: map[string]float64{"session_s": 45, "record_seconds": 20},
		Strings: map[string]string{
			"entity": "group late", "cluster": "c", "group": "late", "window": "5m", "member": "m1", "reason": "poll timeout", "locus": "m1",
		},
	}
	*want.Value = 2
	if d := cmp.Diff(want, left); d != "" {
		t.Error(d)
	}
	if calm := find(t, evidence, "left_on_timeout", "calm1"); calm.State != streamkeeper.Absent || calm.Text != "nobody left on its poll timeout" {
		t.Errorf("left_on_timeout on calm1 is %+v", calm)
	}
	again := c.Evidence(testScope, c.Suspects(testScope, symptoms, nil, testWorld()), testInputs(qs, log))
	if d := cmp.Diff(evidence, again); d != "" {
		t.Errorf("the same inputs give other observations: %s", d)
	}
}

func TestObserve_Unknowns(t *testing.T) {
	c := loadFixture(t)
	on := func(w fixedWorld, l EventLog, node string) streamkeeper.Observation {
		sus := []Suspect{{Entity: groupOf("late"), Nodes: []NodeOn{{node, groupOf("late")}}}}
		return c.Evidence(testScope, sus, Inputs{Answers: streamkeeper.Answers{}, Events: l, World: w})[0]
	}
	fact := func(s streamkeeper.State) fixedWorld {
		w := testWorld()
		w.facts = map[string]streamkeeper.State{"group/leave_reasons": s}
		return w
	}
	hit := event(5, "member_left member=m reason='poll timeout'")
	hit.Entity = groupOf("late")
	for _, x := range []struct {
		reason string
		got    streamkeeper.Observation
		state  streamkeeper.State
		why    string
	}{
		{"no such library", on(fact(streamkeeper.Absent), fixedLog{}, "left_on_timeout"), streamkeeper.NotApplicable, "does not apply: leave_reasons"},
		{"library not known, nothing seen", on(fact(streamkeeper.Unknown), fixedLog{}, "left_on_timeout"), streamkeeper.Unknown, "missing whether it applies (leave_reasons)"},
		{"library not known, but the decisive fact is there", on(fact(streamkeeper.Unknown), fixedLog{events: []streamkeeper.Event{hit}}, "left_on_timeout"), streamkeeper.Present, ""},
		{"no event source", on(fact(streamkeeper.Present), fixedLog{blind: "member_left"}, "left_on_timeout"), streamkeeper.Unknown, "missing events member_left"},
		{"no event log at all", on(fact(streamkeeper.Present), nil, "left_on_timeout"), streamkeeper.Unknown, "missing events member_left"},
		{"nothing answered", on(fact(streamkeeper.Present), nil, "slow_records"), streamkeeper.Unknown, "pending record_seconds, topic.produce_rate"},
	} {
		if x.got.State != x.state || x.got.Why != x.why {
			t.Errorf("%s: %v %q, want %v %q", x.reason, x.got.State, x.got.Why, x.state, x.why)
		}
	}
	if o := on(fact(streamkeeper.Present), nil, "left_on_timeout"); o.Needs != "the event ring" {
		t.Errorf("needs is %q", o.Needs)
	}
}

// TestObserve_AbsentWithoutEveryNumber: a condition may be decided while its text lacks a number.
func TestObserve_AbsentWithoutEveryNumber(t *testing.T) {
	files := fixtureFiles()
	text := strings.Replace(string(files["evidence/slow_records.yaml"].Data), "say: slow", "say: slow\nsay_not: '{{record_seconds}} s at {{topic.produce_rate}}/s'", 1)
	files["evidence/slow_records.yaml"] = &fstest.MapFile{Data: []byte(text)}
	c, err := Load(files)
	if err != nil {
		t.Fatal(err)
	}
	for want, r := range map[string]fixedReadings{"": {"record_seconds": .01}, "0.01 s at 5/s": {"record_seconds": .01, "produce_rate": 5}} {
		e := &evaluation{catalog: c, raw: map[NodeOn]streamkeeper.State{}, phase: testFrame(r, testWorld(), fixedLog{}).phase}
		o := e.observe(c.nodes["slow_records"], groupOf("late"))
		if o.State != streamkeeper.Absent || o.Text != want {
			t.Errorf("with %v: %v %q, want absent %q", r, o.State, o.Text, want)
		}
	}
}

func TestLoci_JoinedAttributes(t *testing.T) {
	l := &loci{kind: "partition", call: eventCall{kinds: []string{"stall"}}, attrs: []string{"topic", "partition"}}
	f := testFrame(nil, fixedWorld{}, fixedLog{events: []streamkeeper.Event{
		event(9, "stall topic=orders partition=1"), event(8, "stall topic=orders partition=3"), event(7, "stall topic=orders partition=3"), event(6, "stall topic=orders"),
	}})
	want := []streamkeeper.Locus{{Kind: "partition", Name: "orders-3"}, {Kind: "partition", Name: "orders-1"}}
	if d := cmp.Diff(want, l.list(f)); d != "" {
		t.Error(d)
	}
}

// TestMask: a present mask makes a symptom unknown, not absent.
func TestMask(t *testing.T) {
	c := loadFixture(t)
	qs := c.SymptomQueries(testScope)
	in := testInputs(qs, fixedLog{})
	for _, q := range qs {
		if strings.HasPrefix(q.Expr, "deriv(topic_end_offset") {
			in.Answers[q.ID] = streamkeeper.Answer{Points: []streamkeeper.Point{point(0, "topic", "orders")}}
		}
	}
	for _, group := range []string{"late", "calm1"} {
		symptoms, _ := c.Symptoms(testScope, in)
		o := find(t, symptoms, "rebalancing", group)
		if o.State != streamkeeper.Unknown || o.Why != "masked by quiet_topic" {
			t.Errorf("rebalancing on %s is %v %q, want it masked", group, o.State, o.Why)
		}
	}
}

func TestStrength(t *testing.T) {
	c := loadFixture(t)
	n := c.nodes["lag_high"]
	for lag, want := range map[float64]float64{0: .02, 5: .02, 7.5: .25, 10: .5, 12.5: .75, 15: .98, 99: .98} {
		f := testFrame(fixedReadings{"lag_seconds": lag}, fixedWorld{}, fixedLog{})
		state := n.program.when.eval(f).state()
		if got := strength(n, f, state); math.Abs(got-want) > 1e-9 {
			t.Errorf("at a lag of %v the strength is %v, want %v", lag, got, want)
		}
	}
}

func TestApplies(t *testing.T) {
	c := loadFixture(t)
	w := fixedWorld{facts: map[string]streamkeeper.State{
		"group/classic": streamkeeper.Present, "group/static": streamkeeper.Absent, "cluster/tiering": streamkeeper.Present,
	}}
	for expr, want := range map[string]streamkeeper.State{
		"":                               streamkeeper.Present,
		"classic":                        streamkeeper.Present,
		"not static":                     streamkeeper.Present,
		"classic and static":             streamkeeper.Absent,
		"tiering":                        streamkeeper.Present, // of the cluster
		"nobody_knows":                   streamkeeper.Unknown,
		"classic or nobody_knows":        streamkeeper.Present,
		"classic and nobody_knows":       streamkeeper.Unknown,
		"not (static and nobody_knows)":  streamkeeper.Present,
		"this is not an expression at (": streamkeeper.Unknown,
	} {
		if got := c.Applies(expr, groupOf("g"), w); got != want {
			t.Errorf("%q is %v, want %v", expr, got, want)
		}
	}
}

func TestRender(t *testing.T) {
	c := loadFixture(t)
	numbers := map[string]float64{"poll_seconds": 6, "record_seconds": .031, "topic.produce_rate": 60, "zero": 0}
	for _, x := range []struct {
		template, want string
		missing        []string
	}{
		{"max.poll.records = {{floor(0.5 * poll_seconds / record_seconds)}}", "max.poll.records = 96", nil},
		{"{{round(record_seconds * 1000, 1)}} ms, {{topic.produce_rate}}/s", "31 ms, 60/s", nil},
		{"{{who}} takes {{record_seconds}} s", "unknown takes 0.031 s", []string{"who"}},
		{"{{floor(a / b)}}", "unknown", []string{"a", "b"}},
		{"{{poll_seconds / zero}}", "unknown", []string{"poll_seconds / zero"}},
		{"{{coalesce(a, poll_seconds)}}", "6", nil},
		{"{{duration(252)}}, {{duration(0.25)}}, {{duration(7200)}}, {{percent(0.97)}}, {{bytes(1572864)}}", "4 m 12 s, 0.25 s, 2 h, 97 %, 1.5 MiB", nil},
		{"{{ record_seconds > 0.01 ? 'slow' : 'fast' }}", "slow", nil},
		{"nothing to fill", "nothing to fill", nil},
	} {
		text, missing := c.Render(x.template, numbers, map[string]string{})
		if text != x.want || !cmp.Equal(missing, x.missing) {
			t.Errorf("%s gives %q %v, want %q %v", x.template, text, missing, x.want, x.missing)
		}
	}
}

// BenchmarkTick is one tick over twenty groups with the built-in catalog: a few milliseconds are allowed.
func BenchmarkTick(b *testing.B) {
	c, err := Load(os.DirFS("catalog"))
	if err != nil {
		b.Fatal(err)
	}
	var groups, topics []string
	for i := range 20 {
		groups, topics = append(groups, fmt.Sprintf("g%d", i)), append(topics, fmt.Sprintf("t%d", i))
	}
	w := fixedWorld{related: map[streamkeeper.EntityKind][]string{
		streamkeeper.KindGroup: groups, streamkeeper.KindTopic: topics, streamkeeper.KindBroker: {"0"}, streamkeeper.KindStore: {"s"},
	}}
	answers := func(qs []streamkeeper.Query) streamkeeper.Answers {
		out := streamkeeper.Answers{}
		for _, q := range qs {
			var points []streamkeeper.Point
			for i := range groups {
				v := float64(i * i)
				if strings.Contains(q.Expr, "timestamp") {
					v = ago(2)
				}
				points = append(points, point(v, "group", groups[i], "topic", topics[i], "broker", "0", "store", "s"))
			}
			out[q.ID] = streamkeeper.Answer{Points: points}
		}
		return out
	}
	var events []streamkeeper.Event
	for i := range 200 {
		e := event(float64(i), "member_left member=m"+fmt.Sprint(i%5)+" reason=closed heartbeat_age_s=1")
		e.Entity = groupOf(groups[i%20])
		events = append(events, e)
	}
	one := answers(c.SymptomQueries(testScope))
	in := Inputs{Answers: one, Events: fixedLog{events: events}, World: w}
	symptoms, _ := c.Symptoms(testScope, in)
	two := answers(c.EvidenceQueries(testScope, c.Suspects(testScope, symptoms, nil, w)))
	in2 := Inputs{Answers: two, Events: fixedLog{events: events}, World: w}
	for b.Loop() {
		c.SymptomQueries(testScope)
		symptoms, _ = c.Symptoms(testScope, in)
		sus := c.Suspects(testScope, symptoms, nil, w)
		c.EvidenceQueries(testScope, sus)
		c.Evidence(testScope, sus, in2)
	}
	b.ReportMetric(float64(len(symptoms)), "symptoms")
}

func TestReadings_SayDialectAndWindow(t *testing.T) {
	c := loadFixture(t)
	slow := testScope
	slow.Interval = time.Minute
	got := map[string]streamkeeper.Reading{}
	for _, r := range c.Readings(slow, nil, testInputs(c.SymptomQueries(slow), fixedLog{})) {
		got[r.Signal+" "+r.Entity.Name] = r
	}
	for key, want := range map[string]streamkeeper.Reading{
		"lag_seconds late":    {Signal: "lag_seconds", Entity: groupOf("late"), Value: streamkeeper.Known(20), Dialect: "kafka", Window: 4 * time.Minute},
		"rebalances calm1":    {Signal: "rebalances", Entity: groupOf("calm1"), Value: streamkeeper.Known(0), Dialect: "streamkeeper", Window: 5 * time.Minute},
		"produce_rate orders": {Signal: "produce_rate", Entity: streamkeeper.Entity{Kind: streamkeeper.KindTopic, Name: "orders", Cluster: "c"}, Value: streamkeeper.Known(5), Dialect: "kafka", Window: 4 * time.Minute},
	} {
		if d := cmp.Diff(want, got[key]); d != "" {
			t.Errorf("%s: %s", key, d)
		}
	}
	if len(got) != 11 { // two signals on five groups, one on a topic
		t.Errorf("%d readings, want 11", len(got))
	}
}
