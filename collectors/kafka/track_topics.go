package kafka

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// topicTrack is one topic over time.
type topicTrack struct {
	id       [16]byte
	internal bool
	parts    []*partTrack
	newest   time.Time
	newKnown bool
	read     bool // in this round
	replicas int32
	configs  map[string]string
	keeps    keeps
	labels   map[string]string

	tiers []tierTrack // by partition; nil without tiered storage

	transacted bool      // it holds transactions
	looked     time.Time // when it was last looked into for that
	rights     time.Time // when it was last asked whether that is allowed
	readable   bool      // and whether it was
}

// partTrack is one partition over time. Offsets keep their last known value; fresh says whether this
// round read the head.
type partTrack struct {
	leader           int32
	offline          bool // it had no leader in the last Metadata, and that was told
	fresh            bool
	stable           bool // this round read the stable offset
	compacted        bool // offsets may be missing
	start, lso, head int64
	bytes            int64    // that its leader holds of it; unset while not known
	weight           float32  // of a record on the average, in bytes, when its size was read; 0 while not known
	headMoved        moment   // when the head was last seen to move
	lsoFrozen        moment   // since when the stable offset stands still below a moving head
	holder           *openTxn // whose transaction that is; nil while not known
	previous         int64    // the head of the round before
	open             moment   // since when the stable offset is below the head, and the same

	heads    history
	deletion deletion
	newest   mark          // the record with the latest stamp; its offset is unset while not known
	closes   time.Duration // of records of that age and more; younger ones are in the segment that is written to
	unread   *unread       // nil where all groups have read all
}

// unread is what is known of records of a partition that some group has yet to read.
type unread struct {
	stamps     stamps
	blanks     []blank // in order
	records    []int64 // offsets that are known to hold records, the newest last
	distrusted moment  // when its stamps were last found to be other times than those of sending
	asked      moment  // when stamps were last asked for
	unanswered moment  // and when that failed
	low        int64   // the first offset that some group has yet to read
}

// known is what is known of records that are yet to be read, for reading.
func (p *partTrack) known() unread {
	if p.unread == nil {
		return unread{}
	}
	return *p.unread
}

// learnt is the same for writing.
func (p *partTrack) learnt() *unread {
	if p.unread == nil {
		p.unread = &unread{}
	}
	return p.unread
}

func newPartTrack() *partTrack {
	return &partTrack{leader: -1, start: unset, lso: unset, head: unset, bytes: unset, previous: unset, newest: mark{offset: unset}}
}

func (t *tracker) absorbTopics(s *snapshot, r *round) {
	for _, name := range slices.Sorted(maps.Keys(s.topics)) {
		topic, state := t.topics[name], s.topics[name]
		switch {
		case topic == nil || topic.id != state.id:
			if t.new(streamkeeper.KindTopic, name) {
				if topic != nil {
					t.tellTopic(r, "topic_deleted", name, map[string]any{"topic": name})
					t.tellDeletedUnder(r, name, true)
				}
				t.tellTopic(r, "topic_created", name, map[string]any{"topic": name, "partitions": float64(len(state.parts))})
			}
			topic = &topicTrack{id: state.id, labels: map[string]string{"cluster": t.cluster, "topic": name}}
			t.topics[name] = topic
		case len(state.parts) > len(topic.parts) && len(topic.parts) > 0:
			t.tellTopic(r, "partitions_added", name, map[string]any{"topic": name, "from": float64(len(topic.parts)), "to": float64(len(state.parts))})
			t.tellKeysMoved(r, name, topic, len(state.parts))
		}
		topic.absorb(s.at, state)
		t.tellOffline(name, topic, state, r)
	}
	for _, name := range slices.Sorted(maps.Keys(t.topics)) {
		if _, ok := s.topics[name]; ok {
			continue
		}
		topic := t.topics[name]
		topic.read = false
		for _, p := range topic.parts {
			p.fresh = false
		}
		if !s.topicsRead {
			continue
		}
		if t.gone(s, streamkeeper.KindTopic, name) {
			t.tellTopic(r, "topic_deleted", name, map[string]any{"topic": name})
			t.tellDeletedUnder(r, name, false)
		}
		delete(t.topics, name)
	}
}

