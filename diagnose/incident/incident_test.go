package incident

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

var (
	noon    = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	orders  = streamkeeper.Entity{Kind: streamkeeper.KindGroup, Name: "orders", Cluster: "c"}
	billing = streamkeeper.Entity{Kind: streamkeeper.KindGroup, Name: "billing", Cluster: "c"}
	store   = streamkeeper.Entity{Kind: streamkeeper.KindStore, Name: "bucket", Cluster: "c"}
)

// film plays ticks of five seconds.
type film struct {
	t    *testing.T
	mem  Memory
	now  time.Time
	last Output
}

func play(t *testing.T) *film { return &film{t: t, now: noon} }

// tick plays one tick; the memory goes through JSON, as it does over a restart.
func (f *film) tick(in Input) Output {
	f.t.Helper()
	in.Now, in.Cluster = f.now, "c"
	body, err := json.Marshal(f.mem)
	if err != nil {
		f.t.Fatal(err)
	}
	var mem Memory
	if err := json.Unmarshal(body, &mem); err != nil {
		f.t.Fatal(err)
	}
	f.mem, f.last = Step(mem, in, Options{})
	f.now = f.now.Add(5 * time.Second)
	return f.last
}

// until plays the same tick until an incident changes and returns it with the number of ticks.
func (f *film) until(in Input, most int) (streamkeeper.Incident, int) {
	f.t.Helper()
	for n := 1; n <= most; n++ {
		if out := f.tick(in); len(out.Changed) > 0 {
			return out.Changed[0], n
		}
	}
	f.t.Fatalf("no incident changed in %d ticks", most)
	return streamkeeper.Incident{}, 0
}

func (f *film) quiet(in Input, ticks int) {
	f.t.Helper()
	for n := range ticks {
		if out := f.tick(in); len(out.Changed) > 0 {
			f.t.Fatalf("tick %d changed %+v", n+1, out.Changed)
		}
	}
}

// An answer whose wording wavers between a name and a set with that name is told as soon as one that does not.
func TestWordingWavers(t *testing.T) {
	name, set, elsewhere := finding("stuck", orders, .62), finding("stuck", orders, .7), finding("stuck", billing, .62)
	set.Finding.ID, set.Finding.Causes = "missing|stuck@orders", []string{"stuck", "missing"}
	other := finding("poison", orders, .62)
	for what, c := range map[string]struct {
		before []Candidate
		told   bool
	}{
		"the name was likely":      {[]Candidate{name, name}, true},
		"now and then":             {[]Candidate{name, set}, true},
		"only elsewhere":           {[]Candidate{elsewhere, elsewhere}, false},
		"another name was":         {[]Candidate{other, other}, false},
		"the set was, now a name":  {[]Candidate{set, set}, false},
		"nothing was before":       {nil, false},
		"the set was all the time": {[]Candidate{set, set}, true},
	} {
		f, last := play(t), set
		if what == "the set was, now a name" {
			last = name
		}
		for _, b := range c.before {
			f.tick(Input{Candidates: []Candidate{b}})
		}
		if out := f.tick(Input{Candidates: []Candidate{last}}); (len(out.Told) > 0) != c.told {
			t.Errorf("%s: told %d", what, len(out.Told))
		}
	}
}

// A set that gives way to another one is told no later where most causes are the same.
func TestSetsWaver(t *testing.T) {
	set := func(causes ...string) Candidate {
		c := finding(causes[0], orders, .92)
		c.Finding.ID, c.Finding.Causes = strings.Join(causes, "|")+"@orders", causes
		return c
	}
	for what, c := range map[string]struct {
		before Candidate
		told   bool
	}{
		"one of three changed":   {set("crash", "network", "pause"), true},
		"two of three changed":   {set("crash", "network", "fenced"), false},
		"it had one more":        {set("crash", "pause", "overrun", "network"), true},
		"it had one of them":     {set("crash", "network"), false},
		"nothing of it remained": {set("network", "fenced"), false},
	} {
		f := play(t)
		for range 2 {
			f.tick(Input{Candidates: []Candidate{c.before}})
		}
		if out := f.tick(Input{Candidates: []Candidate{set("crash", "pause", "overrun")}}); (len(out.Told) > 0) != c.told {
			t.Errorf("%s: told %d", what, len(out.Told))
		}
	}
}

