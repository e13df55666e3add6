package kafka

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

const (
	// unreachableRounds is after how many failed rounds a broker's loss is told: one can be a hiccup.
	unreachableRounds = 2
	// handoverWindow is how long before its end a broker's leaderships count as its own.
	handoverWindow = time.Minute
	forgetBrokers  = time.Hour
)

// brokerTrack is one node, remembered while it is away.
type brokerTrack struct {
	state     brokerState
	listed    bool // in the last Metadata
	reachable bool
	known     bool // reachability was tried in this round
	refused   bool // and the connection was refused
	seen      time.Time
	failed    int       // failed rounds in a row
	since     time.Time // of the first of them
	told      bool      // broker_unreachable was told

	replicas  int       // partitions that should have a replica on it
	outOfSync int       // of those, the ones that do not count on it now
	away      time.Time // since when it has not answered, as far as watched; zero while it does

	leads   int // leaderships in the last Metadata that was read while it was reachable
	ledKnow bool
	led     []leadership // over the last minute
	disks   diskTrack
}

type leadership struct {
	at time.Time
	n  int
}

func (t *tracker) absorbBrokers(s *snapshot, r *round) {
	for id, state := range s.brokers {
		b := t.brokers[id]
		if b == nil {
			b = &brokerTrack{}
			t.brokers[id] = b
		}
		b.state, b.seen = state, s.at
	}
	t.metadata = s.brokers != nil
	t.countReplicas(s)
	leads := leaderships(s)
	for _, id := range slices.Sorted(maps.Keys(t.brokers)) {
		b := t.brokers[id]
		if s.brokers != nil {
			_, b.listed = s.brokers[id]
		}
		b.reachable, b.known = s.reachable[id]
		b.refused = s.refused[id]
		if b.reachable {
			b.away = time.Time{}
		} else if b.known && b.away.IsZero() {
			b.away = s.at
		}
		if b.reachable && leads != nil {
			b.lead(s.at, leads[id])
		}
		if b.known {
			t.reach(s.at, id, b, r)
		}
		if s.at.Sub(b.seen) > forgetBrokers {
			delete(t.brokers, id)
		}
	}
}

// countReplicas counts what each node should hold, and does not. A node that only replica lists name was away when we
// came: it is watched from now on.
func (t *tracker) countReplicas(s *snapshot) {
	if !s.topicsRead || s.brokers == nil {
		return
	}
	for _, b := range t.brokers {
		b.replicas, b.outOfSync = 0, 0
	}
	for _, topic := range s.topics {
		for _, p := range topic.parts {
			for _, id := range p.replicas {
				b := t.brokers[id]
				if b == nil {
					b = &brokerTrack{}
					t.brokers[id] = b
				}
				b.seen = s.at
				b.replicas++
				if !slices.Contains(p.isr, id) || p.leader < 0 {
					b.outOfSync++
				}
			}
		}
	}
}

// leaderships counts leaders per node; nil when topics were not read.
func leaderships(s *snapshot) map[int32]int {
	if !s.topicsRead {
		return nil
	}
	leads := map[int32]int{}
	for _, topic := range s.topics {
		for _, p := range topic.parts {
			leads[p.leader]++
		}
	}
	return leads
}

func (b *brokerTrack) lead(at time.Time, n int) {
	b.leads, b.ledKnow = n, true
	keep := 0
	for keep < len(b.led) && at.Sub(b.led[keep].at) > handoverWindow {
		keep++
	}
	b.led = append(slices.Delete(b.led, 0, keep), leadership{at, n})
	if len(b.led) > 64 {
		b.led = slices.Delete(b.led, 0, 1)
	}
}

// reach tells of a broker that went away for two rounds, dated when it was first missed, and of its return.
func (t *tracker) reach(at time.Time, id int32, b *brokerTrack, r *round) {
	entity := t.entity(streamkeeper.KindBroker, itoa(id))
	if b.reachable {
		if b.told {
			t.tell(r, at, "broker_back", entity, fmt.Sprintf("broker %d is back", id),
				map[string]any{"broker": itoa(id), "seconds": at.Sub(b.since).Seconds()})
		}
		b.failed, b.told = 0, false
		return
	}
	if b.failed == 0 {
		b.since = at
	}
	b.failed++
	if b.failed < unreachableRounds || b.told {
		return
	}
	b.told = true
	attrs := map[string]any{"broker": itoa(id), "listed": b.listed}
	if b.ledKnow {
		most := b.leads
		for _, l := range b.led {
			most = max(most, l.n)
		}
		attrs["leaderships_at_loss"] = float64(b.leads)
		attrs["leaders_moved_first"] = most > 0 && float64(b.leads) <= 0.1*float64(most)
	}
	text := fmt.Sprintf("broker %d (%s) does not answer", id, b.state.address)
	if b.state.address == "" {
		text = fmt.Sprintf("broker %d is not in the cluster, and %d partitions count on it", id, b.replicas)
	}
	t.tell(r, b.since, "broker_unreachable", entity, text, attrs)
}

func (t *tracker) measureBrokers(r *round) {
	listed := 0
	for _, id := range slices.Sorted(maps.Keys(t.brokers)) {
		b := t.brokers[id]
		labels := map[string]string{"cluster": t.cluster, "broker": itoa(id)}
		if b.listed {
			listed++
		}
		if b.known {
			r.add("streamkeeper_broker_reachable", labels, truth(b.reachable))
		}
		if b.known && b.state.address != "" { // where it would be is not told of one that was away when we came
			r.add("streamkeeper_broker_connection_refused", labels, truth(b.refused))
		}
		if b.known {
			away := 0.0
			if !b.away.IsZero() {
				away = r.at.Sub(b.away).Seconds()
			}
			r.add("streamkeeper_broker_away_seconds", labels, away)
		}
		if t.metadata {
			r.add("streamkeeper_broker_replicas", labels, float64(b.replicas))
			r.add("streamkeeper_broker_replicas_out_of_sync", labels, float64(b.outOfSync))
		}
		if b.ledKnow && b.reachable {
			r.add("streamkeeper_broker_leaderships", labels, float64(b.leads))
		}
		t.measureDisks(r, b, labels)
	}
	if t.metadata {
		r.add("streamkeeper_cluster_brokers", map[string]string{"cluster": t.cluster}, float64(listed))
	}
}
