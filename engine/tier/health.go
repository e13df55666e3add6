package tier

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/objectstore"
)

// Families of calls whose health is judged apart: a store may serve reads while
// it denies writes.
const (
	callsRead = iota
	callsWrite
	callsDelete
	families
)

var familyNames = [families]string{"read", "write", "delete"}

func familyOf(op string) int {
	switch op {
	case "put":
		return callsWrite
	case "delete":
		return callsDelete
	}
	return callsRead
}

// A family is failing after failuresApart failures in a row at least a second
// apart, or failuresAtOnce of them however fast; throttling, which a healthy
// store does now and then, only after throttledInRow.
const (
	failuresApart  = 2
	failuresAtOnce = 4
	throttledInRow = 6
)

// health counts the outcomes of calls and tells when the store starts to fail
// and when it has recovered. Safe for concurrent use.
type health struct {
	event func(Event)

	mu        sync.Mutex
	family    [families]Health
	firstFail [families]time.Time
	throttled [families]int
	recovered chan struct{} // closed and replaced when a family recovers
}

func newHealth(event func(Event)) *health {
	h := &health{event: event, recovered: make(chan struct{})}
	for i := range h.family {
		h.family[i].Calls = familyNames[i]
	}
	return h
}

// count takes in one finished call.
func (h *health) count(op string, class Class, err error, now time.Time) {
	i := familyOf(op)
	good := class == objectstore.ClassOK || class == objectstore.ClassNotFound || errors.Is(err, objectstore.ErrExists)
	h.mu.Lock()
	var e *Event
	if good {
		e = h.success(i, now)
	} else {
		e = h.failure(i, class, err, now)
	}
	h.mu.Unlock()
	if e != nil {
		h.event(*e)
	}
}

func (h *health) success(i int, now time.Time) *Event {
	f := &h.family[i]
	f.LastOK = now
	f.Failures, h.throttled[i] = 0, 0
	if !f.Failing {
		return nil
	}
	f.Failing = false
	seconds := now.Sub(f.Since).Seconds()
	close(h.recovered)
	h.recovered = make(chan struct{})
	return &Event{At: now, Kind: EventStoreRecovered, Text: fmt.Sprintf("object store %s calls work again after %.0f s", f.Calls, seconds), Attrs: map[string]any{"calls": f.Calls, "seconds": seconds}}
}

func (h *health) failure(i int, class Class, err error, now time.Time) *Event {
	f := &h.family[i]
	if f.Failures == 0 {
		h.firstFail[i] = now
	}
	f.Failures++
	f.Class, f.LastErr = class, err
	if class == objectstore.ClassThrottled {
		h.throttled[i]++
	}
	if f.Failing || !h.judge(i, now) {
		return nil
	}
	f.Failing, f.Since = true, h.firstFail[i]
	return &Event{At: now, Kind: EventStoreFailing, Text: fmt.Sprintf("object store %s calls fail (%s): %v", f.Calls, class, err), Attrs: map[string]any{"calls": f.Calls, "class": string(class), "failures": f.Failures}}
}

func (h *health) judge(i int, now time.Time) bool {
	hard := h.family[i].Failures - h.throttled[i]
	return hard >= failuresAtOnce || hard >= failuresApart && now.Sub(h.firstFail[i]) >= time.Second || h.throttled[i] >= throttledInRow
}

// failing reports whether a family fails, and a channel closed at the next
// recovery of any family.
func (h *health) failing(i int) (bool, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.family[i].Failing, h.recovered
}

func (h *health) snapshot() []Health {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.family
	return s[:]
}

// due returns how long to wait before the next probe: none when nothing was read
// for a probe interval, a second when the last read failed.
func (h *health) due(every time.Duration, lastProbe, now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.family[callsRead].Failures > 0 {
		return lastProbe.Add(time.Second).Sub(now)
	}
	last := h.family[callsRead].LastOK
	if lastProbe.After(last) {
		last = lastProbe
	}
	return last.Add(every).Sub(now)
}

// probe keeps the health fresh without traffic, until ctx ends.
func (t *Tier) probe(ctx context.Context) {
	var last time.Time
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		now := t.o.Clock.Now()
		if wait := t.health.due(t.o.ProbeEvery, last, now); wait > 0 {
			timer.Reset(min(wait, time.Second))
			continue
		}
		last = now
		// A missing object answers as well as a present one.
		_, _ = t.calls.head(ctx, &call{op: "probe", name: clusterObject, limit: t.o.ProbeDeadline}) // counted by report
		timer.Reset(0)
	}
}
