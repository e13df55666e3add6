package notify

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// outbox is one receiver's queue. An incident waits at most once: a newer update replaces the older one.
type outbox struct {
	sender Sender
	opt    Options
	every  time.Duration // of re-sending; 0 is never
	wake   chan struct{}

	mu      sync.Mutex
	queue   []letter
	firing  map[string]streamkeeper.Incident // open incidents that were told, for receivers that forget
	dropped int
}

type letter struct {
	incident streamkeeper.Incident
	rollup   *streamkeeper.Rollup // instead of an incident
	since    time.Time            // when it was queued first; zero until the goroutine sees it
}

// id names what a letter is about.
func (l letter) id() string {
	if l.rollup != nil {
		return l.rollup.ID
	}
	return l.incident.ID
}

// keeps says that nothing may push the letter out: no later one would say the same.
func (l letter) keeps() bool {
	return l.rollup != nil || l.incident.State == streamkeeper.IncidentResolved
}

func newOutbox(s Sender, opt Options) *outbox {
	b := &outbox{sender: s, opt: opt, wake: make(chan struct{}, 1), firing: map[string]streamkeeper.Incident{}}
	if r, ok := s.(Repeater); ok {
		b.every = r.Every()
	}
	return b
}

// put queues an incident. An opening that was not sent yet stays an opening when an update replaces it:
// the receiver has not heard of it.
func (b *outbox) put(i streamkeeper.Incident) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at := b.find(i.ID); at >= 0 {
		if b.queue[at].incident.State == streamkeeper.IncidentOpen && i.State == streamkeeper.IncidentUpdated {
			i.State = streamkeeper.IncidentOpen
		}
		b.queue[at].incident = i
	} else {
		b.add(letter{incident: i})
	}
}

// putRollup queues a roll-up.
func (b *outbox) putRollup(r streamkeeper.Rollup) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(letter{rollup: &r})
}

func (b *outbox) find(id string) int {
	return slices.IndexFunc(b.queue, func(l letter) bool { return l.id() == id })
}

func (b *outbox) add(l letter) {
	if len(b.queue) >= b.opt.Queue {
		b.drop()
	}
	b.queue = append(b.queue, l)
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// drop makes room: the oldest that need not be kept, else the oldest.
func (b *outbox) drop() {
	at := max(0, slices.IndexFunc(b.queue, func(l letter) bool { return !l.keeps() }))
	b.opt.Logger.Error("a receiver's queue is full; an update is lost", "receiver", b.sender.Name(), "id", b.queue[at].id())
	b.queue = slices.Delete(b.queue, at, at+1)
	b.dropped++
}

func (b *outbox) run(ctx context.Context) {
	var again <-chan time.Time
	if b.every > 0 {
		t := time.NewTicker(b.every)
		defer t.Stop()
		again = t.C
	}
	for {
		if !b.drain(ctx) {
			b.farewell(ctx)
			return
		}
		select {
		case <-ctx.Done():
		case <-b.wake:
		case <-again:
			b.repeat()
		}
	}
}

// drain sends what waits, oldest first; false when ctx ended.
func (b *outbox) drain(ctx context.Context) bool {
	failures := 0
	for {
		if ctx.Err() != nil {
			return false
		}
		l, ok := b.next()
		if !ok {
			return true
		}
		err := b.send(ctx, l)
		switch {
		case err == nil:
			failures = 0
			b.done(l)
		case errors.Is(err, ErrPermanent):
			b.opt.Logger.Error("a receiver refuses an incident", "receiver", b.sender.Name(), "id", l.id(), "error", err)
			b.done(l)
		case time.Since(l.since) >= b.opt.GiveUp:
			b.opt.Logger.Error("giving up on an update", "receiver", b.sender.Name(), "id", l.id(), "error", err)
			b.done(l)
		default:
			failures++
			if failures == 1 {
				b.opt.Logger.Warn("telling a receiver failed; it is tried again", "receiver", b.sender.Name(), "id", l.id(), "error", err)
			}
			if !b.pause(ctx, failures) {
				return false
			}
		}
	}
}

// next is the oldest letter; it stays in the queue until it is done, so that it can be replaced.
func (b *outbox) next() (letter, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		return letter{}, false
	}
	if b.queue[0].since.IsZero() {
		b.queue[0].since = time.Now()
	}
	return b.queue[0], true
}

func (b *outbox) send(ctx context.Context, l letter) error {
	ctx, cancel := context.WithTimeout(ctx, b.opt.Deadline)
	defer cancel()
	if l.rollup != nil {
		return b.sender.SendRollup(ctx, *l.rollup)
	}
	return b.sender.Send(ctx, l.incident)
}

// done takes a letter out, unless a newer update has replaced it meanwhile. What replaced it is then an
// update to the receiver, whatever the queue thought.
func (b *outbox) done(l letter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := l.incident
	if b.every > 0 && l.rollup == nil {
		b.firing[i.ID] = i
		if i.State == streamkeeper.IncidentResolved {
			delete(b.firing, i.ID)
		}
	}
	at := b.find(l.id())
	if at < 0 {
		return
	}
	now := &b.queue[at]
	if now.incident.UpdatedAt.Equal(i.UpdatedAt) && (now.incident.State == i.State) {
		b.queue = slices.Delete(b.queue, at, at+1)
		return
	}
	now.since = time.Time{}
	if now.incident.State == streamkeeper.IncidentOpen {
		now.incident.State = streamkeeper.IncidentUpdated
	}
}

// pause waits before the next try: doubled each time, and between half and all of that by chance.
func (b *outbox) pause(ctx context.Context, failures int) bool {
	d := b.opt.First << min(failures-1, 20)
	d = min(d, b.opt.Longest)
	d = d/2 + time.Duration(b.opt.Jitter()*float64(d/2))
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// repeat queues what still fires, for receivers that forget.
func (b *outbox) repeat() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range sortedIDs(b.firing) {
		if b.find(id) < 0 && len(b.queue) < b.opt.Queue {
			b.queue = append(b.queue, letter{incident: b.firing[id]})
		}
	}
}

func sortedIDs(m map[string]streamkeeper.Incident) []string {
	ids := make([]string, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// farewell tries everything once more after ctx has ended, all within one deadline.
func (b *outbox) farewell(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.opt.Deadline)
	defer cancel()
	for ctx.Err() == nil {
		l, ok := b.next()
		if !ok {
			return
		}
		if err := b.send(ctx, l); err != nil {
			b.opt.Logger.Error("ending with updates untold", "receiver", b.sender.Name(), "id", l.id(), "error", err)
			return
		}
		b.done(l)
	}
}
