package infer

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

var (
	noon   = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	orders = streamkeeper.Entity{Kind: streamkeeper.KindGroup, Name: "orders", Cluster: "c"}
	bucket = streamkeeper.Entity{Kind: streamkeeper.KindStore, Name: "bucket", Cluster: "c"}
)

// net builds a small model by names.
type net struct {
	Model
	at map[string]int
}

func newNet() *net { return &net{Model: Model{Now: noon}, at: map[string]int{}} }

func (n *net) node(id string, leak float64, state streamkeeper.State) *net {
	strength := 0.0
	if state == streamkeeper.Present {
		strength = 1
	}
	n.at[id] = len(n.Nodes)
	n.Nodes = append(n.Nodes, Node{ID: id, Entity: orders, Block: "orders", Leak: leak, State: state, Strength: strength})
	return n
}

func (n *net) symptom(id string, leak float64, state streamkeeper.State) *net {
	n.node(id, leak, state)
	n.Nodes[n.at[id]].Symptom = true
	return n
}

func (n *net) cause(id string, prior float64, chances map[string]float64) *net {
	c := Cause{ID: id, Entity: orders, Block: "orders", Prior: prior}
	for _, node := range n.Nodes {
		if p, ok := chances[node.ID]; ok {
			c.Edges = append(c.Edges, Edge{Node: n.at[node.ID], Chance: p, Applies: streamkeeper.Present})
		}
	}
	n.Causes = append(n.Causes, c)
	return n
}

// posterior is the marginal of a cause before wording.
func posterior(m Model, id string) float64 {
	opt := DefaultOptions()
	opt.PruneBelow = math.Inf(-1)
	return posteriorWith(m, id, opt)
}

func posteriorWith(m Model, id string, opt Options) float64 { return marginals(m, opt)[id] }

// marginals are the posteriors of all causes before wording.
func marginals(m Model, opt Options) map[string]float64 {
	d := &decoder{program: compile(m, opt), opt: opt}
	d.cache = make([]map[string]*distribution, len(d.blocks))
	d.weighShared()
	out := map[string]float64{}
	for i := range d.blocks {
		for _, j := range d.within(i) {
			for _, c := range j.list() {
				out[d.causes[c].ID] += j.p
			}
			if j.other {
				out[streamkeeper.CauseOther] += j.p
			}
		}
	}
	for _, j := range d.shared {
		for _, c := range j.list() {
			out[d.causes[c].ID] += j.p
		}
	}
	return out
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance {
		t.Errorf("%s = %.6f, want %.6f", what, got, want)
	}
}

// One cause with one always-effect, worked out by hand: p = 1 − .05/.99; P(1|H) = .95;
// L(H) = .98·.95 + .02·.05 = .932; L(∅) = .98·.01 + .02·.99 = .0296; L(other) = .98·.05 + .02·.95 = .068;
// weights .1/.9·.932 = .103556, .0296, .2/.8·.068 = .017.
func TestOneCauseByHand(t *testing.T) {
	n := newNet().node("fact", .01, streamkeeper.Present).cause("it", .1, map[string]float64{"fact": .95})
	near(t, "P(it)", posterior(n.Model, "it"), .103556/(.103556+.0296+.017), 1e-5)
	near(t, "P(other)", posterior(n.Model, streamkeeper.CauseOther), .017/(.103556+.0296+.017), 1e-5)
}

// Two causes of one symptom: proof of the first takes the symptom away from the second.
func TestExplainingAway(t *testing.T) {
	build := func(proof streamkeeper.State) Model {
		return newNet().symptom("late", .01, streamkeeper.Present).node("proof", .001, proof).
			cause("a", .05, map[string]float64{"late": .95, "proof": .95}).
			cause("b", .05, map[string]float64{"late": .95}).Model
	}
	unknown, present, absent := build(streamkeeper.Unknown), build(streamkeeper.Present), build(streamkeeper.Absent)
	if b0, b1 := posterior(unknown, "b"), posterior(present, "b"); b1 > b0/3 {
		t.Errorf("P(b) fell only from %.3f to %.3f when a was proven", b0, b1)
	}
	if a0, a1 := posterior(unknown, "a"), posterior(absent, "a"); a1 > a0/3 {
		t.Errorf("P(a) fell only from %.3f to %.3f when its always-effect is absent", a0, a1)
	}
}