func finding(cause string, e streamkeeper.Entity, p float64) Candidate {
	return Candidate{
		Finding: streamkeeper.Finding{
			ID: cause + "/" + e.Key(), Cause: cause, Title: "Something is wrong", Entity: e, Confidence: p,
			Verdict: streamkeeper.VerdictRootCause, Severity: streamkeeper.SeverityWarning,
		},
		Own: []streamkeeper.Entity{e}, Affects: []streamkeeper.Entity{e}, Holds: true,
	}
}

func late(e streamkeeper.Entity) Symptom {
	return Symptom{
		Symptom: streamkeeper.Symptom{ID: "lag_growth", Entity: e, Since: noon, Severity: streamkeeper.SeverityWarning, Text: e.Name + " falls behind"},
		Impact:  e.Name + " is 4 m 12 s late",
	}
}

func TestOpensAfterThreeOfFour(t *testing.T) {
	in := Input{Candidates: []Candidate{finding("slow", orders, .85)}, Symptoms: []Symptom{late(orders)}}
	i, n := play(t).until(in, 10)
	if n != 3 || i.State != streamkeeper.IncidentOpen {
		t.Errorf("opened after %d ticks as %s, want 3 and open", n, i.State)
	}
	in.Candidates[0].Decisive = true
	if _, n := play(t).until(in, 10); n != 1 {
		t.Errorf("a decisive fact is told after %d ticks, want 1", n)
	}
	in.Candidates[0] = finding("slow", orders, .75)
	if _, n := play(t).until(in, 10); n != 6 {
		t.Errorf("a probable cause opens an incident after %d ticks, want 6", n)
	}
	in.Candidates[0] = finding("slow", orders, .55)
	play(t).quiet(in, 20)
}

func TestWaitingIsListed(t *testing.T) {
	out := play(t).tick(Input{Candidates: []Candidate{finding("slow", orders, .85)}})
	if len(out.Told) != 0 || len(out.Waiting) != 1 || out.Waiting[0].Ticks != 2 {
		t.Errorf("after one tick: %+v, want one finding waiting for two more ticks", out)
	}
}

func TestImpactGate(t *testing.T) {
	f := play(t)
	harmless := Input{Candidates: []Candidate{finding("slow", orders, .99)}}
	f.quiet(harmless, 10)
	if len(f.last.Told) != 1 {
		t.Errorf("the finding itself is not told: %+v", f.last)
	}
	outage := finding("store_down", store, .97)
	outage.Shared = true
	i, _ := play(t).until(Input{Candidates: []Candidate{outage}}, 5)
	if i.Impact != nil || i.Headline != "store bucket: something is wrong" {
		t.Errorf("pre-impact outage: impact %v, headline %q", i.Impact, i.Headline)
	}
}

func TestLifeOfAnIncident(t *testing.T) {
	f := play(t)
	bad := Input{
		Candidates: []Candidate{finding("slow", orders, .95)},
		Symptoms: []Symptom{late(orders), {Symptom: streamkeeper.Symptom{
			ID: "rebalance_rate_high", Entity: orders, Severity: streamkeeper.SeverityWarning, Text: "orders rebalances every 38 s",
		}}},
		Changes: []Change{
			{Change: streamkeeper.Change{At: noon.Add(-time.Minute), Kind: "deploy", Text: "orders v2"}, Entity: orders},
			{Change: streamkeeper.Change{At: noon.Add(-time.Hour), Kind: "deploy", Text: "orders v1"}, Entity: orders},
			{Change: streamkeeper.Change{At: noon, Kind: "deploy", Text: "billing v9"}, Entity: billing},
		},
	}
	opened, _ := f.until(bad, 5)
	if want := "orders is 4 m 12 s late and rebalances every 38 s"; opened.Headline != want {
		t.Errorf("headline %q, want %q", opened.Headline, want)
	}
	if len(opened.Changes) != 1 || opened.Changes[0].Text != "orders v2" {
		t.Errorf("changes %+v, want the deploy of v2 only", opened.Changes)
	}
	f.quiet(bad, 10)

	changed := bad
	changed.Candidates = []Candidate{finding("poison", orders, .95), finding("slow", orders, .1)}
	updated, _ := f.until(changed, 5)
	if updated.ID != opened.ID || updated.State != streamkeeper.IncidentUpdated || updated.Root.Cause != "poison" {
		t.Errorf("after a change of cause: %s %s %s, want %s updated poison", updated.ID, updated.State, updated.Root.Cause, opened.ID)
	}

	draining := bad
	draining.Candidates = nil
	f.quiet(draining, 30) // the cause is gone, but orders is still late
	resolved, n := f.until(Input{}, 20)
	if resolved.ID != opened.ID || resolved.State != streamkeeper.IncidentResolved || resolved.ResolvedAt == nil || n != DefaultOptions().Hold {
		t.Errorf("resolved %s %s after %d ticks, want %s resolved after %d", resolved.ID, resolved.State, n, opened.ID, DefaultOptions().Hold)
	}
	if len(resolved.Symptoms) == 0 || resolved.Headline == "" {
		t.Errorf("a resolved incident forgot what it was: %+v", resolved)
	}
}

