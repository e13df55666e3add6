package kafka

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/streamkeeper-io/streamkeeper"
)

// scene plays snapshots to a tracker: one topic "t", one group "g", rounds every five seconds.
type scene struct {
	t      *testing.T
	track  *tracker
	now    float64
	heads  []int64
	starts []int64
	lso    []int64
	commit []int64
	held   map[partition]openTxn
	// configs are those of the topic, nil where they are not read
	configs map[string]map[string]string
	// members by name; "x#2" is the member x with another member id, a capital letter is a static member
	members map[string][]int32
	rate    int64           // records a round on each partition
	with    func(*snapshot) // changes each snapshot before it is played; nil leaves it as it is
	series  map[string]float64
	events  []streamkeeper.Event
}

func newScene(t *testing.T, partitions int) *scene {
	s := &scene{t: t, track: newTracker(Options{Cluster: "c", Kind: "kafka", SeriesPartitions: 1000}), members: map[string][]int32{}, rate: 50}
	s.now = -5
	for range partitions {
		s.heads, s.commit = append(s.heads, 1000), append(s.commit, 1000)
		s.starts, s.lso = append(s.starts, 0), append(s.lso, unset)
	}
	return s
}

// round produces, lets the given partitions commit up to their head, and looks.
func (s *scene) round(committing ...int) {
	s.t.Helper()
	for p := range s.heads {
		if slices.Contains(committing, p) {
			s.commit[p] = s.heads[p]
		}
		s.heads[p] += s.rate
	}
	s.look()
}

func (s *scene) rounds(n int, committing ...int) {
	s.t.Helper()
	for range n {
		s.round(committing...)
	}
}

// look takes a snapshot of things as they are, five seconds after the last.
func (s *scene) look() {
	s.t.Helper()
	s.now += 5
	topic := &topicState{id: [16]byte{1}}
	group := &groupState{state: "Stable", described: true, committedRead: true}
	for p := range s.heads {
		topic.parts = append(topic.parts, partState{leader: 1, start: s.starts[p], lso: s.lso[p], head: s.heads[p]})
		if s.commit[p] >= 0 {
			group.committed.put(partition{"t", int32(p)}, positionAt(s.commit[p]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.members)) {
		client, _, _ := strings.Cut(name, "#")
		m := memberState{id: "id-" + name, client: client, host: "h"}
		if client[0] >= 'A' && client[0] <= 'Z' {
			m.instance = client
		}
		for _, p := range s.members[name] {
			m.assigned = append(m.assigned, partition{"t", p})
		}
		group.members = append(group.members, m)
	}
	snap := &snapshot{
		brokers: map[int32]brokerState{1: {}}, reachable: map[int32]bool{1: true},
		topics: map[string]*topicState{"t": topic}, topicsRead: true,
		groups: map[string]*groupState{"g": group}, groupsRead: true, held: s.held, configs: s.configs,
	}
	if s.with != nil {
		s.with(snap)
	}
	s.play(snap)
}

// play absorbs a snapshot as of now and keeps what it gave.
func (s *scene) play(snap *snapshot) {
	snap.at = at(s.now)
	r := s.track.absorb(snap)
	s.track.measure(r)
	s.events = append(s.events, r.events...)
	s.series = map[string]float64{}
	for _, x := range r.samples {
		name := strings.TrimPrefix(x.Metric, "streamkeeper_")
		for _, label := range []string{"partition", "fact", "broker", "client", "api", "outcome"} {
			if v := x.Labels[label]; v != "" {
				name += "/" + v
			}
		}
		s.series[name] = x.Value
	}
}

func (s *scene) want(when string, want map[string]float64) {
	s.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got, ok := s.series[name]; !ok || got != want[name] {
			s.t.Errorf("%s: %s = %v (there: %v), want %v", when, name, got, ok, want[name])
		}
	}
}

// told lists the events since the last call as kind/partition@seconds, without members coming at the start.
func (s *scene) told() []string {
	out := []string{}
	for _, e := range s.events {
		text := e.Kind
		if p, ok := e.Number("partition"); ok {
			text += fmt.Sprintf("/%v", p)
		}
		out = append(out, fmt.Sprintf("%s@%v", text, e.At.Sub(epoch).Seconds()))
	}
	s.events = nil
	return out
}

func (s *scene) wantTold(when string, want ...string) {
	s.t.Helper()
	if got := s.told(); !slices.Equal(got, want) && len(got)+len(want) > 0 {
		s.t.Errorf("%s: told %v, want %v", when, got, want)
	}
}
