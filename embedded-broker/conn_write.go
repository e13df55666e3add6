package broker

import (
	"encoding/binary"
	"net"
	"slices"
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

// write sends answers in the order of requests until the connection is closed.
func (c *conn) write() {
	var buf []byte
	for {
		p := c.next()
		if p == nil {
			return
		}
		var err error
		buf, err = c.send(p, buf)
		c.sent(p)
		if err != nil {
			how, reason := ending(err)
			if isTimeout(err) {
				reason = "the client does not read its answers"
			}
			c.close(how, reason)
			return
		}
		if cap(buf) > 1<<20 {
			buf = nil
		}
	}
}

// next waits for the oldest request's answer; nil when the connection is closed.
func (c *conn) next() *pending {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.how == connOpen && (len(c.queue) == 0 || !c.queue[0].done) {
		c.changed.Wait()
	}
	if c.how != connOpen {
		return nil
	}
	return c.queue[0]
}

// send writes one answer. buf is scratch memory and is returned, perhaps grown.
func (c *conn) send(p *pending, buf []byte) ([]byte, error) {
	if p.resp == nil {
		return buf, nil
	}
	buf = append(buf[:0], 0, 0, 0, 0)
	buf = binary.BigEndian.AppendUint32(buf, uint32(p.corr))
	if p.resp.IsFlexible() && p.key != keyAPIVersions {
		buf = append(buf, 0)
	}
	var bufs net.Buffers
	if v, ok := p.resp.(vectored); ok {
		bufs, buf = v.buffers(buf)
	} else {
		buf = p.resp.AppendTo(buf)
		bufs = net.Buffers{buf}
		if !p.api.raw {
			c.b.telemetry.countErrors(p.resp)
		}
	}
	n := int64(0)
	for _, b := range bufs {
		n += int64(len(b))
	}
	binary.BigEndian.PutUint32(buf, uint32(n-4))
	return buf, c.writeAll(bufs, n)
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
	defer c.mu.Unlock()
	c.queue[0] = nil
	c.queue = c.queue[1:]
	c.outBytes -= p.size
	c.unsent--
	if p.key == keyFetch {
		c.fetching, c.cutShort = false, nil
	}
	c.changed.Broadcast()
}
