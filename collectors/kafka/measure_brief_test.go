package kafka

import (
	"fmt"
	"testing"
)

// Of a fleet a round that was cut makes fewer series, not more: what was not read is no trouble of its groups.
func TestCutRoundGivesNoGroupMoreSeries(t *testing.T) {
	const groups = manyGroups + 100
	track := newTracker(Options{Cluster: "c", Kind: "kafka", SeriesPartitions: 1000})
	play := func(n int64, cut, stuck bool) int {
		s := &snapshot{
			at: at(float64(n) * 15), brokers: map[int32]brokerState{1: {}}, reachable: map[int32]bool{1: true},
			topics: map[string]*topicState{}, topicsRead: true, groups: map[string]*groupState{}, groupsRead: true,
		}
		topic := &topicState{}
		for range 2 {
			topic.parts = append(topic.parts, partState{leader: 1, start: 0, lso: n * 100, head: n * 100})
		}
		s.topics["t"] = topic
		for i := range groups {
			g := &groupState{state: "Stable", described: !cut || i%3 > 0, members: []memberState{{id: "m", client: "a", host: "h", assigned: []partition{{"t", 0}, {"t", 1}}}}}
			if g.committedRead = !cut || i%2 == 0; g.committedRead {
				for p := range int32(2) {
					g.committed.put(partition{"t", p}, positionAt(n*100))
				}
			}
			if stuck && i == 7 {
				g.committed.put(partition{"t", 1}, positionAt(100))
			}
			s.groups[fmt.Sprintf("g%d", i)] = g
		}
		if cut {
			topic.parts[1].head = unset
		}
		r := track.absorb(s)
		track.measure(r)
		return len(r.samples)
	}
	whole := play(1, false, false)
	for n := range int64(10) {
		whole = play(n+2, false, false)
	}
	if got := play(12, true, false); got >= whole {
		t.Errorf("%d series in a round that was cut, %d in a whole one", got, whole)
	}
	if got := play(13, false, false); got > whole+10 {
		t.Errorf("%d series after it, %d before", got, whole)
	}
	for n := range int64(6) {
		play(n+14, false, true)
	}
	if got := play(20, false, true); got <= whole {
		t.Errorf("%d series with a group that is stuck, %d without", got, whole)
	}
}
