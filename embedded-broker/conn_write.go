package broker

import (
	"encoding/binary"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// vectored is a response with a payload that is not copied into its encoding.
type vectored interface {
	payload() int64 // bytes pinned until it is written
	// buffers encodes the response: the fixed parts into dst, the payload as it lies.
	buffers(dst []byte) (bufs net.Buffers, grown []byte)
}

// discarder is a response that holds something until it was written or dropped.
type discarder interface{ discard() }

func discard(resp kmsg.Response) {
	if d, ok := resp.(discarder); ok {
		d.discard()
	}
}

// outgoing is what the sender of answers needs: whoever set conn.sending, one at a time.
type outgoing struct {
	raw    syscall.RawConn // nil when it is no socket
	buf    *[]byte         // scratch, pooled: nil while nobody is the sender
	unsent []byte          // of the oldest answer, when not all of it could be written without waiting
	try    func(fd uintptr)
}

func (out *outgoing) init(nc net.Conn) { out.raw, out.try = rawConn(nc), out.tryWrite }

const keptScratch = 64 << 10 // larger scratch memory is not kept for the next answer

var outBufs = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

// scratch is memory for one answer.
func (out *outgoing) scratch() []byte {
	if out.buf == nil {
		out.buf = outBufs.Get().(*[]byte)
	}
	return (*out.buf)[:0]
}

// free gives the scratch memory back; the sender has nothing to send.
func (out *outgoing) free() {
	if out.buf != nil && cap(*out.buf) <= keptScratch {
		outBufs.Put(out.buf)
	}
	out.buf, out.unsent = nil, nil
}

// begin makes the caller the sender of answers when there is one to send and nobody sends. mu is held.
func (c *conn) begin() bool {
	if c.sending || c.how != connOpen || len(c.queue) == 0 || !c.queue[0].done {
		return false
	}
	c.sending = true
	return true
}

// end gives the sender's place back when there is nothing to send; otherwise the caller goes on with the answer returned.
func (c *conn) end() *pending {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.how == connOpen && len(c.queue) > 0 && c.queue[0].done {
		return c.queue[0]
	}
	c.sending = false
	c.out.free()
	c.changed.Broadcast()
	return nil
}

// sendNow writes answers on the goroutine that replied, as far as that takes no waiting; a goroutine of its own does the
// rest. A small answer so costs no hand-over. The caller is the sender.
func (c *conn) sendNow() {
	for p := c.end(); p != nil; p = c.end() {
		if _, large := p.resp.(vectored); large || c.out.raw == nil {
			go c.write()
			return
		}
		if p.resp != nil {
			c.out.unsent = c.encode(p)
			if c.out.raw.Control(c.out.try) != nil || len(c.out.unsent) > 0 {
				go c.write()
				return
			}
		}
		c.sent(p)
	}
}

// write sends answers in the order of requests until there are none, or the connection is closed. The caller is the
// sender.
func (c *conn) write() {
	for p := c.end(); p != nil; p = c.end() {
		err := c.send(p)
		c.sent(p)
		if err != nil {
			how, reason := ending(err)
			if isTimeout(err) {
				reason = "the client does not read its answers"
			}
			c.close(how, reason)
		}
	}
}

// send writes one answer, or the rest of it.
func (c *conn) send(p *pending) error {
	switch v, large := p.resp.(vectored); {
	case p.resp == nil:
		return nil
	case large:
		var bufs net.Buffers
		bufs, *c.out.buf = v.buffers(appendHead(c.out.scratch(), p))
		n := int64(0)
		for _, b := range bufs {
			n += int64(len(b))
		}
		binary.BigEndian.PutUint32(bufs[0], uint32(n-4))
		return c.writeAll(bufs, n)
	case len(c.out.unsent) == 0:
		c.out.unsent = c.encode(p)
	}
	rest := c.out.unsent
	c.out.unsent = nil
	return c.writeAll(net.Buffers{rest}, int64(len(rest)))
}

// encode is an answer's bytes, in the scratch memory.
func (c *conn) encode(p *pending) []byte {
	b := p.resp.AppendTo(appendHead(c.out.scratch(), p))
	if !p.api.raw {
		c.b.telemetry.countErrors(p.resp)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	*c.out.buf = b
	return b
}

// appendHead leaves room for the size and appends the response header.
func appendHead(b []byte, p *pending) []byte {
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(p.corr))
	if p.resp.IsFlexible() && p.key != keyAPIVersions {
		b = append(b, 0)
	}
	return b
}

// writeAll sends n bytes. The client must take each piece within writeStall, and all at writeRate. Pieces grow for a
// client that takes them fast: each costs a call and wakes somebody up.
func (c *conn) writeAll(bufs net.Buffers, n int64) error {
	defer c.writing.Store(0)
	now := time.Now()
	due := now.Add(slowest(c.b.limits.writeStall, n, c.b.limits.writeRate))
	for chunk := writeChunk; len(bufs) > 0; {
		var some net.Buffers
		some, bufs = cutBuffers(bufs, chunk)
		d := now.Add(c.b.limits.writeStall)
		if due.Before(d) {
			d = due
		}
		c.nc.SetWriteDeadline(d)
		c.writing.Store(now.UnixNano())
		if _, err := some.WriteTo(c.nc); err != nil {
			return err
		}
		began := now
		now = time.Now()
		if now.Sub(began) < takenFast {
			chunk = min(2*chunk, maxWriteChunk)
		} else {
			chunk = writeChunk
		}
	}
	return nil
}

// takenFast is how long the writing of a piece may take for the next to be larger.
const takenFast = 20 * time.Millisecond

// cutBuffers splits bufs after about n bytes.
func cutBuffers(bufs net.Buffers, n int) (head, rest net.Buffers) {
	for i, b := range bufs {
		if len(b) > n {
			head = append(slices.Clip(bufs[:i]), b[:n])
			bufs[i] = b[n:]
			return head, bufs[i:]
		}
		n -= len(b)
	}
	return bufs, nil
}

// sent takes an answered request off the queue.
func (c *conn) sent(p *pending) {
	discard(p.resp)
	c.b.telemetry.answered(p, time.Now())
	c.mu.Lock()
	c.queue = slices.Delete(c.queue, 0, 1) // few, and the slice stays where it is
	c.outBytes -= p.size
	c.unsent--
	if p.key == keyFetch {
		c.fetching, c.cutShort = false, nil
	}
	c.changed.Broadcast()
	c.mu.Unlock()
	p.free()
}