func TestHysteresis(t *testing.T) {
	f := play(t)
	in := func(p float64) Input {
		return Input{Candidates: []Candidate{finding("slow", orders, p)}, Symptoms: []Symptom{late(orders)}}
	}
	f.until(in(.9), 5)
	for range 20 {
		f.quiet(in(.5), 1) // between Off and On: stays
		f.quiet(in(.3), 3) // below Off, but not for long
	}
	if len(f.mem.Open) != 1 {
		t.Errorf("%d incidents open, want 1", len(f.mem.Open))
	}
}

func TestBlindTicksCountNothing(t *testing.T) {
	f := play(t)
	in := Input{Candidates: []Candidate{finding("slow", orders, .9)}, Symptoms: []Symptom{late(orders)}, Blind: true}
	f.quiet(in, 10)
	in.Blind = false
	f.until(in, 5)
	f.quiet(Input{Blind: true}, 30)
	if len(f.mem.Open) != 1 {
		t.Error("an incident was resolved while nothing could be seen")
	}
}

func TestBenignSilences(t *testing.T) {
	deploy := finding("rolling_deploy", orders, .97)
	deploy.Finding.Verdict = streamkeeper.VerdictBenign
	play(t).quiet(Input{Candidates: []Candidate{deploy}, Symptoms: []Symptom{late(orders)}}, 20)

	over := deploy
	over.Holds = false
	if i, _ := play(t).until(Input{Candidates: []Candidate{over}, Symptoms: []Symptom{late(orders)}}, 5); i.Root.Verdict != streamkeeper.VerdictBenign {
		t.Errorf("root %+v", i.Root)
	}

	hurts := deploy
	hurts.Affects = []streamkeeper.Entity{orders, billing}
	if i, _ := play(t).until(Input{Candidates: []Candidate{hurts}, Symptoms: []Symptom{late(billing)}}, 5); i.Impact == nil {
		t.Error("harm to another entity was silenced")
	}
}

func TestConsequencesAreFolded(t *testing.T) {
	f := play(t)
	lag := Input{
		Candidates: []Candidate{finding("slow", orders, .9), finding("slow", billing, .9)},
		Symptoms:   []Symptom{late(orders), late(billing)},
	}
	f.until(lag, 5)
	if len(f.mem.Open) != 2 {
		t.Fatalf("%d incidents open, want one per group", len(f.mem.Open))
	}
	first := f.mem.Open[0].Incident.ID
	outage := finding("store_down", store, .97)
	outage.Shared = true
	outage.Affects = []streamkeeper.Entity{orders, billing}
	then := finding("throttled", orders, .9)
	then.Finding.Consequence = outage.Finding.ID
	both := Input{Candidates: []Candidate{outage, then}, Symptoms: lag.Symptoms}
	f.until(both, 5)
	f.tick(both)
	f.tick(both)
	if len(f.mem.Open) != 1 || f.mem.Open[0].Incident.ID != first || f.mem.Open[0].Incident.Root.Cause != "store_down" {
		t.Fatalf("open %+v, want the first incident with the outage as its root", f.mem.Open)
	}
	if c := f.mem.Open[0].Incident.Consequences; len(c) != 1 || c[0].Cause != "throttled" || c[0].Incident != first {
		t.Errorf("consequences %+v", c)
	}
}

