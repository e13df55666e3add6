package engine

import (
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier"
)

// eventFilter passes events on and thins out the frequent kinds.
type eventFilter struct {
	to   Observer
	now  func() time.Time
	mu   sync.Mutex
	last map[string]time.Time
}

// offloadEventEvery bounds segment_offloaded to what a track needs: one second of error.
const offloadEventEvery = time.Second

func (f *eventFilter) send(ev Event) {
	if ev.Kind == EventSegmentOffloaded || ev.Kind == EventMaintenanceFailed {
		f.mu.Lock()
		if f.last == nil {
			f.last = map[string]time.Time{}
		}
		drop := ev.At.Sub(f.last[ev.Kind]) < offloadEventEvery
		if !drop {
			f.last[ev.Kind] = ev.At
		}
		f.mu.Unlock()
		if drop {
			return
		}
	}
	f.to.Event(ev)
}

// tierObserver translates what the tier reports.
type tierObserver struct{ e *Engine }

// StoreCall passes a call on.
func (o tierObserver) StoreCall(c tier.StoreCall) {
	o.e.o.Observer.StoreCall(StoreCall{
		Op: c.Op, Class: string(c.Class), Answered: c.Answered, Bytes: c.Bytes, Duration: c.Duration, Err: c.Err, Object: c.Object,
	})
}

// Event passes an event on.
func (o tierObserver) Event(ev tier.Event) {
	o.e.events.send(Event{At: ev.At, Kind: ev.Kind, Text: ev.Text, Attrs: ev.Attrs})
}
