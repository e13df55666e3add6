package broker

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// conn is one client connection: a goroutine reads and starts requests in order; their answers are written in the same
// order by whoever replied, or by a goroutine that lives as long as there is something to write. Fields above mu are set
// before serving or atomic.
type conn struct {
	id       uint64
	b        *Broker
	nc       net.Conn
	in       incoming // of the reading goroutine
	out      outgoing // of the sender
	host     string   // the peer's address without its port
	openedAt time.Time
	readAs   context.Context // reads in the client's name, for fair cold reads; of the reading goroutine
	last     times
	produced map[*topicMetrics]int64 // Unix seconds of the last Produce by topic; of the reading goroutine
	clientID atomic.Pointer[string]
	software atomic.Pointer[software]
	writing  atomic.Int64 // Unix nanoseconds since which the current piece of an answer is being written; 0 = none is

	mu       sync.Mutex
	changed  sync.Cond  // queue, outBytes, fetching, sending or how changed
	queue    []*pending // unanswered requests, oldest first
	outBytes int64      // of finished, unwritten responses
	unsent   int        // finished, unwritten responses
	sending  bool       // somebody is the sender of answers
	fetching bool       // a Fetch is in the queue
	more     bool       // more requests lie behind the Fetch being handled; of the reading goroutine
	window   int        // bytes the next Fetch may be answered; of the reading goroutine
	cutShort func()     // makes the Fetch being handled answer at once
	muted    time.Time  // do not read before: the client was told to wait
	inVain   int        // Produce requests in a row that waited for room and found none; of the reading goroutine
	how      string     // connOpen until closed
	reason   string
	stop     bool // no more requests are read
}

type software struct{ name, version string }

// pending is a request and the place of its answer in the order of answers. Those of APIs with their own codec are
// pooled.
type pending struct {
	request
	frame    frame
	answer   func(kmsg.Response) // reply, bound once
	api      *api
	corr     int32
	resp     kmsg.Response // nil with done: nothing to write
	done     bool
	finished time.Time
	size     int64
}

func newConn(b *Broker, nc net.Conn) *conn {
	c := &conn{b: b, nc: nc, host: hostOf(nc.RemoteAddr()), openedAt: b.now()}
	c.changed.L = &c.mu
	c.in.init(nc)
	c.out.init(nc)
	c.readAs = c.reading(b.ctx)
	return c
}

// reading allows reads to bring what the kernel can send from files.
func (c *conn) reading(ctx context.Context) context.Context {
	if haveSendfile && c.out.raw != nil {
		return engine.WithFiles(ctx)
	}
	return ctx
}

// client is the client id of the latest request.
func (c *conn) client() string {
	if p := c.clientID.Load(); p != nil {
		return *p
	}
	return ""
}

// library is what the client said it is in ApiVersions; empty when it does not say.
func (c *conn) library() (name, version string) {
	if s := c.software.Load(); s != nil {
		return s.name, s.version
	}
	return "", ""
}

// state is a snapshot; the registry fills in the end of a closed one.
func (c *conn) state() connState {
	name, version := c.library()
	return connState{
		id: c.id, host: c.host, clientID: c.client(), software: name, softwareVersion: version, openedAt: c.openedAt,
		lastRequest: timeOf(c.last.request.Load()), lastFetch: timeOf(c.last.fetch.Load()),
		lastHeartbeat: timeOf(c.last.heartbeat.Load()), lastCommit: timeOf(c.last.commit.Load()), tcp: c.out.raw,
	}
}

// serve reads requests until the connection ends.
func (c *conn) serve() {
	err := c.read()
	how, reason := ending(err)
	if err == errStopped {
		c.drained()
	}
	c.close(how, reason)
	c.in.free()
	c.abandon()
}

// ending tells how a connection ended from the error that ended it.
func ending(err error) (how, reason string) {
	var refused *errFrame
	switch {
	case errors.Is(err, io.EOF):
		return connFIN, ""
	case errors.Is(err, io.ErrUnexpectedEOF):
		return connFIN, "closed inside a frame"
	case errors.As(err, &refused):
		return connLocal, refused.reason
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return connRST, ""
	default:
		return connLocal, err.Error()
	}
}

func (c *conn) read() error {
	for {
		if err := c.turn(); err != nil {
			return err
		}
		p, err := c.readFrame()
		if err != nil {
			return err
		}
		if err := c.start(p); err != nil {
			return err
		}
	}
}

// turn waits until the connection may bring another request: few enough are unanswered, its answers are being read, and
// it is not muted.
func (c *conn) turn() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.how == connOpen && !c.stop && (len(c.queue) >= c.b.limits.inFlight || c.outBytes > c.b.limits.outBytes) {
		c.changed.Wait()
	}
	if d := time.Until(c.muted); d > 0 {
		c.muted = time.Time{}
		c.mu.Unlock()
		select {
		case <-time.After(d):
		case <-c.b.ctx.Done():
		}
		c.mu.Lock()
	}
	if c.how != connOpen || c.stop {
		return errStopped
	}
	return nil
}