func TestTwoFaultsAreTwoIncidents(t *testing.T) {
	f := play(t)
	in := Input{Candidates: []Candidate{finding("slow", orders, .9), finding("poison", orders, .95)}, Symptoms: []Symptom{late(orders)}}
	f.until(in, 5)
	if len(f.mem.Open) != 2 || f.mem.Open[0].Incident.Root.Cause != "poison" {
		t.Errorf("open %+v, want two incidents, the surer first", f.mem.Open)
	}
	for _, told := range f.last.Told {
		if told.Incident == "" {
			t.Errorf("finding %s has no incident", told.ID)
		}
	}
}

// A root cause stays worded as one while a gate wavers, and the incident is not told again for it.
func TestWordingDoesNotFlicker(t *testing.T) {
	f := play(t)
	in := Input{Candidates: []Candidate{finding("slow", orders, .97)}, Symptoms: []Symptom{late(orders)}}
	f.until(in, 5)
	in.Candidates[0].Finding.Verdict = streamkeeper.VerdictProbable
	f.quiet(in, 3)
	if v := f.last.Told[0].Verdict; v != streamkeeper.VerdictRootCause {
		t.Errorf("verdict %s, want root_cause still", v)
	}
	in.Candidates[0].Finding.Confidence = .7
	f.tick(in)
	if v := f.last.Told[0].Verdict; v != streamkeeper.VerdictProbable {
		t.Errorf("verdict %s at .70, want probable", v)
	}
}

// An answer set that a benign cause leads waits until harm that passes by itself would be over.
func TestSetLedByBenignIsPatient(t *testing.T) {
	c := finding("burst", orders, .97)
	c.Finding.Verdict, c.LedByBenign = streamkeeper.VerdictOneOf, true
	if _, n := play(t).until(Input{Candidates: []Candidate{c}, Symptoms: []Symptom{late(orders)}}, 40); n != 24 {
		t.Errorf("opened after %d ticks, want 24", n)
	}
}

func TestUnknownCauseMustStay(t *testing.T) {
	other := finding(streamkeeper.CauseOther, orders, .7)
	other.Finding.Verdict = streamkeeper.VerdictOther
	in := Input{Candidates: []Candidate{other}, Symptoms: []Symptom{late(orders)}}
	if _, n := play(t).until(in, 10); n != 6 {
		t.Errorf("an unknown cause is told after %d ticks, want 6", n)
	}
}

func TestStepIsDeterministic(t *testing.T) {
	a, b := finding("slow", orders, .9), finding("poison", billing, .9)
	symptoms := []Symptom{late(orders), late(billing)}
	one, two := play(t), play(t)
	for range 5 {
		one.tick(Input{Candidates: []Candidate{a, b}, Symptoms: symptoms})
		two.tick(Input{Candidates: []Candidate{b, a}, Symptoms: []Symptom{symptoms[1], symptoms[0]}})
	}
	if diff := cmp.Diff(one.mem, two.mem); diff != "" {
		t.Errorf("another order gives another memory:\n%s", diff)
	}
}

func TestMint(t *testing.T) {
	id := mint(noon, "slow", orders)
	parsed, err := ulid.ParseStrict(id)
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	if got := ulid.Time(parsed.Time()).UTC(); !got.Equal(noon) {
		t.Errorf("time %s, want %s", got, noon)
	}
	if mint(noon, "slow", orders) != id || mint(noon, "slow", billing) == id || mint(noon, "poison", orders) == id {
		t.Error("ids do not come from time, cause and entity alone")
	}
}

func TestPrematureBenignIsNotTold(t *testing.T) {
	c := finding("burst", orders, .9)
	c.Finding.Verdict, c.Holds, c.Premature = streamkeeper.VerdictBenign, false, true
	in := Input{Candidates: []Candidate{c}, Symptoms: []Symptom{late(orders)}}
	f := play(t)
	for range 10 {
		if out := f.tick(in); len(out.Told) != 0 {
			t.Fatalf("told %+v while what must hold does not", out.Told)
		}
	}
	in.Candidates[0].Holds, in.Candidates[0].Premature = true, false
	for range 3 {
		f.tick(in)
	}
	if len(f.last.Told) != 1 {
		t.Errorf("told %+v once it holds", f.last.Told)
	}
}

