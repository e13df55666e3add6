package broker

import (
	"sync"
	"sync/atomic"
	"time"
)

// phase is a part of a request's time.
type phase uint8

const (
	phaseTotal    phase = iota
	phaseQueue          // from arrival to its handler
	phaseAppend         // checking and enqueueing records
	phaseSync           // waiting until they are durable
	phaseStore          // waiting for the object store
	phaseThrottle       // told to wait
	phaseRespond        // from the answer to its last byte written
	phases
)

var phaseNames = [phases]string{"total", "queue", "append", "sync", "store", "throttle", "respond"}

const (
	maxAPIKey       = 100
	maxErrorSeries  = 2000
	maxClientSeries = 500
)

// apiMetrics are one API's counters.
type apiMetrics struct {
	requests atomic.Int64
	seconds  [phases]atomic.Pointer[histogram]
}

// observe adds to a phase; its histogram appears with its first observation.
func (m *apiMetrics) observe(p phase, d time.Duration) {
	h := m.seconds[p].Load()
	if h == nil {
		m.seconds[p].CompareAndSwap(nil, newHistogram(latencyBuckets))
		h = m.seconds[p].Load()
	}
	h.since(d)
}

// counts is a bounded family of counters with labels as key.
type counts[K comparable] struct {
	mu    sync.Mutex
	limit int
	other K
	n     map[K]float64
}

func newCounts[K comparable](limit int, other K) *counts[K] {
	return &counts[K]{limit: limit, other: other, n: map[K]float64{}}
}

func (c *counts[K]) add(k K, v float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.n[k]; !ok && len(c.n) >= c.limit {
		k = c.other
	}
	c.n[k] += v
}

func (c *counts[K]) each(f func(K, float64)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, v := range c.n {
		f(k, v)
	}
}

type errorKey struct{ key, code int16 }

type throttleKey struct{ client, reason string }

func (t *Telemetry) api(key int16) *apiMetrics {
	if key < 0 || key >= maxAPIKey {
		key = maxAPIKey - 1
	}
	return &t.apis[key]
}

func (t *Telemetry) phase(key int16, p phase, d time.Duration) {
	if measuring {
		t.api(key).observe(p, max(d, 0))
	}
}

// errorCode counts an error code of an answer; 0 counts nothing.
func (t *Telemetry) errorCode(key, code int16) {
	if code != 0 {
		t.errors.add(errorKey{key, code}, 1)
	}
}

// answered counts a request whose answer is on the wire.
func (t *Telemetry) answered(p *pending, now time.Time) {
	if !measuring {
		return
	}
	m := t.api(p.key)
	m.requests.Add(1)
	m.observe(phaseTotal, now.Sub(p.frame.arrived))
	m.observe(phaseQueue, p.begun.Sub(p.frame.arrived))
	m.observe(phaseRespond, now.Sub(p.finished))
}

// throttled counts what a client was told to wait.
func (t *Telemetry) throttled(client, reason string, d time.Duration) {
	t.throttles.add(throttleKey{client, reason}, d.Seconds())
	if reason == "store" {
		t.phase(keyProduce, phaseThrottle, d)
	}
}

func (t *Telemetry) refused(reason string) { t.refusals.add(reason, 1) }
func (t *Telemetry) coldRead(waited time.Duration) {
	t.cold.since(waited)
	t.phase(keyFetch, phaseStore, waited)
}
