package meta

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/streamkeeper-io/streamkeeper/engine/guard"
)

// The errors of this package; the engine re-exports them under its own names.
var (
	ErrUnknownTopic      = errors.New("unknown topic")
	ErrTopicExists       = errors.New("already exists")
	ErrInvalidTopic      = errors.New("invalid topic")
	ErrInvalidConfig     = errors.New("invalid config")
	ErrInvalidPartitions = errors.New("invalid partition count")
)

// Options configure a Store.
type Options struct {
	FS       vfs.FS
	Dir      string
	Now      func() time.Time
	Random   io.Reader // source of ids
	Node     int32
	ReadOnly bool
	// Failed is told when the metadata cannot be written any more, or a file of it is damaged. Writes, or reads of the
	// file, fail from then on; it must not call the store.
	Failed func(error)
}

// Store is the open metadata; safe for concurrent use.
type Store struct {
	db    *pebble.DB
	guard *guard.Guard
	o     Options
	mu    sync.Mutex // one writer at a time
	cur   atomic.Pointer[Snapshot]
	node  state

	commits atomic.Uint64 // how often anything changed
}

// state is the row of numbers that only grow.
type state struct {
	ClusterID  string          `json:"cluster_id"`
	NextStream uint32          `json:"next_stream"`
	NextPID    int64           `json:"next_producer_id"`
	Epochs     map[int32]int32 `json:"node_epochs"`
}

// Snapshot is one consistent view. Nothing in it may be modified.
type Snapshot struct {
	Topics []*Topic // sorted by name
	Broker map[string]string
	// Resources are the configs of groups and of client metrics subscriptions: kind/name → config → value.
	Resources map[string]map[string]string
	version   uint64 // of the topics
	byName    map[string]*Topic
	byID      map[ID]*Topic
}

// Topic looks a topic up by name.
func (s *Snapshot) Topic(name string) (*Topic, bool) { t, ok := s.byName[name]; return t, ok }

// Version differs between two snapshots of this process whose topics differ.
func (s *Snapshot) Version() uint64 { return s.version }

// TopicByID looks a topic up by id.
func (s *Snapshot) TopicByID(id ID) (*Topic, bool) { t, ok := s.byID[id]; return t, ok }

// The keys: one row of counters, one of cluster configs, one of other resources' configs, one per topic.
var (
	stateKey     = []byte("state")
	brokerKey    = []byte("broker")
	resourcesKey = []byte("resources")
)

const (
	topicPrefix   = "topic/"
	deletedPrefix = "deleted/"
)

// Open reads the metadata, creating it in an empty directory.
func Open(o Options) (*Store, error) {
	cache := pebble.NewCache(1 << 20)
	defer cache.Unref()
	s := &Store{guard: guard.New("metadata", o.Failed), o: o}
	err := s.guard.Do(func() (err error) {
		s.db, err = pebble.Open(o.Dir, s.guard.Configure(&pebble.Options{
			FS: o.FS, Cache: cache, ReadOnly: o.ReadOnly, MemTableSize: 256 << 10, FormatMajorVersion: pebble.FormatNewest,
		}))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening metadata: %w", err)
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, s.guard.Close(s.db.Close))
	}
	return s, nil
}

func (s *Store) load() error {
	snap := &Snapshot{Broker: map[string]string{}, Resources: map[string]map[string]string{}, version: 1, byName: map[string]*Topic{}, byID: map[ID]*Topic{}}
	if _, err := s.get(stateKey, &s.node); err != nil {
		return err
	}
	if _, err := s.get(brokerKey, &snap.Broker); err != nil {
		return err
	}
	if _, err := s.get(resourcesKey, &snap.Resources); err != nil {
		return err
	}
	topics, err := s.topics(topicPrefix)
	if err != nil {
		return err
	}
	snap.Topics = topics
	for _, t := range topics {
		snap.byName[t.Name], snap.byID[t.ID] = t, t
	}
	s.cur.Store(snap)
	if s.node.ClusterID != "" || s.o.ReadOnly {
		return nil
	}
	id, err := newID(s.o.Random)
	if err != nil {
		return err
	}
	s.node.ClusterID, s.node.Epochs = id.Base64(), map[int32]int32{}
	return s.commit(nil)
}

// topics reads the topic rows under a prefix that ends in '/'.
func (s *Store) topics(prefix string) ([]*Topic, error) {
	upper := []byte(prefix)
	upper[len(upper)-1]++
	it, err := s.rows(&pebble.IterOptions{LowerBound: []byte(prefix), UpperBound: upper})
	if err != nil {
		return nil, fmt.Errorf("reading topics: %w", err)
	}
	var out []*Topic
	for it.First(); it.Valid(); it.Next() {
		t := new(Topic)
		if err := json.Unmarshal(it.Value(), t); err != nil {
			return nil, errors.Join(fmt.Errorf("reading topic row %q: %w", it.Key(), err), it.Close())
		}
		out = append(out, t)
	}
	if err := it.Close(); err != nil {
		return nil, fmt.Errorf("reading topics: %w", err)
	}
	return out, nil
}

