package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/index"
)

// OffsetsTopic is Kafka's internal topic of committed offsets and group metadata.
const (
	OffsetsTopic      = "__consumer_offsets"
	offsetsPartitions = 50
)

// groupTable is the projection of __consumer_offsets: what it says as of the last durable record. It is rebuilt from the
// index and the log's suffix, never from the topic's history.
type groupTable struct {
	mu      sync.RWMutex
	offsets map[string]map[OffsetKey]CommittedOffset
	groups  map[string][]byte
	records map[string]map[string][]byte // of groups of the consumer protocol, by group and key
	// What changed since the index was written last.
	dirtyOffsets map[string]map[OffsetKey]struct{}
	dirtyGroups  map[string]struct{}
	dirtyRecords map[string]map[string]struct{}
	pending      pendingOffsets
}

func (g *groupTable) load(d *index.DB) error {
	g.offsets, g.groups = map[string]map[OffsetKey]CommittedOffset{}, map[string][]byte{}
	if err := g.pending.load(d); err != nil {
		return err
	}
	g.dirtyOffsets, g.dirtyGroups = map[string]map[OffsetKey]struct{}{}, map[string]struct{}{}
	g.records, g.dirtyRecords = map[string]map[string][]byte{}, map[string]map[string]struct{}{}
	if err := d.GroupRecords(func(group, key string, v []byte) { nest(g.records, group, key, v) }); err != nil {
		return err
	}
	err := d.Offsets(func(group, topic string, partition int32, v []byte) {
		if c, ok := decodeOffsetValue(v); ok {
			put(g.offsets, group, OffsetKey{topic, partition}, c)
		}
	})
	if err != nil {
		return err
	}
	return d.Groups(func(group string, v []byte) { g.groups[group] = v })
}

func put[V any](m map[string]map[OffsetKey]V, group string, k OffsetKey, v V) { nest(m, group, k, v) }

func nest[K comparable, V any](m map[string]map[K]V, group string, k K, v V) {
	if m[group] == nil {
		m[group] = map[K]V{}
	}
	m[group][k] = v
}

// set applies a durable commit that lies at offset at of the log; nil forgets it. What transactions wrote earlier counts
// no more, whatever becomes of them.
func (g *groupTable) set(group string, k OffsetKey, c *CommittedOffset, at int64) {
	g.pending.outdate(group, k, at)
	put(g.dirtyOffsets, group, k, struct{}{})
	if c != nil {
		put(g.offsets, group, k, *c)
		return
	}
	delete(g.offsets[group], k)
	if len(g.offsets[group]) == 0 {
		delete(g.offsets, group)
	}
}

func (g *groupTable) setGroup(group string, v []byte) {
	g.dirtyGroups[group] = struct{}{}
	if v == nil {
		delete(g.groups, group)
		return
	}
	g.groups[group] = v
}

// replay applies a batch of the offsets topic.
func (g *groupTable) replay(p *Partition, h batch.Header) error {
	if h.IsControl() {
		m, ok, err := batch.ReadMarker(h)
		if ok {
			g.decide(p.index, h.ProducerID(), h.BaseOffset(), m.Commit)
		}
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	err := batch.Records(h, 0, func(r batch.Record) bool { g.applyRecord(producerOf(h), r); return true })
	if err != nil {
		return fmt.Errorf("replaying %s: %w", p.name(), err)
	}
	return nil
}

// noTransaction is the producer of records that count at once.
const noTransaction = -1

// producerOf is whose transaction decides about a batch.
func producerOf(h batch.Header) int64 {
	if h.IsTransactional() {
		return h.ProducerID()
	}
	return noTransaction
}

// applyRecord ignores keys of other versions: they belong to features of Kafka that this engine does not have.
func (g *groupTable) applyRecord(producer int64, r batch.Record) {
	k, ok := decodeGroupKey(r.Key)
	switch {
	case !ok:
	case producer != noTransaction:
		if c, ok := decodeOffsetValue(r.Value); ok && !k.isMeta && !k.isRecord {
			g.pending.put(producer, k.group, k.offset, pendingOffset{c, r.Offset})
		}
	case k.isMeta:
		g.setGroup(k.group, slices.Clone(r.Value))
	case k.isRecord:
		g.setRecord(k.group, string(r.Key), slices.Clone(r.Value))
	case r.Value == nil:
		g.set(k.group, k.offset, nil, r.Offset)
	default:
		if c, ok := decodeOffsetValue(r.Value); ok {
			g.set(k.group, k.offset, &c, r.Offset)
		}
	}
}

// save writes what changed to the index. All of it is durable in the log: the projection changes only after that.
func (g *groupTable) save(c *index.Change) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for group, keys := range g.dirtyOffsets {
		for k := range keys {
			var v []byte
			if o, ok := g.offsets[group][k]; ok {
				v = offsetValueBytes(o)
			}
			c.SetOffset(group, k.Topic, k.Partition, v)
		}
	}
	for group := range g.dirtyGroups {
		c.SetGroup(group, g.groups[group])
	}
	for group, keys := range g.dirtyRecords {
		for k := range keys {
			c.SetGroupRecord(group, k, g.records[group][k])
		}
	}
	clear(g.dirtyRecords)
	g.pending.save(c)
	clear(g.dirtyOffsets)
	clear(g.dirtyGroups)
}

