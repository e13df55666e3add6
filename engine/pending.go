package engine

import (
	"encoding/binary"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/index"
	"github.com/streamkeeper-io/streamkeeper/engine/txn"
)

// pendingOffset is an offset that a transaction commits when it ends.
type pendingOffset struct {
	CommittedOffset
	at int64 // offset of its record in the partition of __consumer_offsets: the later one counts
}

// pendingOffsets are the offsets of transactions that are not over. groupTable.mu guards it.
type pendingOffsets struct {
	byGroup map[string]map[OffsetKey]map[int64]pendingOffset // by producer
	groups  map[int64]map[string]struct{}                    // of each producer
	dirty   map[pendingKey]struct{}
}

type pendingKey struct {
	producer int64
	group    string
	offset   OffsetKey
}

func (o *pendingOffsets) load(d *index.DB) error {
	o.byGroup, o.groups = map[string]map[OffsetKey]map[int64]pendingOffset{}, map[int64]map[string]struct{}{}
	o.dirty = map[pendingKey]struct{}{}
	err := d.Pending(func(producer int64, group, topic string, partition int32, v []byte) {
		if c, ok := decodePending(v); ok {
			o.put(producer, group, OffsetKey{topic, partition}, c)
		}
	})
	clear(o.dirty)
	return err
}

func (o *pendingOffsets) put(producer int64, group string, k OffsetKey, c pendingOffset) {
	keys := o.byGroup[group]
	if keys == nil {
		keys = map[OffsetKey]map[int64]pendingOffset{}
		o.byGroup[group] = keys
	}
	if keys[k] == nil {
		keys[k] = map[int64]pendingOffset{}
	}
	keys[k][producer] = c
	if o.groups[producer] == nil {
		o.groups[producer] = map[string]struct{}{}
	}
	o.groups[producer][group] = struct{}{}
	o.dirty[pendingKey{producer, group, k}] = struct{}{}
}

func (o *pendingOffsets) drop(producer int64, group string, k OffsetKey) {
	keys := o.byGroup[group]
	delete(keys[k], producer)
	if len(keys[k]) == 0 {
		delete(keys, k)
	}
	if len(keys) == 0 {
		delete(o.byGroup, group)
	}
	o.dirty[pendingKey{producer, group, k}] = struct{}{}
}

// outdate drops what was written before offset at.
func (o *pendingOffsets) outdate(group string, k OffsetKey, at int64) {
	for producer, c := range o.byGroup[group][k] {
		if c.at < at {
			o.drop(producer, group, k)
		}
	}
}

// take removes what a producer's transaction wrote for the groups of one partition before its marker, which lies at
// offset marker. A later transaction's offsets stay: while the log is replayed, they may come from the index.
func (o *pendingOffsets) take(producer, marker int64, in func(group string) bool, fn func(group string, k OffsetKey, c pendingOffset)) {
	for group := range o.groups[producer] {
		if !in(group) {
			continue
		}
		later := false
		for k, by := range o.byGroup[group] {
			c, ok := by[producer]
			switch {
			case !ok:
			case c.at > marker:
				later = true
			default:
				o.drop(producer, group, k)
				fn(group, k, c)
			}
		}
		if !later {
			delete(o.groups[producer], group)
		}
	}
	if len(o.groups[producer]) == 0 {
		delete(o.groups, producer)
	}
}

func (o *pendingOffsets) save(c *index.Change) {
	for k := range o.dirty {
		var v []byte
		if p, ok := o.byGroup[k.group][k.offset][k.producer]; ok {
			v = append(binary.BigEndian.AppendUint64(nil, uint64(p.at)), offsetValueBytes(p.CommittedOffset)...)
		}
		c.SetPending(k.producer, k.group, k.offset.Topic, k.offset.Partition, v)
	}
	clear(o.dirty)
}

func decodePending(v []byte) (pendingOffset, bool) {
	if len(v) < 8 {
		return pendingOffset{}, false
	}
	c, ok := decodeOffsetValue(v[8:])
	return pendingOffset{c, int64(binary.BigEndian.Uint64(v))}, ok
}

// decide ends a producer's transaction in one partition of __consumer_offsets: its marker there, at offset marker, is
// durable. What the producer wrote behind the marker is not its business (keeps I6: what the index holds may be newer than
// the markers that are replayed over it).
func (g *groupTable) decide(partition int32, producer, marker int64, commit bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	in := func(group string) bool { return groupPartition(group, offsetsPartitions) == partition }
	g.pending.take(producer, marker, in, func(group string, k OffsetKey, c pendingOffset) {
		if commit {
			g.set(group, k, &c.CommittedOffset, c.at)
		}
	})
}

// CommitTransactionOffsets appends a group's offsets as a part of the producer's transaction: they count when it is
// committed. done is called once, when they are durable, or with an error: a txn.Code when the transaction is not open
// for the group. The group must have been added to it.
func (e *Engine) CommitTransactionOffsets(id string, who txn.Producer, group string, offsets map[OffsetKey]CommittedOffset, done func(error)) {
	p, err := e.groupPartition(group)
	if err != nil || len(offsets) == 0 {
		done(err)
		return
	}
	records := e.offsetRecords(group, offsets)
	b := batch.Append(nil, batch.Producer{ID: who.ID, Epoch: who.Epoch, Sequence: -1}, records)
	batch.Header(b).Mark(batch.Transactional)
	at := txn.Partition{Topic: OffsetsTopic, Index: p.index}
	admit := func() error {
		if code := e.VerifyTransaction(id, who, at); code != txn.None {
			return code
		}
		return nil
	}
	p.append(b, appending{acks: -1, internal: true, admit: p.unlessOpen(b, admit)}, func(a Appended) {
		e.groups.applyAll(who.ID, records, a)
		done(a.Err)
	})
}

// PendingOffsets are the group's partitions for which a transaction that is not over wrote offsets.
func (e *Engine) PendingOffsets(group string) map[OffsetKey]struct{} {
	e.groups.mu.RLock()
	defer e.groups.mu.RUnlock()
	keys := e.groups.pending.byGroup[group]
	if len(keys) == 0 {
		return nil
	}
	out := make(map[OffsetKey]struct{}, len(keys))
	for k := range keys {
		out[k] = struct{}{}
	}
	return out
}
