package broker

import (
	"sync/atomic"
	"time"
)

// pinning accounts for the engine's memory that Fetch answers hold until they are written. Clients that do not read
// must not take it from those that do, so how much of it a connection may use depends on what it proved: those that ask
// ahead share the first half with everybody, new ones may also use the third quarter, and the last is for clients whose
// window grew by reading.
type pinning struct {
	limit int64
	used  atomic.Int64
	swept atomic.Int64 // Unix nanoseconds of the last dropStalled
}

// room is how many bytes an answer may pin now; 0 = wait. It is half of what is left, so that no single answer takes
// all; one batch may pass it.
func (p *pinning) room(window int) int64 {
	share := p.limit
	switch {
	case window == 0:
		share = p.limit / 2
	case window < provenWindow:
		share = p.limit * 3 / 4
	}
	left := share - p.used.Load()
	if left <= 0 {
		return 0
	}
	return min(max(left/2, 64<<10), int64(max(window, minWindow)))
}

// dropStalled closes the connections whose clients take nothing of a Fetch answer while others wait for its memory. They
// come back and fetch again: nothing is lost.
func (b *Broker) dropStalled() {
	now := time.Now().UnixNano()
	last := b.budget.pinned.swept.Load()
	if now-last < int64(crowdedStall)/10 || !b.budget.pinned.swept.CompareAndSwap(last, now) {
		return
	}
	for _, c := range b.conns.all() {
		since := c.writing.Load()
		if since == 0 || now-since < int64(crowdedStall) {
			continue
		}
		if c.pins() {
			go c.close(connLocal, "the client does not read its answers while others wait for the memory")
		}
	}
}

// pins reports whether unwritten answers of the connection hold the engine's memory.
func (c *conn) pins() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.outBytes > 0
}
