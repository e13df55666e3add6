package broker

import (
	"sync"
	"time"
)

const maxColdWaits = 10_000

// coldWaits measures how long readers wait for cold data: from the first Fetch that found it not there to the one that
// got it, over as many requests as it takes.
type coldWaits struct {
	mu    sync.Mutex
	since map[coldKey]time.Time
}

type coldKey struct {
	topic string
	index int32
}

func (w *coldWaits) began(topic string, index int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := coldKey{topic, index}
	if _, ok := w.since[k]; ok || len(w.since) >= maxColdWaits {
		return
	}
	if w.since == nil {
		w.since = map[coldKey]time.Time{}
	}
	w.since[k] = time.Now()
}

func (w *coldWaits) ended(t *Telemetry, topic string, index int32) {
	w.mu.Lock()
	k := coldKey{topic, index}
	began, ok := w.since[k]
	delete(w.since, k)
	w.mu.Unlock()
	if ok {
		t.coldRead(time.Since(began))
	}
}
