package broker

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine"
)

// What becomes of a record batch that meets a full local log.
const (
	fullWaited     = "waited"      // held back, then taken
	fullRefused    = "refused"     // answered with a retriable error
	fullFailedFast = "failed_fast" // the same, at once, because its topic says so
)

// waitingPart is the share of the memory budget that Produce requests may hold while they wait for room: the rest is for
// consumers, who must be able to commit and drain what fills the log.
const waitingPart = 8

// waitForRoom holds a request back while the local log is full. Its connection is not read meanwhile, which slows its
// client down without an error. Requests that name a topic with backpressure=fail_fast are not held back; nor are those
// for which there is no memory.
func (c *produceCall) waitForRoom() {
	relief := c.b.engine.Relief()
	conn := c.r.conn
	if relief == nil {
		conn.inVain = 0
		return
	}
	held := int64(len(c.r.raw))
	if c.anyFailsFast() || c.r.lease.onToken() || !c.b.waiting.take(held, c.b.budget.limit/waitingPart) {
		return
	}
	defer c.b.waiting.give(held)
	began := time.Now()
	timer := time.NewTimer(patience(c.timeout, conn.inVain))
	defer timer.Stop()
	select {
	case <-relief:
		conn.inVain = 0
		c.b.telemetry.full.add(fullWaited, float64(len(c.parts)))
	case <-timer.C:
		conn.inVain++
	case <-c.b.stopping:
	}
	c.waited = time.Since(began)
	c.b.telemetry.throttled(c.r.clientID, "store", c.waited)
}

// patience is how long a request may wait for room that its client lets live for timeout, the time-out of the request.
// Clients send requests ahead, and those behind have waited for as long as this one: together they stay below it.
func patience(timeout time.Duration, inVain int) time.Duration {
	longest := max(timeout, 0) / 3
	return max(longest>>min(inVain, 30), min(longest, time.Second))
}

func (c *produceCall) anyFailsFast() bool {
	for i := range c.topics {
		topic, ok := c.b.engine.Topic(c.topics[i].name)
		if c.topics[i].name == "" {
			topic, ok = c.b.engine.TopicByID(c.topics[i].id)
		}
		if ok && failsFast(topic) {
			return true
		}
	}
	return false
}

func failsFast(t engine.Topic) bool { return t.Configs[engine.BackpressureConfig] == engine.FailFast }

// noRoom counts a batch that found no room.
func (t *Telemetry) noRoom(err error) {
	switch {
	case errors.Is(err, engine.ErrFailFast):
		t.full.add(fullFailedFast, 1)
	case errors.Is(err, engine.ErrThrottled):
		t.full.add(fullRefused, 1)
	}
}

// account is an amount with a limit. Safe for concurrent use.
type account struct{ used atomic.Int64 }

// take adds n unless that passes the limit.
func (a *account) take(n, limit int64) bool {
	if a.used.Add(n) > limit {
		a.used.Add(-n)
		return false
	}
	return true
}

func (a *account) give(n int64) { a.used.Add(-n) }