// comparable reports whether an earlier round saw the whole list: only then is what is new really new.
func (t *tracker) comparable() bool { return !t.covered.IsZero() }

// tellTopic tells of a topic's life, unless the broker tells it itself.
func (t *tracker) tellTopic(r *round, kind, name string, attrs map[string]any) {
	if t.kind == "embedded" {
		return
	}
	texts := map[string]string{"topic_created": "topic %s was created", "topic_deleted": "topic %s was deleted", "partitions_added": "partitions were added to topic %s"}
	t.tell(r, r.at, kind, t.entity(streamkeeper.KindTopic, name), fmt.Sprintf(texts[kind], name), attrs)
}

func (topic *topicTrack) absorb(at time.Time, state *topicState) {
	topic.internal, topic.read, topic.replicas = state.internal, true, fewestReplicas(state)
	topic.newest, topic.newKnown = state.newest, !state.newest.IsZero()
	for i, p := range state.parts {
		if i == len(topic.parts) {
			topic.parts = append(topic.parts, newPartTrack())
			topic.parts[i].configure(topic.configs)
		}
		part := topic.parts[i]
		part.absorb(at, p)
		topic.transacted = topic.transacted || part.stable && part.fresh && part.lso < part.head
	}
	topic.parts = topic.parts[:len(state.parts)]
}

// fewestReplicas is how many copies the partition has that has the fewest; 0 when nobody told.
func fewestReplicas(state *topicState) int32 {
	fewest := 0
	for i, p := range state.parts {
		if i == 0 || len(p.replicas) < fewest {
			fewest = len(p.replicas)
		}
	}
	return int32(fewest)
}

func (p *partTrack) absorb(at time.Time, now partState) {
	p.leader, p.fresh, p.stable = now.leader, now.head != unset, false
	before := p.start
	if now.start != unset {
		p.start = now.start
	}
	if !p.fresh {
		return
	}
	if now.head < p.head { // recreated, or an unclean election
		p.headMoved, p.start = momentOf(at), now.start
		before, p.deletion = unset, deletion{}
		p.unread, p.newest = nil, mark{offset: unset}
	}
	if n := now.newest; n.offset >= 0 && n.timestamp > 0 {
		p.newest = mark{n.offset, n.timestamp, n.timestamp + 1}
	}
	p.previous = p.head
	if p.head != unset && now.head != p.head {
		p.headMoved = momentOf(at)
	}
	if p.stable = now.lso != unset; p.stable {
		switch {
		case now.lso >= now.head:
			p.open = 0
		case now.lso != p.lso || p.open.IsZero():
			p.open = momentOf(at)
		}
		switch {
		case now.lso >= now.head || now.lso != p.lso:
			p.lsoFrozen = 0
		case p.lsoFrozen.IsZero() && p.previous != unset && now.head != p.previous:
			p.lsoFrozen = momentOf(at)
		}
		p.lso = now.lso
	}
	p.head = now.head
	p.heads.add(at, now.head)
	if now.start != unset {
		p.watchStart(at, before)
	}
}

// tellOffline tells of each partition that has lost its leader, with the nodes that could lead it: also of those that
// had none when watching began.
func (t *tracker) tellOffline(name string, topic *topicTrack, state *topicState, r *round) {
	for i, now := range state.parts {
		p := topic.parts[i]
		if offline := now.leader < 0; offline == p.offline {
			continue
		}
		p.offline = !p.offline
		kind, text := "partition_online", "%s-%d has a leader again"
		if p.offline {
			kind, text = "partition_offline", "%s-%d has no leader"
		}
		attrs := map[string]any{"topic": name, "partition": float64(i), "replicas": float64(len(now.replicas)), "brokers": nodeList(now.replicas)}
		t.tell(r, r.at, kind, t.entity(streamkeeper.KindTopic, name), fmt.Sprintf(text, name, i), attrs)
	}
}

func nodeList(ids []int32) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = itoa(id)
	}
	return strings.Join(words, ", ")
}

// part finds a partition; nil when the cluster does not have it.
func (t *tracker) part(p partition) *partTrack {
	topic := t.topics[p.topic]
	if topic == nil || int(p.index) >= len(topic.parts) || p.index < 0 {
		return nil
	}
	return topic.parts[p.index]
}

