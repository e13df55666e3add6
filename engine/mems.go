package engine

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/streamkeeper-io/streamkeeper/engine/index"
)

// memories are the segments the index does not hold yet, oldest first. Readers take the list without a lock.
type memories struct {
	mu  sync.Mutex
	all atomic.Pointer[[]*index.Memory]
}

// list is a snapshot; do not modify it.
func (m *memories) list() []*index.Memory {
	if l := m.all.Load(); l != nil {
		return *l
	}
	return nil
}

// of returns the memory of a segment, making it for the first frame.
func (m *memories) of(segment uint64, clock Clock) *index.Memory {
	if l := m.list(); len(l) > 0 && l[len(l)-1].Segment == segment {
		return l[len(l)-1]
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.list()
	i, found := m.search(l, segment)
	if found {
		return l[i]
	}
	n := index.NewMemory(segment, clock.Now())
	l = slices.Insert(slices.Clone(l), i, n)
	m.all.Store(&l)
	return n
}

func (m *memories) find(segment uint64) *index.Memory {
	l := m.list()
	if i, found := m.search(l, segment); found {
		return l[i]
	}
	return nil
}

func (m *memories) drop(segment uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.list()
	if i, found := m.search(l, segment); found {
		l = slices.Delete(slices.Clone(l), i, i+1)
		m.all.Store(&l)
	}
}

func (m *memories) search(l []*index.Memory, segment uint64) (int, bool) {
	return slices.BinarySearchFunc(l, segment, func(x *index.Memory, s uint64) int {
		switch {
		case x.Segment < s:
			return -1
		case x.Segment > s:
			return 1
		}
		return 0
	})
}
