package broker

import (
	"encoding/binary"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// vectored is a response with a payload that is not copied into its encoding.
type vectored interface {
	payload() int64 // bytes pinned until it is written
	// pieces encodes the response: the fixed parts into dst, the payload as it lies. files says that some lies in files.
	pieces(dst []byte) (ps []piece, files bool, grown []byte)
}

// piece is a part of an answer: bytes, or a stretch of a file that has a length.
type piece struct {
	b    []byte
	file engine.Stretch
}

func (p *piece) size() int64 { return int64(len(p.b)) + p.file.Len }

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

	vec, rest net.Buffers // scratch of some
	lent      engine.Stretch
	lentErr   error       // of the last sendfile
	met       bool        // whether the client is near is known
	near      atomic.Bool // it is; who reads requests looks at it too
	send      func(fd uintptr) bool
}

func (out *outgoing) init(nc net.Conn) {
	out.raw, out.try, out.send = rawConn(nc), out.tryWrite, out.trySendfile
}

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
	out.buf, out.unsent, out.lent = nil, nil, engine.Stretch{}
	clear(out.vec[:cap(out.vec)])
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
		var ps []piece
		var files bool
		ps, files, *c.out.buf = v.pieces(appendHead(c.out.scratch(), p))
		n := int64(0)
		for i := range ps {
			n += ps[i].size()
		}
		binary.BigEndian.PutUint32(ps[0].b, uint32(n-4))
		if files {
			c.out.meet()
		}
		return c.writeAll(ps, n)
	case len(c.out.unsent) == 0:
		c.out.unsent = c.encode(p)
	}
	rest := c.out.unsent
	c.out.unsent = nil
	return c.writeAll([]piece{{b: rest}}, int64(len(rest)))
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
func (c *conn) writeAll(ps []piece, n int64) error {
	defer c.writing.Store(0)
	now := time.Now()
	due := now.Add(slowest(c.b.limits.writeStall, n, c.b.limits.writeRate))
	chunk := writeChunk
	if c.out.near.Load() {
		chunk = maxWriteChunk
	}
	for len(ps) > 0 {
		d := now.Add(c.b.limits.writeStall)
		if due.Before(d) {
			d = due
		}
		c.nc.SetWriteDeadline(d)
		c.writing.Store(now.UnixNano())
		var err error
		if ps, err = c.out.some(c.nc, ps, chunk); err != nil {
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

// some sends n bytes, or what there is, and returns the rest.
func (out *outgoing) some(nc net.Conn, ps []piece, n int) ([]piece, error) {
	for len(ps) > 0 && n > 0 {
		if ps[0].file.Len > 0 {
			sent, err := out.sendfile(nc, &ps[0].file, n)
			if err != nil {
				return ps, err
			}
			n -= sent
			if ps[0].file.Len == 0 {
				ps = ps[1:]
			}
			continue
		}
		out.vec = out.vec[:0]
		for len(ps) > 0 && ps[0].file.Len == 0 && n > 0 {
			k := min(n, len(ps[0].b))
			out.vec = append(out.vec, ps[0].b[:k])
			n -= k
			if ps[0].b = ps[0].b[k:]; len(ps[0].b) == 0 {
				ps = ps[1:]
			}
		}
		out.rest = out.vec
		if _, err := out.rest.WriteTo(nc); err != nil {
			return ps, err
		}
	}
	return ps, nil
}

// sendfile sends n bytes of a file, or what there is, moves it on and returns how many it sent.
func (out *outgoing) sendfile(nc net.Conn, file *engine.Stretch, n int) (int, error) {
	out.lent, out.lentErr = *file, nil
	out.lent.Len = min(file.Len, int64(n))
	n = int(out.lent.Len)
	err := out.raw.Write(out.send)
	if err == nil {
		err = out.lentErr
	}
	if fileFailed(err) {
		file.Refuse()
		err = copied(nc, out.lent)
	}
	file.Pos += int64(n)
	file.Len -= int64(n)
	return n, err
}

// copied sends a stretch through our memory: not every file system lets the kernel send, and an error of the disk has to
// be told apart from that.
func copied(nc net.Conn, s engine.Stretch) error {
	b := make([]byte, s.Len)
	if err := s.Read(b); err != nil {
		return err
	}
	_, err := nc.Write(b)
	return err
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