// fewUnsent waits until the client has read nearly all its answers: a client that asks and does not read would pile them
// up. Produce is exempt, because its answers are small.
func (c *conn) fewUnsent() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.unsent > maxUnsent && c.how == connOpen {
		c.changed.Wait()
	}
	if c.how != connOpen {
		return errStopped
	}
	return nil
}

// oneFetch waits until no Fetch of this connection is unanswered: its response may pin memory. How much the next one
// may pin grows with every answer that the client read before it asked again, as TCP's window does: one who asks ahead,
// or asks and does not read, stays at minWindow.
func (c *conn) oneFetch() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	ahead := c.more || c.fetching
	for c.fetching && c.how == connOpen {
		c.changed.Wait()
	}
	if ahead {
		c.window = 0
	} else {
		c.window = min(max(2*c.window, minWindow), maxFetchBytes)
	}
	c.more = c.in.buffered() > 0
	if c.how != connOpen {
		return errStopped
	}
	c.fetching = true
	return nil
}

// alone reports whether the request being handled is the only one: no other is unanswered, nor is another one here.
func (c *conn) alone() bool {
	if c.in.buffered() > 0 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue) == 1
}

// start decodes a frame and hands it to its handler.
func (c *conn) start(p *pending) error {
	err := c.decode(p)
	switch {
	case err != nil:
	case p.key == keyFetch:
		err = c.oneFetch()
	case p.key != keyProduce:
		err = c.fewUnsent()
	}
	if err != nil {
		p.frame.release(false)
		return err
	}
	now := p.received.UnixNano()
	c.last.request.Store(now)
	switch p.key {
	case keyFetch:
		c.last.fetch.Store(now)
	case keyHeartbeat, keyConsumerGroupHeartbeat:
		c.last.heartbeat.Store(now)
	case keyOffsetCommit:
		c.last.commit.Store(now)
	}
	c.mu.Lock()
	c.queue = append(c.queue, p)
	c.mu.Unlock()
	p.begun = time.Now()
	p.api.handle(c.b, &p.request, p.answer)
	return nil
}

// reply is the handler's one answer. Once it is done p may be gone: another goroutine sends it.
func (p *pending) reply(resp kmsg.Response) {
	c, patient := p.conn, p.patient
	if resp != nil {
		resp.SetVersion(p.version)
	}
	p.frame.release(p.api.raw)
	c.mu.Lock()
	if p.done {
		c.mu.Unlock()
		panic("broker: " + apiName(p.key) + " answered twice")
	}
	p.resp, p.done, p.finished = resp, true, time.Now()
	c.unsent++
	if v, ok := resp.(vectored); ok {
		p.size = v.payload()
		c.outBytes += p.size
	}
	closed := c.how != connOpen
	if closed {
		p.resp = nil
	}
	sender := c.begin()
	c.mu.Unlock()
	switch {
	case closed:
		discard(resp)
	case sender && patient:
		c.write()
	case sender:
		c.sendNow()
	}
}

// mute makes the connection bring no request for d: what throttle_time_ms asks for, kept by us.
func (c *conn) mute(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if until := time.Now().Add(d); until.After(c.muted) {
		c.muted = until
	}
}

func (c *conn) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue) > 0 && c.how == connOpen
}

func (c *conn) stopped() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stop || c.how != connOpen
}

// stopReading lets the connection answer what it has and read no more.
func (c *conn) stopReading() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stop {
		c.stop = true
		c.changed.Broadcast()
		c.nc.SetReadDeadline(time.Now()) // readBy sets none from here on
		c.hurryLocked()
	}
}

// hurryLocked makes a waiting Fetch answer now; it is called when nobody will wait for it.
func (c *conn) hurryLocked() {
	if c.cutShort != nil {
		go c.cutShort()
		c.cutShort = nil
	}
}

// onHurry sets what hurries the Fetch being handled, and reports whether there is a reason to wait at all.
func (c *conn) onHurry(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.how != connOpen || c.stop {
		return false
	}
	c.cutShort = f
	return true
}

// drained waits until everything was answered or the broker gives up.
func (c *conn) drained() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.how == connOpen && len(c.queue) > 0 {
		c.changed.Wait()
	}
}

// close ends the connection; the first call says how.
func (c *conn) close(how, reason string) {
	c.mu.Lock()
	first := c.how == connOpen
	if first {
		c.how, c.reason = how, reason
		c.changed.Broadcast()
		c.hurryLocked()
	}
	c.mu.Unlock()
	if !first {
		return
	}
	c.nc.Close()
	c.b.conns.remove(c, how)
	c.b.sessions.connClosed(c)
	c.b.groups.connClosed(c)
	if reason != "" {
		c.b.log.Info("connection closed", "remote", c.nc.RemoteAddr().String(), "client", c.client(), "reason", reason)
	}
}

// abandon releases answers nobody will read, once nobody writes one. Requests still being handled release theirs when
// they reply.
func (c *conn) abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.sending {
		c.changed.Wait()
	}
	for _, p := range c.queue {
		if p.done {
			discard(p.resp)
		}
	}
	c.queue, c.outBytes, c.unsent = nil, 0, 0
}
