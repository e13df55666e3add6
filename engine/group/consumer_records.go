package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/fields"
)

// Record is one record of __consumer_offsets; a nil Value is a tombstone.
type Record struct{ Key, Value []byte }

// The records of a group of the consumer protocol are Kafka's (the messages of its group coordinator), so that its tools and
// brokers read them. A key is its int16 version and then strings of int16 length; a value is an int16 version 0 and then
// compact fields with tags. The topics a regular expression matches (key 16) are not stored: they are found anew.
const (
	keyConsumerEpoch      = 3 // group
	keyConsumerMember     = 5 // group, member
	keyConsumerAssignment = 6 // group
	keyConsumerTarget     = 7 // group, member
	keyConsumerCurrent    = 8 // group, member

	tagAssignmentEpochs = 0 // in a topic of keyConsumerCurrent: when each partition was assigned (KIP-1251)
)

func key(version int16, parts ...string) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(version))
	for _, p := range parts {
		p = p[:min(len(p), math.MaxInt16)]
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(p))), p...)
	}
	return b
}

func epochKey(group string) []byte           { return key(keyConsumerEpoch, group) }
func memberKey(group, member string) []byte  { return key(keyConsumerMember, group, member) }
func assignmentKey(group string) []byte      { return key(keyConsumerAssignment, group) }
func targetKey(group, member string) []byte  { return key(keyConsumerTarget, group, member) }
func currentKey(group, member string) []byte { return key(keyConsumerCurrent, group, member) }

// compact writes Kafka's compact encoding.
type compact struct{ b []byte }

func newValue() *compact { return &compact{[]byte{0, 0}} } // version 0

func (w *compact) i32(v int32)  { w.b = binary.BigEndian.AppendUint32(w.b, uint32(v)) }
func (w *compact) len(n int)    { w.b = binary.AppendUvarint(w.b, uint64(n)+1) }
func (w *compact) noTags()      { w.b = append(w.b, 0) }
func (w *compact) str(s string) { w.len(len(s)); w.b = append(w.b, s...) }

func (w *compact) nullable(s string) {
	if s == "" {
		w.b = append(w.b, 0)
		return
	}
	w.str(s)
}

// partitions writes a set; since adds when each was assigned.
func (w *compact) partitions(p Partitions, since map[placed]int32) {
	w.len(len(p))
	for _, id := range p.topics() {
		w.b = append(w.b, id[:]...)
		w.len(len(p[id]))
		for _, n := range p[id] {
			w.i32(n)
		}
		if since == nil {
			w.noTags()
			continue
		}
		tag := compact{}
		tag.len(len(p[id]))
		for _, n := range p[id] {
			tag.i32(since[placed{id, n}])
		}
		w.b = append(w.b, 1, tagAssignmentEpochs)
		w.b = binary.AppendUvarint(w.b, uint64(len(tag.b)))
		w.b = append(w.b, tag.b...)
	}
}

func epochValue(epoch int32) []byte {
	w := newValue()
	w.i32(epoch)
	w.noTags()
	return w.b
}

func memberValue(m *consumerMember) []byte {
	w := newValue()
	w.nullable(m.instance)
	w.nullable(m.rack)
	w.str(m.client)
	w.str(m.host)
	w.len(len(m.names))
	for _, name := range m.names {
		w.str(name)
	}
	w.nullable(m.regex)
	w.i32(int32(m.rebalanceTimeout / time.Millisecond))
	w.nullable(m.assignor)
	w.noTags()
	return w.b
}

func targetValue(m *consumerMember) []byte {
	w := newValue()
	w.partitions(m.target, nil)
	w.noTags()
	return w.b
}

func currentValue(m *consumerMember) []byte {
	w := newValue()
	w.i32(m.epoch)
	w.i32(m.previousEpoch)
	w.b = append(w.b, byte(m.state))
	w.partitions(m.assigned, m.since)
	w.partitions(m.revoking, m.since)
	w.noTags()
	return w.b
}

var errRecord = errors.New("a stored record does not decode")

// readPartitions reads partitions by topic, and since when each is held where the record says so.
func readPartitions(r *fields.Reader, since map[placed]int32, epoch int32) Partitions {
	p := Partitions{}
	for range r.Array(18) {
		var id TopicID
		copy(id[:], r.Take(16))
		numbers := make([]int32, 0, r.Array(4))
		for range cap(numbers) {
			numbers = append(numbers, r.Int32())
		}
		for _, n := range numbers {
			if since != nil {
				since[placed{id, n}] = epoch
			}
		}
		r.Tags(func(tag uint64, value *fields.Reader) {
			if tag != tagAssignmentEpochs {
				return
			}
			for i := range value.Array(4) {
				if e := value.Int32(); since != nil && i < len(numbers) {
					since[placed{id, numbers[i]}] = e
				}
			}
		})
		p[id] = append(p[id], numbers...)
	}
	if r.Bad() {
		return Partitions{}
	}
	return PartitionsOf(maps.All(p))
}

// restore applies one stored record.
func (g *Consumer) restore(key, value []byte) error {
	k := fields.Of(key)
	kind, group := k.Int16(), k.Text()
	id := ""
	if kind != keyConsumerEpoch && kind != keyConsumerAssignment {
		id = k.Text()
	}
	r := fields.Of(value)
	r.Compact = true
	if version := r.Int16(); !k.Done() || group != g.name || version != 0 {
		return fmt.Errorf("key %q: %w", key, errRecord)
	}
	m := g.byID[id]
	switch {
	case kind == keyConsumerEpoch:
		g.epoch = r.Int32()
	case kind == keyConsumerAssignment:
		g.assignmentEpoch = r.Int32()
	case kind == keyConsumerMember && id != "":
		g.restoreMember(id, &r)
	case m == nil: // an assignment of a member that is gone, or a kind that means nothing to us
		return nil
	case kind == keyConsumerTarget:
		m.target = readPartitions(&r, nil, 0)
	case kind == keyConsumerCurrent:
		m.epoch, m.previousEpoch = r.Int32(), r.Int32()
		if state := r.Take(1); len(state) == 1 && state[0] <= byte(unreleased) {
			m.state = reconciliation(state[0])
		} else {
			r.Fail()
		}
		m.assigned, m.revoking = readPartitions(&r, m.since, m.epoch), readPartitions(&r, m.since, m.epoch)
	}
	r.Tags(nil)
	if !r.Done() {
		return fmt.Errorf("key %q: %w", key, errRecord)
	}
	return nil
}

func (g *Consumer) restoreMember(id string, r *fields.Reader) {
	m := &consumerMember{id: id, assigned: Partitions{}, revoking: Partitions{}, target: Partitions{}, since: map[placed]int32{}}
	m.instance, m.rack, m.client, m.host = r.Text(), r.Text(), r.Text(), r.Text()
	for range r.Array(1) {
		m.names = append(m.names, r.Text())
	}
	m.regex = r.Text()
	m.rebalanceTimeout = time.Duration(r.Int32()) * time.Millisecond
	m.assignor = r.Text()
	if r.Bad() {
		return
	}
	g.insert(m)
	g.dirty = dirty{}
}
