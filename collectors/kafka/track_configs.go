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

// maxAlike bounds how many topics tell of one and the same change of a configuration in one round: what is set for the
// whole cluster changes on all of them, and is then told once.
const maxAlike = 50

// configChange is one configuration that is not what it was. An empty value is none.
type configChange struct{ key, from, to string }

// absorbConfigs remembers configurations and tells what changed.
func (t *tracker) absorbConfigs(s *snapshot, r *round) {
	t.absorbDynamic(s, r)
	if s.configs == nil {
		return
	}
	if t.tiered == nil {
		t.tiered = map[string]bool{}
	}
	changed := map[configChange][]string{} // by what changed, the topics
	for _, name := range slices.Sorted(maps.Keys(s.configs)) {
		topic, now := t.topics[name], s.configs[name]
		if topic == nil {
			continue
		}
		for key, was := range topic.configs {
			if is, told := now[key]; told && is != was {
				c := configChange{key, was, is}
				changed[c] = append(changed[c], name)
			}
		}
		t.tellRetentionCut(r, name, topic.configs, now)
		if was := topic.configs; was["retention.ms"] != now["retention.ms"] || was["retention.bytes"] != now["retention.bytes"] {
			for _, p := range topic.parts { // what was seen is over
				p.deletion = deletion{}
			}
		}
		topic.configs, topic.keeps = now, keepsOf(now)
		for _, p := range topic.parts {
			p.configure(now)
		}
		if now["remote.storage.enable"] == "true" {
			t.tiered[name] = true
		} else {
			delete(t.tiered, name)
			topic.tiers = nil
		}
	}
	for _, c := range slices.SortedFunc(maps.Keys(changed), compareChanges) {
		t.tellConfig(r, c, changed[c])
	}
}

func compareChanges(a, b configChange) int {
	return slices.Compare([]string{a.key, a.from, a.to}, []string{b.key, b.from, b.to})
}

// tellConfig tells of a change on some topics: on each, or where they are many once.
func (t *tracker) tellConfig(r *round, c configChange, topics []string) {
	if len(topics) > maxAlike {
		text := fmt.Sprintf("%s of %d topics (%s, …)", c.key, len(topics), topics[0])
		attrs := map[string]any{"entity": "cluster", "key": c.key, "from": c.from, "to": c.to, "topics": float64(len(topics))}
		t.tellChanged(r, t.entity(streamkeeper.KindCluster, t.cluster), c, text, attrs)
		return
	}
	for _, name := range topics {
		attrs := map[string]any{"entity": "topic/" + name, "topic": name, "key": c.key, "from": c.from, "to": c.to}
		t.tellChanged(r, t.entity(streamkeeper.KindTopic, name), c, fmt.Sprintf("%s of topic %s", c.key, name), attrs)
	}
}

// tellChanged tells of one change, unless the broker tells it itself, and of what it risks.
func (t *tracker) tellChanged(r *round, on streamkeeper.Entity, c configChange, what string, attrs map[string]any) {
	if t.kind != "embedded" {
		text := what + " changed from " + c.from + " to " + c.to
		switch {
		case c.from == "":
			text = what + " was set to " + c.to
		case c.to == "":
			text = what + " is no longer set, it was " + c.from
		}
		t.tell(r, r.at, "config_changed", on, text, attrs)
	}
	if c.key == "min.insync.replicas" {
		t.tellMinInSync(r, on, c, what, attrs)
	}
}

// absorbDynamic tells what was set, changed or taken away on running brokers.
func (t *tracker) absorbDynamic(s *snapshot, r *round) {
	for _, name := range slices.Sorted(maps.Keys(s.dynamic)) {
		now := s.dynamic[name]
		was, known := t.dynamic[name]
		if t.dynamic == nil {
			t.dynamic = map[string]map[string]string{}
		}
		t.dynamic[name] = now
		if !known {
			continue
		}
		for _, key := range keysOfBoth(was, now) {
			if c := (configChange{key, was[key], now[key]}); c.from != c.to {
				t.tellDynamic(r, name, c)
			}
		}
	}
}

func (t *tracker) tellDynamic(r *round, name string, c configChange) {
	on, what := t.entity(streamkeeper.KindCluster, t.cluster), c.key+" of all brokers"
	attrs := map[string]any{"entity": "cluster", "key": c.key, "from": c.from, "to": c.to}
	if name != "" {
		on, what = t.entity(streamkeeper.KindBroker, name), c.key+" of broker "+name
		attrs["entity"], attrs["broker"] = "broker/"+name, name
	}
	t.tellChanged(r, on, c, what, attrs)
}

func keysOfBoth(a, b map[string]string) []string {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	return slices.Compact(keys)
}

const (
	smallSegment = 64 << 20 // segments of that size are taken to be full long before they are as old as they may get
	usualSegment = 7 * 24 * time.Hour
)

// configure notes what compaction may do to the partition.
func (p *partTrack) configure(configs map[string]string) {
	p.compacted, p.closes = strings.Contains(configs["cleanup.policy"], "compact"), usualSegment
	if ms, err := strconv.ParseInt(configs["segment.ms"], 10, 64); err == nil && ms < usualSegment.Milliseconds() {
		p.closes = time.Duration(ms) * time.Millisecond
	}
	if size, err := strconv.ParseInt(configs["segment.bytes"], 10, 64); err == nil && size < smallSegment {
		p.closes = 0
	}
}