// rows iterates over rows that are durable, while s.mu is held. Pebble also shows what a failed commit did not bring to
// disk: a restart would not know of it.
func (s *Store) rows(o *pebble.IterOptions) (*pebble.Iterator, error) {
	if err := s.guard.Err(); err != nil {
		return nil, err
	}
	return s.db.NewIter(o)
}

func (s *Store) get(key []byte, into any) (bool, error) {
	v, done, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading metadata row %q: %w", key, err)
	}
	defer done.Close()
	if err := json.Unmarshal(v, into); err != nil {
		return false, fmt.Errorf("reading metadata row %q: %w", key, err)
	}
	return true, nil
}

// commit writes the counters and, through more, other rows in one durable step. s.mu is held.
func (s *Store) commit(more func(*pebble.Batch) error) error {
	b := s.db.NewBatch()
	v, err := json.Marshal(s.node)
	if err == nil {
		err = b.Set(stateKey, v, nil)
	}
	if err == nil && more != nil {
		err = more(b)
	}
	if err == nil {
		err = s.guard.Do(func() error { return b.Commit(pebble.Sync) })
	}
	if s.guard.Err() == nil { // else the batch may be in use for ever
		err = errors.Join(err, b.Close())
	}
	if err != nil {
		return fmt.Errorf("writing metadata: %w", err)
	}
	s.commits.Add(1)
	return nil
}

// Snapshot is the current view.
func (s *Store) Snapshot() *Snapshot { return s.cur.Load() }

// ClusterID names the cluster for ever.
func (s *Store) ClusterID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.node.ClusterID
}

// BumpEpoch gives the node its next epoch, starting at 0. Leader epochs and log segment ids come from it, so it must be
// taken once per start, before anything is written.
func (s *Store) BumpEpoch() (int32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, seen := s.node.Epochs[s.o.Node]
	epoch := before + 1
	if !seen {
		epoch = 0
	}
	s.node.Epochs = maps.Clone(s.node.Epochs)
	s.node.Epochs[s.o.Node] = epoch
	return epoch, s.commit(nil)
}

// ProducerIDs reserves n producer ids and returns the first; none is ever given twice.
func (s *Store) ProducerIDs(n int64) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.node.NextPID
	s.node.NextPID += n
	return first, s.commit(nil)
}

// SetBroker changes cluster-level configs.
func (s *Store) SetBroker(set map[string]string, unset []string) error {
	for k, v := range set {
		if err := validate(brokerConfigs, k, v); err != nil {
			return err
		}
	}
	for _, k := range unset {
		if _, ok := brokerConfigs[k]; !ok {
			return fmt.Errorf("%s is no broker config: %w", k, ErrInvalidConfig)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.cur.Load()
	next := *old
	next.Broker = merged(old.Broker, set, unset)
	err := s.commit(func(b *pebble.Batch) error { return put(b, brokerKey, next.Broker) })
	if err != nil {
		return err
	}
	s.cur.Store(&next)
	return nil
}

// Close stops the store; everything is durable already.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.guard.Close(s.db.Close); err != nil {
		return fmt.Errorf("closing metadata: %w", err)
	}
	return nil
}

// publish replaces, adds (old nil) or removes (t nil) a topic in a new snapshot.
func (s *Store) publish(old, t *Topic) {
	cur := s.cur.Load()
	next := &Snapshot{
		Broker: cur.Broker, Resources: cur.Resources, version: cur.version + 1,
		byName: maps.Clone(cur.byName), byID: maps.Clone(cur.byID), Topics: slices.Clone(cur.Topics),
	}
	byName := func(a *Topic, name string) int { return strings.Compare(a.Name, name) }
	if old != nil {
		i, _ := slices.BinarySearchFunc(next.Topics, old.Name, byName)
		next.Topics = slices.Delete(next.Topics, i, i+1)
		delete(next.byName, old.Name)
		delete(next.byID, old.ID)
	}
	if t != nil {
		i, _ := slices.BinarySearchFunc(next.Topics, t.Name, byName)
		next.Topics = slices.Insert(next.Topics, i, t)
		next.byName[t.Name], next.byID[t.ID] = t, t
	}
	s.cur.Store(next)
}

func merged(old, set map[string]string, unset []string) map[string]string {
	m := maps.Clone(old)
	if m == nil {
		m = map[string]string{}
	}
	maps.Copy(m, set)
	for _, k := range unset {
		delete(m, k)
	}
	return m
}

func put(b *pebble.Batch, key []byte, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.Set(key, data, nil)
}
