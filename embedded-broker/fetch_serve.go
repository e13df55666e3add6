package broker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	maxFetchBytes = 55 << 20              // Kafka's fetch.max.bytes
	pinnedRetry   = 20 * time.Millisecond // how soon a Fetch looks again when answers pin too much memory
	maxFetchWait  = 10 * time.Minute      // longest a Fetch may ask to wait
)

// fetchCall is one Fetch being served: it tries, and while there is too little to send it waits for the partitions'
// watches, its deadline or the end of its connection.
type fetchCall struct {
	b        *Broker
	r        *request
	reply    func(kmsg.Response)
	version  int16
	req      *fetchRequest
	ctx      fetchContext
	maxBytes int // what the client asked for
	room     int // what this attempt may bring: maxBytes, or less when memory is short
	window   int
	readAs   context.Context
	due      time.Time
	woken    atomic.Bool

	mu       sync.Mutex
	finished bool
	resp     *fetchResponse
	total    int  // bytes in resp
	served   int  // index after the last partition that had its turn
	answer   bool // something must be answered at once: an error, a divergence
	limited  bool // there is more than the limits let through: waiting would bring nothing
	crowded  bool // answers pin too much memory: look again soon
	cancels  []func()
	timer    *time.Timer
}

func handleFetch(b *Broker, r *request, reply func(kmsg.Response)) {
	req, err := b.parseFetch(r.raw, r.version, func(n int64) error { return r.lease.take(b.ctx, n) })
	if err != nil {
		r.conn.close(connLocal, err.Error())
		reply(nil)
		return
	}
	c := &fetchCall{b: b, r: r, reply: reply, version: r.version, req: req, readAs: r.conn.readAs}
	c.ctx = b.sessions.begin(req, r.version, r.conn)
	if c.ctx.code != 0 {
		resp := newFetchResponse(b, r.version)
		resp.code = c.ctx.code
		reply(resp)
		return
	}
	c.maxBytes, c.window = min(max(int(req.maxBytes), 1), maxFetchBytes), r.conn.window
	c.due = time.Now().Add(min(time.Duration(max(req.maxWait, 0))*time.Millisecond, maxFetchWait))
	c.arrived()
	// A near client takes its answer before it asks for more: handing the answer to another goroutine would wake a
	// processor for nothing.
	r.patient = r.conn.out.near.Load() && !r.conn.more
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attempt()
}

// arrived tells the groups which position the client is at.
func (c *fetchCall) arrived() {
	for _, p := range c.ctx.parts {
		c.name(p)
		if measuring && p.topic != "" {
			c.b.groups.fetchArrived(c.r.conn, p.topic, p.index, p.offset)
		}
	}
}

// name finds a partition's topic; it stays "" while there is none.
func (c *fetchCall) name(p *askedPart) {
	if c.version < 13 {
		if p.topic != "" {
			return
		}
		if _, ok := c.b.engine.Topic(p.name); ok {
			p.topic = p.name
		}
	} else {
		// Asked every time: another topic may have the name by now.
		t, _ := c.b.engine.TopicByID(p.id)
		p.topic = t.Name
	}
	if p.topic != "" && p.metrics == nil {
		p.metrics = c.b.telemetry.topic(p.topic)
	}
}

// wake looks again; it is called from the engine's goroutines and must not block.
func (c *fetchCall) wake() {
	if c.woken.CompareAndSwap(false, true) {
		go c.again()
	}
}

func (c *fetchCall) again() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.woken.Store(false)
	if !c.finished {
		c.r.patient = true // this goroutine has nothing else to do
		c.attempt()
	}
}

// hurry answers with what there is: nobody waits any more.
func (c *fetchCall) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.finished {
		c.due = time.Time{}
		c.attempt()
	}
}

// attempt reads and either answers or waits. Holds mu.
func (c *fetchCall) attempt() {
	c.stopWaiting()
	c.tryAll()
	enough := (c.total >= int(c.req.minBytes) || c.limited && c.total > 0) && !c.crowded
	if enough || c.answer || len(c.ctx.parts) == 0 || !time.Now().Before(c.due) {
		c.finish()
		return
	}
	c.resp.discard()
	if c.crowded {
		c.b.dropStalled()
	}
	c.wait()
}

func (c *fetchCall) stopWaiting() {
	for _, cancel := range c.cancels {
		cancel()
	}
	c.cancels = c.cancels[:0]
	if c.timer != nil {
		c.timer.Stop()
	}
}

// wait registers what will wake the call.
func (c *fetchCall) wait() {
	d := time.Until(c.due)
	if c.crowded {
		d = min(d, pinnedRetry)
	}
	if c.timer == nil {
		c.timer = time.AfterFunc(d, c.wake)
	} else {
		c.timer.Reset(d)
	}
	if !c.r.conn.onHurry(c.hurry) {
		c.due = time.Time{}
		c.wake()
		return
	}
	if c.crowded {
		return
	}
	for _, p := range c.ctx.parts {
		part, err := c.b.engine.Partition(p.topic, p.index)
		if err != nil {
			c.wake() // it went away this moment
			return
		}
		// Past what is readable already: an attempt that found too little must not be woken by it again.
		at := p.offset
		if end := c.endOf(part); end > at && !p.pending {
			at = end
		}
		if c.req.committed {
			c.cancels = append(c.cancels, part.WatchStable(at, c.wake))
		} else {
			c.cancels = append(c.cancels, part.Watch(at, c.wake))
		}
	}
}

