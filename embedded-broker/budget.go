package broker

import (
	"context"
	"sync"
)

// budget is the one account of memory: frames being read, waiting and handled, what decoding them takes, and, apart, the
// engine's memory that Fetch answers hold (pinning.go). Nothing is allocated for a frame before it is reserved here.
//
// Frames are small (at most defaultMaxFrame) or large. Both draw on a common pool of which large ones may take half, so
// that they never shut out the rest. Partly read frames that all wait for more memory would wait for ever; so each class
// has a reserve that covers one whole frame: when the pool is spent, one waiting frame takes it (the token) and can
// finish. Its owner must then arrive quickly (tokenRate) or is closed.
type budget struct {
	limit     int64
	common    int64
	maxLarge  int64 // largest frame the reserve covers
	largePart int64 // share of common for large frames
	pinned    pinning

	mu    sync.Mutex
	used  int64 // of common
	class [2]budgetClass
}

type budgetClass struct {
	used    int64 // of common, by this class
	reserve int64 // in use of the class's reserve
	token   *lease
	waiting []*budgetWaiter
}

type budgetWaiter struct {
	l     *lease
	n     int64
	ready chan struct{}
}

// lease is what one frame holds. It is used by one goroutine at a time.
type lease struct {
	b      *budget
	large  bool
	pooled int64 // from common
	extra  int64 // from the reserve; only the token's holder has some
}

const smallReserve = defaultMaxFrame + maxDecode

func newBudget(limit int64) *budget {
	b := &budget{limit: limit}
	b.maxLarge = min(produceMaxFrame, limit*2/5)
	b.pinned.limit = limit / 4
	b.common = limit - b.maxLarge - smallReserve - b.pinned.limit
	b.largePart = b.common / 2
	return b
}

func (b *budget) lease(size int) lease { return lease{b: b, large: size > defaultMaxFrame} }

func (l *lease) classOf() *budgetClass {
	if l.large {
		return &l.b.class[1]
	}
	return &l.b.class[0]
}

// take reserves n more bytes, waiting until they are there. It fails only when ctx ends.
func (l *lease) take(ctx context.Context, n int64) error {
	b := l.b
	b.mu.Lock()
	if len(l.classOf().waiting) == 0 && b.grantLocked(l, n) || b.tokenLocked(l, n) {
		b.mu.Unlock()
		return nil
	}
	w := &budgetWaiter{l: l, n: n, ready: make(chan struct{})}
	c := l.classOf()
	c.waiting = append(c.waiting, w)
	b.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		b.mu.Lock()
		defer b.mu.Unlock()
		for i, other := range c.waiting {
			if other == w {
				c.waiting = append(c.waiting[:i], c.waiting[i+1:]...)
				return ctx.Err()
			}
		}
		return nil // granted meanwhile; the caller releases it with the rest
	}
}

// grantLocked serves n from the common pool when it fits.
func (b *budget) grantLocked(l *lease, n int64) bool {
	c := l.classOf()
	if b.used+n > b.common || l.large && c.used+n > b.largePart {
		return false
	}
	b.used += n
	c.used += n
	l.pooled += n
	return true
}

// tokenLocked serves n from the class's reserve when l holds the token or nobody does.
func (b *budget) tokenLocked(l *lease, n int64) bool {
	c := l.classOf()
	if c.token != nil && c.token != l {
		return false
	}
	c.token = l
	c.reserve += n
	l.extra += n
	return true
}

// onToken reports whether the frame lives on the reserve and must hurry.
func (l *lease) onToken() bool {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	return l.classOf().token == l
}

// give returns n bytes, those of the common pool first.
func (l *lease) give(n int64) {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	l.giveLocked(n)
}

func (l *lease) giveLocked(n int64) {
	b, c := l.b, l.classOf()
	p := min(n, l.pooled)
	l.pooled -= p
	b.used -= p
	c.used -= p
	e := min(n-p, l.extra)
	l.extra -= e
	c.reserve -= e
	b.wakeLocked()
}

// release returns everything, and the token.
func (l *lease) release() {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	if c := l.classOf(); c.token == l {
		c.token = nil
	}
	l.giveLocked(l.pooled + l.extra)
}

// wakeLocked serves those who wait, in order of arrival within a class.
func (b *budget) wakeLocked() {
	for i := range b.class {
		c := &b.class[i]
		for len(c.waiting) > 0 {
			w := c.waiting[0]
			if !b.grantLocked(w.l, w.n) && !b.tokenLocked(w.l, w.n) {
				break
			}
			c.waiting = c.waiting[1:]
			close(w.ready)
		}
	}
}

// usage is what is reserved now, small and large frames apart, and by how much frames wait.
func (b *budget) usage() (small, large int64, waiting int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, l := &b.class[0], &b.class[1]
	return s.used + s.reserve, l.used + l.reserve, len(s.waiting) + len(l.waiting)
}
