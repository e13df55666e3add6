package tier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/objectstore"
)

// Causes of a call's end by us; both count as the store being down.
var (
	errDeadline = errors.New("store call ran into its deadline")
	errStalled  = errors.New("store call moved no byte for too long")
)

// calls makes store calls: one attempt each, with a deadline of base + size ÷
// minimum rate and a limit on silence, classified, observed and counted into
// the store's health. Safe for concurrent use.
type calls struct {
	store    Objects
	o        *Options
	health   *health
	observer Observer
	// abandoned counts calls that did not return although their context ended,
	// such as reads from a hung network file system. At maxAbandoned new calls
	// fail at once instead of piling up goroutines.
	abandoned atomic.Int64
}

const maxAbandoned = 16

func newCalls(o *Options, h *health) *calls {
	return &calls{store: o.Objects, o: o, health: h, observer: o.Observer}
}

// call is one attempt in flight.
type call struct {
	op, name string
	size     int64         // bytes to move, for the deadline
	limit    time.Duration // deadline if not derived from size
	hidden   bool          // a 403 may stand for a missing object: S3 says so without s3:ListBucket
	moved    atomic.Int64  // bytes
	last     atomic.Int64  // unix nanoseconds of the last movement
	waiting  atomic.Bool   // everything is sent, the store's answer is due
	answered atomic.Bool
	first    atomic.Int64 // nanoseconds until there was something to read
}

func (c *call) touch(now time.Time) { c.last.Store(now.UnixNano()) }

// do runs fn as one attempt and returns its error, whole. fn gets a context that
// ends at the deadline or when nothing moves; if fn ignores that, do returns
// without it.
func (s *calls) do(ctx context.Context, c *call, fn func(ctx context.Context) error) error {
	began := s.o.Clock.Now()
	limit := c.limit
	if limit == 0 {
		limit = s.deadline(c.size)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.touch(began)
	stop := s.watch(c, limit, cancel)
	defer stop()
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotFirstResponseByte: func() { c.answered.Store(true); c.waiting.Store(false); c.touch(s.o.Clock.Now()) },
	})
	err := s.attempt(ctx, func() error { return fn(traced) })
	if cause := context.Cause(ctx); err != nil && (errors.Is(cause, errDeadline) || errors.Is(cause, errStalled)) {
		err = &objectstore.Error{Class: objectstore.ClassDown, Status: objectstore.Status(err), Err: fmt.Errorf("%s of %s after %d bytes: %w", c.op, c.name, c.moved.Load(), cause)}
	}
	s.report(c, began, err)
	return err
}

// deadline is how long a call that moves size bytes may take.
func (s *calls) deadline(size int64) time.Duration {
	return s.o.CallBase + time.Duration(float64(size)/float64(s.o.MinRate)*float64(time.Second))
}

// attempt runs fn and returns its error, or the context's cause a second after
// the context ended without fn returning.
func (s *calls) attempt(ctx context.Context, fn func() error) error {
	if s.abandoned.Load() >= maxAbandoned {
		return fmt.Errorf("%d store calls hang: %w", maxAbandoned, errStalled)
	}
	result := make(chan error, 1)
	go func() { result <- fn() }()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
	}
	grace := time.NewTimer(time.Second)
	defer grace.Stop()
	select {
	case err := <-result:
		return err
	case <-grace.C:
	}
	s.abandoned.Add(1)
	go func() {
		<-result
		s.abandoned.Add(-1)
	}()
	return context.Cause(ctx)
}

