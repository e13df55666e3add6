package infer

import (
	"fmt"
	"math"
	"testing"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// towns is two rival causes of one broker, of which only the first sometimes shows on topics, beside topics that show it
// or do not. strengths are the topics' soft evidence; .5 and more is present.
func towns(strengths ...float64) Model {
	broker := streamkeeper.Entity{Kind: streamkeeper.KindBroker, Name: "1", Cluster: "c"}
	m := Model{Now: noon, Nodes: []Node{
		{ID: "gone", Entity: broker, Symptom: true, Leak: .003, State: streamkeeper.Present, Strength: 1},
	}}
	down := Cause{ID: "down", Entity: broker, Prior: .05, Edges: []Edge{{Node: 0, Chance: .95, Applies: streamkeeper.Present}}}
	restart := Cause{ID: "restart", Entity: broker, Prior: .05, Edges: []Edge{{Node: 0, Chance: .95, Applies: streamkeeper.Present}}}
	for i, s := range strengths {
		topic := streamkeeper.Entity{Kind: streamkeeper.KindTopic, Name: fmt.Sprintf("t%03d", i), Cluster: "c"}
		state := streamkeeper.Absent
		if s >= .5 {
			state = streamkeeper.Present
		}
		down.Edges = append(down.Edges, Edge{Node: len(m.Nodes), Chance: .4, Applies: streamkeeper.Present})
		m.Nodes = append(m.Nodes, Node{ID: "offline", Entity: topic, Block: topic.Key(), Symptom: true, Leak: .001, State: state, Strength: s})
	}
	m.Causes = []Cause{down, restart}
	return m
}

func repeated(s float64, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = s
	}
	return out
}

// odds are those of the first of the two rivals, in nats.
func odds(m Model) float64 { return logit(marginals(m, DefaultOptions())["down"]) }

// What is absent on a hundred topics says what is absent on one.
func TestAbsenceCountsOnce(t *testing.T) {
	none, one := odds(towns()), odds(towns(0))
	if one >= none-.3 {
		t.Errorf("the absence on one topic moves the odds from %.3f to %.3f only", none, one)
	}
	for _, n := range []int{2, 10, 100} {
		near(t, fmt.Sprintf("odds beside %d topics", n), odds(towns(repeated(0, n)...)), one, .02)
	}
}

// An effect that shows on one topic has shown: that others do not have it says whom it reached.
func TestShownOnceIsShown(t *testing.T) {
	alone, among := odds(towns(1)), odds(towns(append([]float64{1}, repeated(0, 50)...)...))
	near(t, "odds with 50 topics that do not show it", among, alone, 1e-6)
	if absent := odds(towns(0)); alone < absent+1.5 {
		t.Errorf("the presence on one topic moves the odds from %.3f to %.3f only", absent, alone)
	}
}

// Between absent and present nothing jumps.
func TestAbsenceFades(t *testing.T) {
	last := odds(towns(repeated(0, 10)...))
	for s := .02; s < .5; s += .04 {
		now := odds(towns(append([]float64{s}, repeated(0, 9)...)...))
		if now < last-1e-9 || now > last+.15 {
			t.Errorf("at %.2f the odds go from %.3f to %.3f", s, last, now)
		}
		last = now
	}
	near(t, "odds at the brink", odds(towns(append([]float64{.4999}, repeated(0, 9)...)...)), odds(towns()), .01)
}

// Presences add up, each beside what else explains it, up to the cap.
func TestPresencesAreCapped(t *testing.T) {
	limit := math.Log(DefaultOptions().RatioCap)
	none, last := odds(towns()), 0.0
	for _, n := range []int{1, 2, 3, 100} {
		gain := odds(towns(repeated(1, n)...)) - none
		if gain > limit+.01 || gain < last {
			t.Errorf("%d topics that show it move the odds by %.2f nats, fewer by %.2f, the cap is %.2f", n, gain, last, limit)
		}
		last = gain
	}
	near(t, "the gain of many", last, limit, .01)
}

// It is told once, and an effect that may show on many entities is no larger part of what was assessed.
func TestAbsenceIsToldOnce(t *testing.T) {
	m := towns(repeated(0, 40)...)
	m.Causes[0].Prior = .5
	r := Decode(m, Options{})
	for _, f := range r.Findings {
		if f.Cause != "down" {
			continue
		}
		if len(f.Against) != 1 || f.Against[0].ID != "offline" || f.Against[0].Weight > -.3 {
			t.Errorf("against: %+v", f.Against)
		}
		return
	}
	t.Errorf("the cause is not told: %+v", r.Findings)
}
