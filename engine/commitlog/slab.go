package commitlog

import (
	"sync"
	"sync/atomic"
)

// slab is a piece of a segment in memory. The log writes from it and tail reads are served from it, so produced bytes
// are copied exactly once. refs counts the cache itself and every reader.
type slab struct {
	b    []byte
	refs atomic.Int32
	pool *slabPool
}

// Release drops one reference; at zero the memory is reused.
func (s *slab) Release() {
	if s.refs.Add(-1) == 0 {
		s.pool.put(s)
	}
}

// slabPool keeps unused slabs of one size for reuse. Its memory is what the cache lets go, so it needs no bound of its
// own beyond a few spares.
type slabPool struct {
	size   int
	spares int
	inUse  atomic.Int64 // bytes of slabs that somebody references

	mu   sync.Mutex
	free []*slab
}

func (p *slabPool) get() *slab {
	p.inUse.Add(int64(p.size))
	p.mu.Lock()
	var s *slab
	if n := len(p.free); n > 0 {
		s, p.free = p.free[n-1], p.free[:n-1]
	}
	p.mu.Unlock()
	if s == nil {
		s = &slab{b: make([]byte, p.size), pool: p}
	}
	s.refs.Store(1)
	return s
}

func (p *slabPool) put(s *slab) {
	p.inUse.Add(-int64(p.size))
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) < p.spares {
		p.free = append(p.free, s)
	}
}
