package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"sync"
	"time"
)

const (
	firstChunk   = 128 << 10 // allocated on a frame's word alone; the rest follows what really arrives
	growth       = 4
	minFrame     = 8                // key, version, correlation id
	noticeable   = time.Millisecond // a wait for memory that counts as throttling
	maxPooledBuf = 16 << 20
)

// frame is one request's bytes with the memory it reserved.
type frame struct {
	b       []byte  // without the size prefix
	box     *[]byte // b's memory, for the pool
	lease   lease
	arrived time.Time
}

// framePools keep buffers of 2^k bytes for frames whose handlers copy nothing out by reference.
var framePools [32]sync.Pool

func poolIndex(n int) int { return bits.Len(uint(n - 1)) }

// newBuf allocates at least n bytes.
func newBuf(n int) *[]byte {
	if n > maxPooledBuf {
		b := make([]byte, n)
		return &b
	}
	i := max(poolIndex(n), 9)
	if p, ok := framePools[i].Get().(*[]byte); ok {
		return p
	}
	b := make([]byte, 1<<i)
	return &b
}

func freeBuf(p *[]byte) {
	if n := len(*p); n <= maxPooledBuf {
		framePools[poolIndex(n)].Put(p)
	}
}

// hold gives the frame a buffer of n bytes.
func (f *frame) hold(n int) {
	f.box = newBuf(n)
	f.b = (*f.box)[:n]
}

// release gives the frame's memory back. recycle says that nobody holds a reference into its bytes any more.
func (f *frame) release(recycle bool) {
	if recycle && f.box != nil {
		freeBuf(f.box)
	}
	f.b, f.box = nil, nil
	f.lease.release()
}

var pendings sync.Pool

func newPending() *pending {
	if p, ok := pendings.Get().(*pending); ok {
		return p
	}
	p := &pending{}
	p.answer = p.reply
	return p
}

// free ends a request that was answered. Handlers of APIs with their own codec are known to keep nothing of it.
func (p *pending) free() {
	if p.api.raw {
		*p = pending{answer: p.answer}
		pendings.Put(p)
	}
}

// errFrame is a reason to close a connection that the log should show.
type errFrame struct{ reason string }

func (e *errFrame) Error() string { return e.reason }

func refuse(format string, args ...any) error { return &errFrame{fmt.Sprintf(format, args...)} }

// readFrame reads the next request. It returns io.EOF when the peer closed between two requests, and an errFrame when
// the connection must be closed for what the peer sent, or did not send.
func (c *conn) readFrame() (*pending, error) {
	size, err := c.readSize()
	if err != nil {
		return nil, err
	}
	arrived := c.b.now()
	head, err := c.peekHead(size)
	if err != nil {
		return nil, err
	}
	if err := c.checkHead(size, head); err != nil {
		return nil, err
	}
	p := newPending()
	p.frame.lease, p.frame.arrived = c.b.budget.lease(size), arrived
	if err := c.readBody(&p.frame, size); err != nil {
		p.frame.release(true)
		return nil, err
	}
	return p, nil
}

// readBy sets when reads fail at the latest, unless they may fail soon enough already: within a 64th of grace before
// then. Setting a deadline takes locks. When the broker stops, its own deadline stays.
func (c *conn) readBy(due time.Time, grace time.Duration) {
	if early := due.Sub(c.in.deadline); early >= 0 && early < grace/64 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stop {
		c.nc.SetReadDeadline(due)
		c.in.deadline = due
	}
}

