package meta

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/streamkeeper-io/streamkeeper/engine/fields"
)

// Version changes with every change of the metadata.
func (s *Store) Version() uint64 { return s.commits.Load() }

// Export returns all rows, for the manifest in the object store. It fails once the metadata did.
func (s *Store) Export() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it, err := s.rows(nil)
	if err != nil {
		return nil, fmt.Errorf("exporting metadata: %w", err)
	}
	var b []byte
	for it.First(); it.Valid(); it.Next() {
		for _, part := range [][]byte{it.Key(), it.Value()} {
			b = fields.AppendBytes(b, part)
		}
	}
	if err := it.Close(); err != nil {
		return nil, fmt.Errorf("exporting metadata: %w", err)
	}
	return b, nil
}

// skippedIDs is how many producer ids a restore leaves out: more than were handed
// out between the last manifest and the loss of the disk.
const skippedIDs = 1_000_000

// Import fills an empty directory with exported rows and returns the topics. Node
// epochs, producer ids and streams go on after those of the lost instance; streams
// is one more than the largest that was seen in the store.
func Import(o Options, exported []byte, streams uint32) ([]*Topic, error) {
	s, err := Open(o)
	if err != nil {
		return nil, err
	}
	err = s.importRows(exported, streams)
	topics := s.Snapshot().Topics
	return topics, errors.Join(err, s.Close())
}

func (s *Store) importRows(b []byte, streams uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch := s.db.NewBatch()
	for r := fields.Of(b); r.Left() > 0; {
		key, value := r.Bytes(), r.Bytes()
		if r.Bad() {
			return errors.New("importing metadata: the rows are cut short")
		}
		if err := batch.Set(key, value, nil); err != nil {
			return fmt.Errorf("importing metadata: %w", err)
		}
		if string(key) == string(stateKey) {
			if err := json.Unmarshal(value, &s.node); err != nil {
				return fmt.Errorf("importing metadata: %w", err)
			}
		}
	}
	if s.node.Epochs == nil {
		return errors.New("importing metadata: it has no state")
	}
	for node := range s.node.Epochs {
		s.node.Epochs[node]++ // the lost instance may have started once more
	}
	s.node.NextPID += skippedIDs
	s.node.NextStream = max(s.node.NextStream, streams)
	if err := put(batch, stateKey, s.node); err != nil {
		return err
	}
	err := s.guard.Do(func() error { return batch.Commit(pebble.Sync) })
	if s.guard.Err() == nil {
		err = errors.Join(err, batch.Close())
	}
	if err != nil {
		return fmt.Errorf("importing metadata: %w", err)
	}
	return s.load()
}