// headMoves reports whether records arrived lately.
func (t *tracker) headMoves(at time.Time, p *partTrack) bool {
	return !p.headMoved.IsZero() && p.headMoved.before(at) <= movingWindow(t.every)
}

func (t *tracker) measureTopics(r *round) {
	for _, name := range slices.Sorted(maps.Keys(t.topics)) {
		topic := t.topics[name]
		if !topic.read || topic.internal || len(topic.parts) == 0 {
			continue
		}
		r.add("streamkeeper_topic_partitions", topic.labels, float64(len(topic.parts)))
		var sum, fresh, ever, offline, bytes int64
		led, sized := true, true
		var stuck time.Duration
		for _, p := range topic.parts {
			if p.offline {
				offline++
			}
			led, sized = led && p.leader != leaderUnknown, sized && p.bytes != unset
			bytes += p.bytes
			if p.head == unset {
				continue
			}
			ever++
			sum += p.head // the last known: a sum that lacks a partition would look like a reset
			if p.fresh {
				fresh++
			}
			if !p.lsoFrozen.IsZero() {
				stuck = max(stuck, p.lsoFrozen.before(r.at))
			}
		}
		if led {
			r.add("streamkeeper_topic_offline_partitions", topic.labels, float64(offline))
		}
		if all := int64(len(topic.parts)); ever == all && 10*fresh >= 9*all {
			r.add("streamkeeper_topic_end_offset", topic.labels, float64(sum))
			if !t.exported {
				r.add("streamkeeper_topic_stable_offset_stuck_seconds", topic.labels, stuck.Seconds())
			}
		}
		if sized {
			r.add("streamkeeper_topic_log_bytes", topic.labels, float64(bytes))
		}
		if topic.newKnown {
			r.add("streamkeeper_topic_newest_record_age_seconds", topic.labels, max(0, r.at.Sub(topic.newest).Seconds()))
		}
	}
}

// measurePartitions adds the series that exist per partition, up to the bound, topics in name order.
func (t *tracker) measurePartitions(r *round) {
	left := t.maxPart
	shown := t.shownTopics(r.at)
	for _, name := range slices.Sorted(maps.Keys(t.topics)) {
		topic := t.topics[name]
		if topic.internal || shown != nil && !shown[name] {
			continue
		}
		for i, p := range topic.parts {
			if !p.fresh {
				continue
			}
			if left--; left < 0 {
				return
			}
			labels := map[string]string{"cluster": t.cluster, "topic": name, "partition": strconv.Itoa(i)}
			r.add("streamkeeper_topic_partition_end_offset", labels, float64(p.head))
			if p.bytes != unset {
				r.add("streamkeeper_topic_partition_log_bytes", labels, float64(p.bytes))
			}
			if p.start != unset {
				r.add("streamkeeper_topic_partition_log_start_offset", labels, float64(p.start))
			}
			if topic.tiers != nil {
				topic.tiers[i].measure(r, labels)
			}
		}
	}
}

// shownTopics are the topics whose partitions have series where there are more of them than may have: those that groups
// read which are looked at closely. nil means all.
func (t *tracker) shownTopics(at time.Time) map[string]bool {
	parts := 0
	for _, topic := range t.topics {
		parts += len(topic.parts)
	}
	if parts <= t.maxPart {
		return nil
	}
	shown := map[string]bool{}
	for _, g := range t.groups {
		if at.Sub(g.detailed) > detailFor {
			continue
		}
		for _, name := range g.topics() {
			shown[name] = true
		}
	}
	return shown
}

// weigh takes the size of what the partition's leader holds from some offset on, as of the ends that were read in this round.
func (p *partTrack) weigh(size, from int64) {
	p.bytes = size
	if p.weight = 0; from != unset && p.head > from {
		p.weight = float32(float64(size) / float64(p.head-from))
	}
}

// bytesOf estimates what some records of the partition weigh: as much as its others do. 0 when that is not known.
func (p *partTrack) bytesOf(records int64) float64 {
	return float64(p.weight) * float64(records)
}