// tryAll reads every partition once, as far as the limits go.
func (c *fetchCall) tryAll() {
	c.resp = newFetchResponse(c.b, c.version)
	c.resp.committed = c.req.committed
	c.total, c.served, c.answer, c.limited, c.crowded = 0, 0, false, false, false
	c.room = min(c.maxBytes, int(c.b.budget.pinned.room(c.window)))
	for i, p := range c.ctx.parts {
		f := fetchPart{askedPart: p, hw: -1, start: -1, stable: -1}
		c.try(&f)
		if f.code != 0 || f.diverging {
			c.answer = true
		}
		if f.bytes > 0 {
			c.total += f.bytes
			c.served = i + 1
			c.resp.pinned += int64(f.bytes)
			c.b.budget.pinned.used.Add(int64(f.bytes))
		}
		news := f.bytes > 0 || f.code != 0 || f.diverging || f.hw != p.sentHW || f.start != p.sentStart
		if c.ctx.full || news {
			c.resp.parts = append(c.resp.parts, f)
		}
	}
}

// try reads one partition.
func (c *fetchCall) try(f *fetchPart) {
	f.pending = false
	c.name(f.askedPart)
	if f.topic == "" {
		f.code = codeUnknownTopic
		if c.version >= 13 {
			f.code = codeUnknownTopicID
		}
		return
	}
	part, err := c.b.engine.Partition(f.topic, f.index)
	if err != nil {
		f.code, f.topic = codeOf(err), ""
		return
	}
	if f.code = checkEpoch(part, f.epoch); f.code != 0 {
		return
	}
	f.hw, f.start, f.stable = part.HighWatermark(), part.LogStart(), part.LastStable()
	if f.lastEpoch >= 0 {
		epoch, end := part.EpochEnd(f.lastEpoch)
		if epoch >= 0 && (epoch < f.lastEpoch || end < f.offset) {
			f.diverging, f.divergeAt, f.divergeEnd = true, epoch, end
			return
		}
	}
	switch {
	case f.offset == c.end(f), f.maxBytes <= 0 && c.total > 0:
	case c.room == 0:
		c.crowded = true
	case c.room > c.total:
		c.readPart(part, f, c.room-c.total)
		c.limited = c.limited || f.bytes > 0 && f.read.NextOffset < c.end(f)
	default:
		c.limited = true
	}
}

// end is where the client's reading ends for now.
func (c *fetchCall) end(f *fetchPart) int64 {
	if c.req.committed {
		return f.stable
	}
	return f.hw
}

// endOf is end of a partition as it is now.
func (c *fetchCall) endOf(part *engine.Partition) int64 {
	if c.req.committed {
		return part.LastStable()
	}
	return part.HighWatermark()
}

// checkEpoch compares the client's leader epoch with ours (KIP-320).
func checkEpoch(part *engine.Partition, epoch int32) int16 {
	switch ours := part.LeaderEpoch(); {
	case epoch < 0 || epoch == ours:
		return 0
	case epoch < ours:
		return codeFencedLeaderEpoch
	}
	return codeUnknownLeaderEpoch
}

func (c *fetchCall) readPart(part *engine.Partition, f *fetchPart, room int) {
	var read engine.Read
	var err error
	if most := min(int(f.maxBytes), room); c.req.committed {
		read, err = part.ReadCommitted(c.readAs, f.offset, most)
	} else {
		read, err = part.Read(c.readAs, f.offset, most)
	}
	if err != nil {
		f.code, f.hw, f.start, f.stable = codeOf(err), -1, -1, -1
		return
	}
	f.hw, f.start, f.stable = read.HighWatermark, read.LogStart, read.LastStable
	if read.Pending {
		f.pending = true
		c.b.cold.began(f.topic, f.index)
		read.Release()
		return
	}
	n := read.Size()
	if n == 0 || n > room && c.total > 0 {
		// Only the first partition may pass the limit, with one batch, so that a large batch cannot stop a consumer.
		read.Release()
		return
	}
	if read.Tier == engine.Cold {
		c.b.cold.ended(c.b.telemetry, f.topic, f.index)
	}
	f.read, f.bytes = read, n
}

// finish answers. Holds mu.
func (c *fetchCall) finish() {
	c.finished = true
	c.stopWaiting()
	if s := c.ctx.session; s != nil {
		c.resp.session = s.id
		for i := range c.resp.parts {
			p := &c.resp.parts[i]
			p.sentHW, p.sentStart = p.hw, p.start
		}
		c.b.sessions.end(s, c.served)
	}
	for i := range c.resp.parts {
		c.told(&c.resp.parts[i])
	}
	c.resp.countErrors()
	c.reply(c.resp)
}

// told counts what one partition is sent.
func (c *fetchCall) told(p *fetchPart) {
	if !measuring || p.bytes == 0 {
		return
	}
	backlog := p.read.NextOffset < c.end(p)
	c.b.groups.fetched(c.r.conn, p.topic, p.index, p.offset, p.read.Records, p.bytes, p.read.Tier, backlog)
	m := p.metrics
	m.bytesOut.Add(int64(p.bytes))
	if backlog || p.read.Tier == engine.Cold || len(p.read.Bytes) == 0 {
		return
	}
	if h, _, ok := batch.Next(p.read.Bytes[len(p.read.Bytes)-1]); ok && !h.IsLogAppendTime() && !h.IsControl() {
		m.endToEnd.observe(c.b.now().Sub(time.UnixMilli(h.MaxTimestamp())).Seconds())
	}
}
