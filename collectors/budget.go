package collectors

import (
	"context"
	"sync"
	"time"
)

// Budget bounds how many requests a second a collector makes: watching a cluster must never hurt it. A request counts from
// when it is allowed until a second after its answer: however long it is under way, the cluster sees no more of them within a
// second than are allowed, but for those that nobody waited for. It is safe for concurrent use; waiters are served in no fixed
// order.
type Budget struct {
	now    func() time.Time
	window time.Duration

	mu     sync.Mutex
	places []place
}

// place is room for one request in each window.
type place struct {
	at   time.Time // of its last request's answer; while it is open, of when it was allowed
	open bool      // not answered yet
	sent bool      // and on its way
}

// maxOpen is for how long a request may be unanswered.
const maxOpen = 10 * time.Second

// free is when the next request may take the place, as far as is known. One that was allowed and never left (nobody was to be
// reached, or fewer were needed) counts for a window: if it leaves later, it is charged then.
func (p place) free(now time.Time, window time.Duration) time.Time {
	if under := now.Sub(p.at); p.sent && p.open && under > 0 && under < maxOpen {
		return now.Add(window)
	}
	return p.at.Add(window)
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
	return &Budget{now: now, window: time.Duration(float64(n) / perSecond * float64(time.Second)), places: make([]place, n)}
}

// Wait blocks until one request is allowed, or returns ctx's error. A wait that ctx's deadline would cut
// short returns at once and takes nothing, so that a round does not idle away the time it has left.
func (b *Budget) Wait(ctx context.Context) error {
	if b == nil || len(b.places) == 0 {
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

// Sent says that a request leaves. Where more leave than were allowed (what a client asks by itself or asks again, or splits)
// the others are charged: the following ones wait for them.
func (b *Budget) Sent() {
	if b == nil || len(b.places) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	p := b.oldest(now, false)
	if p == nil {
		p = b.next(now)
		p.at, p.open = now, true
	}
	p.sent = true
}

// Answered says that a request that was sent is over, answered or not: the one that has been under way for longest.
func (b *Budget) Answered() {
	if b == nil || len(b.places) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if p := b.oldest(now, true); p != nil {
		*p = place{at: now}
	}
}

// oldest is the request that was allowed first of those that were sent and not answered, or that were allowed within a window
// and not sent.
func (b *Budget) oldest(now time.Time, sent bool) (first *place) {
	most := b.window
	if sent {
		most = maxOpen
	}
	for i := range b.places {
		p := &b.places[i]
		if p.open && p.sent == sent && !p.at.After(now) && now.Sub(p.at) < most && (first == nil || p.at.Before(first.at)) {
			first = p
		}
	}
	return first
}

// reserve takes the place that is free next and says how long until it is; not ok when that is after ctx's deadline.
func (b *Budget) reserve(ctx context.Context) (delay time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	p, at := b.next(now), now
	if free := p.free(now, b.window); free.After(now) {
		at = free
	}
	delay = at.Sub(now)
	if deadline, bounded := ctx.Deadline(); bounded && delay > 0 && time.Until(deadline) < delay {
		return delay, false
	}
	*p = place{at: at, open: true}
	return delay, true
}

// next is the place that is free first.
func (b *Budget) next(now time.Time) *place {
	first := &b.places[0]
	for i := range b.places {
		if p := &b.places[i]; p.free(now, b.window).Before(first.free(now, b.window)) {
			first = p
		}
	}
	return first
}