func TestLeaderOfAChainComesFirst(t *testing.T) {
	crash, poison := finding("crash", orders, .97), finding("poison", orders, .85)
	crash.Finding.Consequence = poison.Finding.ID
	in := Input{Candidates: []Candidate{crash, poison}, Symptoms: []Symptom{late(orders)}}
	first := func() string {
		f := play(t)
		for range 4 {
			f.tick(in)
		}
		return f.last.Told[0].Cause
	}
	if got := first(); got != "crash" {
		t.Errorf("%s is told first, want the surer one", got)
	}
	in.Candidates[1].Leads = true
	if got := first(); got != "poison" {
		t.Errorf("%s is told first, want the one that leads", got)
	}

	f := play(t)
	for range 4 {
		f.tick(in)
	}
	alone := in
	crash.Finding.Consequence = ""
	alone.Candidates = []Candidate{crash}
	f.quiet(alone, 5)
	if f.last.Told[0].Cause != "poison" || f.last.Told[1].Consequence != poison.Finding.ID {
		t.Errorf("told %+v after five ticks without the leader: the story changed its name", f.last.Told)
	}
	for range 8 {
		f.tick(alone)
	}
	if len(f.last.Told) != 1 || f.last.Told[0].Cause != "crash" {
		t.Errorf("told %+v, want the crash alone once its leader is gone for good", f.last.Told)
	}
}

func TestLessSureForAWhileIsNoNews(t *testing.T) {
	c := finding("slow", orders, .95)
	in := Input{Candidates: []Candidate{c}, Symptoms: []Symptom{late(orders)}}
	f := play(t)
	f.until(in, 10)
	for i := range 12 {
		c.Finding.Verdict, c.Finding.Confidence = streamkeeper.VerdictProbable, .65
		if i%2 == 1 {
			c.Finding.Verdict, c.Finding.Confidence = streamkeeper.VerdictRootCause, .95
		}
		in.Candidates = []Candidate{c}
		f.quiet(in, 1)
	}
}

// What stood when watching began is told of when it becomes worse, when something begins beside it, or when records are lost.
func TestStanding(t *testing.T) {
	stands := func(y Symptom) Symptom { y.Standing = true; return y }
	loud := func(y Symptom) Symptom { y.Severity = streamkeeper.SeverityCritical; return y }
	begun := late(orders)
	begun.ID = "rebalance_rate_high"
	note := begun
	note.ID, note.Severity = "member_loss", streamkeeper.SeverityInfo
	ahead := stands(loud(late(orders)))
	ahead.ID, ahead.Breach = "loss_ahead", streamkeeper.BreachLoss
	c := finding("slow", orders, .95)
	c.Finding.Standing = true
	begins := finding("crash", orders, .97)
	calm := Input{Candidates: []Candidate{c}, Symptoms: []Symptom{stands(late(orders))}, Shadowed: true}
	with := func(f func(in *Input)) Input {
		in := calm
		f(&in)
		return in
	}
	for _, test := range []struct {
		name string
		in   Input
		want bool // it still stands
	}{
		{"nothing new", calm, true},
		{"a note", with(func(in *Input) { in.Symptoms = []Symptom{stands(late(orders)), note} }), true},
		{"louder in the first minutes", with(func(in *Input) { in.Symptoms, in.Settling = []Symptom{stands(loud(late(orders)))}, true }), true},
		{"louder later", with(func(in *Input) { in.Symptoms = []Symptom{stands(loud(late(orders)))} }), false},
		{"something begins", with(func(in *Input) { in.Symptoms = []Symptom{stands(late(orders)), begun} }), false},
		{"another root", with(func(in *Input) { in.Candidates = []Candidate{begins} }), false},
		{"records are lost", with(func(in *Input) { in.Symptoms, in.Settling = []Symptom{ahead}, true }), false},
		{"the day is over", with(func(in *Input) { in.Shadowed = false }), false},
	} {
		f := play(t)
		opened, _ := f.until(calm, 8)
		if !opened.Standing {
			t.Fatalf("%s: it opened as news", test.name)
		}
		told := false
		for range 16 { // as long as another root takes
			for _, i := range f.tick(test.in).Changed {
				told = told || !i.Standing && i.State != streamkeeper.IncidentResolved
			}
		}
		open := f.mem.Open
		if len(open) == 0 || open[0].Incident.Standing != test.want {
			t.Errorf("%s: open %+v, want standing %v", test.name, open, test.want)
		}
		if want := !test.want && test.in.Shadowed; told != want {
			t.Errorf("%s: told %v, want %v", test.name, told, want)
		}
	}
}
