package engine

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/streamkeeper-io/streamkeeper/engine/meta"
)

// registry maps streams to partitions. Partitions that nobody touched are rows on disk, not objects: a chunk of pointers
// is all they cost, and only once a neighbour was touched.
type registry struct {
	e *Engine

	mu     sync.Mutex // inflating and growing
	topics map[meta.ID]*topicState
	owners ownerIndex
	chunks atomic.Pointer[[]*chunk]
	live   atomic.Int64 // inflated partitions
}

const chunkSize = 256

type chunk [chunkSize]atomic.Pointer[Partition]

func (r *registry) init(e *Engine) {
	r.e = e
	r.topics = map[meta.ID]*topicState{}
	r.chunks.Store(new([]*chunk))
	for _, t := range e.meta.Snapshot().Topics {
		r.put(t)
	}
}

// put makes a topic's current state known: new, resized or reconfigured.
func (r *registry) put(t *meta.Topic) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.topics[t.ID]
	if s == nil {
		s = &topicState{id: TopicID(t.ID), name: t.Name}
		r.topics[t.ID] = s
	}
	s.conf.Store(resolve(t, r.e.meta.Snapshot().Broker))
	first := int32(0)
	for _, x := range t.Extents {
		r.owners.put(x.Stream, owner{topic: s, first: first, count: x.Count})
		first += x.Count
	}
}

// drop forgets a deleted topic and tells everyone who waits on its partitions.
func (r *registry) drop(t *meta.Topic) {
	r.mu.Lock()
	s := r.topics[t.ID]
	delete(r.topics, t.ID)
	var ps []*Partition
	if s != nil {
		s.gone.Store(true)
	}
	for _, x := range t.Extents {
		r.owners.drop(x.Stream)
		for i := range x.Count {
			if p := r.peek(x.Stream + uint32(i)); p != nil {
				ps = append(ps, p)
				r.slot(p.stream).Store(nil)
				r.live.Add(-1)
			}
		}
	}
	r.mu.Unlock()
	for _, p := range ps {
		p.vanish()
	}
}

// close releases everyone who waits.
func (r *registry) close() {
	for _, c := range *r.chunks.Load() {
		if c == nil {
			continue
		}
		for i := range c {
			if p := c[i].Load(); p != nil {
				p.vanish()
			}
		}
	}
}

// peek returns an inflated partition or nil.
func (r *registry) peek(stream uint32) *Partition {
	cs := *r.chunks.Load()
	if i := int(stream / chunkSize); i < len(cs) && cs[i] != nil {
		return cs[i][stream%chunkSize].Load()
	}
	return nil
}

// slot returns the pointer of a stream, growing the table. r.mu is held.
func (r *registry) slot(stream uint32) *atomic.Pointer[Partition] {
	cs := *r.chunks.Load()
	i := int(stream / chunkSize)
	if i >= len(cs) || cs[i] == nil {
		grown := make([]*chunk, max(len(cs), i+1))
		copy(grown, cs)
		grown[i] = new(chunk)
		r.chunks.Store(&grown)
		cs = grown
	}
	return &cs[i][stream%chunkSize]
}

// alive reports whether a stream belongs to a topic that exists.
func (r *registry) alive(stream uint32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _, ok := r.owners.find(stream)
	return ok
}

// owner returns the topic and partition index of a stream.
func (r *registry) owner(stream uint32) (*topicState, int32, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.owners.find(stream)
}

// stream returns the partition of a stream, inflating it from its row; nil without error when its topic is gone.
func (r *registry) stream(stream uint32) (*Partition, error) {
	if p := r.peek(stream); p != nil {
		return p, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.peek(stream); p != nil {
		return p, nil
	}
	topic, index, ok := r.owners.find(stream)
	if !ok {
		return nil, nil
	}
	p := &Partition{e: r.e, topic: topic, index: index, stream: stream}
	if err := p.inflate(); err != nil {
		return nil, err
	}
	r.slot(stream).Store(p)
	r.live.Add(1)
	return p, nil
}

// Partition returns the handle of a partition; it is valid until the topic is deleted.
func (e *Engine) Partition(topic string, index int32) (*Partition, error) {
	t, ok := e.meta.Snapshot().Topic(topic)
	if !ok {
		return nil, fmt.Errorf("topic %s: %w", topic, ErrUnknownTopic)
	}
	stream, ok := t.Stream(index)
	if !ok {
		return nil, fmt.Errorf("partition %d of topic %s, which has %d: %w", index, topic, t.Partitions, ErrUnknownPartition)
	}
	if p := e.topics.peek(stream); p != nil {
		return p, nil
	}
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.leave()
	p, err := e.topics.stream(stream)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	if p == nil {
		return nil, fmt.Errorf("topic %s: %w", topic, ErrUnknownTopic)
	}
	return p, nil
}