// An unknown node, a node that does not apply and an edge that does not apply move nothing.
func TestUnknownIsNeutral(t *testing.T) {
	base := newNet().symptom("late", .01, streamkeeper.Present).cause("a", .05, map[string]float64{"late": .95}).Model
	want := posterior(base, "a")
	for _, state := range []streamkeeper.State{streamkeeper.Unknown, streamkeeper.NotApplicable} {
		with := newNet().symptom("late", .01, streamkeeper.Present).node("proof", .001, state).
			cause("a", .05, map[string]float64{"late": .95, "proof": .95}).Model
		near(t, "P(a) with proof "+state.String(), posterior(with, "a"), want, 1e-12)
	}
	off := newNet().symptom("late", .01, streamkeeper.Present).node("proof", .001, streamkeeper.Absent).
		cause("a", .05, map[string]float64{"late": .95, "proof": .95}).Model
	off.Causes[0].Edges[1].Applies = streamkeeper.Absent
	noEdge := newNet().symptom("late", .01, streamkeeper.Present).node("proof", .001, streamkeeper.Absent).
		cause("a", .05, map[string]float64{"late": .95}).Model
	near(t, "P(a) with the edge not applicable", posterior(off, "a"), posterior(noEdge, "a"), 1e-12)
}

func TestGates(t *testing.T) {
	build := func(requires streamkeeper.State, discount float64) float64 {
		m := newNet().symptom("late", .01, streamkeeper.Present).cause("a", .05, map[string]float64{"late": .95}).Model
		m.Causes[0].Requires, m.Causes[0].Discount = requires, discount
		return posterior(m, "a")
	}
	odds := func(p float64) float64 { return p / (1 - p) }
	met := build(streamkeeper.Present, 0)
	near(t, "unknown gate", build(streamkeeper.Unknown, 0), met, 1e-12)
	near(t, "closed gate", odds(build(streamkeeper.Absent, 0)), .02*odds(met), 1e-9)
	near(t, "failed remedy", odds(build(streamkeeper.Present, .3)), .3*odds(met), 1e-9)
}

// An absent effect is pending before its delay has passed and is phased in over the window.
func TestPendingEffects(t *testing.T) {
	at := func(passed time.Duration) float64 {
		m := newNet().node("first", .01, streamkeeper.Present).node("later", .01, streamkeeper.Absent).
			cause("a", .05, map[string]float64{"first": .95, "later": .95}).Model
		m.Nodes[0].Since = noon.Add(-passed)
		m.Causes[0].Edges[1].After = [2]time.Duration{time.Minute, 3 * time.Minute}
		return posterior(m, "a")
	}
	without := newNet().node("first", .01, streamkeeper.Present).node("later", .01, streamkeeper.Absent).
		cause("a", .05, map[string]float64{"first": .95}).Model
	near(t, "before the window", at(30*time.Second), posterior(without, "a"), 1e-12)
	if half, all := at(2*time.Minute), at(4*time.Minute); at(time.Minute) <= half || half <= all {
		t.Errorf("P(a) does not fall through the window: %.3f, %.3f, %.3f", at(time.Minute), half, all)
	}
}

// A symptom dated well before the evidence of its cause speaks against the cause, at most five to one.
func TestTemporalFactor(t *testing.T) {
	at := func(symptom time.Duration, blur time.Duration) float64 {
		m := newNet().symptom("late", .01, streamkeeper.Present).node("fact", .01, streamkeeper.Present).
			cause("a", .05, map[string]float64{"late": .8, "fact": .8}).Model
		m.Nodes[0].Since, m.Nodes[1].Since = noon.Add(symptom), noon.Add(-10*time.Minute)
		m.Nodes[0].Blur = blur
		for i := range m.Causes[0].Edges {
			m.Causes[0].Edges[i].After = [2]time.Duration{0, 5 * time.Minute}
		}
		p := posterior(m, "a")
		return math.Log(p / (1 - p))
	}
	inside, early := at(-9*time.Minute, 0), at(-30*time.Minute, 0)
	near(t, "early against inside", early-inside, math.Log(.2*1.3)-math.Log(1.3*1.3), .01)
	if blurred := at(-30*time.Minute, 6*time.Minute); blurred <= early {
		t.Errorf("an onset blurred beyond the delay still counts: %.3f <= %.3f", blurred, early)
	}
}

