package kafka

import (
	"slices"
	"strconv"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// tierTrack is how far one partition was copied to the remote store.
type tierTrack struct {
	tieredState
	moved   time.Time // when something of it was last seen to reach the store; at first when it was first read
	overdue time.Time // since when a closed segment must be waiting; zero while none must
}

const (
	// overdueSegments is how many segments' worth of records must wait before one of them is surely closed and was not
	// copied: the newest is written to and is never copied, the one before may be on its way.
	overdueSegments = 2
	// copyPause is how long brokers rest between two looks at what is to be copied (remote.log.manager.task.interval.ms).
	copyPause = 30 * time.Second
)

// localStart is the first offset on the leader's disk; unset while it is not known.
func (t *topicTrack) localStart(index int32) int64 {
	if t.tiers == nil {
		return t.parts[index].start
	}
	if int(index) >= len(t.tiers) {
		return unset
	}
	return t.tiers[index].local
}

// absorbTiered follows how far topics were copied.
func (t *tracker) absorbTiered(s *snapshot) {
	for name := range t.tiered {
		if topic := t.topics[name]; topic != nil && len(topic.tiers) != len(topic.parts) {
			topic.tiers = slices.Repeat([]tierTrack{{tieredState: tieredState{unset, unset}}}, len(topic.parts))
		}
	}
	for where, now := range s.tiered {
		topic := t.topics[where.topic]
		if topic == nil || int(where.index) >= len(topic.tiers) {
			continue
		}
		tier := &topic.tiers[where.index]
		if now.next != tier.next || tier.moved.IsZero() {
			tier.moved = s.at
		}
		tier.tieredState = now
		switch {
		case !topic.copyDue(topic.parts[where.index], tier, s.at):
			tier.overdue = time.Time{}
		case tier.overdue.IsZero():
			tier.overdue = s.at
		}
	}
}

// waiting estimates the bytes that are on the leader's disk only.
func (t *tierTrack) waiting(p *partTrack) float64 {
	return p.bytesOf(max(0, p.head-max(t.next, t.local, 0)))
}

// copyDue reports whether something of the partition must have been closed long enough to have been copied: by its size, or
// by its time where records went on coming. A topic that is told to copy late is not judged.
func (t *topicTrack) copyDue(p *partTrack, tier *tierTrack, at time.Time) bool {
	if tier.next == unset || !p.fresh || p.head <= tier.next || copiesLate(t.configs) {
		return false
	}
	if size := setting(t.configs, "segment.bytes"); size > 0 && tier.waiting(p) > overdueSegments*size {
		return true
	}
	roll := setting(t.configs, "segment.ms") / 1000 // it may be more than a Duration holds
	return roll > 0 && at.Sub(tier.moved).Seconds() > overdueSegments*roll+copyPause.Seconds() && p.headMoved.time().Sub(tier.moved).Seconds() > roll
}

// copiesLate reports whether a topic is told to keep closed segments to itself for a while (KIP-1241).
func copiesLate(configs map[string]string) bool {
	return setting(configs, "remote.copy.lag.ms") > 0 || setting(configs, "remote.copy.lag.bytes") > 0
}

// setting is a number in a topic's configuration; 0 when it is not told or is none.
func setting(configs map[string]string, key string) float64 {
	n, err := strconv.ParseFloat(configs[key], 64)
	if err != nil {
		return 0
	}
	return n
}

// tierSum is the remote store as all of its partitions show it.
type tierSum struct {
	known, unknown int // partitions
	waiting        float64
	moved          time.Time // when something was last seen to reach it
	overdue        time.Time // since when something must be waiting; zero while nothing must
}

func (s *tierSum) add(tier *tierTrack, p *partTrack) {
	if !p.fresh || tier.next == unset {
		s.unknown++
		return
	}
	s.known++
	s.waiting += tier.waiting(p)
	s.moved = later(s.moved, tier.moved)
	if !tier.overdue.IsZero() && (s.overdue.IsZero() || tier.overdue.Before(s.overdue)) {
		s.overdue = tier.overdue
	}
}

// still is for how long nothing has reached the store although something must be waiting.
func (s *tierSum) still(at time.Time) time.Duration {
	if s.overdue.IsZero() {
		return 0
	}
	return at.Sub(later(s.overdue, s.moved))
}

// measure tells how far a partition was copied.
func (t *tierTrack) measure(r *round, labels map[string]string) {
	if t.next != unset {
		r.add("streamkeeper_topic_partition_tiered_end_offset", labels, float64(t.next))
	}
	if t.local != unset {
		r.add("streamkeeper_topic_partition_local_start_offset", labels, float64(t.local))
	}
}

// measureStore tells what all partitions together say of the remote store.
func (t *tracker) measureStore(r *round) {
	var sum tierSum
	for name := range t.tiered {
		if topic := t.topics[name]; topic != nil {
			for i := range topic.tiers {
				sum.add(&topic.tiers[i], topic.parts[i])
			}
		}
	}
	if sum.known == 0 || 10*sum.unknown > sum.known {
		return
	}
	labels := map[string]string{"cluster": t.cluster, "store": streamkeeper.TieredStorage}
	r.add("streamkeeper_tier_behind_bytes", labels, sum.waiting)
	r.add("streamkeeper_tier_still_seconds", labels, sum.still(r.at).Seconds())
}
