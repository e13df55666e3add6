package collectors

import (
	"context"
	"sync"
	"time"
)

// Budget bounds how many requests a second a collector makes: watching a cluster must never hurt it.
// It is safe for concurrent use; waiters are served in no fixed order.
type Budget struct {
	mu     sync.Mutex
	now    func() time.Time
	rate   float64 // per second
	burst  float64
	tokens float64 // negative while waiters have reserved ahead
	last   time.Time
}

// NewBudget allows perSecond requests a second, and as many at once after a quiet second. A perSecond of
// zero or less means no bound. A nil now is time.Now.
func NewBudget(perSecond float64, now func() time.Time) *Budget {
	if now == nil {
		now = time.Now
	}
	return &Budget{now: now, rate: perSecond, burst: max(1, perSecond), tokens: max(1, perSecond), last: now()}
}

// Wait blocks until one request is allowed, or returns ctx's error. A wait that ctx's deadline would cut
// short returns at once, so that a round does not idle away the time it has left.
func (b *Budget) Wait(ctx context.Context) error {
	if b == nil || b.rate <= 0 {
		return ctx.Err()
	}
	delay := b.reserve()
	if delay <= 0 {
		return ctx.Err()
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < delay {
		b.giveBack()
		return context.DeadlineExceeded
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		b.giveBack()
		return ctx.Err()
	}
}

// reserve takes one token and says how long until it is there.
func (b *Budget) reserve() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	b.tokens = min(b.burst, b.tokens+max(0, now.Sub(b.last).Seconds())*b.rate)
	b.last = now
	b.tokens--
	if b.tokens >= 0 {
		return 0
	}
	return time.Duration(-b.tokens / b.rate * float64(time.Second))
}

func (b *Budget) giveBack() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens++
}
