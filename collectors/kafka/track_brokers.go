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
	seen      time.Time
	failed    int       // failed rounds in a row
	since     time.Time // of the first of them
	told      bool      // broker_unreachable was told

	leads   int // leaderships in the last Metadata that was read while it was reachable
	ledKnow bool
	led     []leadership // over the last minute
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
	leads := leaderships(s)
	for _, id := range slices.Sorted(maps.Keys(t.brokers)) {
		b := t.brokers[id]
		if s.brokers != nil {
			_, b.listed = s.brokers[id]
		}
		b.reachable, b.known = s.reachable[id]
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
	t.tell(r, b.since, "broker_unreachable", entity, fmt.Sprintf("broker %d (%s) does not answer", id, b.state.address), attrs)
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
		if b.ledKnow && b.reachable {
			r.add("streamkeeper_broker_leaderships", labels, float64(b.leads))
		}
	}
	if t.metadata {
		r.add("streamkeeper_cluster_brokers", map[string]string{"cluster": t.cluster}, float64(listed))
	}
}