// The dates of a few effects are one order, however many causes are told from them.
func TestDatesAreOneOrder(t *testing.T) {
	m := newNet().symptom("late", .01, streamkeeper.Present).node("fact", .01, streamkeeper.Present).
		cause("a", .05, map[string]float64{"late": .8, "fact": .8}).
		cause("b", .05, map[string]float64{"late": .8, "fact": .8}).Model
	m.Nodes[0].Since, m.Nodes[1].Since = noon.Add(-9*time.Minute), noon.Add(-10*time.Minute)
	for i := range m.Causes {
		for j := range m.Causes[i].Edges {
			m.Causes[i].Edges[j].After = [2]time.Duration{0, 5 * time.Minute}
		}
	}
	p := compile(m, DefaultOptions())
	of := func(causes ...int32) float64 {
		h, odds := hypothesis{}, 0.0
		for _, c := range causes {
			h.add(c)
			odds += p.causes[c].logOdds
		}
		return p.logPrior(&p.blocks[0], &h, nil) - odds
	}
	near(t, "the order of one cause", of(0), math.Log(1.3*1.3), 1e-9)
	near(t, "the order of two", of(0, 1), math.Log(timingMax), 1e-9)
}

// A declared consequence takes its chance from its root and is no second fault.
func TestChain(t *testing.T) {
	build := func(chain bool) Model {
		m := newNet().symptom("slow", .01, streamkeeper.Present).symptom("loss", .01, streamkeeper.Present).
			node("slower", .01, streamkeeper.Present).
			cause("root", .05, map[string]float64{"slow": .95, "slower": .95}).
			cause("then", .005, map[string]float64{"loss": .95}).Model
		if chain {
			m.Causes[1].Parents = []Parent{{Cause: 0, Chance: .8}}
		}
		return m
	}
	if with, without := posterior(build(true), "then"), posterior(build(false), "then"); with < without+.2 {
		t.Errorf("P(consequence) = %.3f with the chain, %.3f without", with, without)
	}
	r := Decode(build(true), Options{})
	for _, f := range r.Findings {
		if f.Cause == "then" && f.ParentID == "root" {
			return
		}
	}
	t.Errorf("the consequence is not hung under its root: %+v", r.Findings)
}

// Soft evidence halfway is no evidence, and correlated nodes count less than independent ones.
func TestSoftEvidenceAndGroups(t *testing.T) {
	base := newNet().symptom("late", .01, streamkeeper.Present).cause("a", .05, map[string]float64{"late": .95}).Model
	half := newNet().symptom("late", .01, streamkeeper.Present).node("x", .01, streamkeeper.Present).
		cause("a", .05, map[string]float64{"late": .95, "x": .95}).Model
	half.Nodes[1].Strength = .5
	near(t, "P(a) with evidence at .5", posterior(half, "a"), posterior(base, "a"), 1e-12)
	build := func(group string) float64 {
		m := newNet().node("x", .01, streamkeeper.Present).node("y", .01, streamkeeper.Present).
			cause("a", .005, map[string]float64{"x": .8, "y": .8}).Model
		m.Nodes[0].Group, m.Nodes[1].Group = group, group
		return posterior(m, "a")
	}
	if together, apart := build("g"), build(""); together >= apart {
		t.Errorf("P(a) with correlated nodes %.3f >= %.3f with independent ones", together, apart)
	}
}

// The same model in any order gives the same bytes.
func TestPermutationsGiveSameBytes(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range 40 {
		m := randomModel(rng, 8, 14, 3)
		want, _ := json.Marshal(Decode(m, Options{}))
		got, _ := json.Marshal(Decode(shuffled(rng, m), Options{}))
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Fatalf("another order gives another result:\n%s", diff)
		}
	}
}

func TestEmptyModel(t *testing.T) {
	if r := Decode(Model{Now: noon}, Options{}); len(r.Findings) != 0 || len(r.Unexplained) != 0 {
		t.Errorf("a model of nothing gives %+v", r)
	}
}