// CommitOffsets appends the offsets to __consumer_offsets; done is called once, when they are durable and visible in
// CommittedOffsets, or with an error. Commits are never refused because the local log is full.
func (e *Engine) CommitOffsets(group string, offsets map[OffsetKey]CommittedOffset, done func(error)) {
	e.appendGroup(group, e.offsetRecords(group, offsets), done)
}

func (e *Engine) offsetRecords(group string, offsets map[OffsetKey]CommittedOffset) []batch.Record {
	records := make([]batch.Record, 0, len(offsets))
	now := e.now()
	for k, c := range offsets {
		records = append(records, batch.Record{Timestamp: now, Key: offsetKeyBytes(group, k), Value: offsetValueBytes(c)})
	}
	return records
}

// SaveGroup stores a group's metadata (GroupMetadataValue bytes) in __consumer_offsets; done as in CommitOffsets.
func (e *Engine) SaveGroup(group string, metadata []byte, done func(error)) {
	e.appendGroup(group, []batch.Record{{Timestamp: e.now(), Key: groupKeyBytes(group), Value: metadata}}, done)
}

// DeleteOffsets writes tombstones; they are durable on return.
func (e *Engine) DeleteOffsets(ctx context.Context, group string, keys []OffsetKey) error {
	records := make([]batch.Record, 0, len(keys))
	for _, k := range keys {
		records = append(records, batch.Record{Timestamp: e.now(), Key: offsetKeyBytes(group, k)})
	}
	return e.appendGroupWait(ctx, group, records)
}

// DeleteGroup forgets a group's metadata and offsets; it is durable on return.
func (e *Engine) DeleteGroup(ctx context.Context, group string) error {
	records := []batch.Record{{Timestamp: e.now(), Key: groupKeyBytes(group)}}
	for k := range e.LoadGroupRecords(group) {
		records = append(records, batch.Record{Timestamp: e.now(), Key: []byte(k)})
	}
	for k := range e.CommittedOffsets(group) {
		records = append(records, batch.Record{Timestamp: e.now(), Key: offsetKeyBytes(group, k)})
	}
	for k := range e.PendingOffsets(group) { // their transaction must not bring the group back
		records = append(records, batch.Record{Timestamp: e.now(), Key: offsetKeyBytes(group, k)})
	}
	return e.appendGroupWait(ctx, group, records)
}

func (e *Engine) appendGroupWait(ctx context.Context, group string, records []batch.Record) error {
	settled := make(chan error, 1)
	e.appendGroup(group, records, func(err error) { settled <- err })
	select {
	case err := <-settled:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// appendGroup appends records to the group's partition and applies them to the projection once durable. One partition
// holds all of a group, and answers come in append order, so the projection never goes back.
func (e *Engine) appendGroup(group string, records []batch.Record, done func(error)) {
	if len(records) == 0 {
		done(nil)
		return
	}
	p, err := e.groupPartition(group)
	if err != nil {
		done(err)
		return
	}
	b := batch.Append(nil, batch.NoProducer, records)
	p.append(b, appending{acks: -1, internal: true}, func(a Appended) {
		e.groups.applyAll(noTransaction, records, a)
		done(a.Err)
	})
}

// applyAll applies appended records that are durable.
func (g *groupTable) applyAll(producer int64, records []batch.Record, a Appended) {
	if a.Err != nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, r := range records {
		r.Offset = a.BaseOffset + int64(i)
		g.applyRecord(producer, r)
	}
}

// groupPartition returns the partition of __consumer_offsets that holds the group, creating the topic at first use.
func (e *Engine) groupPartition(group string) (*Partition, error) {
	return e.internalPartition(OffsetsTopic, offsetsPartitions, group)
}

// internalPartition returns the partition of one of Kafka's internal topics that holds a key, creating the topic at first
// use.
func (e *Engine) internalPartition(topic string, partitions int32, key string) (*Partition, error) {
	t, ok := e.Topic(topic)
	if !ok {
		var err error
		t, err = e.createTopic(context.Background(), topic, partitions, map[string]string{"cleanup.policy": "compact"}, true)
		if errors.Is(err, ErrTopicExists) {
			t, _ = e.Topic(topic)
		} else if err != nil {
			return nil, err
		}
	}
	return e.Partition(topic, groupPartition(key, t.Partitions))
}

// CommittedOffsets returns a copy of the group's durable offsets; empty when it has none.
func (e *Engine) CommittedOffsets(group string) map[OffsetKey]CommittedOffset {
	e.groups.mu.RLock()
	defer e.groups.mu.RUnlock()
	return maps.Clone(e.groups.offsets[group])
}

// GroupsWithOffsets returns the groups that committed, sorted.
func (e *Engine) GroupsWithOffsets() []string {
	e.groups.mu.RLock()
	defer e.groups.mu.RUnlock()
	return slices.Sorted(maps.Keys(e.groups.offsets))
}

// LoadGroups returns the metadata of all groups.
func (e *Engine) LoadGroups() map[string][]byte {
	e.groups.mu.RLock()
	defer e.groups.mu.RUnlock()
	return maps.Clone(e.groups.groups)
}