// readSize waits for the next size prefix: as long as the connection may idle, and as long as requests are unanswered.
func (c *conn) readSize() (int, error) {
	for {
		c.readBy(time.Now().Add(c.b.limits.idle), c.b.limits.idle)
		err := c.in.await()
		if err == nil {
			break
		}
		if !isTimeout(err) {
			return 0, err
		}
		if c.stopped() {
			return 0, errStopped
		}
		if !c.busy() {
			return 0, refuse("idle for %v", c.b.limits.idle)
		}
	}
	if c.in.buffered() < 4+minFrame {
		c.readBy(time.Now().Add(c.b.limits.frameStall), c.b.limits.frameStall)
	}
	p, err := c.in.peek(4)
	if err != nil {
		return 0, stalled(err, 0, 4)
	}
	n := int(int32(binary.BigEndian.Uint32(p)))
	c.in.skip(4)
	return n, nil
}

func (c *conn) peekHead(size int) ([]byte, error) {
	if size < minFrame {
		return nil, refuse("a frame of %d bytes: this is not the Kafka protocol", size)
	}
	head, err := c.in.peek(minFrame)
	if err != nil {
		return nil, stalled(err, len(head), size)
	}
	return head, nil
}

// checkHead refuses a frame before a byte of its body costs memory.
func (c *conn) checkHead(size int, head []byte) error {
	key := int16(binary.BigEndian.Uint16(head))
	version := int16(binary.BigEndian.Uint16(head[2:]))
	a, ok := c.b.apis[key]
	if !ok {
		if key < 0 || key > 200 {
			return refuse("api key %d in a frame of %d bytes: this is not the Kafka protocol", key, size)
		}
		return refuse("api key %d is not supported", key)
	}
	if most := min(a.maxFrame, int(c.b.budget.maxLarge)); size > most {
		return refuse("a frame of %d bytes for %s; at most %d are allowed", size, apiName(key), most)
	}
	if (version < a.min || version > a.max) && key != keyAPIVersions {
		return refuse("%s version %d is not supported; %d to %d are", apiName(key), version, a.min, a.max)
	}
	return nil
}

// readBody reads size bytes into f.b. It reserves before it allocates, and allocates in steps that follow what arrived:
// a frame that only claims to be large holds firstChunk.
func (c *conn) readBody(f *frame, size int) error {
	begun := time.Now()
	have := 0
	for have < size {
		want := size
		if have == 0 {
			want = min(size, firstChunk)
		} else if have*growth < size {
			want = have * growth
		}
		asked := time.Now()
		if err := f.lease.take(c.b.ctx, int64(want)); err != nil {
			return errStopped
		}
		waited := time.Now()
		if d := waited.Sub(asked); d > noticeable {
			c.b.telemetry.throttled(c.client(), "budget", d)
		}
		old, box := f.b, f.box
		f.hold(want)
		copy(f.b, old)
		if old != nil {
			f.lease.give(int64(len(old)))
			freeBuf(box)
		}
		n, err := c.fill(f, have, size, begun, waited)
		have += n
		if err != nil {
			return stalled(err, have, size)
		}
	}
	return nil
}

// fill reads until f.b is full. Every read must bring a byte within frameStall, and the frame must keep up a rate.
func (c *conn) fill(f *frame, have, size int, begun, waited time.Time) (int, error) {
	due := begun.Add(slowest(c.b.limits.frameStall, int64(size), readRate))
	if f.lease.onToken() {
		if d := waited.Add(slowest(c.b.limits.frameStall, int64(size-have), tokenRate)); d.Before(due) {
			due = d
		}
	}
	n := 0
	for have+n < len(f.b) {
		if c.in.buffered() == 0 {
			d := time.Now().Add(c.b.limits.frameStall)
			if due.Before(d) {
				d = due
			}
			c.readBy(d, c.b.limits.frameStall)
		}
		m, err := c.in.Read(f.b[have+n:])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

var errStopped = errors.New("the broker stops")

// stalled turns a read error inside a frame into what happened.
func stalled(err error, have, size int) error {
	switch {
	case isTimeout(err):
		return refuse("a frame stalled after %d of %d bytes", have, size)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return io.ErrUnexpectedEOF
	}
	return err
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout() && !errors.Is(err, context.Canceled)
}