// watch ends the call at its deadline or when it stalls. After everything was
// sent the store may think for three times as long, since it may have to sync
// what it got.
func (s *calls) watch(c *call, limit time.Duration, cancel context.CancelCauseFunc) (stop func()) {
	deadline := time.AfterFunc(limit, func() { cancel(errDeadline) })
	var mu sync.Mutex
	var stall *time.Timer
	check := func() {
		allowed := s.o.StallAfter
		if c.waiting.Load() {
			allowed *= 3
		}
		idle := s.o.Clock.Now().Sub(time.Unix(0, c.last.Load()))
		if idle >= allowed {
			cancel(errStalled)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if stall != nil {
			stall.Reset(allowed - idle)
		}
	}
	mu.Lock()
	stall = time.AfterFunc(s.o.StallAfter, check)
	mu.Unlock()
	return func() {
		deadline.Stop()
		mu.Lock()
		defer mu.Unlock()
		stall.Stop()
		stall = nil
	}
}

// report tells the observer and the health about a finished call. A call ended
// by our own shutdown or by our own disk says nothing about the store.
func (s *calls) report(c *call, began time.Time, err error) {
	if _, ours := errors.AsType[*bodyError](err); ours || errors.Is(err, context.Canceled) {
		return
	}
	now := s.o.Clock.Now()
	class, status := objectstore.Classify(err), objectstore.Status(err)
	hidden := c.hidden && class == objectstore.ClassDenied
	if hidden {
		class = objectstore.ClassNotFound
	}
	answered := c.answered.Load() || status != 0 || err == nil || class != objectstore.ClassDown
	if s.observer != nil {
		s.observer.StoreCall(StoreCall{
			Op: c.op, Class: class, Answered: answered, Status: status, Bytes: c.moved.Load(),
			At: now, Duration: now.Sub(began), Object: c.name, Err: err,
		})
	}
	if !hidden { // it tells neither good nor bad
		s.health.count(c.op, class, err, now)
	}
}

// put stores body under name.
func (s *calls) put(ctx context.Context, name string, body io.ReadSeeker, size int64, o PutOptions) error {
	c := &call{op: "put", name: name, size: size}
	b := &meteredBody{lock: make(chan struct{}, 1), in: body, call: c, size: size, clock: s.o.Clock}
	err := s.do(ctx, c, func(ctx context.Context) error {
		err := s.store.Put(ctx, name, b, size, o)
		if bad := b.failure(); err != nil && bad != nil {
			return &bodyError{bad}
		}
		return err
	})
	b.close() // an abandoned Put must not read the segment any longer
	return err
}

// bodyError says that a put failed because its body could not be read: the
// store is not to blame.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return "reading the segment: " + e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

// get fills p from the object at offset.
func (s *calls) get(ctx context.Context, name string, offset int64, p []byte) error {
	_, err := s.getEach(ctx, name, offset, [][]byte{p}, func() error { return nil })
	return err
}

// getEach fills pieces from the object at offset, one after the other, and calls
// filled after each; its error ends the call and does not count against the store.
// It returns how long the store took to its first byte. A call that was given up
// may still fill a piece and call filled.
func (s *calls) getEach(ctx context.Context, name string, offset int64, pieces [][]byte, filled func() error) (first time.Duration, err error) {
	c := &call{op: "get", name: name}
	for _, p := range pieces {
		c.size += int64(len(p))
	}
	var refused error
	began := s.o.Clock.Now()
	err = s.do(ctx, c, func(ctx context.Context) error {
		r, err := s.store.Get(ctx, name, offset, c.size)
		if err != nil {
			return err
		}
		defer r.Close()
		c.first.Store(int64(s.o.Clock.Now().Sub(began)))
		for _, p := range pieces {
			if err := s.fill(c, r, p); err != nil {
				return err
			}
			if refused = filled(); refused != nil {
				return nil
			}
		}
		return nil
	})
	if err == nil {
		err = refused
	}
	return time.Duration(c.first.Load()), err
}

// fill reads all of p.
func (s *calls) fill(c *call, r io.Reader, p []byte) error {
	for n := 0; n < len(p); {
		m, err := r.Read(p[n:])
		n += m
		moved := c.moved.Add(int64(m))
		c.touch(s.o.Clock.Now())
		if err != nil && n < len(p) {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("reading object %s at byte %d of %d: %w", c.name, moved, c.size, err)
		}
	}
	return nil
}

func (s *calls) head(ctx context.Context, c *call) (size int64, err error) {
	err = s.do(ctx, c, func(ctx context.Context) error {
		n, err := s.store.Head(ctx, c.name)
		if err == nil {
			size = n
		}
		return err
	})
	return size, err
}

func (s *calls) delete(ctx context.Context, name string) error {
	return s.do(ctx, &call{op: "delete", name: name}, func(ctx context.Context) error { return s.store.Delete(ctx, name) })
}

// meteredBody counts what a put reads and can be cut off from its source. Its
// lock is a channel because a read may wait for the store: a rewrite reads there.
type meteredBody struct {
	lock   chan struct{}
	in     io.ReadSeeker
	call   *call
	size   int64
	pos    int64
	clock  Clock
	err    error // of the source
	closed bool
}

var errBodyClosed = errors.New("the put was given up")

func (b *meteredBody) Read(p []byte) (int, error) {
	b.lock <- struct{}{}
	defer func() { <-b.lock }()
	if b.closed {
		return 0, errBodyClosed
	}
	n, err := b.in.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	b.pos += int64(n)
	b.call.moved.Store(b.pos)
	b.call.waiting.Store(b.pos >= b.size)
	b.call.touch(b.clock.Now())
	return n, err
}

func (b *meteredBody) Seek(offset int64, whence int) (int64, error) {
	b.lock <- struct{}{}
	defer func() { <-b.lock }()
	if b.closed {
		return 0, errBodyClosed
	}
	pos, err := b.in.Seek(offset, whence)
	if err == nil {
		b.pos = pos
		b.call.waiting.Store(pos >= b.size)
	}
	return pos, err
}

// failure returns the error of the source, if that is what ended a put.
func (b *meteredBody) failure() error {
	b.lock <- struct{}{}
	defer func() { <-b.lock }()
	return b.err
}

func (b *meteredBody) close() {
	b.lock <- struct{}{}
	defer func() { <-b.lock }()
	b.closed = true
}
