package kafka

import (
	"fmt"
	"testing"
)

// BenchmarkRound is one round of tracking and measuring: 500 groups on 10 partitions each.
func BenchmarkRound(b *testing.B) {
	track := newTracker(Options{Cluster: "c", Kind: "kafka", SeriesPartitions: 20_000})
	n := int64(0)
	play := func() {
		n++
		s := &snapshot{
			at: at(float64(n) * 5), brokers: map[int32]brokerState{1: {}}, reachable: map[int32]bool{1: true},
			topics: map[string]*topicState{}, topicsRead: true, groups: map[string]*groupState{}, groupsRead: true,
		}
		for i := range 500 {
			name := fmt.Sprintf("t%d", i)
			topic := &topicState{}
			g := &groupState{state: "Stable", described: true, committedRead: true}
			m := memberState{id: "m", client: "app", host: "h"}
			for p := range int32(10) {
				topic.parts = append(topic.parts, partState{leader: 1, lso: n * 100, head: n * 100})
				g.committed.put(partition{name, p}, positionAt(n*100-50))
				m.assigned = append(m.assigned, partition{name, p})
			}
			g.members = []memberState{m}
			s.topics[name], s.groups["g"+name] = topic, g
		}
		track.measure(track.absorb(s))
	}
	play()
	b.ReportAllocs()
	for b.Loop() {
		play()
	}
}
