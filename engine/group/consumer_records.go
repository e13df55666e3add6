package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"time"
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

// uncompact reads Kafka's compact encoding; after the first mistake it only returns zeros.
type uncompact struct{ reader }

func (r *uncompact) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > math.MaxInt32 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// len reads a length, null being 0, and refuses one that the remaining bytes cannot hold.
func (r *uncompact) len(elementBytes int) int {
	n := max(int(r.uvarint())-1, 0)
	if n > len(r.b)/elementBytes {
		r.bad, r.b = true, nil
		return 0
	}
	return n
}

func (r *uncompact) str() string { return string(r.take(r.len(1))) }

// tags steps over tagged fields, and gives the one with number want to read.
func (r *uncompact) tags(want uint64, read func(b []byte)) {
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		tag, size := r.uvarint(), int(r.uvarint())
		if b := r.take(size); tag == want && read != nil && !r.bad {
			read(b)
		}
	}
}

func (r *uncompact) skipTags() { r.tags(0, nil) }

func (r *uncompact) partitions(since map[placed]int32, epoch int32) Partitions {
	p := Partitions{}
	for range r.len(18) {
		var id TopicID
		copy(id[:], r.take(16))
		numbers := make([]int32, 0, r.len(4))
		for range cap(numbers) {
			numbers = append(numbers, r.int32())
		}
		for _, n := range numbers {
			if since != nil {
				since[placed{id, n}] = epoch
			}
		}
		r.tags(tagAssignmentEpochs, func(b []byte) {
			t := uncompact{reader{b: b}}
			for i := range t.len(4) {
				if e := t.int32(); since != nil && i < len(numbers) {
					since[placed{id, numbers[i]}] = e
				}
			}
			r.bad = r.bad || t.bad
		})
		p[id] = append(p[id], numbers...)
	}
	if r.bad {
		return Partitions{}
	}
	return PartitionsOf(maps.All(p))
}

// restore applies one stored record.
func (g *Consumer) restore(key, value []byte) error {
	k := reader{b: key}
	kind, group := k.int16(), k.text()
	id := ""
	if kind != keyConsumerEpoch && kind != keyConsumerAssignment {
		id = k.text()
	}
	r := &uncompact{reader{b: value}}
	if version := r.int16(); k.bad || len(k.b) > 0 || group != g.name || version != 0 {
		return fmt.Errorf("key %q: %w", key, errRecord)
	}
	m := g.byID[id]
	switch {
	case kind == keyConsumerEpoch:
		g.epoch = r.int32()
	case kind == keyConsumerAssignment:
		g.assignmentEpoch = r.int32()
	case kind == keyConsumerMember && id != "":
		g.restoreMember(id, r)
	case m == nil: // an assignment of a member that is gone, or a kind that means nothing to us
		return nil
	case kind == keyConsumerTarget:
		m.target = r.partitions(nil, 0)
	case kind == keyConsumerCurrent:
		m.epoch, m.previousEpoch = r.int32(), r.int32()
		if state := r.take(1); len(state) == 1 && state[0] <= byte(unreleased) {
			m.state = reconciliation(state[0])
		} else {
			r.bad = true
		}
		m.assigned, m.revoking = r.partitions(m.since, m.epoch), r.partitions(m.since, m.epoch)
	}
	r.skipTags()
	if r.bad || len(r.b) > 0 {
		return fmt.Errorf("key %q: %w", key, errRecord)
	}
	return nil
}

func (g *Consumer) restoreMember(id string, r *uncompact) {
	m := &consumerMember{id: id, assigned: Partitions{}, revoking: Partitions{}, target: Partitions{}, since: map[placed]int32{}}
	m.instance, m.rack, m.client, m.host = r.str(), r.str(), r.str(), r.str()
	for range r.len(1) {
		m.names = append(m.names, r.str())
	}
	m.regex = r.str()
	m.rebalanceTimeout = time.Duration(r.int32()) * time.Millisecond
	m.assignor = r.str()
	if r.bad {
		return
	}
	g.insert(m)
	g.dirty = dirty{}
}
