package engine

import (
	"context"
	"maps"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
)

// GroupRecord is one record of a group in __consumer_offsets, in Kafka's bytes; a nil Value is a tombstone.
type GroupRecord struct{ Key, Value []byte }

// SaveGroupRecords appends records of a group; done as in CommitOffsets. All become durable together. Keys that this engine
// does not project (see groupcodec.go) are appended and otherwise ignored.
func (e *Engine) SaveGroupRecords(group string, records []GroupRecord, done func(error)) {
	e.appendGroup(group, e.groupRecords(records), done)
}

// ReplaceGroup stores records of a group and waits until they are durable: a group changes its protocol.
func (e *Engine) ReplaceGroup(ctx context.Context, group string, records []GroupRecord) error {
	return e.appendGroupWait(ctx, group, e.groupRecords(records))
}

func (e *Engine) groupRecords(records []GroupRecord) []batch.Record {
	all := make([]batch.Record, len(records))
	for i, r := range records {
		all[i] = batch.Record{Timestamp: e.now(), Key: r.Key, Value: r.Value}
	}
	return all
}

// GroupKey is the key of a classic group's metadata.
func GroupKey(group string) []byte { return groupKeyBytes(group) }

// LoadGroupRecords returns the group's records of the consumer protocol, by key; empty for a classic one.
func (e *Engine) LoadGroupRecords(group string) map[string][]byte {
	e.groups.mu.RLock()
	defer e.groups.mu.RUnlock()
	return maps.Clone(e.groups.records[group])
}

// GroupsWithRecords returns the groups that have records of the consumer protocol.
func (e *Engine) GroupsWithRecords() []string {
	e.groups.mu.RLock()
	defer e.groups.mu.RUnlock()
	names := make([]string, 0, len(e.groups.records))
	for name := range e.groups.records {
		names = append(names, name)
	}
	return names
}

// setRecord applies a durable record; nil forgets it.
func (g *groupTable) setRecord(group, key string, v []byte) {
	nest(g.dirtyRecords, group, key, struct{}{})
	if v != nil {
		nest(g.records, group, key, v)
		return
	}
	delete(g.records[group], key)
	if len(g.records[group]) == 0 {
		delete(g.records, group)
	}
}
