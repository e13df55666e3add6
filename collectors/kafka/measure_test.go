package kafka

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Of a large cluster the worst partitions of each group have series, and the group's numbers are of all of them.
func TestWorstPartitionsHaveSeries(t *testing.T) {
	const groups, parts = 10, 500
	track := newTracker(Options{Cluster: "c", Kind: "kafka", SeriesPartitions: 20_000})
	play := func(n int64) map[string]float64 {
		s := &snapshot{
			at: at(float64(n) * 15), brokers: map[int32]brokerState{1: {}}, reachable: map[int32]bool{1: true},
			topics: map[string]*topicState{}, topicsRead: true, groups: map[string]*groupState{}, groupsRead: true,
		}
		topic := &topicState{}
		for range parts {
			topic.parts = append(topic.parts, partState{leader: 1, start: 0, lso: n * 100, head: n * 100})
		}
		s.topics["t"] = topic
		for i := range groups {
			g := &groupState{state: "Stable", described: true, committedRead: true}
			for p := range int32(parts) {
				g.committed.put(partition{"t", p}, positionAt(n*100-1))
			}
			g.committed.put(partition{"t", 321}, positionAt(100)) // one stands still
			s.groups[fmt.Sprintf("g%d", i)] = g
		}
		r := track.absorb(s)
		track.measure(r)
		out := map[string]float64{}
		for _, x := range r.samples {
			if x.Labels["group"] == "g7" {
				out[strings.TrimPrefix(x.Metric, "streamkeeper_group_")+"/"+x.Labels["partition"]] = x.Value
			}
		}
		return out
	}
	var last map[string]float64
	for n := range int64(8) {
		last = play(n + 1)
	}
	rows := 0
	for name := range last {
		if strings.HasPrefix(name, "partition_lag_messages/") {
			rows++
		}
	}
	if rows != worstRows {
		t.Errorf("%d partitions have series, want the %d worst", rows, worstRows)
	}
	for name, want := range map[string]float64{
		"partition_lag_messages/321": 700, "partition_frozen_seconds/321": 90, "frozen_seconds/": 90, "lag_messages/": 700 + parts - 1,
	} {
		if got, ok := last[name]; !ok || got != want {
			t.Errorf("%s = %v (there: %v), want %v", name, got, ok, want)
		}
	}
}

// What is asked of a coordinator at once is bounded by rows, not by groups alone.
func TestAffordable(t *testing.T) {
	track := newTracker(Options{Cluster: "c"})
	wide := &groupTrack{committed: true}
	for i := range int32(6_000) {
		wide.parts.put(partition{"t", i}, &groupPart{})
	}
	track.groups = map[string]*groupTrack{"a": wide, "b": wide, "c": wide}
	names := []string{"a", "b", "c", "d", "e"}
	var got []string
	for len(names) > 0 {
		var chunk []string
		chunk, names = track.affordable(names)
		got = append(got, strings.Join(chunk, "+"))
	}
	if want := []string{"a", "b", "c+d+e"}; !slices.Equal(got, want) {
		t.Errorf("asked %v, want %v", got, want)
	}
}
