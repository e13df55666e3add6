package collectors

import (
	"context"
	"sync"
	"time"
)

// Budget bounds how many requests a second a collector makes: watching a cluster must never hurt it. Within no second are
// there more of them than allowed, but for what was spent without waiting.
// It is safe for concurrent use; waiters are served in no fixed order.
type Budget struct {
	now    func() time.Time
	window time.Duration

	mu    sync.Mutex
	taken []time.Time // the newest requests, also those that are waited for; a ring
	next  int         // the oldest of them
}

// NewBudget allows perSecond requests within each second, at once or apart. A perSecond of zero or less means no bound. A
// nil now is time.Now.
func NewBudget(perSecond float64, now func() time.Time) *Budget {
	if now == nil {
		now = time.Now
	}
	if perSecond <= 0 {
		return &Budget{now: now}
	}
	n := max(1, int(perSecond))
	return &Budget{now: now, window: time.Duration(float64(n) / perSecond * float64(time.Second)), taken: make([]time.Time, n)}
}

// Wait blocks until one request is allowed, or returns ctx's error. A wait that ctx's deadline would cut
// short returns at once and takes nothing, so that a round does not idle away the time it has left.
func (b *Budget) Wait(ctx context.Context) error {
	if b == nil || len(b.taken) == 0 {
		return ctx.Err()
	}
	delay, ok := b.reserve(ctx)
	switch {
	case !ok:
		return context.DeadlineExceeded
	case delay <= 0:
		return ctx.Err()
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Spend takes a request that cannot wait, such as one that the client makes by itself: the following ones wait for it.
func (b *Budget) Spend() {
	if b == nil || len(b.taken) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.take(b.now())
}

// reserve takes the next free place and says how long until it is there; not ok when that is after ctx's deadline.
func (b *Budget) reserve(ctx context.Context) (delay time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	at := now
	if oldest := b.taken[b.next]; !oldest.IsZero() && oldest.Add(b.window).After(now) {
		at = oldest.Add(b.window)
	}
	delay = at.Sub(now)
	if deadline, bounded := ctx.Deadline(); bounded && delay > 0 && time.Until(deadline) < delay {
		return delay, false
	}
	b.take(at)
	return delay, true
}

func (b *Budget) take(at time.Time) {
	b.taken[b.next] = at
	b.next = (b.next + 1) % len(b.taken)
}
