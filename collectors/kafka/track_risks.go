package kafka

import (
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// maxReaders bounds the groups that one risky change is told of.
const maxReaders = 20

// reader is a group that has a place on a topic.
type reader struct {
	group   *groupTrack
	working bool    // it has members, or commits lately
	unread  int64   // records it has still to read, as far as known
	late    float64 // age in seconds of the oldest of them whose age is known
	bytes   float64 // the most that one partition has unread; 0 when sizes are not known
}

// workedLately is for how long a group without members counts as working after a commit.
const workedLately = time.Hour

// readers lists the groups that have a place on a topic, in name order. It walks over all groups once in a round, and only
// in one in which something changed.
func (t *tracker) readers(r *round, topic string) []reader {
	if r.readers == nil {
		r.readers = map[string][]reader{}
		for _, name := range sortedKeys(t.groups) {
			for place, rd := range t.placesOf(t.groups[name], r.at) {
				r.readers[place] = append(r.readers[place], *rd)
			}
		}
	}
	return r.readers[topic]
}

// placesOf is what a group has of each topic.
func (t *tracker) placesOf(g *groupTrack, at time.Time) map[string]*reader {
	out := map[string]*reader{}
	lately := !g.lastCommit.IsZero() && at.Sub(g.lastCommit) <= workedLately
	of := func(topic string) *reader {
		if out[topic] == nil {
			out[topic] = &reader{group: g, working: lately || g.nameless && g.size > 0}
		}
		return out[topic]
	}
	for where, p := range g.parts.all() {
		rd := of(where.topic)
		unread := p.lag(p.part.start)
		rd.unread += unread
		if late, known := p.lagSeconds(at); known {
			rd.late = max(rd.late, late)
		}
		rd.bytes = max(rd.bytes, p.part.bytesOf(unread))
	}
	for _, m := range g.members {
		for _, where := range m.state.assigned {
			of(where.topic).working = true
		}
	}
	return out
}

// kept is for how long, and how many bytes of a partition, the records of a topic are kept; infinite when they are kept
// forever. Not ok while the configuration does not say.
func kept(configs map[string]string) (seconds, bytes float64, ok bool) {
	policy, told := configs["cleanup.policy"]
	ms, err1 := strconv.ParseInt(configs["retention.ms"], 10, 64)
	size, err2 := strconv.ParseInt(configs["retention.bytes"], 10, 64)
	if !told || err1 != nil || err2 != nil {
		return 0, 0, false
	}
	seconds, bytes = math.Inf(1), math.Inf(1)
	if !strings.Contains(policy, "delete") {
		return seconds, bytes, true
	}
	if ms >= 0 {
		seconds = float64(ms) / 1000
	}
	if size >= 0 {
		bytes = float64(size)
	}
	return seconds, bytes, true
}

// tellRetentionCut tells each group that a topic's new retention takes unread records from.
func (t *tracker) tellRetentionCut(r *round, topic string, was, now map[string]string) {
	seconds, bytes, known := kept(was)
	lessSeconds, lessBytes, ok := kept(now)
	if !known || !ok || lessSeconds >= seconds && lessBytes >= bytes {
		return
	}
	told := 0
	for _, rd := range t.readers(r, topic) {
		inTime, inSize := lessSeconds < seconds && rd.late > lessSeconds, lessBytes < bytes && rd.bytes > lessBytes
		if rd.unread == 0 || !inTime && !inSize {
			continue
		}
		if told++; told > maxReaders {
			return
		}
		attrs := map[string]any{"topic": topic, "group": rd.group.name, "unread": float64(rd.unread), "lag_seconds": rd.late}
		text := fmt.Sprintf("topic %s now keeps %s", topic, plainSeconds(lessSeconds))
		if inTime {
			attrs["from_seconds"], attrs["to_seconds"] = finite(seconds), lessSeconds
		} else {
			attrs["from_bytes"], attrs["to_bytes"] = finite(bytes), lessBytes
			text = fmt.Sprintf("topic %s now keeps %.0f bytes of a partition", topic, lessBytes)
		}
		t.tell(r, r.at, "retention_cut", t.entity(streamkeeper.KindTopic, topic),
			fmt.Sprintf("%s, and group %s is %s behind: what it has not read is about to be deleted", text, rd.group.name, plainSeconds(rd.late)), attrs)
	}
}

// finite is a number that survives JSON: -1 stands for without an end, as it does in Kafka's own configurations.
func finite(x float64) float64 {
	if math.IsInf(x, 1) {
		return -1
	}
	return x
}

func plainSeconds(x float64) string {
	return time.Duration(x * float64(time.Second)).Round(time.Second).String()
}

// tellMinInSync tells that fewer copies than before are enough for a record to be acknowledged.
func (t *tracker) tellMinInSync(r *round, on streamkeeper.Entity, c configChange, what string, attrs map[string]any) {
	from, err1 := strconv.Atoi(c.from)
	to, err2 := strconv.Atoi(c.to)
	if err1 != nil || err2 != nil || to >= from {
		return
	}
	text := fmt.Sprintf("%s was lowered from %d to %d: a record that is acknowledged may then lie on %d of its copies only, and be lost with them", what, from, to, to)
	t.tell(r, r.at, "min_insync_replicas_lowered", on, text, maps.Clone(attrs))
}

// tellDeletedUnder tells each group that a deleted topic was read by.
func (t *tracker) tellDeletedUnder(r *round, topic string, again bool) {
	for i, rd := range t.readers(r, topic) {
		if i == maxReaders {
			return
		}
		g := rd.group
		attrs := map[string]any{"topic": topic, "group": g.name, "unread": float64(rd.unread), "working": rd.working, "made_anew": again}
		text := fmt.Sprintf("topic %s was deleted while group %s read it", topic, g.name)
		if !rd.working {
			text = fmt.Sprintf("topic %s was deleted, on which group %s had its place", topic, g.name)
		}
		if rd.unread > 0 {
			text += fmt.Sprintf(", with %d records unread", rd.unread)
		}
		if again {
			text += "; another of that name was made"
		}
		t.tell(r, r.at, "read_topic_deleted", t.entity(streamkeeper.KindTopic, topic), text, attrs)
	}
}

// tellKeysMoved tells that partitions were added to a topic that holds records: from then on a key goes to another
// partition than its earlier records. Only of a compacted topic it is certain that its records have keys.
func (t *tracker) tellKeysMoved(r *round, name string, topic *topicTrack, to int) {
	var records int64
	for _, p := range topic.parts {
		if p.head != unset {
			records += p.head - max(0, p.start)
		}
	}
	if records == 0 {
		return
	}
	attrs := map[string]any{"topic": name, "from": float64(len(topic.parts)), "to": float64(to), "records": float64(records)}
	text := fmt.Sprintf("topic %s has %d instead of %d partitions and holds %d records: if they have keys, most keys go to another partition now, their order is broken there, and state that is kept by partition no longer fits", name, to, len(topic.parts), records)
	if strings.Contains(topic.configs["cleanup.policy"], "compact") {
		attrs["keyed"] = true
		text = fmt.Sprintf("compacted topic %s has %d instead of %d partitions: most keys go to another partition now, so their old values are never replaced, and order and state that is kept by partition are broken", name, to, len(topic.parts))
	}
	t.tell(r, r.at, "partitions_added_under_keys", t.entity(streamkeeper.KindTopic, name), text, attrs)
}
