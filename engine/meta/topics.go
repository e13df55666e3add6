package meta

import (
	"encoding/base64"
	"fmt"
	"io"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// ID is a topic's identity.
type ID [16]byte

// Base64 is the URL-safe form Kafka prints.
func (id ID) Base64() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// newID never returns the ids Kafka reserves (all zero, and 0…01) nor one that starts with '-', which tools take for a
// flag.
func newID(r io.Reader) (ID, error) {
	for {
		var id ID
		if _, err := io.ReadFull(r, id[:]); err != nil {
			return id, fmt.Errorf("making an id: %w", err)
		}
		id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // a version-4 UUID
		if id.Base64()[0] != '-' {
			return id, nil
		}
	}
}

// Extent maps consecutive partitions to consecutive streams.
type Extent struct {
	Stream uint32 `json:"stream"`
	Count  int32  `json:"count"`
}

// Topic is one topic's row.
type Topic struct {
	ID         ID                `json:"id"`
	Name       string            `json:"name"`
	Partitions int32             `json:"partitions"`
	Configs    map[string]string `json:"configs,omitempty"`
	CreatedAt  time.Time         `json:"created_at"`
	Internal   bool              `json:"internal,omitempty"`
	Extents    []Extent          `json:"extents"`
}

// Stream is the dense number of a partition; it is never reused.
func (t *Topic) Stream(partition int32) (uint32, bool) {
	if partition < 0 {
		return 0, false
	}
	for _, e := range t.Extents {
		if partition < e.Count {
			return e.Stream + uint32(partition), true
		}
		partition -= e.Count
	}
	return 0, false
}

// Limits of names and counts, as in Kafka; the partition limit keeps one request from filling the metadata.
const (
	maxName       = 249
	maxPartitions = 100_000
)

// CheckName refuses what Kafka refuses.
func CheckName(name string) error {
	if name == "" || name == "." || name == ".." || len(name) > maxName {
		return fmt.Errorf("topic name %q: use 1 to %d characters other than . and ..: %w", name, maxName, ErrInvalidTopic)
	}
	for _, c := range []byte(name) {
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
		if !ok {
			return fmt.Errorf("topic name %q: use letters, digits, '.', '_' and '-': %w", name, ErrInvalidTopic)
		}
	}
	return nil
}

// CreateTopic adds a topic. Names, counts and configs are validated first.
func (s *Store) CreateTopic(name string, partitions int32, configs map[string]string, internal bool) (*Topic, error) {
	if err := CheckTopic(name, partitions, configs); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.cur.Load().Topic(name); ok {
		return nil, fmt.Errorf("topic %s: %w", name, ErrTopicExists)
	}
	id, err := newID(s.o.Random)
	if err != nil {
		return nil, err
	}
	t := &Topic{
		ID: id, Name: name, Partitions: partitions, Configs: merged(nil, configs, nil), CreatedAt: s.o.Now().UTC(),
		Internal: internal, Extents: []Extent{{Stream: s.node.NextStream, Count: partitions}},
	}
	s.node.NextStream += uint32(partitions)
	if err := s.write(nil, t); err != nil {
		return nil, err
	}
	return t, nil
}

// CheckTopic validates what CreateTopic would be asked, without creating anything.
func CheckTopic(name string, partitions int32, configs map[string]string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if partitions < 1 || partitions > maxPartitions {
		return fmt.Errorf("%d partitions: use 1 to %d: %w", partitions, maxPartitions, ErrInvalidPartitions)
	}
	for k, v := range configs {
		if err := validate(topicConfigs, k, v); err != nil {
			return err
		}
	}
	return nil
}

// DeleteTopic removes a topic and returns what it was.
func (s *Store) DeleteTopic(name string) (*Topic, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(name)
	if err != nil {
		return nil, err
	}
	return t, s.write(t, nil)
}

// Deleted returns deleted topics whose data was not cleared yet (see Cleared). It waits for a change in progress: Pebble
// shows rows before they are durable, and data of a topic that a crash would bring back must not be cleared. So it fails
// once the metadata did.
func (s *Store) Deleted() ([]*Topic, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.topics(deletedPrefix)
}

// Cleared forgets a deleted topic once nothing of it is left anywhere.
func (s *Store) Cleared(t *Topic) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commit(func(b *pebble.Batch) error { return b.Delete(deletedKey(t), nil) })
}

func deletedKey(t *Topic) []byte { return append([]byte(deletedPrefix), t.ID[:]...) }

// AddPartitions raises a topic's partition count to total.
func (s *Store) AddPartitions(name string, total int32) (*Topic, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.find(name)
	if err != nil {
		return nil, err
	}
	if total <= old.Partitions || total > maxPartitions {
		return nil, fmt.Errorf("topic %s has %d partitions, %d asked; use more, up to %d: %w",
			name, old.Partitions, total, maxPartitions, ErrInvalidPartitions)
	}
	t := *old
	more := total - old.Partitions
	t.Partitions = total
	t.Extents = append(append([]Extent(nil), old.Extents...), Extent{Stream: s.node.NextStream, Count: more})
	s.node.NextStream += uint32(more)
	return &t, s.write(old, &t)
}

// SetConfigs changes a topic's configs.
func (s *Store) SetConfigs(name string, set map[string]string, unset []string) (*Topic, error) {
	for k, v := range set {
		if err := validate(topicConfigs, k, v); err != nil {
			return nil, err
		}
	}
	for _, k := range unset {
		if _, ok := topicConfigs[k]; !ok {
			return nil, fmt.Errorf("%s is no topic config: %w", k, ErrInvalidConfig)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.find(name)
	if err != nil {
		return nil, err
	}
	t := *old
	t.Configs = merged(old.Configs, set, unset)
	return &t, s.write(old, &t)
}

func (s *Store) find(name string) (*Topic, error) {
	t, ok := s.cur.Load().Topic(name)
	if !ok {
		return nil, fmt.Errorf("topic %s: %w", name, ErrUnknownTopic)
	}
	return t, nil
}

// write makes a change of one topic durable, then visible. s.mu is held.
func (s *Store) write(old, t *Topic) error {
	err := s.commit(func(b *pebble.Batch) error {
		if t == nil {
			if err := put(b, deletedKey(old), old); err != nil {
				return err
			}
			return b.Delete([]byte(topicPrefix+old.Name), nil)
		}
		return put(b, []byte(topicPrefix+t.Name), t)
	})
	if err != nil {
		return err
	}
	s.publish(old, t)
	return nil
}
